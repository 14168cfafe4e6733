//! Training steps of the whole network on an emulated Cortex-M4F and M7 (`firmware/trainer` in QEMU): losses and
//! fingerprints are those of the reference backend's steps on this host.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use cnn_core::image::Pixels;
use cnn_core::sgd::Sgd;
use cnn_core::train::Trainer;
use cnn_train::backend::boxed_zeros;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use tests::board::model;

const STEPS: usize = 3;
const BATCH_LENGTH: usize = 5;
const SGD: Sgd = Sgd { learning_rate: 0.02, momentum: 0.9, weight_decay: 0.005 };
/// RAM of the trainer, the parameters and the momentum, in bytes; the stack comes on top.
const RAM: u64 = 1_300_000;

/// Instructions of a step, for each image of its batch. The machines' clock passes a tick of 40 ns in so many of them.
const INSTRUCTIONS: u64 = 7_000_000;
const TICK: u64 = 40;

/// What the image trains on, as it wants it.
fn lesson(samples: &[(Pixels, u8)]) -> Vec<u8> {
    let mut lesson: Vec<u8> = [STEPS as u32, BATCH_LENGTH as u32].iter().flat_map(|word| word.to_le_bytes()).collect();
    lesson.extend([SGD.learning_rate, SGD.momentum, SGD.weight_decay].iter().flat_map(|rate| rate.to_le_bytes()));
    lesson.extend(initial_parameters(1).iter().flat_map(|value| value.to_le_bytes()));
    for (pixels, label) in samples {
        lesson.push(*label);
        lesson.extend(pixels);
    }
    lesson
}

/// What the image says, line by line, on a machine of QEMU.
fn trained_on(machine: &str, elf: &Path, samples: &[(Pixels, u8)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("lesson");
    fs::write(&file, lesson(samples)).expect("room for 500 KB");
    let output = Command::new("timeout")
        .args(["300", "qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none", "-serial", "null"])
        .args(["-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel"])
        .arg(elf)
        .arg("-device")
        .arg(format!("loader,file={},addr=0x00200000,force-raw=on", file.display()))
        .output()
        .expect("qemu-system-arm is installed");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{machine}: {said}");
    said.lines().map(str::to_owned).collect()
}

/// What the same steps give here.
fn trained_here(samples: &[(Pixels, u8)]) -> Vec<String> {
    let (mut parameters, mut momentum, mut trainer) = (initial_parameters(1), boxed_zeros(), Box::new(Trainer::new()));
    let steps = samples.chunks(BATCH_LENGTH).map(|batch| {
        let batch = batch.iter().map(|(pixels, label)| (pixels, *label));
        let loss = trainer.step(&SGD, &mut parameters, &mut momentum, batch).expect("it does not diverge");
        format!("step {:016x} {}", loss.to_bits(), Fingerprint::of(&parameters))
    });
    steps.collect()
}

#[cfg_attr(no_trainer, ignore = "TRAINER_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn steps_of_the_whole_network_on_a_cortex_m4f_and_m7_are_the_references() {
    let Some(elf) = env::var_os("TRAINER_ELF") else {
        skipped::skip("TRAINER_ELF is not set; .ci/firmware.sh builds the image and runs this test");
        return;
    };
    let images = model::images(30, STEPS * BATCH_LENGTH).into_iter().enumerate();
    let samples: Vec<(Pixels, u8)> = images.map(|(index, image)| (image, (index * 3 % 10) as u8)).collect();
    let expected = trained_here(&samples);
    for machine in ["mps2-an386", "mps2-an500"] {
        let said = trained_on(machine, Path::new(&elf), &samples);
        let steps: Vec<&String> = said.iter().filter(|line| line.starts_with("step ")).collect();
        assert_eq!(steps, expected.iter().collect::<Vec<_>>(), "{machine}");
        let numbers = |name: &str| -> Vec<u64> {
            said.iter().filter_map(|line| line.strip_prefix(name)?.trim().parse().ok()).collect()
        };
        let (ram, ticks) = (numbers("ram"), numbers("ticks"));
        assert_eq!((ram.len(), ticks.len()), (1, STEPS), "{said:?}");
        let instructions = ticks.iter().max().expect("three") * TICK / BATCH_LENGTH as u64;
        println!("{machine}: {} of {RAM} bytes; {instructions} of {INSTRUCTIONS} instructions an image", ram[0]);
        assert!(ram[0] <= RAM && instructions <= INSTRUCTIONS, "past its budget");
    }
}
