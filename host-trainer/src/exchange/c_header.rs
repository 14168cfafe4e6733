//! A model as one C header (`cnn.h.in`, of int8 `cnn_int8.h.in`): parameters, forward pass, and a golden image with its
//! logits.
//!
//! The header's text is ASCII and has nothing of the model's metadata but numbers: a name from a file could end the
//! comment it stands in.

use std::fmt::Write;

use cnn_core::image::Pixels;
use cnn_core::int8::{self, BLOCK_LEN, OwnedParameters};
use cnn_core::model::{Int8Metadata, Training};
use cnn_core::network::{self, Activations, FORWARD_RAM, FlatParameters, Parameters};
use cnn_train::fingerprint::Fingerprint;

use crate::model_file::LoadedInt8;

const TEMPLATE: &str = include_str!("cnn.h.in");
const INT8_TEMPLATE: &str = include_str!("cnn_int8.h.in");

/// The header of a model. `golden` becomes the image of its self-test; equal arguments give equal bytes.
pub fn export(parameters: &FlatParameters, training: Option<&Training<'_>>, golden: &Pixels) -> String {
    let bits: Vec<u32> = parameters.iter().map(|value| value.to_bits()).collect();
    let logits = network::logits(golden, &Parameters::of(parameters), &mut Activations::new());
    let flash = size_of_val(parameters) + size_of_val(golden) + size_of_val(&logits);
    let replaced = [
        ("@ORIGIN@", origin(training)),
        ("@FINGERPRINT@", Fingerprint::of(parameters).to_string()),
        ("@FLASH@", flash.to_string()),
        ("@RAM@", FORWARD_RAM.to_string()),
        ("@CHECKSUM@", format!("{:#010x}", checksum(bits.iter().copied()))),
        ("@PARAMETERS@", words(&bits)),
        ("@GOLDEN_PIXELS@", lines(golden.iter().map(u8::to_string), 28)),
        ("@GOLDEN_LOGITS@", words(&logits.map(f32::to_bits))),
    ];
    filled(TEMPLATE, replaced)
}

/// The header of an int8 model, with the golden image of its file; equal models give equal bytes.
pub fn export_int8(model: &LoadedInt8) -> String {
    let OwnedParameters { weights, biases, multipliers, shifts } = &*model.parameters;
    let Int8Metadata { training, source, scales, golden, .. } = model.metadata();
    let flash = BLOCK_LEN + size_of_val(golden.pixels) + size_of_val(&golden.logits);
    let rescales = multipliers.iter().zip(shifts).flat_map(|(&multiplier, &shift)| [multiplier, shift.into()]);
    let values = weights.iter().map(|&weight| weight.into()).chain(biases.iter().copied()).chain(rescales);
    let replaced = [
        ("@ORIGIN@", origin(training.as_ref())),
        ("@FINGERPRINT@", model.fingerprint.to_string()),
        ("@SOURCE@", Fingerprint::from(source).to_string()),
        ("@FLASH@", flash.to_string()),
        ("@RAM@", int8::FORWARD_RAM.to_string()),
        ("@SCALE@", format!("{:#010x}", scales.logits.to_bits())),
        ("@CHECKSUM@", format!("{:#010x}", checksum(values.map(|value: i32| value as u32)))),
        ("@WEIGHTS@", lines(weights.iter().map(i8::to_string), 24)),
        ("@BIASES@", lines(biases.iter().map(i32::to_string), 10)),
        ("@MULTIPLIERS@", lines(multipliers.iter().map(i32::to_string), 10)),
        ("@SHIFTS@", lines(shifts.iter().map(u8::to_string), 28)),
        ("@GOLDEN_PIXELS@", lines(golden.pixels.iter().map(u8::to_string), 28)),
        ("@GOLDEN_LOGITS@", lines(golden.logits.iter().map(i32::to_string), 10)),
    ];
    filled(INT8_TEMPLATE, replaced)
}

/// The template with its marks replaced.
fn filled<const N: usize>(template: &str, replaced: [(&str, String); N]) -> String {
    replaced.into_iter().fold(template.to_owned(), |text, (mark, value)| text.replace(mark, &value))
}

fn origin(training: Option<&Training<'_>>) -> String {
    match training {
        None => "origin      imported parameters".into(),
        Some(Training { epochs, seed, .. }) => format!("training    {epochs} epochs, seed {seed}"),
    }
}

/// FNV-1a over words instead of bytes.
fn checksum(words: impl Iterator<Item = u32>) -> u32 {
    words.fold(0x811c_9dc5, |sum, word| (sum ^ word).wrapping_mul(16_777_619))
}

fn words(bits: &[u32]) -> String {
    lines(bits.iter().map(|word| format!("{word:#010x}")), 10)
}

/// Values with commas between them, so many a line, without a newline at the end.
fn lines(values: impl Iterator<Item = String>, columns: usize) -> String {
    let mut text = String::new();
    for (place, value) in values.enumerate() {
        let separator = match place {
            0 => "    ",
            _ if place % columns == 0 => ",\n    ",
            _ => ", ",
        };
        write!(text, "{separator}{value}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cnn_core::network::{PARAMETER_COUNT, TENSORS};
    use cnn_train::random::initial_parameters;

    use super::*;
    use crate::model_file::{self, LoadedModel, built_in_golden};

    /// The numbers between a line and the next `}` of the header.
    fn numbers(header: &str, line: &str) -> Vec<u32> {
        let (_, rest) = header.split_once(line).unwrap_or_else(|| panic!("no {line}"));
        let (body, _) = rest.split_once('}').unwrap();
        let number = |word: &str| match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).unwrap(),
            None => word.parse().unwrap(),
        };
        body.split(',').map(|word| number(word.trim())).collect()
    }

    #[test]
    fn the_header_has_the_bits_of_every_parameter_and_of_the_golden_logits() {
        let mut parameters = initial_parameters(7);
        (parameters[0], parameters[1], parameters[2]) = (-0.0, f32::from_bits(1), -f32::MIN_POSITIVE / 2.0);
        let golden = built_in_golden();
        let header = export(&parameters, None, &golden);
        assert!(header.is_ascii() && !header.contains('@'), "nothing is left to be filled in");
        let bits = numbers(&header, "cnn_parameters = {{");
        assert_eq!(bits.len(), PARAMETER_COUNT);
        assert!(bits.iter().eq(parameters.iter().map(|value| value.to_bits()).collect::<Vec<_>>().iter()));
        assert!(numbers(&header, "cnn_golden_pixels[CNN_PIXELS] = {").iter().eq(golden.map(u32::from).iter()));
        let logits = network::logits(&golden, &Parameters::of(&parameters), &mut Activations::new());
        assert_eq!(numbers(&header, "cnn_golden_logits[CNN_CLASSES] = {"), logits.map(f32::to_bits));
        assert!(header.contains(&format!("#define CNN_FINGERPRINT \"{}\"", Fingerprint::of(&parameters))));
    }

    #[test]
    fn the_offsets_are_those_of_the_tensors() {
        for tensor in TENSORS {
            let name = tensor.name.to_uppercase().replace('.', "_");
            let line = format!("#define CNN_{name} {}\n", tensor.offset);
            assert!(TEMPLATE.contains(&line), "{line}");
        }
        assert!(TEMPLATE.contains(&format!("#define CNN_PARAMETER_COUNT {PARAMETER_COUNT}\n")));
    }

    /// The numbers between a line and the next `}` of the header, signed.
    fn integers(header: &str, line: &str) -> Vec<i64> {
        let (_, rest) = header.split_once(line).unwrap_or_else(|| panic!("no {line}"));
        let (body, _) = rest.split_once('}').unwrap();
        body.split(',').map(|word| word.trim().parse().unwrap()).collect()
    }

    #[test]
    fn the_int8_header_has_every_integer_of_the_model() {
        let float = model_file::to_bytes(Path::new("m"), None, &initial_parameters(7), &built_in_golden()).unwrap();
        let float = LoadedModel::parse(float, Path::new("m")).unwrap();
        let model = model_file::quantize(&float, &[built_in_golden()], Path::new("m")).unwrap();
        let header = export_int8(&model);
        assert!(header.is_ascii() && !header.contains('@'), "nothing is left to be filled in");
        let same = |line: &str, expected: Vec<i64>| assert!(integers(&header, line) == expected, "{line}");
        let OwnedParameters { weights, biases, multipliers, shifts } = &*model.parameters;
        same("cnn_weights[CNN_WEIGHT_COUNT] = {", weights.iter().map(|&value| value.into()).collect());
        same("cnn_biases[CNN_BIAS_COUNT] = {", biases.iter().map(|&value| value.into()).collect());
        same("cnn_multipliers[CNN_RESCALE_COUNT] = {", multipliers.iter().map(|&value| value.into()).collect());
        same("cnn_shifts[CNN_RESCALE_COUNT] = {", shifts.iter().map(|&value| value.into()).collect());
        let golden = model.metadata().golden.logits;
        same("cnn_golden_logits[CNN_CLASSES] = {", golden.iter().map(|&value| value.into()).collect());
        for fingerprint in [model.fingerprint, float.fingerprint] {
            assert!(header.contains(&fingerprint.to_string()));
        }
        for (name, offset) in [("CONV2", 144), ("FC1", 144 + 4608), ("FC2", 144 + 4608 + 96_000)] {
            assert!(header.contains(&format!("#define CNN_{name}_WEIGHT {offset}\n")), "{name}");
        }
    }

    #[test]
    fn what_a_file_says_of_its_training_cannot_leave_the_comment() {
        let training = Training {
            dataset: "*/ int main() { attack(); } /*",
            dataset_hash: [0; 32],
            seed: 3,
            epochs: 100,
            batch_length: 100,
            shuffle: true,
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 0.0,
            test_correct: 1,
            test_count: 1,
        };
        let header = export(&initial_parameters(1), Some(&training), &built_in_golden());
        assert!(header.contains("training    100 epochs, seed 3\n") && !header.contains("attack"));
    }
}
