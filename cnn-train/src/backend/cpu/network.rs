//! The network's state in the pieces that threads read and update side by side.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::forward::Forward;
use super::layout::{FC1_BLOCKS, Fc1Block, Places, fill_panels};
use super::pieces::{ConvPiece, Fc1Piece, HeadPiece, Panels, PixelTable};
use super::simd::dispatch::Dispatch;
use crate::backend::{TrainingState, boxed_zeros};

/// The parameters, their momentum, and what is computed of them alone.
///
/// Each piece has a lock of its own: while samples are worked through all threads read all pieces, while parameters are
/// updated each thread writes the pieces that it took.
pub struct SharedNetwork {
    /// The instruction set it runs on.
    pub dispatch: Dispatch,
    /// Input values.
    pub pixel_table: PixelTable,
    /// Both convolutions.
    pub conv: RwLock<Box<ConvPiece>>,
    /// fc1's weights, one piece for each block of inputs.
    pub fc1: [RwLock<Box<Fc1Piece>>; FC1_BLOCKS],
    /// fc1's biases and fc2.
    pub head: RwLock<Box<HeadPiece>>,
}

/// All pieces, held for reading.
pub struct Reading<'a> {
    conv: RwLockReadGuard<'a, Box<ConvPiece>>,
    fc1: [RwLockReadGuard<'a, Box<Fc1Piece>>; FC1_BLOCKS],
    head: RwLockReadGuard<'a, Box<HeadPiece>>,
}

impl SharedNetwork {
    /// A network of zeros.
    pub fn new(dispatch: Dispatch) -> Self {
        Self {
            dispatch,
            pixel_table: PixelTable::default(),
            conv: RwLock::new(bytemuck::zeroed_box()),
            fc1: std::array::from_fn(|_| RwLock::new(bytemuck::zeroed_box())),
            head: RwLock::new(bytemuck::zeroed_box()),
        }
    }

    /// Takes parameters and momentum from `state`.
    pub fn load(&mut self, state: &TrainingState) {
        self.parameters().read(&state.parameters);
        self.momentum().read(&state.momentum);
        self.refresh();
    }

    /// A copy of parameters and momentum.
    pub fn state(&mut self) -> TrainingState {
        let mut state = TrainingState { parameters: boxed_zeros(), momentum: boxed_zeros() };
        self.parameters().write(&mut state.parameters);
        self.momentum().write(&mut state.momentum);
        state
    }

    fn parameters(&mut self) -> Places<'_> {
        let fc1 = self.fc1.each_mut().map(|piece| &mut exclusive(piece).weight);
        Places { conv: &mut exclusive(&mut self.conv).parameters, fc1, head: &mut exclusive(&mut self.head).parameters }
    }

    fn momentum(&mut self) -> Places<'_> {
        let fc1 = self.fc1.each_mut().map(|piece| &mut exclusive(piece).momentum);
        Places { conv: &mut exclusive(&mut self.conv).momentum, fc1, head: &mut exclusive(&mut self.head).momentum }
    }

    fn refresh(&mut self) {
        exclusive(&mut self.conv).refresh(self.dispatch, &self.pixel_table);
        exclusive(&mut self.head).refresh();
    }

    /// All pieces, until the result is dropped.
    pub fn read(&self) -> Reading<'_> {
        Reading { conv: read(&self.conv), fc1: self.fc1.each_ref().map(read), head: read(&self.head) }
    }

    /// The forward pass of these pieces; fills a thread's `panels` for it.
    pub fn forward<'a>(&'a self, reading: &'a Reading<'_>, panels: &'a mut Panels) -> Forward<'a> {
        for (block, panels) in panels.iter_mut().enumerate() {
            let next = reading.fc1.get(block + 1).map(|piece| &piece.weight);
            fill_panels(&reading.fc1[block].weight, next, panels);
        }
        Forward {
            dispatch: self.dispatch,
            pixel_table: &self.pixel_table,
            conv: &reading.conv,
            fc1: panels.each_ref(),
            head: &reading.head,
        }
    }
}

impl Reading<'_> {
    /// Both convolutions.
    pub fn conv(&self) -> &ConvPiece {
        &self.conv
    }

    /// fc1's weights.
    pub fn fc1_weight(&self) -> [&Fc1Block; FC1_BLOCKS] {
        self.fc1.each_ref().map(|piece| &piece.weight)
    }

    /// fc1's biases and fc2.
    pub fn head(&self) -> &HeadPiece {
        &self.head
    }
}

// A panic that left a lock behind ends the run: nobody sees what it left half done.

/// What the lock holds, for reading.
pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// What the lock holds, for writing.
pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// What the lock holds, without locking.
fn exclusive<T>(lock: &mut RwLock<T>) -> &mut T {
    lock.get_mut().unwrap_or_else(PoisonError::into_inner)
}
