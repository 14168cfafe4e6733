//! The firmware's ELF file in QEMU, as `.ci/firmware.sh` builds it: the host's bits, the boot checks, an update's honest
//! end where there is no flash controller, the log, and the sizes.
#![cfg(unix)]

use std::env;
use std::path::Path;

use cnn_core::image::Pixels;
use cnn_core::model::ModelError;
use cnn_core::protocol::Refusal;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::board::{BoardError, verify, verify_int8};
use host_trainer::dataset::idx;
use tests::board::emulator::Firmware;
use tests::board::model;

/// Whether a model was refused for the right reason.
type Expectation = fn(ModelError) -> bool;
/// Images that a board must classify as the host does.
const IMAGES: usize = 500;
/// Bytes of flash that the program may take: the first four sectors.
const FLASH_BUDGET: u32 = 64 * 1024;
/// Bytes of RAM that variables and the stack at its deepest may take.
const RAM_BUDGET: u32 = 32 * 1024;

/// MNIST's first test images, or strokes where MNIST is not there.
fn images() -> (Vec<Pixels>, Vec<u8>) {
    let folder = env::var("MNIST_DIR").unwrap_or_default();
    if folder.is_empty() {
        skipped::skip_part(format_args!("MNIST_DIR is not set; {IMAGES} random images take the place of MNIST's"));
        return (model::images(7, IMAGES), vec![0; IMAGES]);
    }
    let file = |name: &str| {
        let plain = Path::new(&folder).join(name);
        if plain.exists() { plain } else { plain.with_extension("gz") }
    };
    let mut images = idx::read_images(&file("t10k-images-idx3-ubyte")).expect("MNIST_DIR holds MNIST");
    let mut labels = idx::read_labels(&file("t10k-labels-idx1-ubyte")).expect("MNIST_DIR holds MNIST");
    images.truncate(IMAGES);
    labels.truncate(IMAGES);
    (images, labels)
}

#[cfg_attr(no_firmware, ignore = "FIRMWARE_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn every_logit_is_the_hosts_bit_for_bit_within_the_budget_of_ram() {
    let Some(firmware) = Firmware::of_environment() else { return };
    let mut emulator = firmware.boot_with(&model::file(1));
    let (images, labels) = images();
    let samples = images.iter().zip(labels);
    let result = verify(emulator.client(), &initial_parameters(1), samples, |_| {});
    let verification = result.expect("the board answers");
    assert_eq!((verification.images, verification.differences), (IMAGES, vec![]));

    let info = emulator.client().info().expect("the board answers");
    assert_eq!((info.board.as_str(), info.line.good), ("NUCLEO-F446RE", IMAGES as u32 + 2));
    let sizes = firmware.sizes();
    assert_eq!((info.memory.flash, info.memory.variables), (sizes.flash, sizes.variables));
    println!("flash {}, variables {}, stack {} bytes", sizes.flash, sizes.variables, info.memory.stack);
    assert!(sizes.flash <= FLASH_BUDGET, "{} bytes of flash", sizes.flash);
    let ram = sizes.variables + info.memory.stack;
    assert!(ram <= RAM_BUDGET, "{ram} bytes of RAM");
}

#[cfg_attr(no_firmware, ignore = "FIRMWARE_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn every_integer_of_an_int8_model_is_the_hosts() {
    let Some(firmware) = Firmware::of_environment() else { return };
    let model = model::loaded_int8(1);
    let mut emulator = firmware.boot_with(model.file());
    let (images, labels) = images();
    let samples = images.iter().zip(labels);
    let verification = verify_int8(emulator.client(), &model, samples, |_| {}).expect("the board answers");
    assert_eq!((verification.images, verification.differences), (IMAGES, vec![]));
}

#[cfg_attr(no_firmware, ignore = "FIRMWARE_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn the_linked_model_runs() {
    let Some(firmware) = Firmware::of_environment() else { return };
    if env::var_os("FIRMWARE_HAS_MODEL").is_none() {
        skipped::skip("the firmware was built without a model");
        return;
    }
    let mut emulator = firmware.boot();
    assert!(emulator.client().info().expect("the board answers").model.is_ok());
}

#[cfg_attr(no_firmware, ignore = "FIRMWARE_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn a_model_that_must_not_run_is_refused_at_boot_by_name() {
    let Some(firmware) = Firmware::of_environment() else { return };
    let mut nan = model::file(1);
    let last = nan.len() - 4;
    nan[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    let damaged = nan.clone();
    model::seal(&mut nan);
    let parameters = initial_parameters(1);
    let pixels = [7; 784];
    let mut metadata = model::metadata(&parameters, &pixels);
    metadata.golden.logits[0] = f32::from_bits(metadata.golden.logits[0].to_bits() ^ 1);
    let other_logits = model::write(&metadata, &parameters);
    metadata.shapes[0][0] = 8;
    let other_shapes = model::write(&metadata, &parameters);
    let is_self_test: Expectation = |error| matches!(error, ModelError::SelfTest { class: 0, .. });
    let cases: [(&[u8], Expectation); 5] = [
        (&[], |error| error == ModelError::Magic),
        (&damaged, |error| error == ModelError::Checksum),
        (&nan, |error| error == ModelError::OutOfRange(102_129)),
        (&other_shapes, |error| error == ModelError::Shapes),
        (&other_logits, is_self_test),
    ];
    for (file, expected) in cases {
        let mut emulator = firmware.boot_with(file);
        let error = emulator.client().info().expect("the board answers").model.expect_err("it must not run");
        assert!(expected(error), "{error:?}");
        let classified = emulator.client().classify(&pixels);
        assert!(matches!(classified, Err(BoardError::Refused(Refusal::NoModel(_)))), "{classified:?}");
    }
}

#[cfg_attr(no_firmware, ignore = "FIRMWARE_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn an_update_without_a_flash_controller_is_refused_and_the_old_model_runs_on_even_after_a_reset() {
    let Some(firmware) = Firmware::of_environment() else { return };
    let mut emulator = firmware.boot_with(&model::file(1));
    let result = emulator.client().update(&model::loaded(2), |_| {});
    assert!(matches!(result, Err(BoardError::Refused(Refusal::Flash))), "{result:?}");
    let expected = Ok(Fingerprint::of(&initial_parameters(1)));
    assert_eq!(emulator.client().info().expect("the board answers").model, expected);
    emulator.client().reset().expect("the board answers");
    let info = emulator.client().info().expect("the board answers after the reset");
    assert_eq!((info.model, info.line.good), (expected, 1));
}

#[cfg_attr(no_firmware, ignore = "FIRMWARE_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn the_log_tells_of_the_model_and_of_every_digit() {
    let Some(firmware) = Firmware::of_environment() else { return };
    let mut emulator = firmware.boot_with(&model::file(1));
    let classified = emulator.client().classify(&[128; 784]).expect("the board answers");
    let info = emulator.client().info().expect("the log's line is written by then");
    let log = firmware.log_of(&mut emulator);
    let short = &info.model.expect("it runs").short()[..8];
    assert!(log.contains(&format!("model {short}… passed every check and runs")), "{log}");
    assert!(log.contains(&format!("digit {}, ", classified.class)), "{log}");
    assert!(log.contains(&format!(" %, {} cycles", classified.cycles)), "{log}");
}
