//! The firmware on boards with an ESP32-C3: the application over this board.
#![no_std]
#![no_main]

mod board;
mod flash;
mod memory;
mod port;

use core::panic::PanicInfo;

use application::{Application, Buffers};
use static_cell::ConstStaticCell;

/// The model file, for a model area that has none.
#[cfg(linked_model)]
static MODEL: Option<&[u8]> = Some(include_bytes!(env!("LINKED_MODEL")));
#[cfg(not(linked_model))]
static MODEL: Option<&[u8]> = None;

type Memory = Buffers<{ board::SAMPLES }>;

static BUFFERS: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());

// What the boot loader reads at the start of an image. Without the time of the build, which would make each image another one.
esp_bootloader_esp_idf::esp_app_desc!(
    env!("CARGO_PKG_VERSION"),
    env!("CARGO_PKG_NAME"),
    "00:00:00",
    "1970-01-01",
    esp_bootloader_esp_idf::ESP_IDF_COMPATIBLE_VERSION,
    esp_bootloader_esp_idf::MMU_PAGE_SIZE,
    0,
    u16::MAX,
    esp_bootloader_esp_idf::SECURE_VERSION
);

#[esp_hal::main]
fn main() -> ! {
    memory::paint_stack();
    let mut board = board::start();
    if let Some(model) = MODEL
        && application::install(&mut board.flash, model).is_err()
    {
        defmt::warn!("flash does not take the model that is linked in");
    }
    let application = Application::boot(board.port, board.flash, board.led, board.system, BUFFERS.take());
    board_support::run(application, esp_hal::system::software_reset)
}

/// Says what happened and stops. A fault of the processor is a panic too: esp-hal makes one of it.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    loop {
        core::hint::spin_loop();
    }
}
