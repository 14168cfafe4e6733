//! Random damage to good inputs, repeatable from a seed: what a fuzzer without eyes does.

use equality::values::Values;

/// Numbers that headers lie with.
const LIES: [u32; 12] =
    [0, 1, 0x7f, 0xff, 0x100, 0x7fff, 0xffff, 0x1_0000, 0x00ff_ffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];

/// The input with a number, at most `max_len` bytes long: one of `pool`, damaged in one to eight ways.
///
/// # Panics
/// If the pool is empty.
pub fn mutated(seed: u64, case: u64, pool: &[Vec<u8>], max_len: usize) -> Vec<u8> {
    // Cases of a seed differ, and so do neighbours of both.
    let mut values = Values::new(seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut input = pick(&mut values, pool).clone();
    for _ in 0..=values.below(8) {
        damage(&mut values, &mut input, pool);
    }
    input.truncate(max_len);
    input
}

fn pick<'a>(values: &mut Values, pool: &'a [Vec<u8>]) -> &'a Vec<u8> {
    &pool[values.below(pool.len() as u32) as usize]
}

fn damage(values: &mut Values, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
    // Half of all places are among the first 64 bytes, where headers are.
    let reach = if values.below(2) == 0 { input.len().min(64) } else { input.len() };
    let place = values.below(reach as u32 + 1) as usize;
    let len = values.below(33) as usize;
    let end = input.len().min(place + len);
    match values.below(8) {
        0 => {
            if let Some(byte) = input.get_mut(place) {
                *byte ^= 1 << values.below(8);
            }
        }
        1 => input.truncate(place),
        2 => drop(input.drain(place..end)),
        3 => {
            let bytes: Vec<u8> = (0..len).map(|_| values.below(256) as u8).collect();
            input.splice(place..place, bytes);
        }
        4 => {
            // The beginning of one, the end of another.
            let other = pick(values, pool);
            let from = values.below(other.len() as u32 + 1) as usize;
            input.truncate(place);
            input.extend_from_slice(&other[from..]);
        }
        5 => {
            let lie = LIES[values.below(LIES.len() as u32) as usize];
            let lie = if values.below(2) == 0 { lie.to_be_bytes() } else { lie.to_le_bytes() };
            let width = [1, 2, 4][values.below(3) as usize];
            let end = input.len().min(place + width);
            input[place..end].copy_from_slice(&lie[..end - place]);
        }
        6 => {
            let piece = input[place..end].to_vec();
            input.splice(place..place, piece);
        }
        _ => {
            if let Some(byte) = input.get_mut(place) {
                *byte = values.below(256) as u8;
            }
        }
    }
}
