//! The table knows all that the code has: what is added to the code without a row, a column or a test fails here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cnn_train::backend::SimdLevel;

use crate::cpu;
use crate::table::{Cell, Column, Forms, Operation, Test, cell};

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the project.
pub fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the files of a folder with an extension, without it.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let folder = root().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let of_kind = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    of_kind.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

/// What follows `prefix` on each of its lines, up to the first character that no name has.
fn names_after<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let rests = text.lines().filter_map(|line| line.trim_start().strip_prefix(prefix));
    rests.map(|rest| &rest[..rest.find(|character| !is_of_name(character)).unwrap_or(rest.len())]).collect()
}

/// The forms that the table names, of one kind.
fn named(kind: impl Fn(Forms) -> &'static [&'static str]) -> BTreeSet<String> {
    Operation::ALL.iter().flat_map(|operation| kind(operation.forms())).map(|&name| name.to_owned()).collect()
}

/// Both sets have the same names.
#[track_caller]
fn assert_same_names(what: &str, table: BTreeSet<String>, code: BTreeSet<String>) {
    let without_row: Vec<_> = code.difference(&table).collect();
    let gone: Vec<_> = table.difference(&code).collect();
    assert!(
        without_row.is_empty() && gone.is_empty(),
        "{what}: without an operation in tests/equality/matrix/table.rs: {without_row:?}; named there but gone: {gone:?}"
    );
}

/// Modules of `cnn-core` without arithmetic of the network - `learn` keeps books, its steps are `head`'s -; `int8` is another one, whose forms are compared by
/// `golden_run.rs`, by its own tests and on boards (docs/integers.md).
const WITHOUT_ARITHMETIC: [&str; 6] = ["int8", "learn", "lib", "model", "protocol", "text"];
/// Public functions without arithmetic of the network: what makes, lends and describes values. The preparation of pictures
/// is integer arithmetic, lies in a folder of its own and has `tests/image.rs`.
const NO_OPERATIONS: [&str; 15] = [
    "environment::check",
    "environment::check_of",
    "head::of",
    "head::split",
    "head::with",
    "shapes::range",
    "network::new",
    "shapes::of",
    "shapes::bits",
    "shapes::contains",
    "shapes::iter",
    "shapes::name",
    "shapes::parse",
    "train::new",
    "train::gradient",
];

#[test]
fn every_public_function_of_the_core_belongs_to_an_operation() {
    let mut found = BTreeSet::new();
    for module in files("cnn-core/src", "rs") {
        if WITHOUT_ARITHMETIC.contains(&module.as_str()) {
            continue;
        }
        let text = read(&format!("cnn-core/src/{module}.rs"));
        let functions = names_after(&text, "pub fn ").into_iter().chain(names_after(&text, "pub const fn "));
        found.extend(functions.map(|function| format!("{module}::{function}")));
    }
    let mut table = named(|forms| forms.core);
    table.extend(NO_OPERATIONS.map(str::to_owned));
    assert_same_names("cnn-core", table, found);
}

#[test]
fn every_kernel_of_the_cpu_backend_belongs_to_an_operation() {
    const FOLDER: &str = "cnn-train/src/backend/cpu/kernels";
    let mut found = BTreeSet::new();
    for module in files(FOLDER, "rs") {
        let text = read(&format!("{FOLDER}/{module}.rs"));
        found.extend(names_after(&text, "impl Kernel for ").into_iter().map(|kernel| format!("{module}::{kernel}")));
    }
    assert_same_names("the CPU backend", named(|forms| forms.cpu), found);
}

#[test]
fn every_cuda_kernel_belongs_to_an_operation() {
    let texts = files("kernels/cuda", "cu").into_iter().map(|name| read(&format!("kernels/cuda/{name}.cu")));
    let found = texts.flat_map(|text| {
        let entries = text.split("__global__").skip(1).map(|rest| {
            // Between the two stands at most `__launch_bounds__(threads, blocks)`.
            let rest = rest.split_once("void").expect("kernels return nothing").1.trim_start();
            let rest = rest.strip_prefix("__launch_bounds__").map_or(rest, |rest| rest.split_once(')').unwrap().1);
            rest.split_once('(').expect("parameters").0.trim().to_owned()
        });
        entries.collect::<Vec<_>>()
    });
    assert_same_names("the CUDA kernels", named(|forms| forms.cuda), found.collect());
}

#[test]
fn every_function_of_the_firmware_in_assembly_belongs_to_an_operation() {
    let text = read("firmware/board-support/src/forward/kernels.s");
    let found = names_after(&text, ".global ").into_iter().map(str::to_owned).collect();
    assert_same_names("the firmware", named(|forms| forms.firmware), found);
}

#[test]
fn every_backend_and_every_level_has_its_columns() {
    let text = read("host-trainer/src/backend/mod.rs");
    let choices = text.split_once("pub enum BackendChoice {").expect("the choice of a backend").1;
    let choices = choices.split_once('}').expect("its end").0.lines().filter_map(|line| line.trim().strip_suffix(','));
    let (mut found, columns) = (0, Column::all());
    for choice in choices {
        let of_choice = Column::of(choice).unwrap_or_else(|| panic!("tests/equality/matrix/table.rs lacks {choice}"));
        for column in of_choice {
            assert!(columns.contains(&column), "{column:?} of {choice}");
        }
        found += 1;
    }
    assert_eq!(found, 5, "the backends that a flag names");
    assert_eq!(cpu::LEVELS, SimdLevel::ALL, "the levels of the macro in tests/equality/matrix/cpu.rs");
}

#[test]
fn an_operation_with_a_kernel_of_its_own_is_compared_by_itself_at_every_level() {
    for &operation in Operation::ALL {
        let tests_of_level = |level| match cell(operation, Column::Cpu(level)) {
            Cell::Alone(tests) => tests,
            other => panic!("{operation:?} at {level}: {other:?}"),
        };
        if !operation.forms().cpu.is_empty() {
            for level in SimdLevel::ALL {
                assert!(matches!(tests_of_level(level), [Test::AtEveryLevel(_)]), "{operation:?} at {level}");
            }
        }
    }
}

#[test]
fn what_is_compared_within_another_operation_is_compared_by_its_test() {
    for column in Column::all() {
        for &operation in Operation::ALL {
            if let Cell::Within(whole) = cell(operation, column) {
                assert!(matches!(cell(whole, column), Cell::Alone(_)), "{operation:?} of {column:?} within {whole:?}");
            }
        }
    }
}

#[test]
fn every_test_of_the_table_exists_and_every_generated_test_is_in_it() {
    let mut generated = BTreeSet::new();
    for column in Column::all() {
        for &operation in Operation::ALL {
            let Cell::Alone(tests) = cell(operation, column) else { continue };
            assert!(!tests.is_empty(), "{operation:?} of {column:?} names no test");
            for &test in tests {
                match test {
                    Test::AtEveryLevel(name) => {
                        generated.insert(name);
                    }
                    Test::In(file, name) => assert!(has_test(file, name), "{file} has no test {name}"),
                }
            }
        }
    }
    assert_eq!(generated, cpu::OPERATIONS.iter().copied().collect(), "the tests of tests/equality/matrix/cpu.rs");
}

fn has_test(file: &str, name: &str) -> bool {
    let text = read(file);
    text.split("#[test]").skip(1).any(|rest| {
        let function = rest.split_once("fn ").expect("a function follows").1;
        function.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
    })
}
