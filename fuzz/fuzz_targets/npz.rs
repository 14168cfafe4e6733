#![no_main]
fuzz::target!("npz");
