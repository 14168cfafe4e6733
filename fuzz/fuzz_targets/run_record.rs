#![no_main]
fuzz::target!("run_record");
