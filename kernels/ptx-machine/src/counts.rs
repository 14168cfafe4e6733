//! What a block does between two of its barriers, counted as the hardware would.

use std::ops::AddAssign;

use crate::instruction::Width;
use crate::registers::{LANES, Mask, lanes_of};

/// Work between two block barriers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions of PTX, each counted once for a warp (or for a part of one where its threads go apart).
    pub instructions: u64,
    /// The same for the warp that has most of them.
    pub longest_warp: u64,
    /// Rounded operations on floats, a thread's each.
    pub float_operations: u64,
    /// Loads and stores of shared memory by a warp.
    pub shared_accesses: u64,
    /// Turns that its 32 banks take for them: as many as `shared_accesses` if no bank is wanted twice at once.
    pub shared_turns: u64,
    /// Loads and stores of global memory by a warp.
    pub global_accesses: u64,
    /// Sectors of 32 bytes that they ask for.
    pub global_sectors: u64,
}

/// The work of two together; the longest warp is that of either.
impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.longest_warp = self.longest_warp.max(other.longest_warp);
        self.float_operations += other.float_operations;
        self.shared_accesses += other.shared_accesses;
        self.shared_turns += other.shared_turns;
        self.global_accesses += other.global_accesses;
        self.global_sectors += other.global_sectors;
    }
}

/// An interval of a block, from one of its barriers to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Line of the barrier, or of the return, that ends it.
    pub line: u32,
    /// What the block did in it.
    pub counts: Counts,
}

/// Turns of the banks of shared memory for one access of `count` values of `width` a lane.
pub fn shared_turns(addresses: &[u64; LANES], mask: Mask, width: Width, count: usize) -> u64 {
    // What a lane wants at once is 4 bytes or fewer; wider accesses go by halves and quarters of the warp.
    let together = LANES / count;
    let words = (width.bytes() * count).div_ceil(4) as u64;
    (0..LANES).step_by(together).map(|first| turns_of_part(addresses, mask, first..first + together, words)).sum()
}

fn turns_of_part(addresses: &[u64; LANES], mask: Mask, lanes: std::ops::Range<usize>, words: u64) -> u64 {
    let mut wanted: [Vec<u64>; 32] = std::array::from_fn(|_| Vec::new());
    for lane in lanes.filter(|lane| mask >> lane & 1 == 1) {
        let first = addresses[lane] / 4;
        for word in first..first + words {
            let bank = &mut wanted[(word % 32) as usize];
            if !bank.contains(&word) {
                bank.push(word);
            }
        }
    }
    wanted.iter().map(Vec::len).max().unwrap_or(0) as u64
}

/// Sectors of global memory that one access of `bytes` a lane asks for.
pub fn global_sectors(addresses: &[u64; LANES], mask: Mask, bytes: usize) -> u64 {
    let mut sectors: Vec<u64> =
        lanes_of(mask).flat_map(|lane| addresses[lane] / 32..=(addresses[lane] + bytes as u64 - 1) / 32).collect();
    sectors.sort_unstable();
    sectors.dedup();
    sectors.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strided(stride: u64) -> [u64; LANES] {
        std::array::from_fn(|lane| lane as u64 * stride)
    }

    #[test]
    fn turns_of_banks_follow_the_stride() {
        let turns = |stride, count| shared_turns(&strided(stride), Mask::MAX, Width::Word, count);
        assert_eq!(turns(0, 1), 1, "one word for all");
        assert_eq!(turns(4, 1), 1);
        assert_eq!(turns(8, 1), 2);
        assert_eq!(turns(128, 1), 32);
        assert_eq!(turns(132, 1), 1);
        assert_eq!(turns(8, 2), 2, "two words a lane take two turns at best");
        assert_eq!(turns(16, 4), 4);
        assert_eq!(shared_turns(&strided(1), Mask::MAX, Width::Byte, 1), 1);
        assert_eq!(shared_turns(&strided(128), 0b11, Width::Word, 1), 2);
    }

    #[test]
    fn sectors_are_counted_once() {
        assert_eq!(global_sectors(&strided(4), Mask::MAX, 4), 4);
        assert_eq!(global_sectors(&strided(16), Mask::MAX, 16), 16);
        assert_eq!(global_sectors(&strided(480), Mask::MAX, 4), 32);
        assert_eq!(global_sectors(&strided(0), Mask::MAX, 4), 1);
        assert_eq!(global_sectors(&strided(4), 0, 4), 0);
    }
}
