#![no_main]
fuzz::target!("idx_gz");
