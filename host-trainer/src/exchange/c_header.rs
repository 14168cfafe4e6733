//! A model as one C header (`cnn.h.in`): parameters, forward pass, and a golden image with its logits.
//!
//! The header's text is ASCII and has nothing of the model's metadata but numbers: a name from a file could end the
//! comment it stands in.

use std::fmt::Write;

use cnn_core::image::Pixels;
use cnn_core::model::Training;
use cnn_core::network::{self, Activations, FORWARD_RAM, FlatParameters, Parameters};
use cnn_train::fingerprint::Fingerprint;

const TEMPLATE: &str = include_str!("cnn.h.in");

/// The header of a model. `golden` becomes the image of its self-test; equal arguments give equal bytes.
pub fn export(parameters: &FlatParameters, training: Option<&Training<'_>>, golden: &Pixels) -> String {
    let bits: Vec<u32> = parameters.iter().map(|value| value.to_bits()).collect();
    let logits = network::logits(golden, &Parameters::of(parameters), &mut Activations::new());
    let flash = size_of_val(parameters) + size_of_val(golden) + size_of_val(&logits);
    let origin = match training {
        None => "origin      imported parameters".into(),
        Some(Training { epochs, seed, .. }) => format!("training    {epochs} epochs, seed {seed}"),
    };
    let replaced = [
        ("@ORIGIN@", origin),
        ("@FINGERPRINT@", Fingerprint::of(parameters).to_string()),
        ("@FLASH@", flash.to_string()),
        ("@RAM@", FORWARD_RAM.to_string()),
        ("@CHECKSUM@", format!("{:#010x}", checksum(&bits))),
        ("@PARAMETERS@", words(&bits)),
        ("@GOLDEN_PIXELS@", lines(golden.iter().map(u8::to_string), 28)),
        ("@GOLDEN_LOGITS@", words(&logits.map(f32::to_bits))),
    ];
    replaced.into_iter().fold(TEMPLATE.to_owned(), |text, (mark, value)| text.replace(mark, &value))
}

/// FNV-1a over words instead of bytes.
fn checksum(words: &[u32]) -> u32 {
    words.iter().fold(0x811c_9dc5, |sum, word| (sum ^ word).wrapping_mul(16_777_619))
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
    use cnn_core::network::{PARAMETER_COUNT, TENSORS};
    use cnn_train::random::initial_parameters;

    use super::*;
    use crate::model_file::built_in_golden;

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
