//! Forward passes of both kinds on processors without a board here, in QEMU: a Cortex-M0 and an RV32IMC without a
//! floating-point unit, and a Cortex-M33 with the firmware's loops in assembly. `.ci/firmware.sh` builds `firmware/emulated`
//! for them.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use cnn_core::image::Pixels;
use cnn_core::int8::{self, OwnedParameters};
use cnn_core::network::{self, Parameters};
use cnn_train::int8::{block, calibrate, quantize};
use cnn_train::random::initial_parameters;
use host_trainer::dataset::idx;
use tests::board::model;

/// An emulated processor.
struct Machine {
    target: &'static str,
    qemu: &'static [&'static str],
    /// Where its work lies: `firmware/emulated/src/machine.rs`.
    work: u32,
    /// Images in f32: few where each operation is a call.
    images: usize,
    /// Instructions that a forward pass may take, in f32 and in int8.
    budgets: [u64; 2],
}

const CORTEX_M0: Machine = Machine {
    target: "thumbv6m-none-eabi",
    // The micro:bit's memories, made larger for the parameters and the images.
    qemu: &[
        "qemu-system-arm",
        "-M",
        "microbit",
        "-global",
        "nrf51-soc.flash-size=1048576",
        "-global",
        "nrf51-soc.sram-size=262144",
    ],
    work: 0x2_0000,
    images: 20,
    budgets: [140_000_000, 3_000_000],
};
const CORTEX_M33: Machine = Machine {
    target: "thumbv8m.main-none-eabihf",
    qemu: &["qemu-system-arm", "-M", "mps2-an505"],
    work: 0x1010_0000,
    images: IMAGES,
    budgets: [1_700_000, 800_000],
};
const RV32IMC: Machine = Machine {
    target: "riscv32imc-unknown-none-elf",
    qemu: &["qemu-system-riscv32", "-M", "virt", "-bios", "none"],
    work: 0x8010_0000,
    images: 20,
    budgets: [75_000_000, 3_300_000],
};
const IMAGES: usize = 500;

/// MNIST's first test images, or random ones where MNIST is not there.
fn images() -> Vec<Pixels> {
    let folder = env::var("MNIST_DIR").unwrap_or_default();
    if folder.is_empty() {
        skipped::skip_part(format_args!("MNIST_DIR is not set; {IMAGES} random images take the place of MNIST's"));
        return model::images(7, IMAGES);
    }
    let plain = Path::new(&folder).join("t10k-images-idx3-ubyte");
    let path = if plain.exists() { plain } else { plain.with_extension("gz") };
    let mut images = idx::read_images(&path).expect("MNIST_DIR holds MNIST");
    images.truncate(IMAGES);
    images
}

/// Runs the images on the machine: the bits of each one's logits, and the most instructions that one took.
fn run(machine: &Machine, kind: u32, parameters: &[u8], images: &[Pixels]) -> (Vec<[u32; 10]>, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("work");
    let mut work = [kind.to_le_bytes(), (images.len() as u32).to_le_bytes()].concat();
    work.extend_from_slice(parameters);
    work.resize(work.len().next_multiple_of(4), 0);
    images.iter().for_each(|pixels| work.extend_from_slice(pixels));
    fs::write(&path, work).expect("the folder takes it");
    let built = env::var("EMULATED_TARGET_DIR").expect("the test is ignored without it");
    let mut loader = String::new();
    write!(loader, "loader,file={},addr={:#x},force-raw=on", path.display(), machine.work).expect("a String");
    let [program, arguments @ ..] = machine.qemu else { unreachable!("a machine has a program") };
    let output = Command::new(program)
        .args(arguments)
        .args(["-display", "none", "-monitor", "none", "-serial", "null", "-icount", "shift=0"])
        .args(["-semihosting-config", "enable=on,target=native", "-device", &loader, "-kernel"])
        .arg(Path::new(&built).join(machine.target).join("release/emulated"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {:?}: {errors}", machine.target, output.status);
    let mut most = 0;
    let text = String::from_utf8(output.stdout).expect("it prints ASCII");
    let line_of = |line: &str| {
        let (logits, taken) = line.rsplit_once(' ').expect("logits and instructions");
        most = most.max(taken.parse().expect("a number"));
        let logits = logits.split(' ').map(|bits| u32::from_str_radix(bits, 16).expect("bits"));
        logits.collect::<Vec<_>>().try_into().expect("ten logits")
    };
    let logits: Vec<[u32; 10]> = text.lines().map(line_of).collect();
    assert_eq!(logits.len(), images.len(), "{}: {errors}", machine.target);
    (logits, most)
}

fn assert_within(machine: &Machine, kind: usize, most: u64) {
    let (name, budget) = (["f32", "int8"][kind], machine.budgets[kind]);
    println!("{}, {name}: {most} of {budget} instructions at most", machine.target);
    assert!(0 < most && most <= budget, "past its budget");
}

fn float_logits_are_the_hosts(machine: &Machine) {
    let images = &images()[..machine.images];
    let parameters = initial_parameters(1);
    let (logits, most) = run(machine, 0, bytemuck::cast_slice(&parameters[..]), images);
    let mut activations = network::Activations::new();
    let expected: Vec<_> = images
        .iter()
        .map(|pixels| network::logits(pixels, &Parameters::of(&parameters), &mut activations).map(f32::to_bits))
        .collect();
    assert_eq!(logits, expected);
    assert_within(machine, 0, most);
}

fn int8_logits_are_the_hosts(machine: &Machine) {
    let images = images();
    let float = initial_parameters(1);
    let (mut parameters, _) = quantize(&float, calibrate(&float, &images[..20]));
    let most = assert_int8_equal(machine, &parameters, &images);
    assert_within(machine, 1, most);
    // Factors that no trained model has, which take other loops in the firmware.
    parameters.shifts[7] = 32;
    parameters.shifts[20] = 1;
    assert_int8_equal(machine, &parameters, &images[..5]);
}

fn assert_int8_equal(machine: &Machine, parameters: &OwnedParameters, images: &[Pixels]) -> u64 {
    let (logits, most) = run(machine, 1, &block(parameters)[..], images);
    let mut activations = int8::Activations::new();
    let expected: Vec<_> = images
        .iter()
        .map(|pixels| int8::reference::forward(pixels, &parameters.view(), &mut activations).map(|logit| logit as u32))
        .collect();
    assert_eq!(logits, expected);
    most
}

#[cfg_attr(no_emulated, ignore = "EMULATED_TARGET_DIR is not set: .ci/firmware.sh runs it")]
#[test]
fn a_cortex_m0_gives_the_hosts_bits() {
    float_logits_are_the_hosts(&CORTEX_M0);
    int8_logits_are_the_hosts(&CORTEX_M0);
}

#[cfg_attr(no_emulated, ignore = "EMULATED_TARGET_DIR is not set: .ci/firmware.sh runs it")]
#[test]
fn a_cortex_m33_gives_the_hosts_bits() {
    float_logits_are_the_hosts(&CORTEX_M33);
    int8_logits_are_the_hosts(&CORTEX_M33);
}

#[cfg_attr(no_emulated, ignore = "EMULATED_TARGET_DIR is not set: .ci/firmware.sh runs it")]
#[test]
fn an_rv32imc_gives_the_hosts_bits() {
    float_logits_are_the_hosts(&RV32IMC);
    int8_logits_are_the_hosts(&RV32IMC);
}
