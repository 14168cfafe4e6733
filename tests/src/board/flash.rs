//! A model of NOR flash that keeps its rules, and whose power can be cut.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;

use application::ModelFlash;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// A board's model area, and how its flash is erased and written.
pub trait Geometry: std::fmt::Debug + Clone + 'static {
    /// The board whose `memory.x` and flash driver have the same figures.
    const BOARD: &'static str;
    /// Bytes of the area.
    const AREA_LEN: usize;
    /// Bytes that are erased at once.
    const ERASE_LEN: usize;
    /// Bytes of a word, which is written as a whole and once between erasures.
    const WORD_LEN: usize;
}

macro_rules! geometries {
    ($($name:ident: $board:literal, $area:expr, $erase:expr, $word:expr;)+) => {$(
        #[doc = concat!("The flash of `firmware/boards/", $board, "`.")]
        #[derive(Debug, Clone)]
        pub enum $name {}

        impl Geometry for $name {
            const BOARD: &'static str = $board;
            const AREA_LEN: usize = $area;
            const ERASE_LEN: usize = $erase;
            const WORD_LEN: usize = $word;
        }
    )+};
}

geometries! {
    // Sectors of different sizes, erased together.
    NucleoF446re: "nucleo-f446re", 448 * 1024, 448 * 1024, 4;
    Pico: "pico", 448 * 1024, 4096, 1;
    Pico2: "pico-2", 448 * 1024, 4096, 1;
    Nrf52840Dk: "nrf52840-dk", 448 * 1024, 4096, 4;
    MicrobitV2: "microbit-v2", 412 * 1024, 4096, 4;
    Esp32C3: "esp32-c3", 448 * 1024, 4096, 4;
}

/// How power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before the operation changed anything.
    Before,
    /// With a part of the operation done: the first half of the block erased, or of the words written.
    Midway,
    /// After the operation, before the program heard of it.
    After,
}

/// Counts flash operations and says at which one power fails; shared with the test that watches.
#[derive(Debug, Clone, Default)]
pub struct Power {
    operations: Rc<Cell<usize>>,
    cut: Rc<Cell<Option<(usize, Cut)>>>,
}

impl Power {
    /// Flash operations so far.
    pub fn operations(&self) -> usize {
        self.operations.get()
    }

    /// Power fails at the operation with this number, counted from 0 on from the start.
    pub fn cut_at(&self, operation: usize, cut: Cut) {
        self.cut.set(Some((operation, cut)));
    }

    /// Power is back; nothing is planned.
    pub fn restore(&self) {
        self.cut.set(None);
    }

    /// Whether power has failed.
    pub fn is_off(&self) -> bool {
        self.cut.get().is_some_and(|(operation, _)| self.operations.get() > operation)
    }

    /// What becomes of the next operation.
    fn next(&self) -> Option<Cut> {
        let operation = self.operations.get();
        self.operations.set(operation + 1);
        match self.cut.get() {
            Some((at, cut)) if operation == at => Some(cut),
            Some((at, _)) if operation > at => Some(Cut::Before),
            _ => None,
        }
    }
}

/// Flash of a geometry.
#[derive(Debug, Clone)]
pub struct Flash<G> {
    /// The bytes, on a border of 16 as the application wants them.
    blocks: Vec<u128>,
    /// Which words were written since they were erased.
    written: Vec<bool>,
    power: Power,
    geometry: PhantomData<G>,
    /// Erasures and writes report success and do nothing, as where no flash controller is.
    pub inert: bool,
}

impl<G: Geometry> Flash<G> {
    /// Flash that holds `file` and is blank behind it.
    pub fn holding(file: &[u8], power: Power) -> Self {
        let mut flash = Self {
            blocks: vec![u128::MAX; G::AREA_LEN / 16],
            written: vec![false; G::AREA_LEN / G::WORD_LEN],
            power,
            geometry: PhantomData,
            inert: false,
        };
        flash.bytes_mut()[..file.len()].copy_from_slice(file);
        flash.written[..file.len().div_ceil(G::WORD_LEN)].fill(true);
        flash
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.blocks)
    }

    fn erase_range(&mut self, from: usize, to: usize) {
        self.bytes_mut()[from..to].fill(0xff);
        self.written[from / G::WORD_LEN..to / G::WORD_LEN].fill(false);
    }

    fn write_range(&mut self, from: usize, bytes: &[u8]) {
        for (index, &byte) in bytes.iter().enumerate() {
            // Writing clears bits and never sets one.
            self.bytes_mut()[from + index] &= byte;
        }
        self.written[from / G::WORD_LEN..(from + bytes.len()) / G::WORD_LEN].fill(true);
    }
}

impl<G: Geometry> ModelFlash for Flash<G> {
    fn contents(&self) -> &[u8] {
        bytemuck::cast_slice(&self.blocks)
    }
}

impl<G: Geometry> ErrorType for Flash<G> {
    type Error = NorFlashErrorKind;
}

impl<G: Geometry> ReadNorFlash for Flash<G> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(&self.contents()[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        G::AREA_LEN
    }
}

impl<G: Geometry> NorFlash for Flash<G> {
    const WRITE_SIZE: usize = G::WORD_LEN;
    const ERASE_SIZE: usize = G::ERASE_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let (from, to) = (from as usize, to as usize);
        assert!(
            from.is_multiple_of(G::ERASE_LEN) && to.is_multiple_of(G::ERASE_LEN) && from <= to && to <= G::AREA_LEN,
            "{from}..{to}"
        );
        let cut = self.power.next();
        if self.inert {
            return Ok(());
        }
        match cut {
            None => self.erase_range(from, to),
            Some(Cut::Before) => return Err(NorFlashErrorKind::Other),
            Some(Cut::Midway) => {
                self.erase_range(from, from + (to - from) / 2);
                return Err(NorFlashErrorKind::Other);
            }
            Some(Cut::After) => {
                self.erase_range(from, to);
                return Err(NorFlashErrorKind::Other);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let from = offset as usize;
        assert!(
            from.is_multiple_of(G::WORD_LEN) && bytes.len().is_multiple_of(G::WORD_LEN),
            "{from}, {} bytes",
            bytes.len()
        );
        assert!(from + bytes.len() <= G::AREA_LEN, "{from}, {} bytes", bytes.len());
        let cut = self.power.next();
        if self.inert {
            return Ok(());
        }
        if !self.power.is_off() {
            let twice =
                self.written[from / G::WORD_LEN..(from + bytes.len()) / G::WORD_LEN].iter().any(|&written| written);
            assert!(!twice, "a word at {from} or after it is written twice without an erasure between");
        }
        match cut {
            None => self.write_range(from, bytes),
            Some(Cut::Before) => return Err(NorFlashErrorKind::Other),
            Some(Cut::Midway) => {
                self.write_range(from, &bytes[..bytes.len() / 2 / G::WORD_LEN * G::WORD_LEN]);
                return Err(NorFlashErrorKind::Other);
            }
            Some(Cut::After) => {
                self.write_range(from, bytes);
                return Err(NorFlashErrorKind::Other);
            }
        }
        Ok(())
    }
}
