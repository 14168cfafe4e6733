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
        Operation::Load { space, volatile: false, width, ref to, from } => {
            let addresses = addresses(warp, from);
            count(space, &addresses, group, width, to.count(), block, grid);
            load(warp, (space, width), to, &addresses, group, block, grid)
        }
        Operation::Load { space: Space::Global, volatile: true, width: Width::Word, ref to, from } => {
            let addresses = addresses(warp, from);
            count(Space::Global, &addresses, group, Width::Word, 1, block, grid);
            load_volatile(warp, to, &addresses, group, block, grid)
        }
        Operation::Store { space, width, to, ref from } => {
            let addresses = addresses(warp, to);
            count(space, &addresses, group, width, from.len(), block, grid);
            store(warp, (space, width), from, &addresses, group, block, grid)
        }
        Operation::Atomic { op, to, at, value } => atomic(warp, (op, to, value), at, group, block, grid),
        Operation::Fence => {
            lanes_of(group).for_each(|lane| block.fence(warp.index, lane));
            Ok(())
        }
        _ => unreachable!("the warp executes {operation:?}"),
    }
}

fn addresses(warp: &Warp, address: Address) -> Longs {
    warp.registers.long(address.base).map(|base| base.wrapping_add_signed(address.offset))
}

fn count(
    space: Space,
    addresses: &Longs,
    group: Mask,
    width: Width,
    values: usize,
    block: &mut BlockState,
    grid: &GridState<'_>,
) {
    if !grid.profiled {
        return;
    }
    match space {
        Space::Shared => {
            block.counts.shared_accesses += 1;
            block.counts.shared_turns += shared_turns(addresses, group, width, values);
        }
        Space::Global => {
            block.counts.global_accesses += 1;
            block.counts.global_sectors += global_sectors(addresses, group, width.bytes() * values);
        }
    }
}

/// The memory at an address: the block's own or the device's.
#[inline]
fn region<'a>(
    space: Space,
    address: u64,
    shared: &'a mut Region,
    memory: &'a mut Memory,
) -> Result<&'a mut Region, FaultKind> {
    match space {
        Space::Shared => Ok(shared),
        Space::Global => memory.region(address),
    }
}

fn load(
    warp: &mut Warp,
    (space, width): (Space, Width),
    to: &Loaded,
    addresses: &Longs,
    group: Mask,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    for lane in lanes_of(group) {
        let touch = warp.touch(lane, block);
        let loaded = region(space, addresses[lane], &mut block.shared, grid.memory).and_then(|region| {
            let offset = region.place(addresses[lane], width, to.count())?;
            for index in 0..to.count() {
                let offset = offset + index * width.bytes();
                region.touch(offset, width, touch, &block.clock, &grid.strong, false)?;
                warp.registers.set_loaded(to, index, lane, region.load(offset, width)?);
            }
            Ok(())
        });
        loaded.map_err(|kind| (kind, lane))?;
    }
    Ok(())
}

fn store(
    warp: &mut Warp,
    (space, width): (Space, Width),
    from: &[Word],
    addresses: &Longs,
    group: Mask,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    let values: Vec<_> = from.iter().map(|&value| warp.registers.word(value)).collect();
    grid.progress += 1;
    for lane in lanes_of(group) {
        let touch = warp.touch(lane, block);
        let stored = region(space, addresses[lane], &mut block.shared, grid.memory).and_then(|region| {
            let offset = region.place(addresses[lane], width, from.len())?;
            for (index, values) in values.iter().enumerate() {
                let offset = offset + index * width.bytes();
                region.touch(offset, width, touch, &block.clock, &grid.strong, true)?;
                region.store(offset, width, values[lane]);
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
    addresses: &Longs,
    group: Mask,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    for lane in lanes_of(group) {
        let value = access_strongly(warp, lane, addresses[lane], None, block, grid)?;
        warp.registers.set_loaded(to, 0, lane, value);
    }
    Ok(())
}

fn atomic(
    warp: &mut Warp,
    (op, to, value): (Binary, Slot, Word),
    at: Address,
    group: Mask,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<(), Wrong> {
    let (addresses, values) = (addresses(warp, at), warp.registers.word(value));
    grid.progress += 1;
    for lane in lanes_of(group) {
        let before = access_strongly(warp, lane, addresses[lane], Some((op, values[lane])), block, grid)?;
        warp.registers.set_lane(to, lane, before);
        if let Some(clock) = block.fenced(warp.index, lane) {
            grid.strong.release(addresses[lane], clock);
        }
    }
    Ok(())
}

/// Reads a word of global memory, and changes it if there is a `change`, as one step. What the thread sees of earlier
/// atomic operations orders what follows its next fence.
fn access_strongly(
    warp: &Warp,
    lane: usize,
    address: u64,
    change: Option<(Binary, u32)>,
    block: &mut BlockState,
    grid: &mut GridState<'_>,
) -> Result<u32, Wrong> {
    let touch = warp.touch(lane, block);
    let before = grid.memory.region(address).and_then(|region| {
        let offset = region.place(address, Width::Word, 1)?;
        region.touch_strongly(offset, touch, &block.clock, &mut grid.strong, change.is_some())?;
        let before = region.load(offset, Width::Word)?;
        if let Some((op, value)) = change {
            region.store(offset, Width::Word, binary_word(op, before, value));
        }
        Ok(before)
    });
    block.observe(warp.index, lane, grid.strong.released(address));
    before.map_err(|kind| (kind, lane))
}
