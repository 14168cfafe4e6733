//! Every operation of the CPU backend by itself, at every SIMD level: the bits of `cnn-core`, on numbers of every kind.

use std::ops::ControlFlow;

use cnn_core::conv::{
    NO_WINNER, Winners, convolve_backward_input, convolve_backward_parameters, convolve_relu_pool_winners, relu_pool,
};
use cnn_core::image::{self, Pixels};
use cnn_core::linear::{linear, linear_backward_input, linear_backward_parameters, linear_relu, relu_backward};
use cnn_core::network::{
    self, Activations, CLASSES, CONV1_CHANNELS, CONV1_WEIGHT, CONV2_CHANNELS, CONV2_WEIGHT, FC1_BIAS, FC1_WEIGHT,
    FC2_BIAS, FC2_WEIGHT, FlatParameters, HIDDEN, IMAGE_SIDE, POOL2_LEN, POOL2_SIDE, ParametersMut, Tensor,
};
use cnn_core::network::{CONV1_BIAS, CONV2_BIAS};
use cnn_core::sgd::Sgd;
use cnn_train::backend::cpu::forward::unpadded;
use cnn_train::backend::cpu::kernels::conv1;
use cnn_train::backend::cpu::kernels::conv1::Marks;
use cnn_train::backend::cpu::kernels::conv2;
use cnn_train::backend::cpu::kernels::linear::{Fc1BackwardInput, Fc1Forward, Fc2BackwardInput, Fc2Forward, IMAGES};
use cnn_train::backend::cpu::kernels::pool;
use cnn_train::backend::cpu::kernels::update::{Accumulate, Fc1Terms, Fc1Update, HeadGradient, Step};
use cnn_train::backend::cpu::layout::{
    Aligned, Conv2ForwardWeight, ConvParameters, FC1_BLOCKS, Fc1Block, Fc1Panels, Fc2ForwardWeight, HeadParameters,
    Hidden, Image, POOL1_SIDE, PaddedLogits, Places, Pool1, Pool2, Winners2, fill_conv2_forward, fill_fc2_forward,
    fill_panels,
};
use cnn_train::backend::cpu::network::SharedNetwork;
use cnn_train::backend::cpu::pieces::PixelTable;
use cnn_train::backend::cpu::simd::Simd;
use cnn_train::backend::cpu::simd::dispatch::{Dispatch, Kernel};
use cnn_train::backend::cpu::{Cpu, CpuOptions, SimdLevel};
use cnn_train::backend::{Backend, Epoch, Reference, TrainingState, boxed_zeros};
use cnn_train::random::shuffled;
use equality::bits::{assert_same_bits, assert_same_parameters};
use equality::cases::{Sizes, extremes, noise, ties};
use equality::threads;
use equality::values::{Kind, Values, for_every_draw, for_every_kind};

/// Images of a call: one whole tile of registers, and a rest.
const BATCH: usize = IMAGES + 2;
/// A batch of [`BATCH`] samples in two parts, the second of which goes on where the first one ends.
const PARTS: [std::ops::Range<usize>; 2] = [0..3, 3..BATCH];

/// For each operation a module with a test for each SIMD level, and the list of them.
macro_rules! at_every_level {
    ($($operation:ident),* $(,)?) => {
        $(
            mod $operation {
                use cnn_train::backend::SimdLevel;

                #[cfg_attr(not(target_arch = "x86_64"), ignore = "a level of x86-64")]
                #[cfg_attr(no_avx512, ignore = "this processor has no avx512")]
                #[test]
                fn avx512() {
                    super::check_at(SimdLevel::Avx512, super::$operation);
                }

                #[cfg_attr(not(target_arch = "x86_64"), ignore = "a level of x86-64")]
                #[cfg_attr(no_avx2, ignore = "this processor has no avx2")]
                #[test]
                fn avx2() {
                    super::check_at(SimdLevel::Avx2, super::$operation);
                }

                #[cfg_attr(not(target_arch = "x86_64"), ignore = "a level of x86-64")]
                #[test]
                fn sse2() {
                    super::check_at(SimdLevel::Sse2, super::$operation);
                }

                #[cfg_attr(not(target_arch = "aarch64"), ignore = "a level of 64-bit Arm")]
                #[test]
                fn neon() {
                    super::check_at(SimdLevel::Neon, super::$operation);
                }

                #[cfg_attr(not(target_arch = "wasm32"), ignore = "a level of WebAssembly")]
                #[test]
                fn simd128() {
                    super::check_at(SimdLevel::Simd128, super::$operation);
                }

                #[test]
                fn portable() {
                    super::check_at(SimdLevel::Portable, super::$operation);
                }
            }
        )*

        /// The operations that have a test at every level.
        pub const OPERATIONS: &[&str] = &[$(stringify!($operation)),*];
    };
}

at_every_level!(
    normalize,
    relu_pool_window,
    conv1_forward,
    conv2_forward,
    fc1_forward,
    fc2_forward,
    fc2_backward_input,
    fc2_backward_parameters,
    fc1_backward_input,
    fc1_backward_parameters,
    conv2_backward,
    conv1_backward_parameters,
    conv_gradient_sum,
    sgd_update,
    forward_pass,
    step,
);

/// The levels that the macro above has a test for.
pub const LEVELS: [SimdLevel; 6] =
    [SimdLevel::Avx512, SimdLevel::Avx2, SimdLevel::Sse2, SimdLevel::Neon, SimdLevel::Simd128, SimdLevel::Portable];

fn check_at(level: SimdLevel, check: fn(SimdLevel)) {
    if SimdLevel::available().any(|available| available == level) {
        check(level);
    } else {
        skipped::skip(format_args!("this processor has no {level}"));
    }
}

fn dispatch(level: SimdLevel) -> Dispatch {
    Dispatch::new(level).expect("checked before")
}

/// Parameters, or their gradient, in the order of the backend.
struct Parameters {
    conv: Box<ConvParameters>,
    fc1: Box<[Fc1Block; FC1_BLOCKS]>,
    head: Box<HeadParameters>,
}

impl Parameters {
    fn zeros() -> Self {
        let fc1 = Box::new([Aligned::default(); FC1_BLOCKS]);
        Self { conv: Box::default(), fc1, head: Box::default() }
    }

    fn of(flat: &FlatParameters) -> Self {
        let mut parameters = Self::zeros();
        parameters.places().read(flat);
        parameters
    }

    fn places(&mut self) -> Places<'_> {
        Places { conv: &mut self.conv, fc1: self.fc1.each_mut(), head: &mut self.head }
    }
}

/// Parameters in the order of `cnn-core` and in those of the backend.
struct Drawn {
    flat: Box<FlatParameters>,
    own: Parameters,
}

impl Drawn {
    fn new(values: &mut Values, kind: Kind) -> Self {
        let flat = values.parameters(kind);
        let own = Parameters::of(&flat);
        Self { flat, own }
    }

    fn view(&self) -> network::Parameters<'_> {
        network::Parameters::of(&self.flat)
    }
}

#[track_caller]
fn assert_same_tensors(what: &str, own: &mut Parameters, expected: &FlatParameters, tensors: &[Tensor]) {
    let mut flat = boxed_zeros();
    own.places().write(&mut flat);
    for tensor in tensors {
        let name = format!("{what}, {}", tensor.name);
        assert_same_bits(&name, &flat[tensor.range()], &expected[tensor.range()]);
    }
}

/// The part of conv1's pooled map that conv2 reads, in the backend's order.
fn pool1_of(map: &network::Pool1) -> Pool1 {
    let mut pool1 = Pool1::default();
    for (row, places) in pool1.iter_mut().enumerate() {
        for (column, channels) in places.iter_mut().enumerate() {
            *channels = std::array::from_fn(|channel| map[channel][row][column]);
        }
    }
    pool1
}

/// Back to the order of `cnn-core`; 0 where the backend has no place.
fn map_of(pool1: &Pool1) -> network::Pool1 {
    let mut map = [[[0.0; network::POOL1_SIDE]; network::POOL1_SIDE]; CONV1_CHANNELS];
    for (channel, plane) in map.iter_mut().enumerate() {
        for row in 0..POOL1_SIDE {
            for column in 0..POOL1_SIDE {
                plane[row][column] = pool1[row][column][channel];
            }
        }
    }
    map
}

fn pool2_map(pool2: &Pool2) -> network::Pool2 {
    let mut map = [[[0.0; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS];
    map.as_flattened_mut().as_flattened_mut().copy_from_slice(&pool2[..]);
    map
}

fn flat<const A: usize, const B: usize, const C: usize>(map: &[[[f32; A]; B]; C]) -> &[f32] {
    map.as_flattened().as_flattened()
}

fn pool2s(values: &mut Values, kind: Kind) -> Vec<Pool2> {
    let mut images = vec![Pool2::default(); BATCH];
    images.iter_mut().for_each(|image| values.fill(kind, &mut image[..]));
    images
}

/// Outputs of fc1, or their gradients: 0 in the padding.
fn hiddens(values: &mut Values, kind: Kind) -> Vec<Hidden> {
    let mut images = vec![Hidden::default(); BATCH];
    images.iter_mut().for_each(|image| values.fill(kind, &mut image[..HIDDEN]));
    images
}

/// Logits, or their gradients: 0 in the padding.
fn logits(values: &mut Values, kind: Kind) -> Vec<PaddedLogits> {
    let mut images = vec![PaddedLogits::default(); BATCH];
    images.iter_mut().for_each(|image| values.fill(kind, &mut image[..CLASSES]));
    images
}

fn unpadded_hidden(hidden: &Hidden) -> &[f32; HIDDEN] {
    hidden.first_chunk().expect("padding only adds")
}

fn normalize(_: SimdLevel) {
    let table = PixelTable::default();
    for shift in 0..=255 {
        let pixels: Pixels = std::array::from_fn(|i| (i as u8).wrapping_add(shift));
        let (mut found, mut expected) = (Image::default(), [[[f32::NAN; IMAGE_SIDE]; IMAGE_SIDE]]);
        table.normalize(&pixels, &mut found);
        image::normalize(&pixels, &mut expected);
        assert_same_bits("image", found.as_flattened(), flat(&expected));
    }
}

/// [`pool::relu_pool`] and [`pool::relu_pool_winner`] of the windows of 16 channels.
struct Windows<'a> {
    windows: &'a [[f32; CONV1_CHANNELS]; 4],
    value: &'a mut [f32; CONV1_CHANNELS],
    value_with_winner: &'a mut [f32; CONV1_CHANNELS],
    winner: &'a mut [f32; CONV1_CHANNELS],
    /// Whether there is a winner, channel c in bit c; at first 0.
    on: &'a mut u32,
}

impl Kernel for Windows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for vector in 0..CONV1_CHANNELS / S::LANES {
            let window = [0, 1, 2, 3].map(|place: usize| simd.load(&self.windows[place], vector));
            let labels = [0.0, 1.0, 2.0, 3.0, f32::from(NO_WINNER)];
            let (value, winner, on) = pool::relu_pool_winner(simd, window, labels);
            *self.on |= simd.bits(on) << (vector * S::LANES);
            simd.store(self.value, vector, pool::relu_pool(simd, window));
            simd.store(self.value_with_winner, vector, value);
            simd.store(self.winner, vector, winner);
        }
    }
}

fn relu_pool_window(level: SimdLevel) {
    for_every_kind(|draw, values, kind| {
        for _ in 0..100 {
            let mut windows = [[0.0; CONV1_CHANNELS]; 4];
            values.fill(kind, windows.as_flattened_mut());
            let [mut value, mut value_with_winner, mut winner] = [[f32::NAN; CONV1_CHANNELS]; 3];
            let mut on = 0;
            dispatch(level).run(Windows {
                windows: &windows,
                value: &mut value,
                value_with_winner: &mut value_with_winner,
                winner: &mut winner,
                on: &mut on,
            });
            let expected: [_; CONV1_CHANNELS] =
                std::array::from_fn(|channel| relu_pool(windows.map(|channels| channels[channel])));
            let expected_value = expected.map(|(value, _)| value);
            assert_same_bits(&format!("{draw}: value"), &value, &expected_value);
            assert_same_bits(&format!("{draw}: value with winner"), &value_with_winner, &expected_value);
            let expected_winner = expected.map(|(_, winner)| f32::from(winner));
            assert_same_bits(&format!("{draw}: winner"), &winner, &expected_winner);
            let expected_on = expected.map(|(_, winner)| winner != NO_WINNER);
            assert_eq!(std::array::from_fn(|channel| on >> channel & 1 == 1), expected_on, "{draw}: is on");
        }
    });
}

/// conv1 forward by the core: the normalised image, the pooled map, the winners.
struct Conv1 {
    image: network::Image,
    pool1: network::Pool1,
    winners: Winners<CONV1_CHANNELS, { network::POOL1_SIDE }>,
}

impl Conv1 {
    fn of_core(drawn: &Drawn, pixels: &Pixels) -> Self {
        let mut image = [[[0.0; IMAGE_SIDE]; IMAGE_SIDE]];
        image::normalize(pixels, &mut image);
        let mut pool1 = [[[f32::NAN; network::POOL1_SIDE]; network::POOL1_SIDE]; CONV1_CHANNELS];
        let mut winners = [[[u8::MAX; network::POOL1_SIDE]; network::POOL1_SIDE]; CONV1_CHANNELS];
        let view = drawn.view();
        convolve_relu_pool_winners(&image, view.conv1_weight, view.conv1_bias, &mut pool1, &mut winners);
        Self { image, pool1, winners }
    }
}

fn run_conv1(level: SimdLevel, drawn: &Drawn, pixels: &Pixels, winners: Option<&mut Pool1>) -> (Image, Pool1, Marks) {
    let (mut image, mut pool1) = (Image::default(), Pool1::default());
    // What was true of another image must not stay.
    let mut marks = Marks { on: [[u16::MAX; POOL1_SIDE]; POOL1_SIDE], blank: [u16::MAX; POOL1_SIDE] };
    PixelTable::default().normalize(pixels, &mut image);
    let conv = &drawn.own.conv;
    dispatch(level).run(conv1::Forward {
        pixels,
        image: &image,
        weight: &conv.conv1_weight,
        bias: &conv.conv1_bias,
        pool1: &mut pool1,
        winners,
        marks: &mut marks,
    });
    (image, pool1, marks)
}

/// The channels of each place that are not 0.
fn channels_on(pool1: &Pool1) -> [[u16; POOL1_SIDE]; POOL1_SIDE] {
    pool1.map(|places| places.map(|channels| (0..).zip(channels).fold(0, |on, (c, x)| on | u16::from(x != 0.0) << c)))
}

/// The windows of each row that read pixels of 0 alone.
fn blank_windows(pixels: &Pixels) -> [u16; POOL1_SIDE] {
    let is_blank = |row: usize, column: usize| {
        let patch = |i: usize| pixels[(2 * row + i / 4) * IMAGE_SIDE + 2 * column + i % 4];
        (0..16).all(|i| patch(i) == 0)
    };
    std::array::from_fn(|row| (0..POOL1_SIDE).fold(0, |blank, c| blank | u16::from(is_blank(row, c)) << c))
}

fn conv1_forward(level: SimdLevel) {
    for_every_kind(|draw, values, kind| {
        let drawn = Drawn::new(values, kind);
        for _ in 0..4 {
            let pixels = values.pixels();
            let expected = pool1_of(&Conv1::of_core(&drawn, &pixels).pool1);
            for winners in [None, Some(&mut Pool1::default())] {
                let kept = winners.is_some();
                let (_, pool1, marks) = run_conv1(level, &drawn, &pixels, winners);
                assert_same_bits(&format!("{draw}: pool1, winners kept: {kept}"), flat(&pool1), flat(&expected));
                assert_eq!(marks.on, channels_on(&expected), "{draw}: channels that are on");
                assert_eq!(marks.blank, blank_windows(&pixels), "{draw}: blank windows");
            }
        }
    });
}

fn conv1_backward_parameters(level: SimdLevel) {
    for_every_draw(|draw, values, gradients, weights| {
        let drawn = Drawn::new(values, weights);
        let pixels = values.pixels();
        let mut winners = Pool1::default();
        let (image, ..) = run_conv1(level, &drawn, &pixels, Some(&mut winners));
        let mut pool1_gradient = Pool1::default();
        values.fill(gradients, pool1_gradient.as_flattened_mut().as_flattened_mut());
        let mut found = Parameters::zeros();
        dispatch(level).run(conv1::Backward {
            image: &image,
            winners: &winners,
            pool1_gradient: &pool1_gradient,
            weight_gradient: &mut found.conv.conv1_weight,
            bias_gradient: &mut found.conv.conv1_bias,
        });

        let core = Conv1::of_core(&drawn, &pixels);
        let mut expected = boxed_zeros();
        let sums = ParametersMut::of(&mut expected);
        let gradient = map_of(&pool1_gradient);
        convolve_backward_parameters(&core.image, &core.winners, &gradient, sums.conv1_weight, sums.conv1_bias);
        assert_same_tensors(draw, &mut found, &expected, &[CONV1_WEIGHT, CONV1_BIAS]);
    });
}

/// conv2 forward by the core, of a map that the backend has only a part of.
struct Conv2 {
    pool1: network::Pool1,
    pool2: network::Pool2,
    winners: Winners<CONV2_CHANNELS, POOL2_SIDE>,
}

impl Conv2 {
    fn of_core(drawn: &Drawn, values: &mut Values, kind: Kind) -> Self {
        let mut pool1 = [[[0.0; network::POOL1_SIDE]; network::POOL1_SIDE]; CONV1_CHANNELS];
        values.fill(kind, pool1.as_flattened_mut().as_flattened_mut());
        let mut pool2 = [[[f32::NAN; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS];
        let mut winners = [[[u8::MAX; POOL2_SIDE]; POOL2_SIDE]; CONV2_CHANNELS];
        let view = drawn.view();
        convolve_relu_pool_winners(&pool1, view.conv2_weight, view.conv2_bias, &mut pool2, &mut winners);
        Self { pool1, pool2, winners }
    }
}

fn run_conv2(level: SimdLevel, drawn: &Drawn, pool1: &Pool1, winners: Option<&mut Winners2>) -> Pool2 {
    let mut weight = Conv2ForwardWeight::default();
    fill_conv2_forward(&drawn.own.conv, &mut weight);
    let mut pool2 = Pool2::default();
    dispatch(level).run(conv2::Forward {
        pool1,
        marks: &Marks { on: channels_on(pool1), blank: [0; POOL1_SIDE] },
        weight: &weight,
        bias: &drawn.own.conv.conv2_bias,
        // No window is blank: it must not be read.
        background: &[f32::NAN; CONV2_CHANNELS],
        pool2: &mut pool2,
        winners,
    });
    pool2
}

fn conv2_forward(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, weights| {
        let drawn = Drawn::new(values, weights);
        let core = Conv2::of_core(&drawn, values, inputs);
        let pool1 = pool1_of(&core.pool1);
        for winners in [None, Some(&mut Winners2::default())] {
            let kept = winners.is_some();
            let pool2 = run_conv2(level, &drawn, &pool1, winners);
            assert_same_bits(&format!("{draw}: pool2, winners kept: {kept}"), &pool2[..], flat(&core.pool2));
        }
    });
}

fn conv2_backward(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, weights| {
        let drawn = Drawn::new(values, weights);
        let core = Conv2::of_core(&drawn, values, inputs);
        let pool1 = pool1_of(&core.pool1);
        let mut winners = Winners2::default();
        run_conv2(level, &drawn, &pool1, Some(&mut winners));
        let mut pool2_gradient = Pool2::default();
        values.fill(inputs, &mut pool2_gradient[..]);
        let (mut found, mut pool1_gradient) = (Parameters::zeros(), Pool1::default());
        dispatch(level).run(conv2::Backward {
            pool1: &pool1,
            winners: &winners,
            pool2_gradient: &pool2_gradient,
            weight: &drawn.own.conv.conv2_weight,
            weight_gradient: &mut found.conv.conv2_weight,
            bias_gradient: &mut found.conv.conv2_bias,
            pool1_gradient: &mut pool1_gradient,
        });

        let gradient = pool2_map(&pool2_gradient);
        let mut expected = boxed_zeros();
        let sums = ParametersMut::of(&mut expected);
        convolve_backward_parameters(&core.pool1, &core.winners, &gradient, sums.conv2_weight, sums.conv2_bias);
        assert_same_tensors(draw, &mut found, &expected, &[CONV2_WEIGHT, CONV2_BIAS]);
        let mut expected = [[[f32::NAN; network::POOL1_SIDE]; network::POOL1_SIDE]; CONV1_CHANNELS];
        convolve_backward_input(drawn.view().conv2_weight, &core.winners, &gradient, &mut expected);
        assert_same_bits(&format!("{draw}: input gradient"), flat(&map_of(&pool1_gradient)), flat(&expected));
    });
}

fn fc1_forward(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, weights| {
        let drawn = Drawn::new(values, weights);
        let mut panels = Box::new([Fc1Panels::default(); FC1_BLOCKS]);
        for (block, panels) in drawn.own.fc1.iter().zip(&mut *panels) {
            fill_panels(block, None, panels);
        }
        let input = pool2s(values, inputs);
        let mut output = vec![Hidden::default(); BATCH];
        dispatch(level).run(Fc1Forward {
            weight: panels.each_ref(),
            bias: &drawn.own.head.fc1_bias,
            input: &input,
            output: &mut output,
        });
        for (n, (input, output)) in input.iter().zip(&output).enumerate() {
            let mut expected = Hidden::default();
            let hidden = expected.first_chunk_mut().expect("padding only adds");
            linear_relu::<POOL2_LEN, HIDDEN>(input, drawn.view().fc1_weight, drawn.view().fc1_bias, hidden);
            assert_same_bits(&format!("{draw}: hidden of image {n} with its padding"), &output[..], &expected[..]);
        }
    });
}

fn fc2_forward(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, weights| {
        let drawn = Drawn::new(values, weights);
        let mut weight = Fc2ForwardWeight::default();
        fill_fc2_forward(&drawn.own.head, &mut weight);
        let input = hiddens(values, inputs);
        let mut output = vec![PaddedLogits::default(); BATCH];
        dispatch(level).run(Fc2Forward {
            weight: &weight,
            bias: &drawn.own.head.fc2_bias,
            input: &input,
            output: &mut output,
        });
        for (n, (input, output)) in input.iter().zip(&output).enumerate() {
            let mut expected = [f32::NAN; CLASSES];
            let view = drawn.view();
            linear(unpadded_hidden(input), view.fc2_weight, view.fc2_bias, &mut expected);
            assert_same_bits(&format!("{draw}: logits of image {n}"), unpadded(output), &expected);
        }
    });
}

fn fc2_backward_input(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, weights| {
        let drawn = Drawn::new(values, weights);
        let (hidden, gradients) = (hiddens(values, inputs), logits(values, inputs));
        for (n, (mut hidden, logits_gradient)) in hidden.into_iter().zip(gradients).enumerate() {
            // What ReLU leaves: nothing below +0.0.
            hidden.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { 0.0 });
            let mut found = Hidden::default();
            dispatch(level).run(Fc2BackwardInput {
                head: &drawn.own.head,
                logits_gradient: &logits_gradient,
                hidden: &hidden,
                hidden_gradient: &mut found,
            });
            let mut expected = [f32::NAN; HIDDEN];
            linear_backward_input(drawn.view().fc2_weight, unpadded(&logits_gradient), &mut expected);
            relu_backward(unpadded_hidden(&hidden), &mut expected);
            assert_same_bits(&format!("{draw}: gradient of image {n}"), unpadded_hidden(&found), &expected);
            assert!(found[HIDDEN..].iter().all(|value| value.to_bits() == 0), "{draw}: the padding is +0.0");
        }
    });
}

fn fc1_backward_input(level: SimdLevel) {
    for_every_draw(|draw, values, gradients, weights| {
        let drawn = Drawn::new(values, weights);
        let output_gradient = hiddens(values, gradients);
        let mut found = vec![Pool2::default(); BATCH];
        for (output_gradient, input_gradient) in output_gradient.chunks(IMAGES).zip(found.chunks_mut(IMAGES)) {
            let weight = drawn.own.fc1.each_ref();
            dispatch(level).run(Fc1BackwardInput { weight, output_gradient, input_gradient });
        }
        for (n, (gradient, found)) in output_gradient.iter().zip(&found).enumerate() {
            let mut expected = [f32::NAN; POOL2_LEN];
            linear_backward_input(drawn.view().fc1_weight, unpadded_hidden(gradient), &mut expected);
            assert_same_bits(&format!("{draw}: gradient of image {n}"), &found[..], &expected);
        }
    });
}

/// fc1's weight gradient of the samples of [`PARTS`], or with `sgd` the optimiser's step with it.
fn run_fc1_update(
    level: SimdLevel,
    sgd: Option<Sgd>,
    input: &[Pool2],
    output_gradient: &[Hidden],
    [parameters, momentum, sums]: [&mut Parameters; 3],
) {
    let mut terms = Fc1Terms::default();
    for (number, samples) in PARTS.into_iter().enumerate() {
        terms.clear();
        for (sample, gradient) in output_gradient[samples.clone()].iter().enumerate() {
            terms.push(sample, gradient);
        }
        let (first, last) = (number == 0, sgd.filter(|_| number + 1 == PARTS.len()));
        for block in 0..FC1_BLOCKS {
            dispatch(level).run(Fc1Update {
                first,
                last,
                input: &input[samples.clone()],
                terms: &terms,
                block,
                weight: &mut parameters.fc1[block],
                momentum: &mut momentum.fc1[block],
                gradient: &mut sums.fc1[block],
            });
        }
    }
}

/// A gradient that must be overwritten.
fn stale(values: &mut Values) -> Parameters {
    Parameters::of(&values.parameters(Kind::Ordinary))
}

/// The sums over the samples of [`PARTS`] of the gradients of fc1's biases and of fc2.
fn run_head_gradient(
    level: SimdLevel,
    hidden: &[Hidden],
    hidden_gradient: &[Hidden],
    logits_gradient: &[PaddedLogits],
    sums: &mut HeadParameters,
) {
    for samples in PARTS {
        dispatch(level).run(HeadGradient {
            hidden: &hidden[samples.clone()],
            hidden_gradient: &hidden_gradient[samples.clone()],
            logits_gradient: &logits_gradient[samples],
            sums,
        });
    }
}

fn fc1_backward_parameters(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, gradients| {
        let (input, gradient) = (pool2s(values, inputs), hiddens(values, gradients));
        let (mut untouched, mut momentum) = (Parameters::zeros(), Parameters::zeros());
        let mut found = stale(values);
        run_fc1_update(level, None, &input, &gradient, [&mut untouched, &mut momentum, &mut found]);
        let (hidden, logits_gradient) = (vec![Hidden::default(); BATCH], vec![PaddedLogits::default(); BATCH]);
        *found.head = Default::default();
        run_head_gradient(level, &hidden, &gradient, &logits_gradient, &mut found.head);
        let mut expected = boxed_zeros();
        let sums = ParametersMut::of(&mut expected);
        for (input, gradient) in input.iter().zip(&gradient) {
            linear_backward_parameters(input, unpadded_hidden(gradient), sums.fc1_weight, sums.fc1_bias);
        }
        assert_same_tensors(draw, &mut found, &expected, &[FC1_WEIGHT, FC1_BIAS]);
    });
}

fn fc2_backward_parameters(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, gradients| {
        let (hidden, gradient) = (hiddens(values, inputs), logits(values, gradients));
        let mut found = Parameters::zeros();
        run_head_gradient(level, &hidden, &vec![Hidden::default(); BATCH], &gradient, &mut found.head);
        let mut expected = boxed_zeros();
        let sums = ParametersMut::of(&mut expected);
        for (hidden, gradient) in hidden.iter().zip(&gradient) {
            linear_backward_parameters(unpadded_hidden(hidden), unpadded(gradient), sums.fc2_weight, sums.fc2_bias);
        }
        assert_same_tensors(draw, &mut found, &expected, &[FC2_WEIGHT, FC2_BIAS]);
    });
}

/// `cnn-core` has this sum within a step; here it is the loop of the contract: from +0.0, in the order of the samples.
fn conv_gradient_sum(level: SimdLevel) {
    for_every_kind(|draw, values, kind| {
        let mut gradients = vec![ConvParameters::default(); BATCH];
        gradients.iter_mut().for_each(|gradient| values.fill(kind, gradient.values_mut()));
        let (mut found, mut expected) = (ConvParameters::default(), ConvParameters::default());
        for gradients in gradients.chunks(3) {
            dispatch(level).run(Accumulate { sums: &mut found, gradients });
        }
        for gradient in &gradients {
            for (sum, term) in expected.values_mut().iter_mut().zip(gradient.values()) {
                *sum += term;
            }
        }
        assert_same_bits(draw, found.values(), expected.values());
    });
}

/// fc1's weights make their step where their gradient is summed: here of samples that add nothing to a gradient that was
/// summed before, so that it can be any.
fn sgd_update(level: SimdLevel) {
    for sgd in [Sgd::RECIPE, Sgd { learning_rate: 0.05, momentum: 0.0, weight_decay: 0.0 }] {
        for_every_draw(|draw, values, gradients, parameters| {
            let (mut parameters, mut momentum) = (values.parameters(parameters), values.parameters(parameters));
            let flat_gradient = values.parameters(gradients);
            let (mut own, mut own_momentum) = (Parameters::of(&parameters), Parameters::of(&momentum));
            let mut gradient = Parameters::of(&flat_gradient);
            for step in 0..3 {
                for (block, gradient) in gradient.fc1.iter_mut().enumerate() {
                    dispatch(level).run(Fc1Update {
                        first: false,
                        last: Some(sgd),
                        input: &[],
                        terms: &Fc1Terms::default(),
                        block,
                        weight: &mut own.fc1[block],
                        momentum: &mut own_momentum.fc1[block],
                        gradient,
                    });
                }
                let (parts, momenta) = (own.conv.values_mut(), own_momentum.conv.values_mut());
                let conv = Step { sgd, parameters: parts, momentum: momenta, gradient: gradient.conv.values() };
                dispatch(level).run(conv);
                let (parts, momenta) = (own.head.values_mut(), own_momentum.head.values_mut());
                let head = Step { sgd, parameters: parts, momentum: momenta, gradient: gradient.head.values() };
                dispatch(level).run(head);
                sgd.step(&mut parameters[..], &mut momentum[..], &flat_gradient[..]);
                let what = format!("{draw}, step {step}");
                let tensors = &network::TENSORS;
                assert_same_tensors(&format!("{what}: parameters"), &mut own, &parameters, tensors);
                assert_same_tensors(&format!("{what}: momentum"), &mut own_momentum, &momentum, tensors);
            }
        });
    }
}

/// With images that are blank in part or as a whole, which the kernels handle apart.
fn forward_pass(level: SimdLevel) {
    for_every_kind(|draw, values, _| {
        let parameters = values.initial_parameters();
        let mut own = SharedNetwork::new(dispatch(level));
        own.load(&TrainingState::new(parameters.clone()));
        let mut images: [Pixels; BATCH] = std::array::from_fn(|_| values.pixels());
        images[1].fill(0);
        images[2][IMAGE_SIDE * 7..].fill(0);
        images[3].as_chunks_mut::<IMAGE_SIDE>().0.iter_mut().for_each(|row| row[..15].fill(0));
        let (reading, mut panels) = (own.read(), Box::new([Fc1Panels::default(); FC1_BLOCKS]));
        let forward = own.forward(&reading, &mut panels);
        let (mut image, mut pool1, mut marks) = (Image::default(), Pool1::default(), Marks::default());
        let mut pool2 = vec![Pool2::default(); BATCH];
        for (pixels, pool2) in images.iter().zip(&mut pool2) {
            forward.convolutions(pixels, &mut image, &mut pool1, &mut marks, None, pool2, None);
        }
        let (mut hidden, mut logits) = (vec![Hidden::default(); BATCH], vec![PaddedLogits::default(); BATCH]);
        forward.head(&pool2, &mut hidden, &mut logits);
        for (n, (pixels, logits)) in images.iter().zip(&logits).enumerate() {
            let mut activations = Activations::new();
            image::normalize(pixels, &mut activations.image);
            let expected = network::forward(&network::Parameters::of(&parameters), &mut activations);
            assert_same_bits(&format!("{draw}: logits of image {n}"), unpadded(logits), &expected);
        }
    });
}

/// Every step of an epoch from the state in which the reference begins it.
fn step(level: SimdLevel) {
    const SIZES: Sizes = Sizes { train: 23, test: 1 };
    for case in [noise(SIZES), ties(SIZES), extremes(SIZES)] {
        let order = shuffled(3, 1, SIZES.train);
        let mut reference = Reference::new(case.dataset.clone());
        let options = CpuOptions { threads: Some(threads(2)), simd: Some(level) };
        let mut cpu = Cpu::new(case.dataset.clone(), options).expect("checked before");
        let mut state = case.state.clone();
        for (step, batch) in order.chunks(BATCH).enumerate() {
            let epoch = Epoch { order: batch, batch_length: BATCH, sgd: case.sgd, layers: case.layers };
            let after = |backend: &mut dyn Backend| {
                backend.load(&state).expect("loading cannot fail");
                backend.train_epoch(epoch, &mut |_| ControlFlow::Continue(())).expect("the loss is finite");
                backend.state().expect("it is in memory")
            };
            let (expected, found) = (after(&mut reference), after(&mut cpu));
            let what = format!("{}, step {step}", case.name);
            assert_same_parameters(&format!("{what}: parameters"), &found.parameters, &expected.parameters);
            assert_same_parameters(&format!("{what}: momentum"), &found.momentum, &expected.momentum);
            state = expected;
        }
    }
}
