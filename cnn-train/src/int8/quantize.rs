//! Integer parameters from f32 ones, by post-training quantisation.
//!
//! `docs/integers.md` is the specification. All of it is `+ − · /` of IEEE f64, comparisons, conversions and integers, in
//! the order written here: **the same bits on every machine**.

use cnn_core::image::Pixels;
use cnn_core::int8::OwnedParameters;
use cnn_core::int8::parameters::{BIAS_LIMIT, MULTIPLIERS, SHIFTS, WEIGHT_LIMIT};
use cnn_core::model::Scales;
use cnn_core::network::{self, Activations, FlatParameters, Parameters, flatten};
use cnn_core::shapes::{Layer, POOL1_LEN, TENSORS};

use super::boxed_zeros;

/// Calibration looks at so many images of the training split, the first ones, or at all of a smaller split.
pub const CALIBRATION_IMAGES: usize = 1000;

/// The largest magnitude of a bias that quantisation makes, before the pixels' −1 is folded into it; half of what a
/// parameter may be.
const BIAS_TARGET: f64 = (BIAS_LIMIT / 2) as f64;

/// The images of a training split that calibration looks at.
pub fn calibration_images(train: &[Pixels]) -> &[Pixels] {
    &train[..train.len().min(CALIBRATION_IMAGES)]
}

/// The largest activation of each layer: what its 255 stands for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ranges {
    /// Behind conv1 and pooling.
    pub pool1: f32,
    /// Behind conv2 and pooling.
    pub pool2: f32,
    /// Behind fc1.
    pub hidden: f32,
}

/// The largest activations of these images, of the forward pass in f32. A maximum has no order.
pub fn calibrate(parameters: &FlatParameters, images: &[Pixels]) -> Ranges {
    let parameters = Parameters::of(parameters);
    let mut activations = Box::new(Activations::new());
    let mut ranges = Ranges::default();
    let raise =
        |range: &mut f32, values: &[f32]| *range = values.iter().fold(*range, |a, &b| if b > a { b } else { a });
    for pixels in images {
        network::logits(pixels, &parameters, &mut activations);
        let pool1 = activations.pool1.as_flattened().as_flattened();
        debug_assert_eq!(pool1.len(), POOL1_LEN);
        raise(&mut ranges.pool1, pool1);
        raise(&mut ranges.pool2, flatten(&activations.pool2));
        raise(&mut ranges.hidden, &activations.hidden);
    }
    ranges
}

/// What a step of a u8 activation is worth. A layer that was silent over all images has some scale.
fn activation_scale(range: f32) -> f32 {
    let scale = if range > 0.0 { range / 255.0 } else { 1.0 / 255.0 };
    if scale < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { scale }
}

/// The integer parameters that stand for `parameters`, and their scales.
pub fn quantize(parameters: &FlatParameters, ranges: Ranges) -> (Box<OwnedParameters>, Scales) {
    let [pool1, pool2, hidden] = [ranges.pool1, ranges.pool2, ranges.hidden].map(activation_scale);
    let mut quantized = boxed_zeros();
    let mut at = Place::default();
    let inputs = [2.0 / 255.0, f64::from(pool1), f64::from(pool2), f64::from(hidden)];
    let outputs = [Some(pool1), Some(pool2), Some(hidden), None];
    let mut logits = 0.0;
    for ((layer, input), output) in Layer::ALL.into_iter().zip(inputs).zip(outputs) {
        let [weight, bias] = [TENSORS[2 * layer as usize], TENSORS[2 * layer as usize + 1]];
        let biases = &parameters[bias.range()];
        let rows: Vec<_> = parameters[weight.range()].chunks(weight.len / bias.len).collect();
        let mut scales: Vec<f64> = rows.iter().zip(biases).map(|(row, &bias)| weight_scale(row, bias, input)).collect();
        if output.is_none() {
            // The logits are compared with each other: one scale, the largest that any class needs.
            let largest = scales.iter().fold(0.0, |a: f64, &b| if b > a { b } else { a });
            scales.fill(largest);
            logits = largest * input;
        }
        for ((row, &bias), scale) in rows.iter().zip(biases).zip(scales) {
            let first = at.weight;
            for &weight in *row {
                quantized.weights[at.weight] = quantize_weight(weight, scale);
                at.weight += 1;
            }
            let mut integer = (f64::from(bias) / (scale * input)).clamp(-BIAS_TARGET, BIAS_TARGET);
            if layer == Layer::Conv1 {
                // A pixel is p · 2/255 − 1; the −1 of all of them, in steps of p · 2/255, is 127.5 times the weights.
                let sum: i32 = quantized.weights[first..at.weight].iter().map(|&weight| i32::from(weight)).sum();
                integer -= 127.5 * f64::from(sum);
            }
            quantized.biases[at.bias] = integer.round_ties_even() as i32;
            at.bias += 1;
            if let Some(output) = output {
                let factor = scale * input / f64::from(output);
                (quantized.multipliers[at.rescale], quantized.shifts[at.rescale]) = multiplier_and_shift(factor);
                at.rescale += 1;
            }
        }
    }
    let logits = logits as f32;
    let logits = if logits < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { logits };
    (quantized, Scales { pool1, pool2, hidden, logits })
}

/// Where the next number of each part belongs.
#[derive(Default)]
struct Place {
    weight: usize,
    bias: usize,
    rescale: usize,
}

/// What a step of a weight is worth: the largest weight of the output channel becomes ±127. Where the bias is so large
/// beside them that it would not fit, a step is worth more.
fn weight_scale(weights: &[f32], bias: f32, input: f64) -> f64 {
    let largest = weights.iter().fold(0.0f32, |a, &b| if b.abs() > a { b.abs() } else { a });
    let of_weights = f64::from(largest) / f64::from(WEIGHT_LIMIT);
    let of_bias = f64::from(bias.abs()) / (BIAS_TARGET * input);
    let scale = if of_bias > of_weights { of_bias } else { of_weights };
    let least = f64::from(f32::MIN_POSITIVE);
    if scale < least { least } else { scale }
}

/// To the nearest integer, halves to the even one.
fn quantize_weight(weight: f32, scale: f64) -> i8 {
    let limit = f64::from(WEIGHT_LIMIT);
    (f64::from(weight) / scale).round_ties_even().clamp(-limit, limit) as i8
}

/// `factor` as multiplier · 2^−shift with a multiplier of 31 bits, rounded to the nearest, halves upwards. Where no shift
/// fits, those that give the same activations: 0 of any sum, or 255 of any above 0.
fn multiplier_and_shift(factor: f64) -> (i32, u8) {
    const MANTISSA_BITS: u32 = 52;
    let bits = factor.to_bits();
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1) | 1 << MANTISSA_BITS;
    let exponent = (bits >> MANTISSA_BITS) as i32 - 1075;
    // From 53 bits to 31.
    let mut multiplier = (mantissa + (1 << 21)) >> 22;
    let mut shift = -(exponent + 22);
    if multiplier > *MULTIPLIERS.end() as u64 {
        multiplier >>= 1;
        shift -= 1;
    }
    if shift < i32::from(*SHIFTS.start()) {
        (*MULTIPLIERS.end(), *SHIFTS.start())
    } else if shift > i32::from(*SHIFTS.end()) {
        (*MULTIPLIERS.start(), *SHIFTS.end())
    } else {
        (multiplier as i32, shift as u8)
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::int8;
    use cnn_core::int8::parameters::first_out_of_range;
    use cnn_core::network::PARAMETER_COUNT;
    use cnn_core::range::PARAMETER_LIMIT;

    use super::*;
    use crate::backend;
    use crate::dataset::{Split, synthetic};
    use crate::int8::block;
    use crate::random::initial_parameters;

    fn images(count: usize) -> Vec<Pixels> {
        synthetic::samples(3, Split::Train, count).images().to_vec()
    }

    #[test]
    fn a_factor_is_its_multiplier_and_shift() {
        for factor in [1.0, 0.5, 0.75, 1e-3, 1.0 / 3.0, 4.2e-9, 1e6, 0.999_999_999_999] {
            let (multiplier, shift) = multiplier_and_shift(factor);
            assert!(MULTIPLIERS.contains(&multiplier) && SHIFTS.contains(&shift), "{factor}");
            let found = f64::from(multiplier) / 2f64.powi(i32::from(shift));
            assert!((found / factor - 1.0).abs() <= 1.0 / 2f64.powi(31), "{factor}: {found}");
        }
        assert_eq!(multiplier_and_shift(1.0), (1 << 30, 30));
        // Rounded up to 2^31, which is one bit too many.
        assert_eq!(multiplier_and_shift(1.0 - f64::EPSILON / 2.0), (1 << 30, 30));
        assert_eq!(multiplier_and_shift(2f64.powi(29)), (1 << 30, 1));
        assert_eq!(multiplier_and_shift(2f64.powi(30)), (i32::MAX, 1));
        assert_eq!(multiplier_and_shift(1e200), (i32::MAX, 1));
        assert_eq!(multiplier_and_shift(2f64.powi(-32)), (1 << 30, 62));
        assert_eq!(multiplier_and_shift(1e-200), (1 << 30, 62));
    }

    #[test]
    fn integer_logits_are_near_those_in_f32() {
        let (parameters, images) = (initial_parameters(5), images(40));
        let ranges = calibrate(&parameters, &images);
        let (quantized, scales) = quantize(&parameters, ranges);
        let mut activations = Box::new(Activations::new());
        for pixels in &images {
            let expected = network::logits(pixels, &Parameters::of(&parameters), &mut activations);
            let integers = int8::forward(pixels, &quantized.view(), &mut int8::Activations::new());
            for (found, expected) in int8::scaled(&integers, scales.logits).into_iter().zip(expected) {
                // The largest logit is about 0.1; a step of the hidden layer's scale times a weight is about 0.0001.
                assert!((found - expected).abs() < 0.005, "{found} {expected}");
            }
        }
    }

    #[test]
    fn any_parameters_in_range_give_integers_in_range() {
        let images = images(3);
        let largest = f32::from_bits(PARAMETER_LIMIT.to_bits() - 1);
        let mut cases = vec![backend::boxed_zeros()];
        for value in [largest, -largest, f32::from_bits(1), -f32::MIN_POSITIVE, 1.0, -0.0] {
            let mut parameters = backend::boxed_zeros();
            parameters.fill(value);
            cases.push(parameters);
            // Weights of nothing beside biases, and the other way round.
            for (weights, biases) in [(value, 0.0), (0.0, value), (f32::from_bits(1), value), (value, largest)] {
                let mut parameters = backend::boxed_zeros();
                for (i, tensor) in TENSORS.iter().enumerate() {
                    parameters[tensor.range()].fill(if i % 2 == 0 { weights } else { biases });
                }
                cases.push(parameters);
            }
        }
        let mut mixed = initial_parameters(1);
        for (i, parameter) in mixed.iter_mut().enumerate() {
            *parameter *= [1.0, largest, -1e-30, 0.0][i % 4];
        }
        cases.push(mixed);
        for (case, parameters) in cases.iter().enumerate() {
            assert_eq!(parameters.len(), PARAMETER_COUNT);
            let (quantized, scales) = quantize(parameters, calibrate(parameters, &images));
            assert_eq!(first_out_of_range(&block(&quantized)), None, "case {case}");
            let scales = [scales.pool1, scales.pool2, scales.hidden, scales.logits];
            assert!(scales.iter().all(|scale| scale.is_finite() && *scale > 0.0), "case {case}: {scales:?}");
        }
    }

    #[test]
    fn a_channel_whose_weights_are_zero_keeps_its_bias() {
        let mut parameters = initial_parameters(2);
        parameters[TENSORS[0].range()].fill(0.0);
        parameters[TENSORS[1].range()].fill(0.5);
        let images = images(2);
        let (quantized, _) = quantize(&parameters, calibrate(&parameters, &images));
        let mut activations = int8::Activations::new();
        int8::forward(&images[0], &quantized.view(), &mut activations);
        // Its activation is the largest that there is.
        assert!(activations.pool1.as_flattened().as_flattened().iter().all(|&value| value == 255));
    }
}
