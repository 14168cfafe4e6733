//! One result also where numbers overflow: with rates at which training diverges the CPU backend ends at the reference's
//! step, with its words, at every SIMD level and with any number of threads.

use std::collections::HashMap;
use std::sync::Arc;

use cnn_core::range::{PARAMETER_LIMIT, first_out_of_range};
use cnn_core::sgd::Sgd;
use cnn_core::train::{Diverged, Trainer};
use cnn_train::backend::cpu::{Cpu, CpuOptions, SimdLevel};
use cnn_train::backend::{Backend, Reference, boxed_zeros};
use cnn_train::dataset::{Dataset, Samples};
use cnn_train::recipe::Recipe;
use equality::cases::{Case, Sizes, real_digits};
use equality::divergence::{Ending, datasets, ending, settings};
use equality::{is_slow, mnist_dir, threads};

const THREADS: usize = threads(8);

fn cpu(dataset: &Arc<Dataset>, level: SimdLevel, threads: usize) -> Cpu {
    Cpu::new(dataset.clone(), CpuOptions { threads: Some(threads), simd: Some(level) }).unwrap()
}

/// The ending that the reference has, which every level has too; the number of threads goes with `number`.
fn common_ending(
    dataset: &Arc<Dataset>,
    backends: &mut HashMap<(SimdLevel, usize), Cpu>,
    settings: &Recipe,
    number: usize,
) -> Ending {
    let expected = ending(&mut Reference::new(dataset.clone()), dataset, settings);
    for (i, level) in SimdLevel::available().enumerate() {
        let threads = 1 + (number + 3 * i) % THREADS;
        let cpu = backends.entry((level, threads)).or_insert_with(|| cpu(dataset, level, threads));
        let found = ending(cpu, dataset, settings);
        assert_eq!(found, expected, "number {number}, {}, {settings:?}", cpu.description());
    }
    expected
}

#[test]
fn a_thousand_runs_end_alike_at_every_level_whether_they_diverge_or_not() {
    let count = if is_slow() { 9 } else { 1000 };
    let datasets = datasets();
    let mut diverged = 0;
    for (i, dataset) in datasets.iter().enumerate() {
        let mut backends = HashMap::new();
        for number in (i..count).step_by(datasets.len()) {
            let ending = common_ending(dataset, &mut backends, &settings(number as u32), number);
            diverged += usize::from(ending.has_diverged());
        }
    }
    println!("{diverged} of {count} runs diverged");
    assert!(diverged > count / 3 && diverged < count * 4 / 5, "{diverged} of {count} runs diverged");
}

/// Recipe with which backends ended apart when it was the loss that decided.
#[cfg_attr(no_mnist, ignore = "MNIST_DIR is not set")]
#[test]
fn runs_on_real_digits_that_once_ended_apart_end_alike() {
    let Some(folder) = mnist_dir() else { return };
    let recipe =
        |seed, batch_size, learning_rate| Recipe { epochs: 3, batch_size, learning_rate, seed, ..Recipe::TUTORIAL };
    for (images, settings) in [(1000, recipe(2, 10, 3.0)), (17, recipe(76, 2, 13.6))] {
        let Case { dataset, .. } = real_digits(Sizes { train: images, test: 10 }, &folder);
        let expected = ending(&mut Reference::new(dataset.clone()), &dataset, &settings);
        assert!(expected.has_diverged(), "{expected:?}");
        for level in SimdLevel::available() {
            for threads in 1..=THREADS {
                let mut cpu = cpu(&dataset, level, threads);
                assert_eq!(ending(&mut cpu, &dataset, &settings), expected, "{}", cpu.description());
            }
        }
    }
}

/// A network at the edge of the range: sums are as large as they can be, and everything stays finite.
#[test]
fn nothing_overflows_at_the_edge_of_the_range() {
    let edge = f32::from_bits(PARAMETER_LIMIT.to_bits() - 1);
    let pixels = [[255; 784], [0; 784], std::array::from_fn(|i| if i % 3 == 0 { 255 } else { 0 })];
    for signs in [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]] {
        let mut parameters = boxed_zeros();
        for (i, parameter) in parameters.iter_mut().enumerate() {
            *parameter = edge * signs[usize::from(i.is_multiple_of(7))];
        }
        let mut trainer = Box::new(Trainer::new());
        let loss = trainer.batch_gradient(&parameters, pixels.iter().map(|pixels| (pixels, 3)));
        assert!(loss.is_finite() && trainer.gradient().iter().all(|gradient| gradient.is_finite()));
    }
}

/// Whatever the optimiser's overflow leaves in the momentum, a parameter is out of range in the same step.
#[test]
fn an_overflow_of_the_momentum_is_seen_in_the_parameters() {
    let pixels = [9; 784];
    for learning_rate in [0.0, f32::from_bits(1), 0.1, f32::MAX] {
        for (momentum_factor, weight_decay) in [(1.5, 0.0), (0.0, f32::MAX), (f32::MAX, f32::MAX)] {
            let sgd = Sgd { learning_rate, momentum: momentum_factor, weight_decay };
            let mut parameters = boxed_zeros();
            parameters.fill(1.0e4);
            let mut momentum = boxed_zeros();
            momentum.fill(f32::MAX);
            let step = Trainer::new().step(&sgd, &mut parameters, &mut momentum, [(&pixels, 1)].into_iter());
            let overflowed = momentum.iter().any(|value| !value.is_finite());
            assert!(overflowed, "{sgd:?} overflows");
            assert_eq!(step, Err(Diverged));
            assert!(first_out_of_range(parameters.iter().copied()).is_some());
        }
    }
}

/// On processors whose control register a program may set.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod flushing {
    use cnn_core::environment::{Violation, check};
    use equality::cases::{assert_same, extremes, trace};

    use super::*;

    /// What a library that was compiled for speed does to every thread.
    #[cfg(target_arch = "x86_64")]
    fn flush_subnormals() {
        // SAFETY: it sets two bits of a register that the program may set; the thread computes nothing but by backends,
        // which put it right.
        unsafe {
            let mut control = 0u32;
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack));
            control |= 1 << 15 | 1 << 6;
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack));
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn flush_subnormals() {
        // SAFETY: as on x86-64.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) 1u64 << 24, options(nostack)) };
    }

    #[test]
    fn a_thread_that_flushes_subnormals_trains_and_evaluates_with_the_same_bits() {
        let case = extremes(if is_slow() { Sizes { train: 9, test: 3 } } else { Sizes { train: 100, test: 10 } });
        let expected = trace(&mut Reference::new(case.dataset.clone()), &case, 10);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                flush_subnormals();
                assert_eq!(check(), Err(Violation::SubnormalOperand));
                assert_same(&expected, &trace(&mut Reference::new(case.dataset.clone()), &case, 10), "reference");
                for level in SimdLevel::available() {
                    for threads in [1, 3] {
                        flush_subnormals();
                        let mut cpu = cpu(&case.dataset, level, threads);
                        assert_same(&expected, &trace(&mut cpu, &case, 10), &cpu.description());
                    }
                }
            });
        });
    }
}

#[test]
fn an_image_of_one_value_is_no_special_case_of_diverging() {
    // All pixels alike: pooling windows are full of ties, blank windows and those with ink have one sum.
    let samples = Samples::new(vec![[0; 784], [255; 784], [128; 784]], vec![0, 1, 2]);
    let dataset = Arc::new(Dataset { name: "plain".into(), hash: [0; 32], train: samples.clone(), test: samples });
    let mut backends = HashMap::new();
    for (number, learning_rate) in [0.1, 1.0, 10.0, 100.0, 1000.0, 1.0e6].into_iter().enumerate() {
        let settings =
            Recipe { epochs: if is_slow() { 4 } else { 20 }, batch_size: 2, learning_rate, ..Recipe::TUTORIAL };
        common_ending(&dataset, &mut backends, &settings, number);
    }
}
