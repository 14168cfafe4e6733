//! Without one of its barriers or fences, a kernel does something wrong, and the machine sees it: so it would see one that
//! was forgotten.

use std::ops::ControlFlow;

use cnn_train::backend::{Backend, BackendError, Epoch, Outcome};
use cnn_train::dataset::Split;
use cnn_train::random::in_sequence;
use cuda_sim::ptx;
use equality::cases::{Sizes, noise};
use host_trainer::backend::cuda::{Cuda, Schedule};
use kernels::Ptx;
use ptx_machine::Entry;

use crate::gpu::gpu_with;

/// Every block has several samples, the evaluation several blocks.
const SIZES: Sizes = Sizes { train: 40, test: 1 };
const BATCH: usize = 8;

/// Leaves each barrier and fence of a kernel out in turn; which of them are not missed, as places in their sequence.
fn not_missed(module: Ptx, kernel: &str, run: &mut dyn FnMut() -> Result<(), BackendError>) -> Vec<usize> {
    let lines = Entry::parse(module.text, kernel).unwrap().synchronizing_lines();
    let mut not_missed = Vec::new();
    for (index, &line) in lines.iter().enumerate() {
        ptx::leave_out(Some((kernel, line)));
        match (run(), ptx::take_fault()) {
            (Err(_), Some(fault)) => eprintln!("without line {line}: {fault}"),
            (Ok(()), None) => not_missed.push(index),
            other => panic!("without line {line}: {other:?}"),
        }
    }
    ptx::leave_out(None);
    run().expect("with all of them there is nothing wrong");
    not_missed
}

fn train(schedule: Schedule, module: Ptx, kernel: &str) -> Vec<usize> {
    let case = noise(SIZES);
    let order = in_sequence(2 * BATCH);
    let mut cuda = Cuda::with_schedule(case.dataset.clone(), schedule).unwrap();
    not_missed(module, kernel, &mut || {
        cuda.load(&case.state)?;
        let epoch = Epoch { order: &order, batch_length: BATCH, sgd: case.sgd, layers: case.layers };
        cuda.train_epoch(epoch, &mut |_| ControlFlow::Continue(()))
    })
}

fn evaluate(kernel: &str) -> Vec<usize> {
    let case = noise(SIZES);
    let mut cuda = Cuda::new(case.dataset.clone()).unwrap();
    cuda.load(&case.state).unwrap();
    not_missed(kernels::EVALUATE, kernel, &mut || {
        cuda.evaluate(Split::Train, &mut [Outcome::default(); SIZES.train], &mut |_| ControlFlow::Continue(()))
    })
}

/// In both kernels: the barrier between fc2's backward pass and the list that fc1's makes of its result. Each thread
/// lists what it wrote itself; the barrier is for whoever changes one of the two.
const BEFORE_FC1_BACKWARD: usize = 11;

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn training_by_cooperative_launches_needs_its_barriers() {
    let Some(_gpu) = gpu_with(3) else { return };
    // What follows the first grid barrier's end reads nothing of other blocks but whether a step has failed, which no step
    // of this test has.
    let not_needed = [BEFORE_FC1_BACKWARD, 19];
    assert_eq!(train(Schedule::Cooperative, kernels::STEPS, kernels::TRAIN_STEPS), not_needed);
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn training_by_graphs_needs_its_barriers() {
    let Some(_gpu) = gpu_with(3) else { return };
    // The first is there for a block's next sample, and the trainer launches a block for each.
    assert_eq!(train(Schedule::Graph, kernels::PHASES, kernels::TRAIN_SAMPLES), [0, BEFORE_FC1_BACKWARD]);
    assert_eq!(train(Schedule::Graph, kernels::PHASES, kernels::TRAIN_UPDATE), [0; 0]);
}

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn evaluation_needs_its_barriers() {
    let Some(_gpu) = gpu_with(1) else { return };
    assert_eq!(evaluate(kernels::EVALUATE_CONVOLUTIONS), [0; 0]);
    assert_eq!(evaluate(kernels::EVALUATE_CLASSIFIER), [0; 0]);
}
