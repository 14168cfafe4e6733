//! The pages of flash where the model lies: from `__model_start` of the board's memory.x on.

use core::cell::UnsafeCell;

use application::ModelFlash;
use embassy_nrf::nvmc::{Error, Nvmc, PAGE_SIZE};
use embassy_nrf::{Peri, peripherals};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

#[allow(non_upper_case_globals, reason = "memory.x's name")]
unsafe extern "C" {
    static __model_start: UnsafeCell<u32>;
}

/// The model area, of the length that memory.x has for it.
pub struct ModelArea<const LEN: usize> {
    controller: Nvmc<'static>,
}

impl<const LEN: usize> ModelArea<LEN> {
    /// The area, with the controller that erases and writes it.
    pub fn new(controller: Peri<'static, peripherals::NVMC>) -> Self {
        Self { controller: Nvmc::new(controller) }
    }

    /// The address of a place in the area, whose end `len` bytes further on must lie inside too.
    fn address(offset: u32, len: usize) -> Result<u32, Error> {
        let end = (offset as usize).checked_add(len).ok_or(Error::OutOfBounds)?;
        if end > LEN {
            return Err(Error::OutOfBounds);
        }
        Ok((&raw const __model_start).addr() as u32 + offset)
    }
}

impl<const LEN: usize> ModelFlash for ModelArea<LEN> {
    fn contents(&self) -> &[u8] {
        // SAFETY: memory.x defines the area as flash of this length, which is always readable. It changes only through
        // `erase` and `write`, which borrow `self` exclusively.
        unsafe { core::slice::from_raw_parts((&raw const __model_start).cast(), LEN) }
    }
}

impl<const LEN: usize> ErrorType for ModelArea<LEN> {
    type Error = Error;
}

impl<const LEN: usize> ReadNorFlash for ModelArea<LEN> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Error> {
        let address = Self::address(offset, bytes.len())?;
        self.controller.read(address, bytes)
    }

    fn capacity(&self) -> usize {
        LEN
    }
}

impl<const LEN: usize> NorFlash for ModelArea<LEN> {
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
