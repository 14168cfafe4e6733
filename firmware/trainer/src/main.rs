//! Training steps of `cnn-core`, of all layers, on a Cortex-M4F or M7 with 4 MB of RAM: a test image for QEMU, which says
//! after each step what came out (`tests/board_training.rs`).
//!
//! At `__lesson` lies what it trains on: steps and batch length as u32, learning rate, momentum, weight decay, the
//! parameters, all little-endian; then each sample's label and pixels.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::panic::PanicInfo;

use cnn_core::image::Pixels;
use cnn_core::network::{FlatParameters, PARAMETER_COUNT};
use cnn_core::sgd::Sgd;
use cnn_core::train::{Diverged, Trainer};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::{Peripherals, singleton};
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use hmac_sha256::Hash;

unsafe extern "C" {
    static __lesson: UnsafeCell<u32>;
}

/// Bytes in front of the parameters.
const HEADER_LEN: usize = 20;
const PARAMETERS_END: usize = HEADER_LEN + size_of::<FlatParameters>();
const SAMPLE_LEN: usize = 1 + size_of::<Pixels>();
/// The machine has no more there.
const LESSON_LEN: usize = 2 * 1024 * 1024;

/// The clock counts down from here.
const CLOCK_LAST: u32 = (1 << 24) - 1;

#[entry]
fn main() -> ! {
    // SAFETY: memory.x keeps these bytes free of the program; nothing writes them.
    let lesson = unsafe { core::slice::from_raw_parts((&raw const __lesson).cast::<u8>(), LESSON_LEN) };
    let word = |index: usize| {
        let bytes: [u8; 4] = core::array::from_fn(|byte| lesson[4 * index + byte]);
        u32::from_le_bytes(bytes)
    };
    let [learning_rate, momentum, weight_decay] = [2, 3, 4].map(|index| f32::from_bits(word(index)));
    let (steps, batch_length) = (word(0) as usize, word(1) as usize);
    let sgd = Sgd { learning_rate, momentum, weight_decay };
    let trainer = singleton!(: Trainer = const { Trainer::new() }).expect("main runs once");
    let parameters = singleton!(: FlatParameters = [0.0; PARAMETER_COUNT]).expect("main runs once");
    let momentum = singleton!(: FlatParameters = [0.0; PARAMETER_COUNT]).expect("main runs once");
    parameters.copy_from_slice(bytemuck::cast_slice(&lesson[HEADER_LEN..PARAMETERS_END]));
    let mut clock = Peripherals::take().expect("main runs once").SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(CLOCK_LAST);
    hprintln!("ram {}", size_of::<Trainer>() + 2 * size_of::<FlatParameters>());
    for step in 0..steps {
        let first = PARAMETERS_END + step * batch_length * SAMPLE_LEN;
        let samples = lesson[first..][..batch_length * SAMPLE_LEN].as_chunks::<SAMPLE_LEN>().0;
        let batch = samples.iter().map(|sample| {
            let (&label, pixels) = sample.split_first().expect("a label");
            let pixels: &Pixels = pixels.try_into().expect("784 pixels");
            (pixels, label)
        });
        clock.clear_current();
        clock.enable_counter();
        let result = trainer.step(&sgd, parameters, momentum, batch);
        let ticks = CLOCK_LAST - SYST::get_current();
        match result {
            Ok(loss) => {
                let hash = Hash::hash(bytemuck::cast_slice(parameters.as_slice()));
                hprintln!("step {:016x} {}", loss.to_bits(), Hex(hash));
            }
            Err(Diverged) => hprintln!("diverged"),
        }
        hprintln!("ticks {}", ticks);
    }
    debug::exit(debug::EXIT_SUCCESS);
    loop {}
}

struct Hex([u8; 32]);

impl core::fmt::Display for Hex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}
