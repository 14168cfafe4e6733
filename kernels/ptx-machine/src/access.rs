//! A warp's loads, stores, atomic operations and fences.

use crate::block::{BlockState, GridState};
use crate::counts::{global_sectors, shared_turns};
use crate::fault::FaultKind;
use crate::instruction::{Address, Binary, Loaded, Operation, Slot, Space, Width, Word};
use crate::memory::{Memory, Region};
use crate::registers::{Longs, Mask, binary_word, lanes_of};
use crate::warp::Warp;

/// What went wrong, and in which lane.
type Wrong = (FaultKind, usize);

/// Executes an operation that concerns memory.
///
/// # Panics
/// If it is of another sort.
pub fn execute(
    warp: &mut Warp,
    operation: &Operation,
    group: Mask,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    match *operation {
        Operation::Load { space, volatile, width, ref to, from } => {
            let access = Access::new(warp, space, width, to.count(), from, group);
            access.count(block, grid);
            if volatile { load_volatile(warp, to, &access, block, grid) } else { load(warp, to, &access, block, grid) }
        }
        Operation::Store { space, width, to, ref from } => {
            let access = Access::new(warp, space, width, from.len(), to, group);
            access.count(block, grid);
            store(warp, from, &access, block, grid)
        }
        Operation::Atomic { op, to, at, value } => {
            let access = Access::new(warp, Space::Global, Width::Word, 1, at, group);
            atomic(warp, (op, to, value), &access, block, grid)
        }
        Operation::Fence => {
            lanes_of(group).for_each(|lane| block.fence(warp.index, lane));
            Ok(())
        }
        _ => unreachable!("the warp executes {operation:?}"),
    }
}

/// What the lanes of a group access with one instruction.
struct Access {
    space: Space,
    width: Width,
    /// Values of a lane.
    values: usize,
    addresses: Longs,
    group: Mask,
}

impl Access {
    fn new(warp: &Warp, space: Space, width: Width, values: usize, address: Address, group: Mask) -> Self {
        let addresses = warp.registers.long(address.base).map(|base| base.wrapping_add_signed(address.offset));
        Self { space, width, values, addresses, group }
    }

    fn count(&self, block: &mut BlockState, grid: &GridState<'_>) {
        if !grid.profiled {
            return;
        }
        match self.space {
            Space::Shared => {
                block.counts.shared_accesses += 1;
                block.counts.shared_turns += shared_turns(&self.addresses, self.group, self.width, self.values);
            }
            Space::Global => {
                block.counts.global_accesses += 1;
                let bytes = self.width.bytes() * self.values;
                block.counts.global_sectors += global_sectors(&self.addresses, self.group, bytes);
            }
        }
    }

    /// The memory that a lane accesses, the block's own or the device's, and where its values lie in it.
    #[inline]
    fn region<'a>(
        &self,
        lane: usize,
        shared: &'a mut Region,
        memory: &'a mut Memory,
    ) -> Result<(&'a mut Region, usize), FaultKind> {
        let region = match self.space {
            Space::Shared => shared,
            Space::Global => memory.region(self.addresses[lane])?,
        };
        let offset = region.place(self.addresses[lane], self.width, self.values)?;
        Ok((region, offset))
    }
}

fn load(
    warp: &mut Warp,
    to: &Loaded,
    access: &Access,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    for lane in lanes_of(access.group) {
        let touch = warp.touch(lane, block);
        let loaded = access.region(lane, &mut block.shared, grid.memory).and_then(|(region, offset)| {
            for index in 0..access.values {
                let offset = offset + index * access.width.bytes();
                region.touch(offset, access.width, touch, &block.clock, &grid.strong, false)?;
                warp.registers.set_loaded(to, index, lane, region.load(offset, access.width)?);
            }
            Ok(())
        });
        loaded.map_err(|kind| (kind, lane))?;
    }
    Ok(())
}

fn store(
    warp: &mut Warp,
    from: &[Word],
    access: &Access,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    let values: Vec<_> = from.iter().map(|&value| warp.registers.word(value)).collect();
    grid.progress += 1;
    for lane in lanes_of(access.group) {
        let touch = warp.touch(lane, block);
        let stored = access.region(lane, &mut block.shared, grid.memory).and_then(|(region, offset)| {
            for (index, values) in values.iter().enumerate() {
                let offset = offset + index * access.width.bytes();
                region.touch(offset, access.width, touch, &block.clock, &grid.strong, true)?;
                region.store(offset, access.width, values[lane]);
            }
            Ok(())
        });
        stored.map_err(|kind| (kind, lane))?;
    }
    Ok(())
}

fn load_volatile(
    warp: &mut Warp,
    to: &Loaded,
    access: &Access,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    for lane in lanes_of(access.group) {
        let value = access_strongly(warp, lane, access, None, block, grid)?;
        warp.registers.set_loaded(to, 0, lane, value);
    }
    Ok(())
}

fn atomic(
    warp: &mut Warp,
    (op, to, value): (Binary, Slot, Word),
    access: &Access,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    let values = warp.registers.word(value);
    grid.progress += 1;
    for lane in lanes_of(access.group) {
        let before = access_strongly(warp, lane, access, Some((op, values[lane])), block, grid)?;
        warp.registers.set_lane(to, lane, before);
        if let Some(clock) = block.fenced(warp.index, lane) {
            grid.strong.release(access.addresses[lane], clock);
        }
    }
    Ok(())
}

/// Reads a word of global memory, and changes it if there is a `change`, as one step. What the thread sees of earlier
/// atomic operations orders what follows its next fence.
fn access_strongly(
    warp: &Warp,
    lane: usize,
    access: &Access,
    change: Option<(Binary, u32)>,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<u32, Wrong> {
    let touch = warp.touch(lane, block);
    let before = access.region(lane, &mut block.shared, grid.memory).and_then(|(region, offset)| {
        region.touch_strongly(offset, touch, &block.clock, &mut grid.strong, change.is_some())?;
        let before = region.load(offset, Width::Word)?;
        if let Some((op, value)) = change {
            region.store(offset, Width::Word, binary_word(op, before, value));
        }
        Ok(before)
    });
    block.observe(warp.index, lane, grid.strong.released(access.addresses[lane]));
    before.map_err(|kind| (kind, lane))
}
