//! The sectors of flash where the model lies: from `__model_start` of the board's memory.x on.

use core::cell::UnsafeCell;

use application::ModelFlash;
use embassy_rp::flash::{Blocking, ERASE_SIZE, Error, FLASH_BASE, Flash};
use embassy_rp::{Peri, peripherals};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

#[allow(non_upper_case_globals, reason = "memory.x's name")]
unsafe extern "C" {
    static __model_start: UnsafeCell<u32>;
}

/// Length of the model area in memory.x.
const AREA_LEN: usize = 448 * 1024;
/// What every Pico has at least.
const FLASH_LEN: usize = 2 * 1024 * 1024;

/// The model area.
pub struct ModelArea {
    chip: Flash<'static, peripherals::FLASH, Blocking, FLASH_LEN>,
}

impl ModelArea {
    /// The area, with the flash chip that it is in.
    pub fn new(chip: Peri<'static, peripherals::FLASH>) -> Self {
        Self { chip: Flash::new_blocking(chip) }
    }

    /// Where in the chip a place in the area is, whose end `len` bytes further on must lie inside too.
    fn place(offset: u32, len: usize) -> Result<u32, Error> {
        let end = (offset as usize).checked_add(len).ok_or(Error::OutOfBounds)?;
        if end > AREA_LEN {
            return Err(Error::OutOfBounds);
        }
        Ok((&raw const __model_start).addr() as u32 - FLASH_BASE as u32 + offset)
    }
}

impl ModelFlash for ModelArea {
    fn contents(&self) -> &[u8] {
        // SAFETY: memory.x defines the area as flash of this length, which is always readable. It changes only through
        // `erase` and `write`, which borrow `self` exclusively.
        unsafe { core::slice::from_raw_parts((&raw const __model_start).cast(), AREA_LEN) }
    }
}

impl ErrorType for ModelArea {
    type Error = Error;
}

impl ReadNorFlash for ModelArea {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Error> {
        let place = Self::place(offset, bytes.len())?;
        self.chip.blocking_read(place, bytes)
    }

    fn capacity(&self) -> usize {
        AREA_LEN
    }
}

impl NorFlash for ModelArea {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Error> {
        let len = to.checked_sub(from).ok_or(Error::OutOfBounds)?;
        let start = Self::place(from, len as usize)?;
        self.chip.blocking_erase(start, start + len)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        let place = Self::place(offset, bytes.len())?;
        self.chip.blocking_write(place, bytes)
    }
}
