#![no_main]
fuzz::target!("picture_gif");
