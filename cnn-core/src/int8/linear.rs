//! Fully connected layers.

/// Outputs computed together, so that each input is loaded once for all of them.
const OUTPUT_BLOCK: usize = 2;

/// Calls `emit(o, bias[o] + Σ_i input[i] · weight[o][i])` for every output.
#[inline(always)]
pub fn linear<const INPUT: usize, const OUTPUT: usize>(
    input: &[u8; INPUT],
    weight: &[[i8; INPUT]; OUTPUT],
    bias: &[i32; OUTPUT],
    mut emit: impl FnMut(usize, i32),
) {
    const { assert!(OUTPUT.is_multiple_of(OUTPUT_BLOCK)) };
    for (block, weights) in weight.as_chunks::<OUTPUT_BLOCK>().0.iter().enumerate() {
        let mut sums: [i32; OUTPUT_BLOCK] = core::array::from_fn(|o| bias[block * OUTPUT_BLOCK + o]);
        for (i, &x) in input.iter().enumerate() {
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum += i32::from(x) * i32::from(weights[i]);
            }
        }
        for (o, sum) in sums.into_iter().enumerate() {
            emit(block * OUTPUT_BLOCK + o, sum);
        }
    }
}
