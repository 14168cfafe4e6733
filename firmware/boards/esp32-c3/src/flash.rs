//! The partition of flash where the model lies, and the memory at which the processor sees it.
//!
//! The processor sees flash through a cache, in pages of 64 KB that a table maps (ESP32-C3 Technical Reference Manual,
//! chapter "System and Memory"). The boot loader maps the program's pages; the model's are mapped here, as `esp-storage` maps pages to read
//! what is encrypted (its `mmu.rs`): far behind the program's, which esp-hal's linker scripts keep within the table's first half.

use application::ModelFlash;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use esp_hal::peripherals::{FLASH, MMU_TABLE};
use esp_storage::{FlashStorage, FlashStorageError};

/// Where the partition begins and how long it is, as partitions.csv has it.
const AREA_START: u32 = 0x11_0000;
const AREA_LEN: usize = 448 * 1024;
/// What an entry of the table maps.
const MMU_PAGE: u32 = 64 * 1024;
/// The table's entry for the area's first page. Of the 128 the last is left to others, as `esp-storage` leaves it.
const FIRST_ENTRY: u32 = 112;
/// What the first entry maps is at this address.
const DATA_BUS: u32 = 0x3c00_0000;
/// Where the processor sees the area.
const AREA: *const u8 = (DATA_BUS + FIRST_ENTRY * MMU_PAGE) as *const u8;
/// What the cache loads at once.
const CACHE_LINE: usize = 32;
/// What flash takes in one go.
const PAGE: usize = 256;

const _: () = assert!(AREA_START.is_multiple_of(MMU_PAGE) && AREA_LEN.is_multiple_of(MMU_PAGE as usize));

unsafe extern "C" {
    /// Of the boot ROM: forgets what the cache holds of these addresses. esp-rom-sys says where it is.
    fn Cache_Invalidate_Addr(address: u32, len: u32);
}

/// Bytes on the border of a word, in RAM: of others the boot ROM cannot write.
#[repr(align(4))]
struct Page([u8; PAGE]);

/// The model area.
pub struct ModelArea {
    chip: FlashStorage<'static>,
}

impl ModelArea {
    /// The area, with the flash chip that it is in; from now on the processor sees it.
    pub fn new(chip: FLASH<'static>) -> Self {
        let pages = AREA_LEN as u32 / MMU_PAGE;
        for page in 0..pages {
            let entry = MMU_TABLE::regs().entry((FIRST_ENTRY + page) as usize);
            // SAFETY: nothing else uses these entries.
            entry.write(|w| unsafe { w.paddr().bits((AREA_START / MMU_PAGE + page) as u8) }.invalid().clear_bit());
        }
        let area = Self { chip: FlashStorage::new(chip) };
        area.forget_cached(0, AREA_LEN);
        area
    }

    /// Lets the processor see what was written or erased.
    fn forget_cached(&self, offset: usize, len: usize) {
        let start = offset - offset % CACHE_LINE;
        let end = (offset + len).next_multiple_of(CACHE_LINE);
        // SAFETY: nothing is written through the cache, so that nothing is lost with it.
        unsafe { Cache_Invalidate_Addr((AREA.addr() + start) as u32, (end - start) as u32) };
    }

    /// Where in the chip a place in the area is, whose end `len` bytes further on must lie inside too.
    fn place(offset: u32, len: usize) -> Result<u32, FlashStorageError> {
        let end = (offset as usize).checked_add(len).ok_or(FlashStorageError::OutOfBounds)?;
        if end > AREA_LEN { Err(FlashStorageError::OutOfBounds) } else { Ok(AREA_START + offset) }
    }
}

impl ModelFlash for ModelArea {
    fn contents(&self) -> &[u8] {
        // SAFETY: `new` has mapped this many bytes of flash there, which is always readable. They change only through
        // `erase` and `write`, which borrow `self` exclusively.
        unsafe { core::slice::from_raw_parts(AREA, AREA_LEN) }
    }
}

impl ErrorType for ModelArea {
    type Error = FlashStorageError;
}

impl ReadNorFlash for ModelArea {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashStorageError> {
        Self::place(offset, bytes.len())?;
        bytes.copy_from_slice(&self.contents()[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        AREA_LEN
    }
}

impl NorFlash for ModelArea {
    const WRITE_SIZE: usize = FlashStorage::WRITE_SIZE;
    const ERASE_SIZE: usize = FlashStorage::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashStorageError> {
        let len = to.checked_sub(from).ok_or(FlashStorageError::OutOfBounds)?;
        let start = Self::place(from, len as usize)?;
        let result = self.chip.erase(start, start + len);
        self.forget_cached(from as usize, len as usize);
        result
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashStorageError> {
        let start = Self::place(offset, bytes.len())?;
        let mut page = Page([0; PAGE]);
        let mut result = Ok(());
        for (piece, place) in bytes.chunks(PAGE).zip((start..).step_by(PAGE)) {
            // The bytes may lie in flash themselves, which cannot be read while it is written.
            let page = &mut page.0[..piece.len()];
            page.copy_from_slice(piece);
            result = result.and_then(|()| self.chip.write_nor(place, page));
        }
        self.forget_cached(offset as usize, bytes.len());
        result
    }
}
