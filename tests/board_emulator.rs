//! The firmware's ELF files in emulators, as `.ci/firmware.sh` builds them. The NUCLEO-F446RE's in QEMU: the host's bits, the
//! boot checks, an update's honest end where there is no flash controller, the log, and the sizes. The Raspberry Pi Pico's in
//! rp2040js, over USB: the host's bits, hostile bytes, an update that succeeds, and the sizes.
#![cfg(unix)]

use std::env;
use std::io::{ErrorKind, Write};
use std::path::Path;

use application::ModelFlash as _;
use cnn_core::head::FlatHead;
use cnn_core::image::Pixels;
use cnn_core::learn::Settings;
use cnn_core::model::ModelError;
use cnn_core::network::{self, Activations, Parameters};
use cnn_core::protocol::Refusal;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::board::{
    self, BoardError, BoardInfo, Client, Contents, FlashImage, Link, verify, verify_int8, with_head,
};
use host_trainer::dataset::idx;
use host_trainer::model_file;
use tests::board::emulator::{Firmware, Pico};
use tests::board::flash::{Geometry as _, NucleoF446re};
use tests::board::learning::{SETTINGS, lesson, taught};
use tests::board::line::{Faults, hostile_bytes};
use tests::board::model;
use tests::board::modelled::Board;

/// Whether a model was refused for the right reason.
type Expectation = fn(ModelError) -> bool;
/// Images that a board must classify as the host does.
const IMAGES: usize = 500;
/// Bytes of flash that the program may take: the first four sectors.
const FLASH_BUDGET: u32 = 64 * 1024;
/// Bytes of RAM that variables and the stack at its deepest may take.
const RAM_BUDGET: u32 = 126 * 1024;
/// The same for the Raspberry Pi Pico: 128 KB in front of the model, and most of its 264 KB.
const PICO_FLASH_BUDGET: u32 = 112 * 1024;
const PICO_RAM_BUDGET: u32 = 250 * 1024;
/// Images that the emulated Pico classifies, 9 s each, beside the golden ones of its boots and its update.
const PICO_IMAGES: usize = 2;
/// Cycles that the Pico may take from pixels to logits, by the emulator's count.
const PICO_CYCLES: u64 = 200_000_000;
/// The same for an int8 model, whose images take the emulator a quarter of a second.
const PICO_INT8_IMAGES: usize = 50;
const PICO_INT8_CYCLES: u64 = 5_500_000;

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

/// One epoch over 100 samples, by the emulator's instructions: the board's clock passes 168 cycles in 1,000 of them.
const EPOCH_INSTRUCTIONS: u64 = 5_000_000;

#[cfg_attr(no_firmware, ignore = "FIRMWARE_ELF is not set: .ci/firmware.sh runs it")]
#[test]
fn a_hundred_samples_learned_for_fifty_epochs_give_the_hosts_head_and_a_kept_one_is_used_at_boot() {
    let Some(firmware) = Firmware::of_environment() else { return };
    let (lesson, settings) = (lesson(60, 40), Settings { epochs: 50, ..SETTINGS });
    let (parameters, golden) = (initial_parameters(1), *model::loaded(1).golden());
    // Where nothing is loaded the emulator's flash has zeros.
    let mut area = model::file(1);
    area.resize(NucleoF446re::AREA_LEN, 0xff);
    let mut emulator = firmware.boot_with(&area);
    taught(emulator.client(), &lesson);
    let mut cycles = vec![];
    // Every epoch's fingerprint and loss are compared in here.
    let head = board::learn(emulator.client(), &parameters, &lesson, &settings, |epoch| cycles.push(epoch.cycles));
    let head = head.expect("board and host are equal");
    assert_eq!(cycles.len(), 50);
    let instructions = u64::from(*cycles.iter().max().expect("50")) * 1000 / 168;
    println!("an epoch over 100 samples: {instructions} of {EPOCH_INSTRUCTIONS} instructions");
    assert!(instructions <= EPOCH_INSTRUCTIONS, "past its budget");
    assert_within_ram(&firmware, emulator.client());
    let file = |head: &FlatHead| {
        model_file::to_bytes(Path::new("model"), None, &with_head(&parameters, head), &golden).expect("in range")
    };
    assert_eq!(file(&emulator.client().read_head().expect("it has one")), file(&head));
    // This emulator's flash takes nothing.
    let result = emulator.client().keep();
    assert!(matches!(result, Err(BoardError::Refused(Refusal::Flash))), "{result:?}");
    emulator.client().reset().expect("the board answers");
    assert_eq!(emulator.client().head().expect("it answers").learned, None, "it was not kept");

    // The flash as the same application wrote it, where flash is modelled.
    let mut modelled = Board::<NucleoF446re>::holding(&model::file(1), Faults::default(), 0);
    taught(&mut modelled.client(), &lesson);
    board::learn(&mut modelled.client(), &parameters, &lesson, &settings, |_| {}).expect("board and host are equal");
    modelled.client().keep().expect("there is room");
    let flash = modelled.into_flash().expect("the board had it");
    let mut emulator = firmware.boot_with(flash.contents());
    let status = emulator.client().head().expect("it answers");
    assert_eq!(status.learned.map(Fingerprint::from), Some(Fingerprint::of(&head)));
    assert_eq!(status.kept, Ok(status.learned));
    let learned = with_head(&parameters, &head);
    let mut activations = Activations::new();
    for pixels in &model::images(3, 5) {
        let expected = network::logits(pixels, &Parameters::of(&learned), &mut activations);
        let found = emulator.client().classify(pixels).expect("it runs").logits;
        assert_eq!(found.map(f32::to_bits), expected.map(f32::to_bits));
    }
    let log = firmware.log_of(&mut emulator);
    let short = &Fingerprint::of(&head).short()[..8];
    assert!(log.contains(&format!("learned head {short}… passed every check and is used")), "{log}");
}

/// The stack after learning is within the budget too.
fn assert_within_ram(firmware: &Firmware, client: &mut Client<Box<dyn Link>>) {
    let info = client.info().expect("the board answers");
    let ram = firmware.sizes().variables + info.memory.stack;
    println!("RAM after learning {ram} of {RAM_BUDGET}: stack {}", info.memory.stack);
    assert!(ram <= RAM_BUDGET, "past its budget");
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
    // It learns over the new model, and keeps the head in real flash.
    let (lesson, settings) = (lesson(1, 0), Settings { epochs: 2, ..SETTINGS });
    let parameters = initial_parameters(2);
    board::teach(pico.client(), &parameters, &lesson, |_| {}).expect("the board takes it");
    let head = board::learn(pico.client(), &parameters, &lesson, &settings, |_| {}).expect("board and host are equal");
    pico.client().keep().expect("flash takes it");
    pico.client().reset().expect("the board answers");
    // From flash, after the reset: the counters begin anew.
    let info = pico.client().info().expect("the board answers after the reset");
    assert_eq!((info.model, info.line.good), (Ok(Fingerprint::of(&initial_parameters(2))), 1));
    assert_eq!(pico.client().read_head().expect("it was kept"), head);
    pico.client().forget(true).expect("flash takes it");
    equal(&mut pico, 2, 1);

    let integers = model::loaded_int8(1);
    pico.client().update_with(integers.file(), integers.fingerprint, |_| {}).expect("the board takes it");
    let samples = images.iter().map(|image| (image, 0)).take(PICO_INT8_IMAGES);
    let verification = verify_int8(pico.client(), &integers, samples, |_| {}).expect("the board answers");
    assert_eq!((verification.images, verification.differences), (PICO_INT8_IMAGES, vec![]));
    let cycles = verification.cycles / PICO_INT8_IMAGES as u64;
    println!("Raspberry Pi Pico, int8: {cycles} of {PICO_INT8_CYCLES} cycles an image");
    assert!(cycles <= PICO_INT8_CYCLES, "past its budget");
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
