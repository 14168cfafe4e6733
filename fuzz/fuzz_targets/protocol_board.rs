#![no_main]
fuzz::target!("protocol_board");
