#![no_main]
fuzz::target!("idx");
