//! What is wrong with a text, a launch or a kernel.

use thiserror::Error;

use crate::instruction::Space;

/// A PTX text that the machine does not understand.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}: {text}")]
pub struct ParseError {
    /// Line of the text, from 1.
    pub line: u32,
    /// What the machine found.
    pub what: &'static str,
    /// The statement.
    pub text: String,
}

/// What a kernel did wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kernel}, line {line}, block {block}, thread {thread}: {kind}")]
pub struct Fault {
    /// The kernel's name.
    pub kernel: String,
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// The block's index in the grid.
    pub block: u32,
    /// The thread's index in the block.
    pub thread: u32,
    /// What it did.
    pub kind: FaultKind,
}

/// A thing that a kernel must not do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FaultKind {
    /// An access that does not lie within one allocation, or within the block's shared memory.
    #[error("{0} does not lie within an allocation")]
    OutOfBounds(Place),
    /// An access whose address is not a multiple of its size.
    #[error("{0} is not aligned to {1} bytes")]
    Misaligned(Place, usize),
    /// A read of what was never written.
    #[error("{0} is read before anything was written there")]
    Uninitialized(Place),
    /// Two accesses, one of them a write, that nothing orders.
    #[error("race: no barrier lies between this access to {0} and that of {1}")]
    Race(Place, Toucher),
    /// Accesses to a word and to bytes of it that nothing orders.
    #[error("{0} is accessed as a word and as bytes, and no barrier lies between")]
    MixedWidths(Place),
    /// Threads of a warp that should meet do not: they have ended, are not meant to, or wait elsewhere.
    #[error("the threads of a warp that should meet here do not")]
    Divergence,
    /// A block barrier that a thread can no longer reach.
    #[error("a barrier waits for threads that have ended")]
    BarrierAfterEnd,
    /// Blocks that wait for each other for ever.
    #[error("every thread waits, none can go on")]
    Deadlock,
}

/// A place in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{space} memory at {address:#x}")]
pub struct Place {
    /// Which memory.
    pub space: Space,
    /// In bytes; allocations of global memory start at multiples of 2⁴⁰, shared memory at 0.
    pub address: u64,
}

/// Who accessed a place before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Toucher {
    /// One thread, by the indices of its block and of itself in it.
    #[error("thread {1} of block {0}")]
    Thread(u32, u32),
    /// Threads of several warps of a block.
    #[error("several warps of block {0}")]
    Warps(u32),
    /// Threads of several blocks.
    #[error("several blocks")]
    Blocks,
}

/// Why a launch did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LaunchError {
    /// The kernel's text is not understood.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The arguments are not those of the kernel.
    #[error("{kernel} takes arguments of {expected:?} bytes, not of {found:?}")]
    Arguments {
        /// The kernel's name.
        kernel: String,
        /// The size of each argument that it takes.
        expected: Vec<usize>,
        /// The size of each argument that it got.
        found: Vec<usize>,
    },
    /// A block has more threads than the kernel was compiled for.
    #[error("{kernel} allows {allowed} threads a block, not {found}")]
    Threads {
        /// The kernel's name.
        kernel: String,
        /// The most threads of a block.
        allowed: u32,
        /// Threads of a block of the launch.
        found: u32,
    },
    /// The kernel did something wrong.
    #[error(transparent)]
    Fault(#[from] Fault),
}
