//! `train --seeds`: the same recipe with one seed after another, each run in a folder of its own.

use std::process::ExitCode;

use super::output::say;
use super::{start, train};
use crate::cli::{SeedsArg, TrainArgs};

/// Trains one run, or with each of the seeds that are asked for.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let Some(SeedsArg(seeds)) = args.seeds.clone() else { return train::run(args) };
    // Hours before its turn.
    for seed in seeds.clone() {
        start::check_free(&of_seed(args, seed))?;
    }
    for seed in seeds {
        let code = train::run(&of_seed(args, seed))?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
        say!();
    }
    Ok(ExitCode::SUCCESS)
}

/// The flags of the run of one seed.
fn of_seed(args: &TrainArgs, seed: u64) -> TrainArgs {
    let folder = format!("seed-{seed}");
    let mut args = args.clone();
    args.seeds = None;
    args.recipe.seed = seed;
    args.out.push(&folder);
    if let Some(logs) = &mut args.tensorboard {
        logs.push(folder);
    }
    args
}
