//! A block: its warps take turns, its barrier, and what it knows of other blocks.

use std::collections::HashMap;

use crate::counts::{Counts, Interval};
use crate::fault::{Fault, FaultKind};
use crate::instruction::{Binary, Space};
use crate::memory::{Memory, Region};
use crate::parse::Entry;
use crate::races::{Clock, Strong, join};
use crate::registers::{LANES, Mask, Registers};
use crate::warp::{Pause, Warp};

/// What the blocks of a launch share.
pub struct GridState<'a> {
    pub kernel: &'a Entry,
    /// The arguments' bytes.
    pub parameters: &'a [u8],
    pub memory: &'a mut Memory,
    pub strong: Strong,
    /// Blocks of the grid.
    pub blocks: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Whether accesses are counted.
    pub profiled: bool,
    /// Grows with whatever others may wait for: stores, barriers, ends.
    pub progress: u64,
}

impl GridState<'_> {
    pub fn parameter_word(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.parameters[offset..offset + 4]);
        u32::from_le_bytes(bytes)
    }

    pub fn parameter_long(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.parameters[offset..offset + 8]);
        u64::from_le_bytes(bytes)
    }

    pub fn fault(&self, line: u32, block: u32, thread: u32, kind: FaultKind) -> Fault {
        Fault { kernel: self.kernel.name.clone(), line, block, thread, kind }
    }
}

/// What the warps of a block share.
#[derive(Debug)]
pub struct BlockState {
    pub index: u32,
    /// Number of its barriers so far, plus one.
    pub epoch: u32,
    /// What its threads know of other blocks since its last barrier.
    pub clock: Clock,
    pub shared: Region,
    /// What single threads have released, and what they have learned that the block does not know yet.
    threads: HashMap<(u16, usize), ThreadClocks>,
    /// Since the last barrier.
    pub counts: Counts,
}

/// A thread's part in the order of blocks.
#[derive(Debug, Default)]
struct ThreadClocks {
    /// What its atomic operations give on: all that was over at its last fence.
    fenced: Option<Clock>,
    /// What it has read of others' releases since its last fence.
    observed: Option<Clock>,
    /// The same, behind a fence: the block knows it after its next barrier.
    acquired: Option<Clock>,
}

impl BlockState {
    /// A thread's fence.
    pub fn fence(&mut self, warp: u16, lane: usize) {
        let thread = self.threads.entry((warp, lane)).or_default();
        if let Some(observed) = thread.observed.take() {
            join(thread.acquired.get_or_insert_with(|| vec![0; observed.len()]), &observed);
        }
        let mut clock = self.clock.clone();
        if let Some(acquired) = &thread.acquired {
            join(&mut clock, acquired);
        }
        // The other threads' touches since the last barrier are not over for this one.
        clock[self.index as usize] = self.epoch;
        thread.fenced = Some(clock);
    }

    /// A thread has read a place whose atomic operations have released `clock`.
    pub fn observe(&mut self, warp: u16, lane: usize, clock: Option<&Clock>) {
        if let Some(clock) = clock {
            let thread = self.threads.entry((warp, lane)).or_default();
            join(thread.observed.get_or_insert_with(|| vec![0; clock.len()]), clock);
        }
    }

    /// What a thread's atomic operations release.
    pub fn fenced(&self, warp: u16, lane: usize) -> Option<&Clock> {
        self.threads.get(&(warp, lane))?.fenced.as_ref()
    }

    pub fn count_floats(&mut self, op: Binary, group: Mask) {
        use Binary::{AddFloat, DivideFloat, MultiplyFloat, SubtractFloat};
        if matches!(op, AddFloat | SubtractFloat | MultiplyFloat | DivideFloat) {
            self.counts.float_operations += u64::from(group.count_ones());
        }
    }

    /// All threads have arrived at a barrier.
    fn pass_barrier(&mut self) {
        self.epoch += 1;
        for thread in self.threads.values_mut() {
            if let Some(acquired) = thread.acquired.take() {
                join(&mut self.clock, &acquired);
            }
        }
    }
}

/// A block while it runs.
pub struct Block {
    warps: Vec<Warp>,
    state: BlockState,
    intervals: Vec<Interval>,
}

impl Block {
    pub fn new(index: u32, shared_bytes: usize, grid: &GridState<'_>) -> Self {
        let kernel = grid.kernel;
        let warps = (0..grid.threads.div_ceil(LANES as u32)).map(|warp| {
            let threads = (grid.threads - warp * LANES as u32).min(LANES as u32);
            let alive = Mask::MAX >> (LANES as u32 - threads);
            Warp::new(warp as u16, alive, Registers::new(kernel.words, kernel.longs, kernel.predicates))
        });
        let state = BlockState {
            index,
            epoch: 1,
            clock: vec![0; grid.blocks as usize],
            shared: Region::new(Space::Shared, 0, shared_bytes),
            threads: HashMap::new(),
            counts: Counts::default(),
        };
        Self { warps: warps.collect(), state, intervals: Vec::new() }
    }

    /// What it did from barrier to barrier.
    pub fn into_intervals(self) -> Vec<Interval> {
        self.intervals
    }

    pub fn has_ended(&self) -> bool {
        self.warps.iter().all(Warp::has_ended)
    }

    /// Runs its warps until it ends or every one that could go on waits for another block.
    pub fn run(&mut self, grid: &mut GridState<'_>) -> Result<(), Fault> {
        loop {
            let mut asleep = false;
            for warp in self.warps.iter_mut().filter(|warp| warp.barrier.is_none() && !warp.has_ended()) {
                match warp.run(&mut self.state, grid)? {
                    Pause::Asleep => asleep = true,
                    Pause::AtBarrier | Pause::Ended => grid.progress += 1,
                }
            }
            if self.has_ended() {
                self.end_interval(grid.kernel.last_line());
                return Ok(());
            }
            if asleep {
                return Ok(());
            }
            self.pass_barrier(grid)?;
        }
    }

    /// Every warp that has not ended waits at a barrier: it opens if that is all of them.
    fn pass_barrier(&mut self, grid: &GridState<'_>) -> Result<(), Fault> {
        let Some(place) = self.warps.iter().find_map(|warp| warp.barrier) else { return Ok(()) };
        let line = grid.kernel.instructions[place].line;
        if let Some(warp) = self.warps.iter().find(|warp| !warp.is_whole()) {
            let thread = u32::from(warp.index) * LANES as u32;
            return Err(grid.fault(line, self.state.index, thread, FaultKind::BarrierAfterEnd));
        }
        self.warps.iter_mut().for_each(|warp| warp.barrier = None);
        self.state.pass_barrier();
        self.end_interval(line);
        Ok(())
    }

    fn end_interval(&mut self, line: u32) {
        let mut counts = std::mem::take(&mut self.state.counts);
        counts.longest_warp = self.warps.iter().map(|warp| warp.instructions).max().unwrap_or(0);
        self.warps.iter_mut().for_each(|warp| warp.instructions = 0);
        self.intervals.push(Interval { line, counts });
    }
}
