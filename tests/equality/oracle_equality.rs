//! cnn-core computes in blocks, fuses ReLU and pooling into the convolution, and leaves out terms that are zero. Each
//! operation, and whole training steps, equal the obvious loops of `equality::oracle` bit for bit.

use cnn_core::conv::{
    NO_WINNER, convolve_backward_input, convolve_backward_parameters, convolve_relu_pool, convolve_relu_pool_winners,
    relu_pool,
};
use cnn_core::head::{self, HEAD_LEN};
use cnn_core::image::{Pixels, normalize};
use cnn_core::linear::{linear, linear_backward_input, linear_backward_parameters, linear_relu, relu_backward};
use cnn_core::loss::{cross_entropy, cross_entropy_backward, cross_entropy_gradient, softmax};
use cnn_core::network::{Activations, CLASSES, IMAGE_SIDE, KERNEL_LEN, Layer, Logits, Parameters, forward, logits};
use cnn_core::sgd::Sgd;
use cnn_core::shapes::Layers;
use cnn_core::train::Trainer;
use cnn_train::backend::boxed_zeros;
use equality::bits::{assert_same_bits, assert_same_parameters};
use equality::oracle;
use equality::values::{Values, for_every_draw, for_every_kind};

#[test]
fn every_pixel_is_normalised_as_the_formula_says() {
    let pixels: [Pixels; 2] = std::array::from_fn(|half| std::array::from_fn(|i| (i % 128 + 128 * half) as u8));
    for pixels in pixels {
        let mut image = [[[f32::NAN; IMAGE_SIDE]; IMAGE_SIDE]];
        normalize(&pixels, &mut image);
        assert_same_bits("image", flat(&image), flat(&oracle::normalize(&pixels)));
    }
}

#[test]
fn relu_and_pooling_of_a_window_equal_one_after_the_other() {
    for_every_kind(|draw, values, kind| {
        for _ in 0..1000 {
            let mut window = [0.0; 4];
            values.fill(kind, &mut window);
            let before = [[[window[0], window[1]], [window[2], window[3]]]];
            let mut activated = before;
            oracle::relu(activated.as_flattened_mut().as_flattened_mut());
            let expected: [[[f32; 1]; 1]; 1] = oracle::max_pool(&activated);
            let (value, winner) = relu_pool(window);
            assert_same_bits(draw, &[value], flat(&expected));

            // The winner is where a gradient of 1 goes.
            let mut gradient = oracle::max_pool_backward(&activated, &[[[1.0]]]);
            oracle::relu_backward(flat(&before), gradient.as_flattened_mut().as_flattened_mut());
            let expected = flat(&gradient).iter().position(|&gradient| gradient == 1.0);
            assert_eq!(winner, expected.map_or(NO_WINNER, |place| place as u8), "{draw}: winner of {window:?}");
        }
    });
}

/// One convolution, forward and backward, `UNPOOLED` = `SIDE` − 2, `POOLED` = `UNPOOLED` / 2.
fn check_convolution<
    const INPUT: usize,
    const SIDE: usize,
    const OUTPUT: usize,
    const UNPOOLED: usize,
    const POOLED: usize,
>() {
    let mut no_winner = 0;
    let mut late_winner = 0;
    for_every_draw(|draw, values, inputs, weights| {
        let mut input = [[[0.0; SIDE]; SIDE]; INPUT];
        let mut weight = [[[0.0; KERNEL_LEN]; INPUT]; OUTPUT];
        let mut bias = [0.0; OUTPUT];
        values.fill(inputs, input.as_flattened_mut().as_flattened_mut());
        values.fill(weights, weight.as_flattened_mut().as_flattened_mut());
        values.fill(weights, &mut bias);

        let unpooled: [[[f32; UNPOOLED]; UNPOOLED]; OUTPUT] = oracle::convolve(&input, &weight, &bias);
        let mut activated = unpooled;
        oracle::relu(activated.as_flattened_mut().as_flattened_mut());
        let expected: [[[f32; POOLED]; POOLED]; OUTPUT] = oracle::max_pool(&activated);

        let mut output = [[[f32::NAN; POOLED]; POOLED]; OUTPUT];
        convolve_relu_pool(&input, &weight, &bias, &mut output);
        assert_same_bits(&format!("{draw}: output"), flat(&output), flat(&expected));

        let mut output = [[[f32::NAN; POOLED]; POOLED]; OUTPUT];
        let mut winners = [[[u8::MAX; POOLED]; POOLED]; OUTPUT];
        convolve_relu_pool_winners(&input, &weight, &bias, &mut output, &mut winners);
        assert_same_bits(&format!("{draw}: output with winners"), flat(&output), flat(&expected));
        no_winner += winners.as_flattened().as_flattened().iter().filter(|&&winner| winner == NO_WINNER).count();
        late_winner += winners.as_flattened().as_flattened().iter().filter(|&&winner| winner == 3).count();

        let mut gradient = [[[0.0; POOLED]; POOLED]; OUTPUT];
        values.fill(inputs, gradient.as_flattened_mut().as_flattened_mut());
        let mut unpooled_gradient = oracle::max_pool_backward(&activated, &gradient);
        oracle::relu_backward(flat(&unpooled), unpooled_gradient.as_flattened_mut().as_flattened_mut());

        let mut weight_gradient = [[[f32::NAN; KERNEL_LEN]; INPUT]; OUTPUT];
        let mut bias_gradient = [f32::NAN; OUTPUT];
        convolve_backward_parameters(&input, &winners, &gradient, &mut weight_gradient, &mut bias_gradient);
        let (expected_weight, expected_bias) = oracle::convolve_backward_parameters(&input, &unpooled_gradient);
        assert_same_bits(&format!("{draw}: weight gradient"), flat(&weight_gradient), flat(&expected_weight));
        assert_same_bits(&format!("{draw}: bias gradient"), &bias_gradient, &expected_bias);

        let mut input_gradient = [[[f32::NAN; SIDE]; SIDE]; INPUT];
        convolve_backward_input(&weight, &winners, &gradient, &mut input_gradient);
        let expected: [[[f32; SIDE]; SIDE]; INPUT] = oracle::convolve_backward_input(&weight, &unpooled_gradient);
        assert_same_bits(&format!("{draw}: input gradient"), flat(&input_gradient), flat(&expected));
    });
    assert!(no_winner > 0 && late_winner > 0, "the draws reach windows without a winner and with the last one");
}

#[test]
fn conv1_with_relu_and_pooling_equals_the_loops() {
    check_convolution::<1, 28, 16, 26, 13>();
}

#[test]
fn conv2_with_relu_and_pooling_equals_the_loops_and_drops_the_odd_row_and_column() {
    check_convolution::<16, 13, 32, 11, 5>();
}

#[test]
fn a_convolution_of_another_size_equals_the_loops() {
    check_convolution::<3, 7, 4, 5, 2>();
}

/// One linear layer, forward and backward over a batch of three samples.
fn check_linear<const INPUT: usize, const OUTPUT: usize>() {
    for_every_draw(|draw, values, inputs, weights| {
        let mut weight = vec![[0.0; INPUT]; OUTPUT];
        let weight: &mut [[f32; INPUT]; OUTPUT] = weight.as_mut_slice().try_into().expect("OUTPUT rows");
        let mut bias = [0.0; OUTPUT];
        values.fill(weights, weight.as_flattened_mut());
        values.fill(weights, &mut bias);

        let mut sums = (vec![[0.0; INPUT]; OUTPUT], [0.0; OUTPUT]);
        let mut expected_sums = sums.clone();
        for sample in 0..3 {
            let mut input = [0.0; INPUT];
            values.fill(inputs, &mut input);
            let mut expected = oracle::linear(&input, weight, &bias);
            let mut output = [f32::NAN; OUTPUT];
            linear(&input, weight, &bias, &mut output);
            assert_same_bits(&format!("{draw}: output {sample}"), &output, &expected);

            let before_relu = expected;
            oracle::relu(&mut expected);
            linear_relu(&input, weight, &bias, &mut output);
            assert_same_bits(&format!("{draw}: output {sample} with ReLU"), &output, &expected);

            let mut gradient = [0.0; OUTPUT];
            values.fill(inputs, &mut gradient);
            let mut expected_gradient = gradient;
            relu_backward(&output, &mut gradient);
            oracle::relu_backward(&before_relu, &mut expected_gradient);
            assert_same_bits(&format!("{draw}: gradient {sample} before ReLU"), &gradient, &expected_gradient);

            let rows = sums.0.as_mut_slice().try_into().expect("OUTPUT rows");
            linear_backward_parameters(&input, &gradient, rows, &mut sums.1);
            let rows = expected_sums.0.as_mut_slice().try_into().expect("OUTPUT rows");
            oracle::linear_backward_parameters(&input, &gradient, rows, &mut expected_sums.1);

            let mut input_gradient = [f32::NAN; INPUT];
            linear_backward_input(weight, &gradient, &mut input_gradient);
            let expected = oracle::linear_backward_input(weight, &gradient);
            assert_same_bits(&format!("{draw}: input gradient {sample}"), &input_gradient, &expected);
        }
        assert_same_bits(&format!("{draw}: weight gradient"), sums.0.as_flattened(), expected_sums.0.as_flattened());
        assert_same_bits(&format!("{draw}: bias gradient"), &sums.1, &expected_sums.1);
    });
}

#[test]
fn fc1_equals_the_loops() {
    check_linear::<800, 120>();
}

#[test]
fn fc2_equals_the_loops_with_outputs_left_over_after_whole_blocks() {
    check_linear::<120, 10>();
}

#[test]
fn a_linear_layer_smaller_than_one_block_equals_the_loops() {
    check_linear::<5, 3>();
}

#[test]
fn softmax_cross_entropy_equals_the_loops() {
    for_every_draw(|draw, values, kind, scale| {
        let mut logits: Logits = [0.0; CLASSES];
        values.fill(kind, &mut logits);
        let factor = 100.0 * values.number(scale);
        let logits = logits.map(|logit| (logit * factor).clamp(-1.0e30, 1.0e30));
        for label in 0..CLASSES as u8 {
            for batch_length in [1, 3, 100] {
                let (loss, gradient) = cross_entropy_backward(&logits, label, batch_length);
                let (expected_loss, expected_gradient) = oracle::cross_entropy(&logits, label, batch_length);
                assert_same_bits(&format!("{draw}: loss"), &[loss, cross_entropy(&logits, label)], &[expected_loss; 2]);
                assert_same_bits(&format!("{draw}: gradient"), &gradient, &expected_gradient);
                let alone = cross_entropy_gradient(&logits, label, batch_length);
                assert_same_bits(&format!("{draw}: gradient alone"), &alone, &expected_gradient);
            }
        }
        // The probabilities are the gradient of a batch of one, but for the label's own.
        let (_, gradient) = oracle::cross_entropy(&logits, 0, 1);
        assert_same_bits(&format!("{draw}: softmax"), &softmax(&logits)[1..], &gradient[1..]);
    });
}

#[test]
fn sgd_equals_the_loop_over_several_steps() {
    for settings in [Sgd::RECIPE, Sgd { learning_rate: 0.05, momentum: 0.0, weight_decay: 0.0 }] {
        for_every_draw(|draw, values, parameters, gradients| {
            let mut state = [[0.0; 257]; 2];
            values.fill(parameters, &mut state[0]);
            let mut expected = state;
            for step in 0..5 {
                let mut gradient = [0.0; 257];
                values.fill(gradients, &mut gradient);
                let [parameters, momentum] = &mut state;
                settings.step(parameters, momentum, &gradient);
                let [parameters, momentum] = &mut expected;
                oracle::sgd(&settings, parameters, momentum, &gradient);
                assert_same_bits(&format!("{draw}: parameters after step {step}"), &state[0], &expected[0]);
                assert_same_bits(&format!("{draw}: momentum after step {step}"), &state[1], &expected[1]);
            }
        });
    }
}

#[test]
fn the_forward_pass_equals_the_loops() {
    for seed in 0..20 {
        let mut values = Values::new(seed);
        let parameters = values.initial_parameters();
        let parameters = Parameters::of(&parameters);
        let pixels = values.pixels();
        let mut activations = Activations::new();
        normalize(&pixels, &mut activations.image);
        let logits = forward(&parameters, &mut activations);
        assert_same_bits(&format!("seed {seed}: logits"), &logits, &oracle::forward(&parameters, &pixels).logits);
    }
}

#[test]
fn training_steps_equal_the_loops_for_batches_of_any_length() {
    let visible = Sgd { learning_rate: 0.02, ..Sgd::RECIPE };
    for (seed, batch_length, steps) in [(0, 1, 6), (1, 2, 6), (2, 7, 4), (3, 100, 3)] {
        for sgd in [Sgd::RECIPE, visible] {
            check_steps(
                &format!("batches of {batch_length}, lr {}", sgd.learning_rate),
                seed,
                sgd,
                batch_length,
                steps,
            );
        }
    }
}

/// Steps over batches of one length; losses, gradients, parameters and momentum are compared after each.
fn check_steps(run: &str, seed: u64, sgd: Sgd, batch_length: usize, steps: usize) {
    let mut values = Values::new(seed);
    let mut trainer = Box::new(Trainer::new());
    let mut parameters = values.initial_parameters();
    let mut momentum = boxed_zeros();
    let (mut expected_parameters, mut expected_momentum) = (parameters.clone(), momentum.clone());
    for step in 1..=steps {
        let batch: Vec<(Pixels, u8)> =
            (0..batch_length).map(|_| (values.pixels(), values.below(CLASSES as u32) as u8)).collect();
        let borrowed = batch.iter().map(|(pixels, label)| (pixels, *label));
        let loss = trainer.step(&sgd, &mut parameters, &mut momentum, borrowed).expect("the loss is finite");

        let run = format!("{run}, step {step}");
        let (expected_gradient, expected_loss) = oracle::batch_gradient(&expected_parameters, &batch);
        oracle::sgd(&sgd, &mut *expected_parameters, &mut *expected_momentum, &*expected_gradient);
        assert_eq!(loss.to_bits(), expected_loss.to_bits(), "{run}: loss {loss}, expected {expected_loss}");
        assert_same_parameters(&format!("{run}: gradient"), trainer.gradient(), &expected_gradient);
        assert_same_parameters(&format!("{run}: parameters"), &parameters, &expected_parameters);
        assert_same_parameters(&format!("{run}: momentum"), &momentum, &expected_momentum);
    }
}

#[test]
fn steps_of_the_head_are_training_steps_of_fc2_alone() {
    let fc2 = Layers::parse("fc2").expect("a layer");
    for (seed, batch_length, weight_decay) in [(10, 1, 0.0), (11, 7, 0.005), (12, 30, 0.1)] {
        let mut values = Values::new(seed);
        let sgd = Sgd { learning_rate: 0.02, momentum: 0.9, weight_decay };
        let model = values.initial_parameters();
        let (mut parameters, mut momentum, mut trainer) = (model.clone(), boxed_zeros(), Box::new(Trainer::new()));
        let mut learned = *head::of(&model);
        let (mut head_momentum, mut gradient) = ([0.0; HEAD_LEN], [f32::NAN; HEAD_LEN]);
        let mut activations = Activations::new();
        for step in 0..5 {
            let batch: Vec<(Pixels, u8)> =
                (0..batch_length).map(|_| (values.pixels(), values.below(CLASSES as u32) as u8)).collect();
            let borrowed = batch.iter().map(|(pixels, label)| (pixels, *label));
            let expected = trainer.step_layers(fc2, &sgd, &mut parameters, &mut momentum, borrowed).expect("in range");
            let hidden: Vec<_> = batch
                .iter()
                .map(|(pixels, label)| {
                    logits(pixels, &Parameters::of(&model), &mut activations);
                    (activations.hidden, *label)
                })
                .collect();
            let batch = hidden.iter().map(|(hidden, label)| (hidden, *label));
            let loss = head::step(&sgd, &mut learned, &mut head_momentum, &mut gradient, batch).expect("in range");
            assert_eq!(loss.to_bits(), expected.to_bits(), "batches of {batch_length}, step {step}");
            assert_same_bits("head", &learned, head::of(&parameters));
            assert_same_bits("momentum", &head_momentum, head::of(&momentum));
            assert_same_bits("gradient", &gradient, head::of(trainer.gradient()));
        }
        let others = 0..Layer::Fc2.range().start;
        assert_same_bits("the other layers", &parameters[others.clone()], &model[others]);
        // The network with the head in the place of its own is the network that was trained.
        let pixels = values.pixels();
        let with_head = logits(&pixels, &head::with(Parameters::of(&model), &learned), &mut activations);
        assert_same_bits("logits", &with_head, &logits(&pixels, &Parameters::of(&parameters), &mut activations));
    }
}

fn flat<const A: usize, const B: usize, const C: usize>(map: &[[[f32; A]; B]; C]) -> &[f32] {
    map.as_flattened().as_flattened()
}
