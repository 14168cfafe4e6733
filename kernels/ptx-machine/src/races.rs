//! Who touched a place of memory last, and whether a barrier lies between that and the next touch.
//!
//! Two touches of a place are ordered if they are one thread's, or if a chain of barriers leads from the first to the
//! second; otherwise, and if one of them writes, they are a race, whatever order the machine happened to run them in.
//! What orders: `bar.sync` within a block, `bar.warp.sync` within a warp, and between blocks a fence, an atomic
//! operation, its value read by another block's thread, and a fence there (release and acquire). Votes and shuffles
//! order nothing, as the PTX manual has it. The method is that of FastTrack (Flanagan and Freund, 2009), with blocks in
//! the place of threads.

use std::collections::HashMap;

use crate::fault::Toucher;
use crate::registers::Mask;

/// How many of each block's epochs are known to be over: those before this number. A block's epoch is the number of its
/// block barriers so far, plus one.
pub type Clock = Vec<u32>;

/// One thread's touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    pub block: u32,
    /// Of the block when it happened.
    pub epoch: u32,
    /// The number of the warp's barriers when it happened.
    pub warp_epoch: u32,
    pub warp: u16,
    pub lane: u16,
}

impl Touch {
    fn toucher(&self) -> Toucher {
        Toucher::Thread(self.block, u32::from(self.warp) * 32 + u32::from(self.lane))
    }

    /// Whether it is over for `later`, which knows `clock`.
    fn is_before(&self, later: &Touch, clock: &Clock) -> bool {
        if self.block != later.block {
            return self.epoch < clock[self.block as usize];
        }
        self.epoch < later.epoch
            || self.warp == later.warp && (self.lane == later.lane || self.warp_epoch < later.warp_epoch)
    }
}

/// The reads of a place since its last write, as far as they still matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Reads {
    #[default]
    None,
    /// By lanes of one warp, since its last barrier.
    Warp { last: Touch, lanes: Mask },
    /// By several warps of a block, since its last barrier.
    Block { block: u32, epoch: u32 },
    /// By several blocks: the epoch of each one's last read, or 0.
    Blocks(Box<[u32]>),
}

/// What is known of a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shadow {
    write: Option<Touch>,
    reads: Reads,
    /// Whether atomic operations and volatile loads touched it, which [`Strong`] remembers.
    strong: bool,
}

impl Shadow {
    /// A thread reads the place.
    #[inline]
    pub fn read(&mut self, touch: Touch, clock: &Clock) -> Result<(), Toucher> {
        self.after_write(&touch, clock)?;
        self.reads.add(touch, clock);
        Ok(())
    }

    /// A thread writes the place.
    #[inline]
    pub fn write(&mut self, touch: Touch, clock: &Clock) -> Result<(), Toucher> {
        self.after_write(&touch, clock)?;
        self.reads.after(&touch, clock)?;
        self.write = Some(touch);
        self.reads = Reads::None;
        Ok(())
    }

    #[inline]
    fn after_write(&self, touch: &Touch, clock: &Clock) -> Result<(), Toucher> {
        match &self.write {
            Some(write) if !write.is_before(touch, clock) => Err(write.toucher()),
            _ => Ok(()),
        }
    }

    /// Whether [`Strong`] has to be asked too.
    pub fn is_strong(&self) -> bool {
        self.strong
    }
}

impl Reads {
    #[inline]
    fn add(&mut self, touch: Touch, clock: &Clock) {
        let alone = Reads::Warp { last: touch, lanes: 1 << touch.lane };
        match self {
            Reads::Warp { last, lanes } if last.block == touch.block && last.epoch == touch.epoch => {
                if last.warp != touch.warp {
                    *self = Reads::Block { block: touch.block, epoch: touch.epoch };
                } else if last.warp_epoch == touch.warp_epoch {
                    *lanes |= 1 << touch.lane;
                } else {
                    *self = alone;
                }
            }
            Reads::Block { block, epoch } if *block == touch.block && *epoch == touch.epoch => {}
            _ if self.after(&touch, clock).is_ok() => *self = alone,
            _ => self.widen(touch, clock),
        }
    }

    /// Another block reads what blocks have read that it does not know to be done.
    fn widen(&mut self, touch: Touch, clock: &Clock) {
        if !matches!(self, Reads::Blocks(_)) {
            let mut epochs = vec![0; clock.len()].into_boxed_slice();
            match *self {
                Reads::Warp { last, .. } => epochs[last.block as usize] = last.epoch,
                Reads::Block { block, epoch } => epochs[block as usize] = epoch,
                Reads::None | Reads::Blocks(_) => {}
            }
            *self = Reads::Blocks(epochs);
        }
        if let Reads::Blocks(epochs) = self {
            epochs[touch.block as usize] = touch.epoch;
        }
    }

    /// Whether all of them are over for `later`.
    #[inline]
    fn after(&self, later: &Touch, clock: &Clock) -> Result<(), Toucher> {
        match *self {
            Reads::None => Ok(()),
            Reads::Warp { last, lanes } => {
                let same_thread = last.lane == later.lane && lanes == 1 << last.lane;
                let over = if last.block == later.block && last.epoch == later.epoch && last.warp == later.warp {
                    same_thread || last.warp_epoch < later.warp_epoch
                } else {
                    last.is_before(later, clock)
                };
                if over { Ok(()) } else { Err(other_reader(&last, lanes, later)) }
            }
            Reads::Block { block, epoch } if block == later.block => {
                if epoch < later.epoch {
                    Ok(())
                } else {
                    Err(Toucher::Warps(block))
                }
            }
            Reads::Block { block, epoch } => {
                if epoch < clock[block as usize] {
                    Ok(())
                } else {
                    Err(Toucher::Warps(block))
                }
            }
            Reads::Blocks(ref epochs) => {
                let over = |(block, &epoch): (usize, &u32)| {
                    let known = if block == later.block as usize { later.epoch } else { clock[block] };
                    epoch < known
                };
                if epochs.iter().enumerate().all(over) { Ok(()) } else { Err(Toucher::Blocks) }
            }
        }
    }
}

/// A reader that is not `later` itself.
fn other_reader(last: &Touch, lanes: Mask, later: &Touch) -> Toucher {
    let own = if last.block == later.block && last.warp == later.warp { 1 << later.lane } else { 0 };
    let lane = (lanes & !own).trailing_zeros() as u16;
    Touch { lane, ..*last }.toucher()
}

/// A thread of the grid: block, warp, lane.
type Thread = (u32, u16, u16);

/// Touches of a place by one thread.
#[derive(Debug)]
struct StrongTouches {
    last: Touch,
    /// Whether any of them wrote.
    wrote: bool,
}

/// Touches by atomic operations and volatile loads. Among themselves they do not race.
#[derive(Debug, Default)]
pub struct Strong {
    /// By place and thread.
    touches: HashMap<u64, HashMap<Thread, StrongTouches>>,
    /// By place: what its atomic operations have released.
    released: HashMap<u64, Clock>,
}

impl Strong {
    /// An atomic operation or a volatile load at `place`, checked against plain touches.
    pub fn touch(
        &mut self,
        place: u64,
        shadow: &mut Shadow,
        touch: Touch,
        clock: &Clock,
        writes: bool,
    ) -> Result<(), Toucher> {
        shadow.after_write(&touch, clock)?;
        if writes {
            shadow.reads.after(&touch, clock)?;
        }
        shadow.strong = true;
        let threads = self.touches.entry(place).or_default();
        let thread =
            threads.entry((touch.block, touch.warp, touch.lane)).or_insert(StrongTouches { last: touch, wrote: false });
        thread.last = touch;
        thread.wrote |= writes;
        Ok(())
    }

    /// A plain touch of `place`, checked against these.
    pub fn check_plain(&self, place: u64, touch: Touch, clock: &Clock, writes: bool) -> Result<(), Toucher> {
        let threads = self.touches.get(&place).into_iter().flat_map(HashMap::values);
        match threads.into_iter().find(|t| (writes || t.wrote) && !t.last.is_before(&touch, clock)) {
            Some(thread) => Err(thread.last.toucher()),
            None => Ok(()),
        }
    }

    /// An atomic operation at `place` gives on what its thread has released by a fence.
    pub fn release(&mut self, place: u64, clock: &Clock) {
        join(self.released.entry(place).or_insert_with(|| vec![0; clock.len()]), clock);
    }

    /// What a thread that reads `place` learns with its next fence.
    pub fn released(&self, place: u64) -> Option<&Clock> {
        self.released.get(&place)
    }
}

/// Makes `clock` know what `other` knows too.
pub fn join(clock: &mut Clock, other: &Clock) {
    for (known, other) in clock.iter_mut().zip(other) {
        *known = (*known).max(*other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thread `lane` of `warp` of `block`, after `epoch` − 1 block barriers and `warp_epoch` warp barriers.
    fn at(block: u32, warp: u16, lane: u16, epoch: u32, warp_epoch: u32) -> Touch {
        Touch { block, epoch, warp_epoch, warp, lane }
    }

    const ALONE: [u32; 2] = [0, 0];

    #[test]
    fn a_read_after_another_threads_write_needs_a_barrier() {
        let clock = ALONE.to_vec();
        let written = || {
            let mut shadow = Shadow::default();
            shadow.write(at(0, 1, 3, 1, 0), &clock).unwrap();
            shadow
        };
        assert!(written().read(at(0, 1, 3, 1, 0), &clock).is_ok(), "the same thread");
        assert!(written().read(at(0, 1, 4, 1, 1), &clock).is_ok(), "after the warp's barrier");
        assert!(written().read(at(0, 2, 3, 2, 0), &clock).is_ok(), "after the block's barrier");
        let writer = Toucher::Thread(0, 35);
        assert_eq!(written().read(at(0, 1, 4, 1, 0), &clock), Err(writer), "another lane");
        assert_eq!(written().read(at(0, 2, 3, 1, 1), &clock), Err(writer), "a warp's barrier orders no other warp");
    }

    #[test]
    fn a_write_after_reads_needs_a_barrier_after_all_of_them() {
        let clock = ALONE.to_vec();
        let mut shadow = Shadow::default();
        for lane in [5, 6] {
            shadow.read(at(0, 0, lane, 1, 0), &clock).unwrap();
        }
        let other = Toucher::Thread(0, 6);
        assert_eq!(shadow.clone().write(at(0, 0, 5, 1, 0), &clock), Err(other));
        assert!(shadow.clone().write(at(0, 0, 5, 1, 1), &clock).is_ok());
        shadow.read(at(0, 3, 0, 1, 1), &clock).unwrap();
        assert_eq!(shadow.clone().write(at(0, 3, 0, 1, 9), &clock), Err(Toucher::Warps(0)));
        assert!(shadow.write(at(0, 3, 0, 2, 1), &clock).is_ok());
    }

    #[test]
    fn a_lane_that_read_alone_since_the_warps_barrier_may_write() {
        let clock = ALONE.to_vec();
        let mut shadow = Shadow::default();
        shadow.read(at(0, 0, 1, 1, 0), &clock).unwrap();
        shadow.read(at(0, 0, 2, 1, 1), &clock).unwrap();
        assert!(shadow.clone().write(at(0, 0, 2, 1, 1), &clock).is_ok());
        assert!(shadow.write(at(0, 0, 1, 1, 1), &clock).is_err());
    }

    #[test]
    fn blocks_are_ordered_by_what_they_know_alone() {
        let mut shadow = Shadow::default();
        shadow.write(at(0, 0, 0, 4, 0), &vec![0, 0]).unwrap();
        assert!(shadow.clone().read(at(1, 0, 0, 9, 0), &vec![4, 0]).is_err());
        assert!(shadow.clone().read(at(1, 0, 0, 9, 0), &vec![5, 0]).is_ok());
    }

    #[test]
    fn a_write_after_the_reads_of_several_blocks_must_know_them_all() {
        let mut shadow = Shadow::default();
        shadow.read(at(0, 0, 0, 3, 0), &vec![0, 0]).unwrap();
        shadow.read(at(1, 0, 0, 7, 0), &vec![0, 0]).unwrap();
        shadow.read(at(0, 2, 0, 3, 0), &vec![0, 0]).unwrap();
        assert_eq!(shadow.clone().write(at(0, 0, 0, 4, 0), &vec![0, 7]), Err(Toucher::Blocks));
        assert!(shadow.clone().write(at(0, 0, 0, 4, 0), &vec![0, 8]).is_ok());
        assert_eq!(shadow.write(at(0, 0, 0, 3, 0), &vec![0, 8]), Err(Toucher::Blocks));
    }

    #[test]
    fn atomic_operations_race_with_plain_touches_alone() {
        let clock = ALONE.to_vec();
        let (mut strong, mut shadow) = (Strong::default(), Shadow::default());
        strong.touch(8, &mut shadow, at(0, 0, 0, 1, 0), &clock, true).unwrap();
        strong.touch(8, &mut shadow, at(1, 0, 0, 1, 0), &clock, true).unwrap();
        assert!(shadow.is_strong());
        assert!(strong.check_plain(8, at(1, 0, 0, 2, 0), &clock, false).is_err());
        assert!(strong.check_plain(8, at(1, 0, 0, 2, 0), &vec![2, 0], false).is_ok());
        shadow.read(at(0, 4, 0, 1, 0), &clock).unwrap();
        assert!(strong.touch(8, &mut shadow, at(0, 0, 0, 1, 0), &clock, true).is_err());
        assert!(strong.touch(8, &mut shadow, at(0, 0, 0, 1, 0), &clock, false).is_ok());
    }
}
