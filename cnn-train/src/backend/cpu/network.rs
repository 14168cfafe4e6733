//! The network's state in the pieces that threads read and update side by side.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytemuck::Zeroable;
use cnn_core::image::Pixels;
use cnn_core::network::CONV2_CHANNELS;

use super::forward::{Forward, PixelTable};
use super::kernels::conv1::{self, Marks};
use super::kernels::conv2;
use super::layout::{
    Aligned, Conv2ForwardWeight, ConvParameters, FC1_BLOCKS, Fc1Block, Fc1Panels, Fc2ForwardWeight, HeadParameters,
    Image, Places, Pool1, fill_conv2_forward, fill_fc2_forward, fill_panels,
};
use super::simd::dispatch::Dispatch;
use crate::backend::{TrainingState, boxed_zeros};

/// The parameters, their momentum, and what is computed of them alone.
///
/// Each piece has a lock of its own: while samples are worked through all threads read all pieces, while parameters are
/// updated each thread writes the pieces that it took.
pub struct Network {
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

/// Both convolutions.
#[derive(Zeroable)]
pub struct ConvPiece {
    /// The parameters.
    pub parameters: ConvParameters,
    /// Their momentum.
    pub momentum: ConvParameters,
    /// conv2's weights for the forward pass.
    pub conv2_forward: Conv2ForwardWeight,
    /// conv2's sums where an image is nothing but background.
    pub background: Aligned<[f32; CONV2_CHANNELS]>,
}

/// fc1's weights of one block of inputs.
#[derive(Zeroable)]
pub struct Fc1Piece {
    /// The weights.
    pub weight: Fc1Block,
    /// Their momentum.
    pub momentum: Fc1Block,
    /// The gradient so far of a batch of several segments.
    pub gradient: Fc1Block,
}

/// fc1's weights as the forward pass reads them. Every thread has a copy of its own: on some processors two cores that
/// read the same memory over and over, though nobody writes to it, take half as long again.
pub type Panels = [Fc1Panels; FC1_BLOCKS];

/// fc1's biases and fc2.
#[derive(Zeroable)]
pub struct HeadPiece {
    /// The parameters.
    pub parameters: HeadParameters,
    /// Their momentum.
    pub momentum: HeadParameters,
    /// fc2's weights for the forward pass.
    pub fc2_forward: Fc2ForwardWeight,
}

/// All pieces, held for reading.
pub struct Reading<'a> {
    conv: RwLockReadGuard<'a, Box<ConvPiece>>,
    fc1: [RwLockReadGuard<'a, Box<Fc1Piece>>; FC1_BLOCKS],
    head: RwLockReadGuard<'a, Box<HeadPiece>>,
}

impl Network {
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

impl ConvPiece {
    /// Computes anew what depends on the parameters.
    pub fn refresh(&mut self, dispatch: Dispatch, pixel_table: &PixelTable) {
        let Self { parameters, conv2_forward, background, .. } = self;
        fill_conv2_forward(parameters, conv2_forward);
        let pixels: Pixels = [0; size_of::<Pixels>()];
        let (mut image, mut pool1) = (Image::default(), Pool1::default());
        pixel_table.normalize(&pixels, &mut image);
        dispatch.run(conv1::Forward {
            pixels: &pixels,
            image: &image,
            weight: &parameters.conv1_weight,
            bias: &parameters.conv1_bias,
            pool1: &mut pool1,
            winners: None,
            marks: &mut Marks::default(),
        });
        dispatch.run(conv2::Background {
            pool1: &pool1,
            weight: conv2_forward,
            bias: &parameters.conv2_bias,
            sums: background,
        });
    }
}

impl HeadPiece {
    /// Computes anew what depends on the parameters.
    pub fn refresh(&mut self) {
        fill_fc2_forward(&self.parameters, &mut self.fc2_forward);
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
