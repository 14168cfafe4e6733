//! Writes a model file with untrained parameters: `random_model SEED FILE`.

use std::env;
use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [seed, path] = arguments.as_slice() else {
        eprintln!("usage: random_model SEED FILE");
        return ExitCode::from(2);
    };
    let Ok(seed) = seed.parse() else {
        eprintln!("the seed '{seed}' is not a number from 0 to 2^64 - 1");
        return ExitCode::from(2);
    };
    match fs::write(path, tests::board::model::file(seed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
