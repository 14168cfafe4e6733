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
use host_trainer::backend::cpu::forward::{PixelTable, convolutions, head, unpadded};
use host_trainer::backend::cpu::kernels::linear::{Fc1BackwardInput, Fc1Forward, Fc2BackwardInput, Fc2Forward, IMAGES};
use host_trainer::backend::cpu::kernels::pool;
use host_trainer::backend::cpu::kernels::update::{CONV_PART, ConvUpdate, Fc1Update, HeadUpdate, Segment, Updated};
use host_trainer::backend::cpu::kernels::{conv1, conv2};
use host_trainer::backend::cpu::layout::{
    CONV_LEN, ConvParameters, ForwardWeights, Hidden, Image, POOL1_SIDE, PaddedLogits, Parameters, Pool1, Pool2,
    Winners2,
};
use host_trainer::backend::cpu::simd::Simd;
use host_trainer::backend::cpu::simd::dispatch::{Dispatch, Kernel};
use host_trainer::backend::cpu::step::Network;
use host_trainer::backend::cpu::{Cpu, CpuOptions, SimdLevel};
use host_trainer::backend::{Backend, Epoch, Reference, TrainingState, boxed_zeros};
use host_trainer::random::shuffled;
use tests::bits::{assert_same_bits, assert_same_parameters};
use tests::cases::{Sizes, extremes, noise, ties};
use tests::values::{Kind, Values, for_every_draw, for_every_kind};

/// Images of a call: one whole tile of registers, and a rest.
const BATCH: usize = IMAGES + 2;
/// A batch of [`BATCH`] samples in two segments, its gradient kept.
const SEGMENTS: [(std::ops::Range<usize>, Segment); 2] =
    [(0..3, Segment { first: true, last: None }), (3..BATCH, Segment { first: false, last: None })];

/// For each operation a module with a test for each SIMD level, and the list of them.
macro_rules! at_every_level {
    ($($operation:ident),* $(,)?) => {
        $(
            mod $operation {
                use host_trainer::backend::SimdLevel;

                #[test]
                fn avx512() {
                    super::check_at(SimdLevel::Avx512, super::$operation);
                }

                #[test]
                fn avx2() {
                    super::check_at(SimdLevel::Avx2, super::$operation);
                }

                #[test]
                fn sse2() {
                    super::check_at(SimdLevel::Sse2, super::$operation);
                }

                #[test]
                fn neon() {
                    super::check_at(SimdLevel::Neon, super::$operation);
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
pub const LEVELS: [SimdLevel; 5] =
    [SimdLevel::Avx512, SimdLevel::Avx2, SimdLevel::Sse2, SimdLevel::Neon, SimdLevel::Portable];

fn check_at(level: SimdLevel, check: fn(SimdLevel)) {
    if SimdLevel::available().any(|available| available == level) {
        check(level);
    } else {
        eprintln!("skipped: this processor has no {level}");
    }
}

fn dispatch(level: SimdLevel) -> Dispatch {
    Dispatch::new(level).expect("checked before")
}

/// Parameters in the order of `cnn-core` and in those of the backend.
struct Drawn {
    flat: Box<FlatParameters>,
    own: Parameters,
    forward: ForwardWeights,
}

impl Drawn {
    fn new(values: &mut Values, kind: Kind) -> Self {
        let flat = values.parameters(kind);
        let own = own(&flat);
        let mut forward = ForwardWeights::zeros();
        forward.copy(&own);
        Self { flat, own, forward }
    }

    fn view(&self) -> network::Parameters<'_> {
        network::Parameters::of(&self.flat)
    }
}

fn own(flat: &FlatParameters) -> Parameters {
    let mut own = Parameters::zeros();
    own.read(flat);
    own
}

#[track_caller]
fn assert_same_tensors(what: &str, own: &mut Parameters, expected: &FlatParameters, tensors: &[Tensor]) {
    let mut flat = boxed_zeros();
    own.write(&mut flat);
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
}

impl Kernel for Windows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for vector in 0..CONV1_CHANNELS / S::LANES {
            let window = [0, 1, 2, 3].map(|place: usize| simd.load(&self.windows[place], vector));
            let (value, winner) = pool::relu_pool_winner(simd, window, [0.0, 1.0, 2.0, 3.0, f32::from(NO_WINNER)]);
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
            let value_and_winner = (&mut value_with_winner, &mut winner);
            dispatch(level).run(Windows {
                windows: &windows,
                value: &mut value,
                value_with_winner: value_and_winner.0,
                winner: value_and_winner.1,
            });
            let expected: [_; CONV1_CHANNELS] =
                std::array::from_fn(|channel| relu_pool(windows.map(|channels| channels[channel])));
            let expected_value = expected.map(|(value, _)| value);
            assert_same_bits(&format!("{draw}: value"), &value, &expected_value);
            assert_same_bits(&format!("{draw}: value with winner"), &value_with_winner, &expected_value);
            let expected_winner = expected.map(|(_, winner)| f32::from(winner));
            assert_same_bits(&format!("{draw}: winner"), &winner, &expected_winner);
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

fn run_conv1(level: SimdLevel, drawn: &Drawn, pixels: &Pixels, winners: Option<&mut Pool1>) -> (Image, Pool1) {
    let (mut image, mut pool1) = (Image::default(), Pool1::default());
    PixelTable::default().normalize(pixels, &mut image);
    let conv = &drawn.own.conv;
    dispatch(level).run(conv1::Forward {
        pixels,
        image: &image,
        weight: &conv.conv1_weight,
        bias: &conv.conv1_bias,
        pool1: &mut pool1,
        winners,
    });
    (image, pool1)
}

fn conv1_forward(level: SimdLevel) {
    for_every_kind(|draw, values, kind| {
        let drawn = Drawn::new(values, kind);
        for _ in 0..4 {
            let pixels = values.pixels();
            let expected = pool1_of(&Conv1::of_core(&drawn, &pixels).pool1);
            for winners in [None, Some(&mut Pool1::default())] {
                let kept = winners.is_some();
                let (_, pool1) = run_conv1(level, &drawn, &pixels, winners);
                assert_same_bits(&format!("{draw}: pool1, winners kept: {kept}"), flat(&pool1), flat(&expected));
            }
        }
    });
}

fn conv1_backward_parameters(level: SimdLevel) {
    for_every_draw(|draw, values, gradients, weights| {
        let drawn = Drawn::new(values, weights);
        let pixels = values.pixels();
        let mut winners = Pool1::default();
        let (image, _) = run_conv1(level, &drawn, &pixels, Some(&mut winners));
        let mut pool1_gradient = Pool1::default();
        values.fill(gradients, pool1_gradient.as_flattened_mut().as_flattened_mut());
        let mut found = Parameters::zeros();
        dispatch(level).run(conv1::Backward {
            pixels: &pixels,
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
    let mut pool2 = Pool2::default();
    dispatch(level).run(conv2::Forward {
        pool1,
        weight: &drawn.forward.conv2,
        bias: &drawn.own.conv.conv2_bias,
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
        let input = pool2s(values, inputs);
        let mut output = vec![Hidden::default(); BATCH];
        dispatch(level).run(Fc1Forward {
            weight: &drawn.forward.fc1,
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
        let input = hiddens(values, inputs);
        let mut output = vec![PaddedLogits::default(); BATCH];
        dispatch(level).run(Fc2Forward {
            weight: &drawn.forward.fc2,
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
        dispatch(level).run(Fc1BackwardInput {
            weight: &drawn.own.fc1,
            output_gradient: &output_gradient,
            input_gradient: &mut found,
        });
        for (n, (gradient, found)) in output_gradient.iter().zip(&found).enumerate() {
            let mut expected = [f32::NAN; POOL2_LEN];
            linear_backward_input(drawn.view().fc1_weight, unpadded_hidden(gradient), &mut expected);
            assert_same_bits(&format!("{draw}: gradient of image {n}"), &found[..], &expected);
        }
    });
}

/// Parameters and momentum that no kernel of a gradient may touch, and the gradient.
struct Sums {
    parameters: Parameters,
    momentum: Parameters,
    gradient: Parameters,
}

impl Sums {
    /// A gradient that must be overwritten.
    fn new(values: &mut Values) -> Self {
        let gradient = own(&values.parameters(Kind::Ordinary));
        Self { parameters: Parameters::zeros(), momentum: Parameters::zeros(), gradient }
    }

    fn run_fc1(&mut self, level: SimdLevel, segment: Segment, input: &[Pool2], output_gradient: &[Hidden]) {
        let blocks = self.parameters.fc1.iter_mut().zip(&mut self.momentum.fc1).zip(&mut self.gradient.fc1);
        for (block, ((parameters, momentum), gradient)) in blocks.enumerate() {
            let weight = Updated { parameters, momentum, gradient };
            dispatch(level).run(Fc1Update { segment, input, output_gradient, block, weight });
        }
    }

    fn run_head(
        &mut self,
        level: SimdLevel,
        segment: Segment,
        hidden: &[Hidden],
        hidden_gradient: &[Hidden],
        logits_gradient: &[PaddedLogits],
    ) {
        let head = Updated {
            parameters: &mut *self.parameters.head,
            momentum: &mut *self.momentum.head,
            gradient: &mut *self.gradient.head,
        };
        dispatch(level).run(HeadUpdate { segment, hidden, hidden_gradient, logits_gradient, head });
    }

    fn run_conv(&mut self, level: SimdLevel, segment: Segment, gradients: &[ConvParameters]) {
        let parameters = self.parameters.conv.values_mut().chunks_mut(CONV_PART);
        let momentum = self.momentum.conv.values_mut().chunks_mut(CONV_PART);
        let gradient = self.gradient.conv.values_mut().chunks_mut(CONV_PART);
        for (part, ((parameters, momentum), gradient)) in parameters.zip(momentum).zip(gradient).enumerate() {
            let conv = Updated { parameters, momentum, gradient };
            dispatch(level).run(ConvUpdate { segment, gradients, part, conv });
        }
    }
}

fn fc1_backward_parameters(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, gradients| {
        let (input, gradient) = (pool2s(values, inputs), hiddens(values, gradients));
        let hidden = vec![Hidden::default(); BATCH];
        let logits_gradient = vec![PaddedLogits::default(); BATCH];
        let mut found = Sums::new(values);
        for (samples, segment) in SEGMENTS {
            found.run_fc1(level, segment, &input[samples.clone()], &gradient[samples.clone()]);
            let logits_gradient = &logits_gradient[samples.clone()];
            found.run_head(level, segment, &hidden[samples.clone()], &gradient[samples], logits_gradient);
        }
        let mut expected = boxed_zeros();
        let sums = ParametersMut::of(&mut expected);
        for (input, gradient) in input.iter().zip(&gradient) {
            linear_backward_parameters(input, unpadded_hidden(gradient), sums.fc1_weight, sums.fc1_bias);
        }
        assert_same_tensors(draw, &mut found.gradient, &expected, &[FC1_WEIGHT, FC1_BIAS]);
    });
}

fn fc2_backward_parameters(level: SimdLevel) {
    for_every_draw(|draw, values, inputs, gradients| {
        let (hidden, gradient) = (hiddens(values, inputs), logits(values, gradients));
        let hidden_gradient = vec![Hidden::default(); BATCH];
        let mut found = Sums::new(values);
        for (samples, segment) in SEGMENTS {
            let hidden_gradient = &hidden_gradient[samples.clone()];
            found.run_head(level, segment, &hidden[samples.clone()], hidden_gradient, &gradient[samples]);
        }
        let mut expected = boxed_zeros();
        let sums = ParametersMut::of(&mut expected);
        for (hidden, gradient) in hidden.iter().zip(&gradient) {
            linear_backward_parameters(unpadded_hidden(hidden), unpadded(gradient), sums.fc2_weight, sums.fc2_bias);
        }
        assert_same_tensors(draw, &mut found.gradient, &expected, &[FC2_WEIGHT, FC2_BIAS]);
    });
}

/// `cnn-core` has this sum within a step; here it is the loop of the contract: from +0.0, in the order of the samples.
fn conv_gradient_sum(level: SimdLevel) {
    for_every_kind(|draw, values, kind| {
        let mut gradients = vec![*Parameters::zeros().conv; BATCH];
        gradients.iter_mut().for_each(|gradient| values.fill(kind, gradient.values_mut()));
        let mut found = Sums::new(values);
        for (samples, segment) in SEGMENTS {
            found.run_conv(level, segment, &gradients[samples]);
        }
        let mut expected = [0.0; CONV_LEN];
        for gradient in &gradients {
            for (sum, term) in expected.iter_mut().zip(gradient.values()) {
                *sum += term;
            }
        }
        assert_same_bits(draw, found.gradient.conv.values(), &expected);
    });
}

/// The kernels add the samples of a segment to a gradient and then make the step: here of a segment without samples, so
/// that the gradient can be any.
fn sgd_update(level: SimdLevel) {
    for sgd in [Sgd::RECIPE, Sgd { learning_rate: 0.05, momentum: 0.0, weight_decay: 0.0 }] {
        let segment = Segment { first: false, last: Some(sgd) };
        for_every_draw(|draw, values, gradients, parameters| {
            let (mut parameters, mut momentum) = (values.parameters(parameters), values.parameters(parameters));
            let gradient = values.parameters(gradients);
            let mut found = Sums { parameters: own(&parameters), momentum: own(&momentum), gradient: own(&gradient) };
            for step in 0..3 {
                found.run_fc1(level, segment, &[], &[]);
                found.run_head(level, segment, &[], &[], &[]);
                found.run_conv(level, segment, &[]);
                sgd.step(&mut parameters[..], &mut momentum[..], &gradient[..]);
                let what = format!("{draw}, step {step}");
                let tensors = &network::TENSORS;
                assert_same_tensors(&format!("{what}: parameters"), &mut found.parameters, &parameters, tensors);
                assert_same_tensors(&format!("{what}: momentum"), &mut found.momentum, &momentum, tensors);
            }
        });
    }
}

fn forward_pass(level: SimdLevel) {
    for_every_kind(|draw, values, _| {
        let flat = values.initial_parameters();
        let mut own = Network::new(dispatch(level), 1);
        own.load(&TrainingState::new(flat.clone()));
        let images: [Pixels; BATCH] = std::array::from_fn(|_| values.pixels());
        let (mut image, mut pool1) = (Image::default(), Pool1::default());
        let mut pool2 = vec![Pool2::default(); BATCH];
        for (pixels, pool2) in images.iter().zip(&mut pool2) {
            convolutions(&own, pixels, &mut image, &mut pool1, None, pool2, None);
        }
        let (mut hidden, mut logits) = (vec![Hidden::default(); BATCH], vec![PaddedLogits::default(); BATCH]);
        head(&own, &pool2, &mut hidden, &mut logits);
        for (n, (pixels, logits)) in images.iter().zip(&logits).enumerate() {
            let mut activations = Activations::new();
            image::normalize(pixels, &mut activations.image);
            let expected = network::forward(&network::Parameters::of(&flat), &mut activations);
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
        let options = CpuOptions { threads: Some(2), simd: Some(level) };
        let mut cpu = Cpu::new(case.dataset.clone(), options).expect("checked before");
        let mut state = case.state.clone();
        for (step, batch) in order.chunks(BATCH).enumerate() {
            let epoch = Epoch { order: batch, batch_length: BATCH, sgd: case.sgd };
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
