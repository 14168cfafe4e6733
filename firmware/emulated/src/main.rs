//! Forward passes on an emulated processor: reads the work that `tests/forward_emulator.rs` has laid into memory, prints the
//! logits of each image, and the instructions that one took.
//!
//! The work, on a border of words at [`WORK`]: the kind (0 for f32, 1 for int8) and the number of images, as u32; the
//! parameters as a model file has them, filled up to a word; the images' pixels.
#![no_std]
#![no_main]

#[cfg(target_abi = "eabihf")]
#[path = "../../board-support/src/forward/mod.rs"]
mod forward;
#[cfg(target_abi = "eabihf")]
#[path = "../../board-support/src/int8_forward/mod.rs"]
mod int8_forward;
#[cfg(all(target_arch = "arm", not(target_abi = "eabihf")))]
#[path = "../../board-support/src/int8_forward_m0/mod.rs"]
mod int8_forward;
mod machine;

use cnn_core::image::{Pixels, normalize};
use cnn_core::int8;
use cnn_core::network::{Activations, FlatParameters, Parameters};
use semihosting::{print, println, process};

#[cfg(not(target_arch = "arm"))]
use cnn_core::int8::forward as int8_forward;
#[cfg(not(target_abi = "eabihf"))]
use cnn_core::network::forward;
#[cfg(target_abi = "eabihf")]
use forward::forward;
#[cfg(target_arch = "arm")]
use int8_forward::int8_forward;

use machine::{WORK, counter, instructions_since, start_counter};

/// Memory of both forward passes.
struct Memory {
    float: Activations,
    int8: int8::Activations,
}

static mut MEMORY: Memory = Memory { float: Activations::new(), int8: int8::Activations::new() };

/// What the test laid down at an address.
///
/// # Safety
/// QEMU must have loaded a `T` there.
unsafe fn loaded<T>(address: usize) -> &'static T {
    // SAFETY: the caller's.
    unsafe { &*(address as *const T) }
}

fn run() -> ! {
    start_counter();
    // SAFETY: the program has one thread and calls this once.
    let memory = unsafe { &mut *(&raw mut MEMORY) };
    // SAFETY: the test's layout, as above.
    let &[kind, images] = unsafe { loaded::<[u32; 2]>(WORK) };
    let parameters = WORK + 8;
    let len = if kind == 0 { size_of::<FlatParameters>() } else { size_of::<int8::Block>().next_multiple_of(4) };
    for image in 0..images as usize {
        // SAFETY: as above; bytes may lie anywhere.
        let pixels = unsafe { loaded::<Pixels>(parameters + len + image * size_of::<Pixels>()) };
        let (bits, taken) = if kind == 0 {
            // SAFETY: as above.
            let parameters = Parameters::of(unsafe { loaded::<FlatParameters>(parameters) });
            normalize(pixels, &mut memory.float.image);
            let start = counter();
            let logits = forward(&parameters, &mut memory.float);
            (logits.map(f32::to_bits), instructions_since(start))
        } else {
            // SAFETY: as above.
            let block = unsafe { loaded::<int8::Block>(parameters) };
            let parameters = int8::Parameters::borrow(block).expect("it lies on a border of words");
            let start = counter();
            let logits = int8_forward(pixels, &parameters, &mut memory.int8);
            (logits.map(|logit| logit as u32), instructions_since(start))
        };
        for bits in bits {
            print!("{bits:08x} ");
        }
        println!("{taken}");
    }
    process::exit(0)
}
