//! Writes what fuzzing starts from, a folder for each target: `fuzz_corpus [FOLDER]`, by default `fuzz/corpus`; prints
//! the name of each target and the length of its longest input in bytes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use tests::hostile::TARGETS;

fn main() -> ExitCode {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let folder = env::args_os().nth(1).map_or(default, PathBuf::from);
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write into {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    for target in &TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("{number:02}")), seed)?;
        }
        println!("{} {}", target.name, target.max_len);
    }
    Ok(())
}
