//! Memory that knows its bounds, what was written, and who touched what.

use crate::fault::{FaultKind, Place};
use crate::instruction::{Space, Width};
use crate::races::{Clock, Shadow, Strong, Touch};

/// Words of memory whose shadows are kept together, once one of them is touched.
const PAGE: usize = 64;

/// One allocation, or one block's shared memory.
#[derive(Debug)]
pub struct Region {
    space: Space,
    /// The address of the first byte.
    start: u64,
    bytes: Vec<u8>,
    /// A 1 for every byte that was written.
    written: Vec<u8>,
    pages: Vec<Option<Box<[Cell; PAGE]>>>,
}

/// The shadow of one word, which programs use as a word or as four bytes.
#[derive(Debug)]
enum Cell {
    Word(Shadow),
    Bytes(Box<[Shadow; 4]>),
}

impl Default for Cell {
    fn default() -> Self {
        Cell::Word(Shadow::default())
    }
}

impl Region {
    pub fn new(space: Space, start: u64, length: usize) -> Self {
        let pages = length.div_ceil(4 * PAGE);
        Self {
            space,
            start,
            bytes: vec![0; length],
            written: vec![0; length],
            pages: std::iter::repeat_with(|| None).take(pages).collect(),
        }
    }

    /// Forgets who touched what: all of that is over.
    pub fn settle(&mut self) {
        self.pages.fill_with(|| None);
    }

    /// The bytes at `offset`, if so many are inside.
    pub fn host_bytes(&self, offset: usize, length: usize) -> Option<&[u8]> {
        self.bytes.get(offset..offset.checked_add(length)?)
    }

    /// Takes the host's bytes; false if they do not fit.
    pub fn host_write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let Some(end) = offset.checked_add(bytes.len()).filter(|&end| end <= self.bytes.len()) else { return false };
        self.bytes[offset..end].copy_from_slice(bytes);
        self.written[offset..end].fill(1);
        true
    }

    /// The offset of `address` if `count` values of `width` lie there, aligned as one.
    pub fn place(&self, address: u64, width: Width, count: usize) -> Result<usize, FaultKind> {
        let bytes = width.bytes() * count;
        let place = Place { space: self.space, address };
        if !address.is_multiple_of(bytes as u64) {
            return Err(FaultKind::Misaligned(place, bytes));
        }
        let offset = address.wrapping_sub(self.start);
        match usize::try_from(offset) {
            Ok(offset) if offset < self.bytes.len() && bytes <= self.bytes.len() - offset => Ok(offset),
            _ => Err(FaultKind::OutOfBounds(place)),
        }
    }

    /// What lies at `offset`, which is a place of `width`.
    #[inline]
    pub fn load(&self, offset: usize, width: Width) -> Result<u32, FaultKind> {
        let (value, written) = match width {
            Width::Byte => (u32::from(self.bytes[offset]), self.written[offset] == 1),
            Width::Word => (word(&self.bytes, offset), word(&self.written, offset) == 0x0101_0101),
        };
        if written { Ok(value) } else { Err(FaultKind::Uninitialized(self.at(offset))) }
    }

    /// Puts `value` at `offset`, which is a place of `width`.
    #[inline]
    pub fn store(&mut self, offset: usize, width: Width, value: u32) {
        let length = width.bytes();
        self.bytes[offset..offset + length].copy_from_slice(&value.to_le_bytes()[..length]);
        self.written[offset..offset + length].fill(1);
    }

    /// Notes a plain touch of the place at `offset`.
    #[inline]
    pub fn touch(
        &mut self,
        offset: usize,
        width: Width,
        touch: Touch,
        clock: &Clock,
        strong: &Strong,
        writes: bool,
    ) -> Result<(), FaultKind> {
        let place = self.at(offset);
        let shadow = self.shadow(offset, width, touch, clock)?;
        let mut noted = if writes { shadow.write(touch, clock) } else { shadow.read(touch, clock) };
        if shadow.is_strong() {
            noted = noted.and_then(|()| strong.check_plain(place.address, touch, clock, writes));
        }
        noted.map_err(|other| FaultKind::Race(place, other))
    }

    /// Notes a touch of the word at `offset` by an atomic operation or a volatile load.
    pub fn touch_strongly(
        &mut self,
        offset: usize,
        touch: Touch,
        clock: &Clock,
        strong: &mut Strong,
        writes: bool,
    ) -> Result<(), FaultKind> {
        let place = self.at(offset);
        let shadow = self.shadow(offset, Width::Word, touch, clock)?;
        strong.touch(place.address, shadow, touch, clock, writes).map_err(|other| FaultKind::Race(place, other))
    }

    /// The shadow of a place. A word that was touched as bytes, or the other way round, changes its kind if all of that
    /// is over.
    #[inline]
    fn shadow(&mut self, offset: usize, width: Width, touch: Touch, clock: &Clock) -> Result<&mut Shadow, FaultKind> {
        let mixed = FaultKind::MixedWidths(self.at(offset));
        let page =
            self.pages[offset / (4 * PAGE)].get_or_insert_with(|| Box::new(std::array::from_fn(|_| Cell::default())));
        let cell = &mut page[offset / 4 % PAGE];
        match (&mut *cell, width) {
            (Cell::Word(shadow), Width::Byte) => {
                shadow.write(touch, clock).map_err(|_| mixed)?;
                *cell = Cell::Bytes(Box::default());
            }
            (Cell::Bytes(shadows), Width::Word) => {
                if shadows.iter_mut().any(|shadow| shadow.write(touch, clock).is_err()) {
                    return Err(mixed);
                }
                *cell = Cell::default();
            }
            _ => {}
        }
        Ok(match cell {
            Cell::Word(shadow) => shadow,
            Cell::Bytes(shadows) => &mut shadows[offset % 4],
        })
    }

    fn at(&self, offset: usize) -> Place {
        Place { space: self.space, address: self.start + offset as u64 }
    }
}

#[inline]
fn word(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

/// The global memory of a device: allocations far from one another.
#[derive(Debug, Default)]
pub struct Memory {
    allocations: Vec<Option<Region>>,
}

impl Memory {
    /// Bits of an address within its allocation. No kernel's index goes this far astray.
    const ALLOCATION_BITS: u32 = 40;

    /// New memory, not yet written, and its address.
    pub fn allocate(&mut self, length: usize) -> u64 {
        let address = (self.allocations.len() as u64 + 1) << Self::ALLOCATION_BITS;
        self.allocations.push(Some(Region::new(Space::Global, address, length)));
        address
    }

    /// Gives an allocation back; false if none starts there.
    pub fn free(&mut self, address: u64) -> bool {
        let starts = address.is_multiple_of(1 << Self::ALLOCATION_BITS);
        starts && self.slot(address).is_some_and(|slot| slot.take().is_some())
    }

    /// Copies the host's bytes to `address`; false if they do not lie in one allocation.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> bool {
        let offset = Self::offset(address);
        self.slot(address).and_then(Option::as_mut).is_some_and(|region| region.host_write(offset, bytes))
    }

    /// The bytes at `address`, if they lie in one allocation.
    pub fn read(&self, address: u64, length: usize) -> Option<&[u8]> {
        let region = self.allocations.get(Self::index(address)?)?.as_ref()?;
        region.host_bytes(Self::offset(address), length)
    }

    /// Forgets who touched what: a launch has ended.
    pub fn settle(&mut self) {
        self.allocations.iter_mut().flatten().for_each(Region::settle);
    }

    /// The allocation that `address` belongs to.
    #[inline]
    pub fn region(&mut self, address: u64) -> Result<&mut Region, FaultKind> {
        let missing = FaultKind::OutOfBounds(Place { space: Space::Global, address });
        self.slot(address).and_then(Option::as_mut).ok_or(missing)
    }

    #[inline]
    fn slot(&mut self, address: u64) -> Option<&mut Option<Region>> {
        self.allocations.get_mut(Self::index(address)?)
    }

    fn index(address: u64) -> Option<usize> {
        usize::try_from((address >> Self::ALLOCATION_BITS).checked_sub(1)?).ok()
    }

    fn offset(address: u64) -> usize {
        (address & ((1 << Self::ALLOCATION_BITS) - 1)) as usize
    }
}
