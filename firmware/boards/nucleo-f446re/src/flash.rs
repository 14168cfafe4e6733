//! Sectors 4 to 7 of the flash, where the model lies.
//!
//! ST RM0390, chapter 3: unlocking (3.5.1), erasing a sector (3.5.3), programming words (3.5.4), error flags (3.8.4).
//! The driver of `stm32f4xx-hal` is not used: it never clears an error flag, so that one error would stay for ever, and
//! panics if the controller stays locked.

use core::cell::UnsafeCell;

use application::ModelFlash;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use stm32f4xx_hal::pac::FLASH;

#[allow(non_upper_case_globals, reason = "memory.x's names")]
unsafe extern "C" {
    static __model_start: UnsafeCell<u32>;
}

/// The sectors of the model area, with their sizes in memory.x.
const SECTORS: core::ops::RangeInclusive<u8> = 4..=7;
const AREA_LEN: usize = 448 * 1024;
const WORD: usize = size_of::<u32>();
/// RM0390, 3.5.1.
const UNLOCK_KEYS: [u32; 2] = [0x4567_0123, 0xcdef_89ab];

/// The model area. Its sectors differ in size, so it is erased as a whole.
pub struct ModelArea {
    controller: FLASH,
}

/// What the flash controller did not do.
#[derive(Debug, Clone, Copy)]
pub enum FlashError {
    /// Offsets that are not on the border of a word, or of the area to erase.
    NotAligned,
    /// Offsets past the end of the area.
    OutOfBounds,
    /// The controller stayed locked or reported an error.
    Controller,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            FlashError::NotAligned => NorFlashErrorKind::NotAligned,
            FlashError::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            FlashError::Controller => NorFlashErrorKind::Other,
        }
    }
}

impl ModelArea {
    /// The area, with the controller that erases and writes it.
    pub fn new(controller: FLASH) -> Self {
        Self { controller }
    }

    /// Runs `operation` on the unlocked controller, and locks it again.
    fn unlocked(&mut self, operation: impl FnOnce(&mut Self) -> Result<(), FlashError>) -> Result<(), FlashError> {
        // A controller that is not there at all, as in an emulator, does not read as locked before.
        if self.controller.cr().read().lock().bit_is_clear() {
            return Err(FlashError::Controller);
        }
        for key in UNLOCK_KEYS {
            // SAFETY: the register takes any key; the wrong one only keeps the controller locked.
            self.controller.keyr().write(|w| unsafe { w.key().bits(key) });
        }
        if self.controller.cr().read().lock().bit_is_set() {
            return Err(FlashError::Controller);
        }
        self.clear_errors();
        let result = operation(self).and_then(|()| self.finish());
        self.controller.cr().modify(|_, w| w.pg().clear_bit().ser().clear_bit().lock().set_bit());
        self.reset_data_cache();
        result
    }

    /// Waits for the operation to end and looks for errors. The controller ends every operation by itself.
    fn finish(&mut self) -> Result<(), FlashError> {
        while self.controller.sr().read().bsy().bit_is_set() {}
        let status = self.controller.sr().read();
        let failed = status.pgserr().bit_is_set()
            || status.pgperr().bit_is_set()
            || status.pgaerr().bit_is_set()
            || status.wrperr().bit_is_set()
            || status.operr().bit_is_set();
        if failed { Err(FlashError::Controller) } else { Ok(()) }
    }

    /// Error flags stay until a one is written to them.
    fn clear_errors(&mut self) {
        self.controller.sr().write(|w| {
            w.pgserr().clear_bit_by_one().pgperr().clear_bit_by_one().pgaerr().clear_bit_by_one();
            w.wrperr().clear_bit_by_one().operr().clear_bit_by_one()
        });
    }

    /// The cache may hold what was there before (RM0390, 3.5.3). It can be reset only while it is off.
    fn reset_data_cache(&mut self) {
        let acr = self.controller.acr();
        let was_on = acr.read().dcen().bit_is_set();
        acr.modify(|_, w| w.dcen().clear_bit());
        acr.modify(|_, w| w.dcrst().set_bit());
        acr.modify(|_, w| w.dcrst().clear_bit().dcen().bit(was_on));
    }

    fn erase_sector(&mut self, sector: u8) -> Result<(), FlashError> {
        // SAFETY: the sector is one of the model area's, so the program stays as it is.
        self.controller.cr().modify(|_, w| unsafe { w.psize().psize32().ser().set_bit().snb().bits(sector) });
        self.controller.cr().modify(|_, w| w.strt().set_bit());
        self.finish()
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
    type Error = FlashError;
}

impl ReadNorFlash for ModelArea {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let start = offset as usize;
        let contents = start.checked_add(bytes.len()).and_then(|end| self.contents().get(start..end));
        bytes.copy_from_slice(contents.ok_or(FlashError::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        AREA_LEN
    }
}

impl NorFlash for ModelArea {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = AREA_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        if from != 0 || to as usize != AREA_LEN {
            return Err(FlashError::NotAligned);
        }
        self.unlocked(|area| {
            for sector in SECTORS {
                area.erase_sector(sector)?;
            }
            Ok(())
        })
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let offset = offset as usize;
        let (words, rest) = bytes.as_chunks::<WORD>();
        if !offset.is_multiple_of(WORD) || !rest.is_empty() {
            return Err(FlashError::NotAligned);
        }
        if offset.checked_add(bytes.len()).is_none_or(|end| end > AREA_LEN) {
            return Err(FlashError::OutOfBounds);
        }
        self.unlocked(|area| {
            area.controller.cr().modify(|_, w| w.psize().psize32().pg().set_bit());
            let mut place = (&raw const __model_start).cast_mut().cast::<u32>().wrapping_byte_add(offset);
            for word in words {
                // SAFETY: the place lies in the model area, on a word's border, as was checked above. Nothing borrows
                // the area, because `self` is borrowed exclusively.
                unsafe { place.write_volatile(u32::from_le_bytes(*word)) };
                area.finish()?;
                place = place.wrapping_add(1);
            }
            Ok(())
        })
    }
}
