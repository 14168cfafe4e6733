//! A machine that executes PTX on the CPU, as the PTX manual says it and not as some device happens to do it.
//!
//! It is for tests: the very text that a driver would translate is parsed, run thread by thread, and watched. A launch
//! fails with the line, block and thread if a kernel
//! - touches memory outside its allocations, misaligned, or reads what was never written (memcheck and initcheck),
//! - races: two threads touch the same memory, one of them writes, and no chain of barriers orders them, whatever order
//!   they happened to run in (racecheck, and in global memory too),
//! - lets threads miss a barrier, a vote or a shuffle (synccheck).
//!
//! Arithmetic is rounded operation by operation to nearest, subnormals kept. Only what the project's kernels use is
//! known; anything else is refused when the text is read. Blocks take turns on one thread, so a launch is deterministic.
//! [`Machine::profile`] counts what each stretch between two barriers would cost a device.

mod access;
mod block;
mod counts;
mod fault;
mod instruction;
mod memory;
mod parse;
mod races;
mod registers;
mod warp;

pub use counts::{Counts, Interval};
pub use fault::{Fault, FaultKind, LaunchError, ParseError, Place, Toucher};
pub use instruction::Space;
pub use parse::Entry;

use block::{Block, GridState};
use memory::Memory;
use races::Strong;

/// The shape of a launch, in one dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Blocks of the grid.
    pub blocks: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block.
    pub shared_bytes: usize,
    /// Whether all blocks are there at once, so that they may wait for each other.
    pub cooperative: bool,
}

/// A device: its memory, and the launches on it.
#[derive(Debug, Default)]
pub struct Machine {
    memory: Memory,
}

impl Machine {
    /// New memory of the device, not yet written, and its address.
    pub fn allocate(&mut self, length: usize) -> u64 {
        self.memory.allocate(length)
    }

    /// Gives memory back; false if no allocation starts at `address`.
    pub fn free(&mut self, address: u64) -> bool {
        self.memory.free(address)
    }

    /// Copies the host's bytes to the device; false if they do not lie in one allocation.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> bool {
        self.memory.write(address, bytes)
    }

    /// The device's bytes, if they lie in one allocation.
    pub fn read(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.memory.read(address, length)
    }

    /// Runs a kernel to its end.
    ///
    /// # Errors
    /// If the launch does not suit the kernel, or at the first thing that the kernel does wrong.
    pub fn launch(&mut self, kernel: &Entry, launch: Launch, arguments: &[&[u8]]) -> Result<(), LaunchError> {
        self.execute(kernel, launch, arguments, false).map(drop)
    }

    /// Runs a kernel to its end and counts: for every block, what it did from barrier to barrier.
    ///
    /// # Errors
    /// As [`Machine::launch`].
    pub fn profile(
        &mut self,
        kernel: &Entry,
        launch: Launch,
        arguments: &[&[u8]],
    ) -> Result<Vec<Vec<Interval>>, LaunchError> {
        self.execute(kernel, launch, arguments, true)
    }

    fn execute(
        &mut self,
        kernel: &Entry,
        launch: Launch,
        arguments: &[&[u8]],
        profiled: bool,
    ) -> Result<Vec<Vec<Interval>>, LaunchError> {
        if let Some(allowed) = kernel.most_threads.filter(|&allowed| launch.threads > allowed) {
            return Err(LaunchError::Threads { kernel: kernel.name.clone(), allowed, found: launch.threads });
        }
        let parameters = pack(kernel, arguments)?;
        // What ran before this launch is over for all of its threads.
        self.memory.settle();
        let mut grid = GridState {
            kernel,
            parameters: &parameters,
            memory: &mut self.memory,
            strong: Strong::default(),
            blocks: launch.blocks,
            threads: launch.threads,
            profiled,
            progress: 0,
        };
        let together = if launch.cooperative { launch.blocks.max(1) } else { 1 };
        let mut intervals = Vec::new();
        for first in (0..launch.blocks).step_by(together as usize) {
            let blocks = (first..first + together).map(|index| Block::new(index, launch.shared_bytes, &grid)).collect();
            intervals.extend(run_together(blocks, &mut grid)?);
        }
        Ok(intervals)
    }
}

/// The arguments as the kernel finds them.
fn pack(kernel: &Entry, arguments: &[&[u8]]) -> Result<Vec<u8>, LaunchError> {
    let expected: Vec<_> = kernel.parameters.iter().map(|parameter| parameter.bytes).collect();
    let found: Vec<_> = arguments.iter().map(|argument| argument.len()).collect();
    if expected != found {
        return Err(LaunchError::Arguments { kernel: kernel.name.clone(), expected, found });
    }
    let mut packed = Vec::new();
    for (parameter, argument) in kernel.parameters.iter().zip(arguments) {
        packed.resize(parameter.offset, 0);
        packed.extend_from_slice(argument);
    }
    Ok(packed)
}

/// Runs blocks that may wait for each other, in turns.
fn run_together(mut blocks: Vec<Block>, grid: &mut GridState<'_>) -> Result<Vec<Vec<Interval>>, Fault> {
    while let Some(waiting) = blocks.iter().position(|block| !block.has_ended()) {
        let before = grid.progress;
        for block in blocks.iter_mut().filter(|block| !block.has_ended()) {
            block.run(grid)?;
        }
        if grid.progress == before {
            return Err(grid.fault(grid.kernel.last_line(), waiting as u32, 0, FaultKind::Deadlock));
        }
    }
    Ok(blocks.into_iter().map(Block::into_intervals).collect())
}
