//! What boards learn from in tests.

use cnn_core::learn::Settings;
use cnn_core::model::MAX_LEN;
use cnn_core::network::FlatParameters;
use cnn_train::random::initial_parameters;
use host_trainer::board::{Client, Lesson, Link, teach};

use super::flash::Geometry;
use super::model;

/// How they learn.
pub const SETTINGS: Settings =
    Settings { epochs: 4, batch_length: 5, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.001 };

/// Bytes of a head's record in flash (docs/board.md).
const RECORD_LEN: usize = 4912;

/// Samples of strokes with labels of all digits.
pub fn lesson(own: usize, ordinary: usize) -> Lesson {
    let samples = |seed, count| {
        let images = model::images(seed, count).into_iter().enumerate();
        images.map(|(index, image)| (image, (index * 7 % 10) as u8)).collect()
    };
    Lesson { own: samples(20, own), ordinary: samples(21, ordinary) }
}

/// The parameters of the model of a seed.
pub fn parameters(seed: u64) -> Box<FlatParameters> {
    initial_parameters(seed)
}

/// Teaches a board that runs the model of seed 1.
///
/// # Panics
/// If it does not take the samples.
pub fn taught<L: Link>(client: &mut Client<L>, lesson: &Lesson) {
    teach(client, &parameters(1), lesson, |_| {}).expect("the board takes them");
}

/// Where the record of a head lies in a model area of this geometry.
pub fn record_at<G: Geometry>(index: usize) -> usize {
    let border = if G::ERASE_LEN < G::AREA_LEN { G::ERASE_LEN } else { 16 };
    MAX_LEN.next_multiple_of(border) + index * RECORD_LEN
}

/// How many records of heads a model area of this geometry has room for.
pub fn records<G: Geometry>() -> u32 {
    ((G::AREA_LEN - record_at::<G>(0)) / RECORD_LEN) as u32
}
