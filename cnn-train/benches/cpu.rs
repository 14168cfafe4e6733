//! The CPU backend in pieces and as a whole: `cargo bench -p cnn-train`, or a part of it, as
//! `cargo bench -p cnn-train -- conv2 avx512`.
//!
//! Every operation handles 100 digits and is measured at each SIMD level of the machine, on one thread.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use cnn_core::image::Pixels;
use cnn_core::loss::cross_entropy_gradient;
use cnn_core::sgd::Sgd;
use cnn_core::shapes::{CLASSES, Layers};
use cnn_train::backend::cpu::forward::unpadded;
use cnn_train::backend::cpu::kernels::conv1::{self, Marks};
use cnn_train::backend::cpu::kernels::conv2;
use cnn_train::backend::cpu::kernels::linear::{Fc1BackwardInput, Fc1Forward, Fc2BackwardInput, Fc2Forward, IMAGES};
use cnn_train::backend::cpu::kernels::update::{Accumulate, Fc1Terms, Fc1Update, HeadGradient, Step};
use cnn_train::backend::cpu::layout::{
    ConvParameters, HeadParameters, Hidden, Image, PaddedLogits, Pool1, Pool2, Winners2,
};
use cnn_train::backend::cpu::network::{SharedNetwork, read, write};
use cnn_train::backend::cpu::pieces::{ConvPiece, Fc1Piece, HeadPiece, Panels};
use cnn_train::backend::cpu::simd::dispatch::Dispatch;
use cnn_train::backend::cpu::{Cpu, CpuOptions, SimdLevel};
use cnn_train::backend::{Backend, Epoch, Outcome, TrainingState};
use cnn_train::dataset::{Dataset, Split, synthetic};
use cnn_train::int8::{Evaluator, calibrate, quantize};
use cnn_train::random::{initial_parameters, shuffled};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const BATCH: usize = 100;

/// The built-in digits, as many as MNIST has.
static DIGITS: LazyLock<Arc<Dataset>> = LazyLock::new(|| Arc::new(synthetic::standard()));

fn main() {
    divan::main();
}

fn levels() -> Vec<SimdLevel> {
    SimdLevel::available().collect()
}

/// A network and everything that a step on [`BATCH`] digits leaves behind.
struct Fixture {
    dispatch: Dispatch,
    network: SharedNetwork,
    panels: Box<Panels>,
    pixels: Vec<Pixels>,
    labels: Vec<u8>,
    image: Vec<Image>,
    pool1: Vec<Pool1>,
    marks: Vec<Marks>,
    winners1: Vec<Pool1>,
    pool2: Vec<Pool2>,
    winners2: Vec<Winners2>,
    hidden: Vec<Hidden>,
    logits: Vec<PaddedLogits>,
    logits_gradient: Vec<PaddedLogits>,
    hidden_gradient: Vec<Hidden>,
    pool2_gradient: Vec<Pool2>,
    pool1_gradient: Vec<Pool1>,
    conv_gradient: Vec<ConvParameters>,
    conv_sums: Box<ConvParameters>,
    head_sums: Box<HeadParameters>,
    fc1_terms: Fc1Terms,
}

impl Fixture {
    fn new(level: SimdLevel) -> Self {
        let dispatch = Dispatch::new(level).expect("only levels of this machine are measured");
        let mut network = SharedNetwork::new(dispatch);
        network.load(&TrainingState::new(initial_parameters(0)));
        let mut fixture = Self {
            dispatch,
            network,
            panels: Box::default(),
            pixels: DIGITS.train.images()[..BATCH].to_vec(),
            labels: DIGITS.train.labels()[..BATCH].to_vec(),
            image: vec![Image::default(); BATCH],
            pool1: vec![Pool1::default(); BATCH],
            marks: vec![Marks::default(); BATCH],
            winners1: vec![Pool1::default(); BATCH],
            pool2: vec![Pool2::default(); BATCH],
            winners2: vec![Winners2::default(); BATCH],
            hidden: vec![Hidden::default(); BATCH],
            logits: vec![PaddedLogits::default(); BATCH],
            logits_gradient: vec![PaddedLogits::default(); BATCH],
            hidden_gradient: vec![Hidden::default(); BATCH],
            pool2_gradient: vec![Pool2::default(); BATCH],
            pool1_gradient: vec![Pool1::default(); BATCH],
            conv_gradient: vec![ConvParameters::default(); BATCH],
            conv_sums: Box::default(),
            head_sums: Box::default(),
            fc1_terms: Fc1Terms::default(),
        };
        fixture.normalize();
        fixture.conv1_forward();
        fixture.conv2_forward();
        fixture.fc1_forward();
        fixture.fc2_forward();
        fixture.loss();
        fixture.fc2_backward_input();
        fixture.fc1_backward_input();
        fixture.conv2_backward();
        fixture.conv1_backward();
        // Twice: outputs are grouped by the segment before.
        fixture.fc1_terms();
        fixture.fc1_terms();
        fixture
    }

    fn normalize(&mut self) {
        for (pixels, image) in self.pixels.iter().zip(&mut self.image) {
            self.network.pixel_table.normalize(pixels, image);
        }
    }

    fn conv1_forward(&mut self) {
        let ConvPiece { parameters, .. } = &**read(&self.network.conv);
        for n in 0..BATCH {
            self.dispatch.run(conv1::Forward {
                pixels: &self.pixels[n],
                image: &self.image[n],
                weight: &parameters.conv1_weight,
                bias: &parameters.conv1_bias,
                pool1: &mut self.pool1[n],
                winners: Some(&mut self.winners1[n]),
                marks: &mut self.marks[n],
            });
        }
    }

    fn conv2_forward(&mut self) {
        let ConvPiece { parameters, conv2_forward, background, .. } = &**read(&self.network.conv);
        for n in 0..BATCH {
            self.dispatch.run(conv2::Forward {
                pool1: &self.pool1[n],
                marks: &self.marks[n],
                weight: conv2_forward,
                bias: &parameters.conv2_bias,
                background,
                pool2: &mut self.pool2[n],
                winners: Some(&mut self.winners2[n]),
            });
        }
    }

    fn fc1_forward(&mut self) {
        let network = self.network.read();
        let forward = self.network.forward(&network, &mut self.panels);
        for (input, output) in self.pool2.chunks(IMAGES).zip(self.hidden.chunks_mut(IMAGES)) {
            let bias = &forward.head.parameters.fc1_bias;
            self.dispatch.run(Fc1Forward { weight: forward.fc1, bias, input, output });
        }
    }

    fn fc2_forward(&mut self) {
        let HeadPiece { parameters, fc2_forward, .. } = &**read(&self.network.head);
        for (input, output) in self.hidden.chunks(IMAGES).zip(self.logits.chunks_mut(IMAGES)) {
            let bias = &parameters.fc2_bias;
            self.dispatch.run(Fc2Forward { weight: fc2_forward, bias, input, output });
        }
    }

    fn loss(&mut self) {
        for n in 0..BATCH {
            let gradient = cross_entropy_gradient(unpadded(&self.logits[n]), self.labels[n], BATCH);
            self.logits_gradient[n][..gradient.len()].copy_from_slice(&gradient);
        }
    }

    fn fc2_backward_input(&mut self) {
        let HeadPiece { parameters, .. } = &**read(&self.network.head);
        for n in 0..BATCH {
            self.dispatch.run(Fc2BackwardInput {
                head: parameters,
                logits_gradient: &self.logits_gradient[n],
                hidden: &self.hidden[n],
                hidden_gradient: &mut self.hidden_gradient[n],
            });
        }
    }

    fn fc1_backward_input(&mut self) {
        let network = self.network.read();
        let weight = network.fc1_weight();
        let images = self.hidden_gradient.chunks(IMAGES).zip(self.pool2_gradient.chunks_mut(IMAGES));
        for (output_gradient, input_gradient) in images {
            self.dispatch.run(Fc1BackwardInput { weight, output_gradient, input_gradient });
        }
    }

    fn conv2_backward(&mut self) {
        let ConvPiece { parameters, .. } = &**read(&self.network.conv);
        for n in 0..BATCH {
            let gradient = &mut self.conv_gradient[n];
            self.dispatch.run(conv2::Backward {
                pool1: &self.pool1[n],
                winners: &self.winners2[n],
                pool2_gradient: &self.pool2_gradient[n],
                weight: &parameters.conv2_weight,
                weight_gradient: &mut gradient.conv2_weight,
                bias_gradient: &mut gradient.conv2_bias,
                pool1_gradient: &mut self.pool1_gradient[n],
            });
        }
    }

    fn conv1_backward(&mut self) {
        for n in 0..BATCH {
            let gradient = &mut self.conv_gradient[n];
            self.dispatch.run(conv1::Backward {
                image: &self.image[n],
                winners: &self.winners1[n],
                pool1_gradient: &self.pool1_gradient[n],
                weight_gradient: &mut gradient.conv1_weight,
                bias_gradient: &mut gradient.conv1_bias,
            });
        }
    }

    fn conv_sums(&mut self) {
        for gradients in self.conv_gradient.chunks(IMAGES) {
            self.dispatch.run(Accumulate { sums: &mut self.conv_sums, gradients });
        }
    }

    fn head_sums(&mut self) {
        self.dispatch.run(HeadGradient {
            hidden: &self.hidden,
            hidden_gradient: &self.hidden_gradient,
            logits_gradient: &self.logits_gradient,
            sums: &mut self.head_sums,
        });
    }

    fn fc1_terms(&mut self) {
        self.fc1_terms.clear();
        for (sample, gradient) in self.hidden_gradient.iter().enumerate() {
            self.fc1_terms.push(sample, gradient);
        }
    }

    fn fc1_update(&mut self) {
        for (block, piece) in self.network.fc1.iter().enumerate() {
            let Fc1Piece { weight, momentum, gradient } = &mut **write(piece);
            let (first, last) = (true, Some(Sgd::RECIPE));
            let (input, terms) = (&self.pool2, &self.fc1_terms);
            self.dispatch.run(Fc1Update { first, last, input, terms, block, weight, momentum, gradient });
        }
    }

    fn fc1_panels(&mut self) {
        black_box(self.network.forward(&self.network.read(), &mut self.panels));
    }

    fn conv_update(&mut self) {
        let piece = &mut **write(&self.network.conv);
        let (parameters, momentum) = (piece.parameters.values_mut(), piece.momentum.values_mut());
        self.dispatch.run(Step { sgd: Sgd::RECIPE, parameters, momentum, gradient: self.conv_sums.values() });
    }

    fn conv_refresh(&mut self) {
        write(&self.network.conv).refresh(self.dispatch, &self.network.pixel_table);
    }
}

/// One benchmark for each operation.
macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        mod operation {
            use super::*;

            $(
                #[divan::bench(args = levels())]
                fn $name(bencher: Bencher, level: SimdLevel) {
                    let mut fixture = Fixture::new(level);
                    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| fixture.$name());
                }
            )*
        }
    };
}

operations!(
    normalize,
    conv1_forward,
    conv2_forward,
    fc1_forward,
    fc2_forward,
    loss,
    fc2_backward_input,
    fc1_backward_input,
    conv2_backward,
    conv1_backward,
    conv_sums,
    head_sums,
    fc1_terms,
    fc1_update,
    fc1_panels,
    conv_update,
    conv_refresh,
);

/// A backend at the start of training.
fn backend(options: CpuOptions) -> Cpu {
    let mut cpu = Cpu::new(DIGITS.clone(), options).expect("the options are this machine's");
    cpu.load(&TrainingState::new(initial_parameters(0))).expect("loading cannot fail");
    cpu
}

fn train(cpu: &mut Cpu, order: &[u32], batch_length: usize) {
    let epoch = Epoch { order, batch_length, sgd: Sgd::RECIPE, layers: Layers::ALL };
    cpu.train_epoch(epoch, &mut |_| ControlFlow::Continue(())).expect("the loss of the recipe is finite");
}

/// Four steps of each batch length on all cores.
#[divan::bench(args = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])]
fn four_steps(bencher: Bencher, batch_length: usize) {
    let mut cpu = backend(CpuOptions::default());
    let order = shuffled(0, 1, 4 * batch_length);
    bencher.counter(ItemsCount::new(order.len())).bench_local(|| train(&mut cpu, &order, batch_length));
}

/// An epoch of the recipe on all cores.
#[divan::bench(args = levels(), sample_count = 5, sample_size = 1)]
fn train_epoch(bencher: Bencher, level: SimdLevel) {
    let mut cpu = backend(CpuOptions { threads: None, simd: Some(level) });
    let order = shuffled(0, 1, DIGITS.train.len());
    bencher.counter(ItemsCount::new(order.len())).bench_local(|| train(&mut cpu, &order, BATCH));
}

/// Both splits on all cores.
#[divan::bench(args = levels(), sample_count = 5, sample_size = 1)]
fn evaluate_epoch(bencher: Bencher, level: SimdLevel) {
    let mut cpu = backend(CpuOptions { threads: None, simd: Some(level) });
    let images = DIGITS.train.len() + DIGITS.test.len();
    bencher.counter(ItemsCount::new(images)).bench_local(|| {
        for split in [Split::Train, Split::Test] {
            let mut outcomes = vec![Outcome::default(); DIGITS.split(split).len()];
            cpu.evaluate(split, &mut outcomes, &mut |_| ControlFlow::Continue(())).expect("nothing interrupts it");
            black_box(outcomes);
        }
    });
}

/// The test images on one thread, in f32; beside [`evaluate_int8`].
#[divan::bench(args = levels(), sample_count = 9, sample_size = 1)]
fn evaluate_f32(bencher: Bencher, level: SimdLevel) {
    let mut cpu = backend(CpuOptions { threads: Some(1), simd: Some(level) });
    let mut outcomes = vec![Outcome::default(); DIGITS.test.len()];
    bencher.counter(ItemsCount::new(outcomes.len())).bench_local(|| {
        cpu.evaluate(Split::Test, &mut outcomes, &mut |_| ControlFlow::Continue(())).expect("nothing interrupts it");
        black_box(&outcomes);
    });
}

/// The test images on one thread, in integers.
#[divan::bench(args = levels(), sample_count = 9, sample_size = 1)]
fn evaluate_int8(bencher: Bencher, level: SimdLevel) {
    let parameters = initial_parameters(0);
    let images = DIGITS.test.images();
    let (parameters, _) = quantize(&parameters, calibrate(&parameters, &images[..1000]));
    let evaluator = Evaluator::new(CpuOptions { threads: Some(1), simd: Some(level) }).expect("the level is there");
    let mut logits = vec![[0; CLASSES]; images.len()];
    bencher.counter(ItemsCount::new(images.len())).bench_local(|| {
        evaluator.run(&parameters, images, &mut logits);
        black_box(&logits);
    });
}
