//! A model of NOR flash that keeps its rules, and whose power can be cut.

use std::cell::Cell;
use std::rc::Rc;

use application::ModelFlash;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Bytes of the area: that of the NUCLEO-F446RE.
pub const AREA_LEN: usize = 448 * 1024;

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

/// Flash that erases in blocks of `BLOCK` bytes and writes words of 4, each once between erasures.
#[derive(Debug, Clone)]
pub struct Flash<const BLOCK: usize> {
    words: Vec<u128>,
    written: Vec<bool>,
    power: Power,
    /// Erasures and writes report success and do nothing, as where no flash controller is.
    pub inert: bool,
}

/// Each word that `write` takes.
const WORD: usize = 4;

impl<const BLOCK: usize> Flash<BLOCK> {
    /// Flash that holds `file` and is blank behind it.
    pub fn holding(file: &[u8], power: Power) -> Self {
        let mut flash =
            Self { words: vec![u128::MAX; AREA_LEN / 16], written: vec![false; AREA_LEN / WORD], power, inert: false };
        flash.bytes_mut()[..file.len()].copy_from_slice(file);
        flash.written[..file.len().div_ceil(WORD)].fill(true);
        flash
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    fn erase_range(&mut self, from: usize, to: usize) {
        self.bytes_mut()[from..to].fill(0xff);
        self.written[from / WORD..to / WORD].fill(false);
    }

    fn write_range(&mut self, from: usize, bytes: &[u8]) {
        for (index, &byte) in bytes.iter().enumerate() {
            // Writing clears bits and never sets one.
            self.bytes_mut()[from + index] &= byte;
        }
        self.written[from / WORD..(from + bytes.len()) / WORD].fill(true);
    }
}

impl<const BLOCK: usize> ModelFlash for Flash<BLOCK> {
    fn contents(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }
}

impl<const BLOCK: usize> ErrorType for Flash<BLOCK> {
    type Error = NorFlashErrorKind;
}

impl<const BLOCK: usize> ReadNorFlash for Flash<BLOCK> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(&self.contents()[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        AREA_LEN
    }
}

impl<const BLOCK: usize> NorFlash for Flash<BLOCK> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let (from, to) = (from as usize, to as usize);
        assert!(from.is_multiple_of(BLOCK) && to.is_multiple_of(BLOCK) && from <= to && to <= AREA_LEN, "{from}..{to}");
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
        assert!(from.is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD), "{from}, {} bytes", bytes.len());
        assert!(from + bytes.len() <= AREA_LEN, "{from}, {} bytes", bytes.len());
        let cut = self.power.next();
        if self.inert {
            return Ok(());
        }
        if !self.power.is_off() {
            let twice = self.written[from / WORD..(from + bytes.len()) / WORD].iter().any(|&written| written);
            assert!(!twice, "a word at {from} or after it is written twice without an erasure between");
        }
        match cut {
            None => self.write_range(from, bytes),
            Some(Cut::Before) => return Err(NorFlashErrorKind::Other),
            Some(Cut::Midway) => {
                self.write_range(from, &bytes[..bytes.len() / 2 / WORD * WORD]);
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
