//! ONNX files.

use std::sync::LazyLock;

use cnn_train::random::initial_parameters;
use host_trainer::exchange::MAX_FILE_BYTES;
use host_trainer::exchange::onnx::{export, import};

use super::script::Script;
use super::{assert_round_trip, limited};

/// A whole file.
static BASE: LazyLock<Vec<u8>> = LazyLock::new(|| export(&initial_parameters(1)));

/// The lowest bits of the first byte say how the file is made:
///
/// - 0: it is the rest of the input;
/// - 1: it is a good file, damaged as the rest says;
/// - 2: the rest of the input again and again, up to the longest file, behind the start of a graph: many empty nodes,
///   for example.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let file = match script.byte() % 3 {
        0 => script.rest().to_vec(),
        1 => {
            let mut file = BASE.clone();
            script.damage(&mut file);
            file
        }
        _ => repeated(script.rest()),
    };
    limited(|| check(&file));
}

/// A model whose graph is this, as often as a file has room for.
fn repeated(part: &[u8]) -> Vec<u8> {
    let len = MAX_FILE_BYTES as usize - 16;
    let graph = part.iter().copied().cycle().take(if part.is_empty() { 0 } else { len }).collect::<Vec<_>>();
    // Field 7 of the model, its length as a varint.
    let mut file = vec![0x08, 8, 0x3a];
    let mut left = graph.len();
    while left >= 0x80 {
        file.push(left as u8 | 0x80);
        left >>= 7;
    }
    file.push(left as u8);
    file.extend(graph);
    file
}

fn check(file: &[u8]) {
    if let Ok(parameters) = import(file) {
        assert_round_trip(&parameters, export, import);
    }
}

/// Every way to make a file, good and bad.
pub fn seeds() -> Vec<Vec<u8>> {
    // A graph without tensors, and the fields that may stand in it often: nodes, tensors, inputs; a node with many empty
    // inputs.
    let graph = b"\x08\x08\x3a\x0f\x0a\x0d\x0a\x05image\x22\x04Conv";
    vec![
        [&[0], &graph[..]].concat(),
        vec![1],
        vec![1, 1, 104, 3, 0, 0, 0x80, 0x7f],
        vec![2, 0x0a, 0],
        vec![2, 0x2a, 0],
        vec![2, 0x5a, 0],
        [&[2, 0x0a, 0x80, 0x20][..], &[0x0a, 0].repeat(2048)].concat(),
        [&[2, 0x0a, 0x80, 0x20][..], &[0x2a, 0].repeat(2048)].concat(),
    ]
}
