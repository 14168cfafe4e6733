#![no_main]
fuzz::target!("onnx");
