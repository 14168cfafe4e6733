//! A warp: its threads' places in the program, which of them go together, and what they do together.
//!
//! Threads that stand at the same instruction go together; of several such groups the one that is furthest behind goes
//! first, so that they meet again where their ways join. Where threads must meet, the group waits for the others.

use crate::access;
use crate::block::{BlockState, GridState};
use crate::fault::{Fault, FaultKind};
use crate::instruction::{Guard, Operation, Shuffle, Slot, Special, Word};
use crate::races::Touch;
use crate::registers::{LANES, Mask, Registers, lanes_of};

/// Why a warp stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It waits at a block barrier.
    AtBarrier,
    /// A thread of it sleeps, that is, waits for another block.
    Asleep,
    /// All its threads have returned.
    Ended,
}

#[derive(Debug)]
pub struct Warp {
    pub index: u16,
    pub registers: Registers,
    /// Number of its barriers so far.
    epoch: u32,
    /// Where each thread stands.
    places: [usize; LANES],
    alive: Mask,
    /// The threads it began with.
    threads: Mask,
    /// Threads that wait for others of the warp where they stand.
    meeting: Mask,
    /// The block barrier at which it waits.
    pub barrier: Option<usize>,
    /// Instructions since the block's last barrier.
    pub instructions: u64,
}

/// What a group does after an instruction.
enum Next {
    /// Goes on behind it.
    Step,
    /// Its threads go apart, or wait: the warp chooses anew.
    Choose,
    Pause(Pause),
}

impl Warp {
    /// A warp whose lanes of `threads` are threads.
    pub fn new(index: u16, threads: Mask, registers: Registers) -> Self {
        Self {
            index,
            registers,
            epoch: 0,
            places: [0; LANES],
            alive: threads,
            threads,
            meeting: 0,
            barrier: None,
            instructions: 0,
        }
    }

    pub fn has_ended(&self) -> bool {
        self.alive == 0
    }

    /// Whether none of its threads has ended.
    pub fn is_whole(&self) -> bool {
        self.alive == self.threads
    }

    /// Runs until the warp has to wait for others, or ends.
    pub fn run(&mut self, block: &mut BlockState, grid: &mut GridState<'_>) -> Result<Pause, Fault> {
        loop {
            if self.alive == 0 {
                return Ok(Pause::Ended);
            }
            let ready = self.alive & !self.meeting;
            let Some(mut place) = lanes_of(ready).map(|lane| self.places[lane]).min() else {
                return Err(self.fault(block, grid, FaultKind::Divergence, self.alive));
            };
            let group = self.standing_at(place);
            self.meeting &= !group;
            // Threads behind this group wait for others; those ahead are met, or overtaken.
            let ahead = lanes_of(self.alive & !group).map(|lane| self.places[lane]).filter(|&other| other > place);
            let next = ahead.min().unwrap_or(usize::MAX);
            while place < next {
                match self.execute(place, group, block, grid)? {
                    Next::Step => place += 1,
                    Next::Choose => break,
                    Next::Pause(pause) => return Ok(pause),
                }
                lanes_of(group).for_each(|lane| self.places[lane] = place);
            }
        }
    }

    fn standing_at(&self, place: usize) -> Mask {
        lanes_of(self.alive).filter(|&lane| self.places[lane] == place).fold(0, |mask, lane| mask | 1 << lane)
    }

    fn execute(
        &mut self,
        place: usize,
        group: Mask,
        block: &mut BlockState,
        grid: &mut GridState<'_>,
    ) -> Result<Next, Fault> {
        let kernel = grid.kernel;
        let operation = &kernel.instructions[place].operation;
        self.instructions += 1;
        block.counts.instructions += 1;
        if let Some(members) = operation.members()
            && !self.are_together(members, group, block, grid)?
        {
            return Ok(self.meet(group));
        }
        match *operation {
            Operation::Nothing => {}
            Operation::Branch { guard, target } => return Ok(self.branch(place, group, guard, target)),
            Operation::Return => {
                self.alive &= !group;
                return Ok(Next::Choose);
            }
            Operation::Sleep => {
                self.move_to(group, place + 1);
                return Ok(Next::Pause(Pause::Asleep));
            }
            Operation::BlockBarrier => {
                if group != self.alive {
                    return Ok(self.meet(group));
                }
                self.move_to(group, place + 1);
                self.barrier = Some(place);
                return Ok(Next::Pause(Pause::AtBarrier));
            }
            Operation::WarpBarrier { .. } => {
                // A barrier of a part of the warp is taken to order nothing: that is stricter, and simple.
                if group == self.alive {
                    self.epoch += 1;
                }
            }
            Operation::Ballot { to, predicate, .. } => {
                let votes = self.registers.predicate(predicate) & group;
                self.registers.set_word(to, &[votes; LANES], group);
            }
            Operation::Shuffle { mode, to, valid, value, lane, bounds, .. } => {
                if !self.shuffle(mode, (to, valid), value, lane, bounds, group) {
                    return Err(self.fault(block, grid, FaultKind::Divergence, group));
                }
            }
            Operation::ReadSpecial { to, register } => self.read_special(to, register, group, block, grid),
            Operation::LoadParameter { ref to, offset } => {
                for (index, &to) in to.iter().enumerate() {
                    self.registers.set_word(to, &[grid.parameter_word(offset + 4 * index); LANES], group);
                }
            }
            Operation::LoadLongParameter { to, offset } => {
                self.registers.set_long_to(to, grid.parameter_long(offset), group);
            }
            Operation::Load { .. } | Operation::Store { .. } | Operation::Atomic { .. } | Operation::Fence => {
                access::execute(self, operation, group, block, grid)
                    .map_err(|(kind, lane)| self.fault_at(place, block, grid, kind, lane))?;
            }
            _ => {
                if let Operation::Binary { op, .. } = *operation {
                    block.count_floats(op, group);
                }
                self.registers.compute(operation, group);
            }
        }
        Ok(Next::Step)
    }

    fn branch(&mut self, place: usize, group: Mask, guard: Option<Guard>, target: usize) -> Next {
        let taken = match guard {
            None => group,
            Some(Guard { predicate, value }) => {
                let set = self.registers.predicate(predicate);
                group & if value { set } else { !set }
            }
        };
        if taken == 0 {
            return Next::Step;
        }
        self.move_to(group & !taken, place + 1);
        self.move_to(taken, target);
        Next::Choose
    }

    fn move_to(&mut self, group: Mask, place: usize) {
        lanes_of(group).for_each(|lane| self.places[lane] = place);
    }

    /// The group waits where it stands.
    fn meet(&mut self, group: Mask) -> Next {
        self.meeting |= group;
        Next::Choose
    }

    /// Whether all `members` of an operation of the warp are here. Each must be a thread that has not ended, and nobody
    /// else may take part.
    fn are_together(
        &self,
        members: Word,
        group: Mask,
        block: &BlockState,
        grid: &GridState<'_>,
    ) -> Result<bool, Fault> {
        let named = self.registers.word(members);
        for lane in lanes_of(group) {
            let members = named[lane];
            if members & !self.alive != 0 || group & !members != 0 {
                return Err(self.fault(block, grid, FaultKind::Divergence, 1 << lane));
            }
        }
        Ok(lanes_of(group).all(|lane| named[lane] == group))
    }

    /// Gives each lane what another has; false if that one takes no part.
    fn shuffle(
        &mut self,
        mode: Shuffle,
        (to, valid): (Slot, Option<Slot>),
        value: Word,
        lane: Word,
        bounds: Word,
        group: Mask,
    ) -> bool {
        let (values, wanted, bounds) =
            (self.registers.word(value), self.registers.word(lane), self.registers.word(bounds));
        let (mut in_range, mut asked) = (0, 0);
        let result = std::array::from_fn(|lane| {
            let (clamp, segment) = (bounds[lane] & 31, bounds[lane] >> 8 & 31);
            let (lane, wanted) = (lane as u32, wanted[lane] & 31);
            let first = lane & segment;
            let source = match mode {
                Shuffle::Index => Some(first | wanted & !segment).filter(|&s| s <= first | clamp & !segment),
                Shuffle::Up => lane.checked_sub(wanted).filter(|&s| s >= first | clamp & !segment),
            };
            in_range |= u32::from(source.is_some()) << lane;
            let source = source.unwrap_or(lane);
            asked |= (group >> lane & 1) << source;
            values[source as usize]
        });
        self.registers.set_word(to, &result, group);
        if let Some(valid) = valid {
            self.registers.set_predicate(valid, in_range, group);
        }
        asked & !group == 0
    }

    fn read_special(&mut self, to: Slot, register: Special, group: Mask, block: &BlockState, grid: &GridState<'_>) {
        let first = u32::from(self.index) * LANES as u32;
        let value = match register {
            Special::Thread => std::array::from_fn(|lane| first + lane as u32),
            Special::Block => [block.index; LANES],
            Special::Threads => [grid.threads; LANES],
            Special::Blocks => [grid.blocks; LANES],
        };
        self.registers.set_word(to, &value, group);
    }

    /// A touch of memory now by the thread of `lane`.
    #[inline]
    pub fn touch(&self, lane: usize, block: &BlockState) -> Touch {
        Touch { block: block.index, epoch: block.epoch, warp_epoch: self.epoch, warp: self.index, lane: lane as u16 }
    }

    /// A fault at the place of the first thread of `lanes`.
    fn fault(&self, block: &BlockState, grid: &GridState<'_>, kind: FaultKind, lanes: Mask) -> Fault {
        let lane = lanes_of(lanes).next().unwrap_or(0);
        self.fault_at(self.places[lane], block, grid, kind, lane)
    }

    fn fault_at(&self, place: usize, block: &BlockState, grid: &GridState<'_>, kind: FaultKind, lane: usize) -> Fault {
        grid.fault(grid.kernel.instructions[place].line, block.index, u32::from(self.index) * 32 + lane as u32, kind)
    }
}
