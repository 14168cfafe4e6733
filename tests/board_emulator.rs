//! The firmware's ELF files in emulators, as `.ci/firmware.sh` builds them. The NUCLEO-F446RE's in QEMU: the host's bits, the
//! boot checks, an update's honest end where there is no flash controller, the log, and the sizes. The Raspberry Pi Pico's in
//! rp2040js, over USB: the host's bits, hostile bytes, an update that succeeds, and the sizes.
#![cfg(unix)]

use std::env;
use std::io::{ErrorKind, Write};
use std::path::Path;

use cnn_core::image::Pixels;
use cnn_core::model::ModelError;
use cnn_core::protocol::Refusal;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::board::{BoardError, BoardInfo, Client, Contents, FlashImage, Link, verify, verify_int8};
use host_trainer::dataset::idx;
use tests::board::emulator::{Firmware, Pico};
use tests::board::line::hostile_bytes;
use tests::board::model;

/// Whether a model was refused for the right reason.
type Expectation = fn(ModelError) -> bool;
/// Images that a board must classify as the host does.
const IMAGES: usize = 500;
/// Bytes of flash that the program may take: the first four sectors.
const FLASH_BUDGET: u32 = 64 * 1024;
/// Bytes of RAM that variables and the stack at its deepest may take.
const RAM_BUDGET: u32 = 32 * 1024;
/// The same for the Raspberry Pi Pico: 128 KB in front of the model, and a share of its 264 KB.
const PICO_FLASH_BUDGET: u32 = 112 * 1024;
const PICO_RAM_BUDGET: u32 = 40 * 1024;
/// Images that the emulated Pico classifies, 9 s each, beside the golden ones of its boots and its update.
const PICO_IMAGES: usize = 2;
/// Cycles that the Pico may take from pixels to logits, by the emulator's count.
const PICO_CYCLES: u64 = 200_000_000;

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
    send_hostile_bytes(emulator.client());
    assert_within(&firmware, &emulator.client().info().expect("the board answers"), FLASH_BUDGET, RAM_BUDGET);
    let result =
        verify(emulator.client(), &initial_parameters(1), images.iter().map(|image| (image, 0)).take(1), |_| {});
    assert_eq!(result.expect("the board answers").differences, vec![]);
}

fn send_hostile_bytes(client: &mut Client<Box<dyn Link>>) {
    let bytes = hostile_bytes(&model::file(2));
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match client.link().write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::TimedOut || error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// What the board says of its memory is what the ELF file says, and within the budgets; the stack is that after hostile
/// bytes.
fn assert_within(firmware: &Firmware, info: &BoardInfo, flash_budget: u32, ram_budget: u32) {
    assert!(info.line.damaged > 10 && info.line.too_long > 0, "{:?}", info.line);
    let sizes = firmware.sizes();
    assert_eq!((info.memory.flash, info.memory.variables), (sizes.flash, sizes.variables));
    let ram = sizes.variables + info.memory.stack;
    println!(
        "{}: flash {} of {flash_budget} bytes; RAM {ram} of {ram_budget}: variables {}, stack {}",
        info.board, sizes.flash, sizes.variables, info.memory.stack
    );
    assert!(sizes.flash <= flash_budget && ram <= ram_budget, "past its budget");
}

/// One test, for each boot and each image of this emulator takes seconds.
#[cfg_attr(no_pico, ignore = "PICO_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn a_pico_over_usb_gives_the_hosts_bits_survives_hostile_bytes_and_takes_another_model() {
    let Some(firmware) = Firmware::of_pico() else { return };
    let mut pico = firmware.boot_pico(&model::file(1));
    let (images, _) = images();
    let equal = |pico: &mut Pico, seed, count| {
        let samples = images.iter().map(|image| (image, 0)).take(count);
        let verification =
            verify(pico.client(), &initial_parameters(seed), samples, |_| {}).expect("the board answers");
        assert_eq!((verification.images, verification.differences), (count, vec![]));
        let cycles = verification.cycles / count as u64;
        println!("Raspberry Pi Pico: {cycles} of {PICO_CYCLES} cycles an image");
        assert!(cycles <= PICO_CYCLES, "past its budget");
    };
    // The boot has run the golden image: there is a model.
    equal(&mut pico, 1, PICO_IMAGES);
    send_hostile_bytes(pico.client());
    let info = pico.client().info().expect("the board answers");
    assert_eq!((info.board.as_str(), info.clock_hz), ("Raspberry Pi Pico", 125_000_000));
    assert_within(&firmware, &info, PICO_FLASH_BUDGET, PICO_RAM_BUDGET);

    pico.client().update(&model::loaded(2), |_| {}).expect("the board takes it");
    pico.client().reset().expect("the board answers");
    // From flash, after the reset: the counters begin anew.
    let info = pico.client().info().expect("the board answers after the reset");
    assert_eq!((info.model, info.line.good), (Ok(Fingerprint::of(&initial_parameters(2))), 1));
    equal(&mut pico, 2, 1);
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
fn the_file_for_the_boards_drive_is_what_a_programmer_would_write() {
    let Some(firmware) = Firmware::of_environment() else { return };
    let model = model::file(1);
    let image = FlashImage::of_elf(firmware.elf(), Some(&model), Contents::All).expect("it is our firmware");
    assert!(image.bin().expect("it has the program") == firmware.flash_with(&model));
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
