//! The pages of flash where the model lies.

use core::cell::UnsafeCell;

use application::ModelFlash;
use embassy_nrf::nvmc::{Error, Nvmc, PAGE_SIZE};
use embassy_nrf::{Peri, peripherals};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

#[allow(non_upper_case_globals, reason = "memory.x's name")]
unsafe extern "C" {
    static __model_start: UnsafeCell<u32>;
}

/// Length of the model area in memory.x.
const AREA_LEN: usize = 448 * 1024;

/// The model area.
pub struct ModelArea {
    controller: Nvmc<'static>,
}

impl ModelArea {
    /// The area, with the controller that erases and writes it.
    pub fn new(controller: Peri<'static, peripherals::NVMC>) -> Self {
        Self { controller: Nvmc::new(controller) }
    }

    /// The address of a place in the area, whose end `len` bytes further on must lie inside too.
    fn address(offset: u32, len: usize) -> Result<u32, Error> {
        let end = (offset as usize).checked_add(len).ok_or(Error::OutOfBounds)?;
        if end > AREA_LEN {
            return Err(Error::OutOfBounds);
        }
        Ok((&raw const __model_start).addr() as u32 + offset)
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
        let address = Self::address(offset, bytes.len())?;
        self.controller.read(address, bytes)
    }

    fn capacity(&self) -> usize {
        AREA_LEN
    }
}

impl NorFlash for ModelArea {
    const WRITE_SIZE: usize = Nvmc::<'static>::WRITE_SIZE;
    const ERASE_SIZE: usize = PAGE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Error> {
        let len = to.checked_sub(from).ok_or(Error::OutOfBounds)?;
        let start = Self::address(from, len as usize)?;
        self.controller.erase(start, start + len)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        let address = Self::address(offset, bytes.len())?;
        self.controller.write(address, bytes)
    }
}
