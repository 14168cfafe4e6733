//! safetensors files.

use std::sync::LazyLock;

use cnn_core::network::PARAMETER_COUNT;
use cnn_train::random::initial_parameters;
use host_trainer::exchange::safetensors::{export, import};

use super::script::Script;
use super::{assert_round_trip, limited};

/// A whole file.
static BASE: LazyLock<Vec<u8>> = LazyLock::new(|| export(&initial_parameters(1)));

/// Bytes of the length in front of the header.
const LENGTH_LEN: usize = 8;

/// Of the first byte, the lowest two bits say how the file is made, and bit 2 leaves the header's length as it is:
///
/// - 0: it is the rest of the input;
/// - 1: its header is the rest of the input, its data are good;
/// - 2 and 3: it is a good file, its header or all of it damaged as the rest says.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let options = script.byte();
    let (header, data) = BASE.split_at(BASE.len() - PARAMETER_COUNT * size_of::<f32>());
    let header_right = options & 4 == 0;
    let file = match options & 3 {
        0 => script.rest().to_vec(),
        1 => with_header(script.rest().to_vec(), data, header_right),
        2 => {
            let mut header = header[LENGTH_LEN..].to_vec();
            script.damage(&mut header);
            with_header(header, data, header_right)
        }
        _ => {
            let mut file = BASE.clone();
            script.damage(&mut file);
            file
        }
    };
    limited(|| check(&file));
}

/// A file of a header and data; with a length in front that is right, or half of it.
fn with_header(header: Vec<u8>, data: &[u8], right: bool) -> Vec<u8> {
    let len = header.len() as u64 / if right { 1 } else { 2 };
    [&len.to_le_bytes(), &header[..], data].concat()
}

fn check(file: &[u8]) {
    let Ok(parameters) = import(file) else { return };
    assert_round_trip(&parameters, export, import);
    // The values are the file's own, in whatever order it has its tensors.
    let data = &file[file.len() - PARAMETER_COUNT * size_of::<f32>()..];
    let words = data.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word));
    assert_eq!(power_sums(parameters.iter().map(|value| value.to_bits())), power_sums(words));
}

/// Sums that do not depend on the order of their terms.
fn power_sums(words: impl Iterator<Item = u32>) -> [u64; 3] {
    words.map(u64::from).fold([0; 3], |[first, second, third], word| {
        let square = word.wrapping_mul(word);
        [first.wrapping_add(word), second.wrapping_add(square), third.wrapping_add(square.wrapping_mul(word))]
    })
}

/// Every way to make a file, good and bad.
pub fn seeds() -> Vec<Vec<u8>> {
    let header = &BASE[LENGTH_LEN..BASE.len() - PARAMETER_COUNT * size_of::<f32>()];
    let small = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let overflowing = br#"{"conv1.weight":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#;
    vec![
        [&[0][..], &(small.len() as u64).to_le_bytes(), small, &[0; 4]].concat(),
        [&[0][..], &u64::MAX.to_le_bytes(), small].concat(),
        [&[0][..], &99_999_999_u64.to_le_bytes(), small].concat(),
        [&[1], header].concat(),
        [&[1][..], overflowing].concat(),
        [&[5], header].concat(),
        vec![2],
        vec![3],
        // The last value becomes infinite.
        vec![3, 1, 104, 3, 0, 0, 0x80, 0x7f],
    ]
}
