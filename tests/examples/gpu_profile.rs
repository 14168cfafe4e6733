//! Counts what a training step and the evaluation of some images cost a GPU, phase by phase: `gpu_profile MNIST MODEL`.
//!
//! The kernels' PTX runs on the machine that finds races (`kernels/ptx-machine`), on the first images of MNIST with the
//! model's parameters, as on a GPU with the multiprocessors of an H200. Nothing is timed: the machine counts
//! instructions, accesses and what they ask of the banks of shared memory. Phases are the stretches between barriers.

use std::env;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use cnn_train::backend::{Backend, Epoch, Outcome, TrainingState};
use cnn_train::dataset::Split;
use cnn_train::random::in_sequence;
use cuda_sim::{Setting, ptx};
use equality::cases::{Sizes, real_digits};
use host_trainer::backend::cuda::{Cuda, Schedule};
use host_trainer::model_file::LoadedModel;
use ptx_machine::Counts;

const MULTIPROCESSORS: u32 = 132;
const BATCH: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mnist, model] = arguments.as_slice() else {
        eprintln!("usage: gpu_profile FOLDER-OF-MNIST MODEL-FILE");
        return ExitCode::from(2);
    };
    let Some(library) = cuda_sim::LIBRARY else {
        eprintln!("no C++ compiler was found to build the simulated driver");
        return ExitCode::FAILURE;
    };
    let model = match LoadedModel::read(Path::new(model)) {
        Ok(model) => model,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    cuda_loader::use_library(library);
    cuda_sim::set(Setting::Multiprocessors, MULTIPROCESSORS);
    ptx::execute();
    let case = real_digits(Sizes { train: BATCH, test: 1 }, Path::new(mnist));
    let mut cuda =
        Cuda::with_schedule(case.dataset.clone(), Schedule::Cooperative).expect("the simulated GPU is there");
    cuda.load(&TrainingState::new(model.parameters)).expect("the parameters fit");
    ptx::profile();
    let mut go_on = |_| ControlFlow::Continue(());
    let epoch = Epoch { order: &in_sequence(BATCH), batch_length: BATCH, sgd: case.sgd, layers: case.layers };
    cuda.train_epoch(epoch, &mut go_on).expect("the step is free of faults");
    cuda.evaluate(Split::Train, &mut [Outcome::default(); BATCH], &mut go_on).expect("so is the evaluation");
    for profile in ptx::take_profiles() {
        print(&profile);
    }
    ExitCode::SUCCESS
}

/// Means over the blocks that took an image; the longest warp of any block.
fn print(profile: &ptx::Profile) {
    let blocks: Vec<_> = profile.blocks.iter().take(BATCH).collect();
    println!("{}, {} blocks; means of the first {}", profile.kernel, profile.blocks.len(), blocks.len());
    println!(
        "   line   instructions  longest warp  float operations  shared: accesses  turns   global: accesses  sectors"
    );
    for phase in 0..blocks[0].len() {
        let mut sum = Counts::default();
        for block in &blocks {
            sum += block[phase].counts;
        }
        let mean = |count: u64| count / blocks.len() as u64;
        println!(
            "{:7} {:14} {:13} {:17} {:17} {:6} {:18} {:8}",
            blocks[0][phase].line,
            mean(sum.instructions),
            sum.longest_warp,
            mean(sum.float_operations),
            mean(sum.shared_accesses),
            mean(sum.shared_turns),
            mean(sum.global_accesses),
            mean(sum.global_sectors),
        );
    }
}
