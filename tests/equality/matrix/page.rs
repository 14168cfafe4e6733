//! The table as a page: `docs/equality.md`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::{env, fs};

use cnn_train::backend::SimdLevel;

use crate::coverage::{read, root};
use crate::table::{Cell, Column, Emulated, Operation, Schedule, Test, cell};

const PAGE: &str = "docs/equality.md";
/// Set, this variable makes the test write the page rather than compare it.
const UPDATE: &str = "UPDATE_PAGES";

const HEAD: &str = "\
# The matrix of equality

Which test compares which operation of which backend. This page is written by `UPDATE_PAGES=1 cargo test -p equality --test equality_matrix` from the table in `tests/equality/matrix/table.rs`. The same test without the variable fails when the page is another, and when the code has a public function of `cnn-core`, a kernel of the CPU backend, a CUDA kernel, a function in assembly, a backend, a SIMD level, a build profile or an emulated processor that the table does not know, or the table a test that does not exist.

Every comparison is one of bits (`to_bits()`), never within a tolerance: of `cnn-core` with the obvious loops of `tests/equality/src/oracle.rs`, of everything else with `cnn-core`. The numbers are ordinary ones, exact ties, zeros of both signs, subnormals, and exponents so far apart that most additions lose bits (`tests/equality/src/values.rs`, `tests/equality/src/cases.rs`). `exp` and `ln` of `cnn-core` alone have an oracle with an error bound, the f64 functions, over every float that they are specified for; a prediction has values written down.

";

const KEY: &str = "
**●** compared by itself · **○** compared as a part of a larger operation · **=** `cnn-core`'s own code, called or compiled · **–** the backend does not have it

The CUDA kernels are those of the real sources, on a GPU where there is one and behind a simulated driver elsewhere; their committed PTX is compared too, executed on the CPU. A kernel is a phase of a step, so that most operations are compared as parts of whole steps. The CPU backend normalises by one table at all levels. The firmware is its ELF file in QEMU, which replies with logits; `cortex-m0`, `cortex-m33` and `rv32imc` are a program of `firmware/emulated` that does nothing but forward passes.
";

/// A command of CI that compares bits.
struct Run {
    processor: &'static str,
    profile: &'static str,
    /// The script that holds the command, called by `.ci/run` if it is another.
    script: &'static str,
    command: &'static str,
    /// What it compares.
    compares: &'static str,
}

const RUNS: [Run; 12] = [
    Run {
        processor: "x86-64",
        profile: "dev",
        script: ".ci/run",
        command: "cargo test --workspace --locked",
        compares: "the whole matrix but NEON and the firmware; avx512 and avx2 where the machine has them",
    },
    Run {
        processor: "x86-64",
        profile: "unoptimized",
        script: ".ci/run",
        command: "cargo test -p equality --test golden_run --profile unoptimized --locked",
        compares: "the golden run",
    },
    Run {
        processor: "x86-64",
        profile: "release",
        script: ".ci/run",
        command: "cargo test -p equality --test golden_run --test equality_matrix --release --locked",
        compares: "the golden run; every operation of the CPU backend at every level",
    },
    Run {
        processor: "x86-64",
        profile: "dev",
        script: ".ci/sanitizers.sh",
        command: "--test equality_matrix -- --test-threads 1 cpu::",
        compares: "every operation of the CPU backend at the levels avx2, sse2 and portable, its memory watched by valgrind",
    },
    Run {
        processor: "aarch64",
        profile: "release",
        script: ".ci/other-processors.sh",
        command: "[aarch64]=\"--test golden_run --test equality_matrix --test backend_equality --test divergence\"",
        compares: "the golden run; every operation, epochs of every number of threads and batch length, and runs that diverge, at the levels neon and portable (QEMU)",
    },
    Run {
        processor: "s390x",
        profile: "release",
        script: ".ci/other-processors.sh",
        command: "[s390x]=\"--test golden_run --test equality_matrix\"",
        compares: "the golden run; every operation at the level portable, on a big-endian processor (QEMU)",
    },
    Run {
        processor: "WebAssembly",
        profile: "release",
        script: ".ci/wasm.sh",
        command: "run +simd128 --release --package equality --test golden_run --test equality_matrix --test backend_equality --test divergence",
        compares: "the golden run; every operation, epochs of every batch length, and runs that diverge, on one thread, at the levels simd128 and portable (Node)",
    },
    Run {
        processor: "WebAssembly",
        profile: "release",
        script: ".ci/wasm.sh",
        command: "run -simd128 --release --package equality --test golden_run --test equality_matrix",
        compares: "the golden run; every operation at the level portable, in a module without vectors (Node)",
    },
    Run {
        processor: "WebAssembly",
        profile: "release",
        script: ".ci/wasm.sh",
        command: "run +simd128 --release --package equality --test equality_matrix -- --skip",
        compares: "every operation at the levels simd128 and portable (Firefox, Chromium)",
    },
    Run {
        processor: "Cortex-M4F",
        profile: "release",
        script: ".ci/firmware.sh",
        command: "--test board_emulator",
        compares: "the firmware's logits, and the head that it learns (QEMU)",
    },
    Run {
        processor: "Cortex-M4F, M7",
        profile: "release",
        script: ".ci/firmware.sh",
        command: "--test board_training",
        compares: "training steps of the whole network (QEMU)",
    },
    Run {
        processor: "Cortex-M0, Cortex-M33, RV32IMC",
        profile: "release",
        script: ".ci/firmware.sh",
        command: "cargo test --workspace --locked --test forward_emulator",
        compares: "forward passes of both kinds (QEMU)",
    },
];

/// The page's text.
fn page() -> String {
    let mut page = HEAD.to_owned();
    write_matrix(&mut page);
    page += KEY;
    write_tests(&mut page);
    write_forms(&mut page);
    write_runs(&mut page);
    page
}

fn write_row(page: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<_> = cells.into_iter().collect();
    writeln!(page, "| {} |", cells.join(" | ")).expect("a String takes everything");
}

fn write_matrix(page: &mut String) {
    let columns = Column::all();
    write_row(page, ["operation"].into_iter().chain(columns.iter().map(|column| column.title())).map(str::to_owned));
    writeln!(page, "|---|{}", ":-:|".repeat(columns.len())).expect("a String takes everything");
    for &operation in Operation::ALL {
        let symbols = columns.iter().map(|&column| match cell(operation, column) {
            Cell::Alone(_) => "●",
            Cell::Within(_) => "○",
            Cell::SameCode => "=",
            Cell::Absent => "–",
        });
        write_row(page, [operation.title()].into_iter().chain(symbols).map(str::to_owned));
    }
}

/// Which test: one line for each operation and group of columns.
fn write_tests(page: &mut String) {
    page.push_str("\n## The tests\n\n| operation | backend | compared by |\n|---|---|---|\n");
    let groups = [
        ("cnn-core", Column::Core),
        ("cpu, every level", Column::Cpu(SimdLevel::Portable)),
        ("cuda, cuda-graph", Column::Cuda(Schedule::Graph)),
        ("firmware", Column::Firmware),
        ("cortex-m0", Column::Emulated(Emulated::CortexM0)),
        ("cortex-m33", Column::Emulated(Emulated::CortexM33)),
        ("rv32imc", Column::Emulated(Emulated::Rv32imc)),
    ];
    for &operation in Operation::ALL {
        for (group, column) in groups {
            let by = match cell(operation, column) {
                Cell::Alone(tests) => tests.iter().map(|&test| name_of(test)).collect::<Vec<_>>().join("<br>"),
                Cell::Within(whole) => format!("as a part of: {}", whole.title()),
                Cell::SameCode | Cell::Absent => continue,
            };
            write_row(page, [operation.title().to_owned(), group.to_owned(), by]);
        }
    }
}

fn name_of(test: Test) -> String {
    match test {
        Test::In(file, name) => format!("`{file}`: `{name}`"),
        Test::AtEveryLevel(name) => format!("`tests/equality/matrix/cpu.rs`: `{name}`, a test for each level"),
    }
}

/// Where each operation is computed.
fn write_forms(page: &mut String) {
    page.push_str("\n## The code\n\n| operation | cnn-core | kernels of the CPU backend | CUDA kernels | assembly |\n");
    page.push_str("|---|---|---|---|---|\n");
    let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    for &operation in Operation::ALL {
        let forms = operation.forms();
        let lists = [forms.core, forms.cpu, forms.cuda, forms.firmware].map(list);
        write_row(page, [operation.title().to_owned()].into_iter().chain(lists));
    }
}

fn write_runs(page: &mut String) {
    page.push_str("\n## Processors and build profiles\n\n| processor | profile | compared | by |\n|---|---|---|---|\n");
    for Run { processor, profile, script, compares, .. } in RUNS {
        write_row(page, [processor.into(), profile.into(), compares.into(), format!("`{script}`")]);
    }
}

#[test]
fn the_page_is_what_the_table_says() {
    let page = page();
    if env::var_os(UPDATE).is_some() {
        fs::write(root().join(PAGE), page).expect("the page can be written");
    } else {
        assert!(read(PAGE) == page, "{PAGE} is out of date: {UPDATE}=1 cargo test -p equality --test equality_matrix");
    }
}

#[test]
fn every_level_has_the_cells_of_the_others() {
    // The page has one line for all levels, and one for both schedules.
    for &operation in Operation::ALL {
        for pair in Column::all().windows(2) {
            if matches!(pair, [Column::Cpu(_), Column::Cpu(_)] | [Column::Cuda(_), Column::Cuda(_)]) {
                assert_eq!(cell(operation, pair[0]), cell(operation, pair[1]), "{operation:?} of {pair:?}");
            }
        }
    }
}

#[test]
fn ci_runs_every_build_profile_and_processor_as_the_page_says() {
    let ci = read(".ci/run");
    for run in RUNS {
        assert!(read(run.script).contains(run.command), "{} does not run: {}", run.script, run.command);
        assert!(run.script == ".ci/run" || ci.contains(run.script), ".ci/run does not call {}", run.script);
    }

    let manifest = read("Cargo.toml");
    let profiles = manifest.lines().filter_map(|line| line.strip_prefix("[profile.")?.split(['.', ']']).next());
    let known: BTreeSet<_> = RUNS.map(|run| run.profile).into();
    assert_eq!(profiles.collect::<BTreeSet<_>>(), known, "the build profiles of Cargo.toml and of the page");

    let script = read(".ci/other-processors.sh");
    let emulated = script.lines().find_map(|line| line.strip_prefix("for processor in ")?.strip_suffix("; do"));
    for processor in emulated.expect("the script has a loop over processors").split_whitespace() {
        assert!(RUNS.iter().any(|run| run.processor == processor), "{processor} is not on the page");
    }
}
