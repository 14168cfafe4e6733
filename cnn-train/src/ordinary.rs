//! Which ordinary digits a head learns among a person's own, so that it does not forget the rest (`docs/learning.md`).
//!
//! They hold the borders of the classes where they are: of those that the model classifies right by a margin of more than
//! 1 - the logit of the label less the next largest - the ones with the least. Where there are too few, those with the
//! largest margin below it follow.

use std::collections::BinaryHeap;

use cnn_core::image::Pixels;
use cnn_core::network::{self, Activations, Logits, Parameters};

/// Images of a training split among which they are chosen: its first ones.
pub const POOL: usize = 20_000;

/// The margin by which one is chosen: large enough that a little learning does not need it, and no larger.
const MARGIN: f32 = 1.0;

/// Candidates as they come, and which of them are the best.
#[derive(Debug, Clone, Default)]
pub struct Ranking {
    keys: Vec<u64>,
}

impl Ranking {
    /// Candidates so far.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Looks at the next candidate with the model's eyes.
    ///
    /// # Panics
    /// If the label is not a class.
    pub fn add(&mut self, parameters: &Parameters<'_>, activations: &mut Activations, pixels: &Pixels, label: u8) {
        let logits = network::logits(pixels, parameters, activations);
        self.keys.push(key(margin(&logits, label) - MARGIN, self.len() as u32));
    }

    /// The `count` best candidates by their numbers, counted from 0, the best one first; all if there are fewer.
    pub fn best(&self, count: usize) -> Vec<usize> {
        // A slice's own sort is faster, and 8 KB more of the page's module.
        let mut keys = BinaryHeap::from(self.keys.clone()).into_sorted_vec();
        keys.truncate(count);
        keys.into_iter().map(|key| key as u32 as usize).collect()
    }
}

/// The logit of the label less the next largest.
fn margin(logits: &Logits, label: u8) -> f32 {
    let others = (0..).zip(logits).filter(|&(class, _)| class != label).map(|(_, &logit)| logit);
    logits[usize::from(label)] - others.fold(f32::NEG_INFINITY, f32::max)
}

/// The smaller, the better: whether the margin is not beyond [`MARGIN`], how far it is from there, and the candidate's
/// number, so that of equal ones the first comes first.
fn key(beyond: f32, number: u32) -> u64 {
    // A float without its sign is ordered as its bits are.
    u64::from(beyond <= 0.0) << 63 | u64::from(beyond.abs().to_bits()) << 32 | u64::from(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Split, synthetic};
    use crate::random::initial_parameters;

    #[test]
    fn those_a_little_beyond_the_margin_come_first_and_then_those_nearest_below_it() {
        let beyond = [-3.0, 2.0, 0.5, 0.0, -0.25, 0.5, f32::INFINITY, 1e-40];
        let ranking = Ranking { keys: (0..).zip(beyond).map(|(number, beyond)| key(beyond, number)).collect() };
        assert_eq!(ranking.best(9), [7, 2, 5, 1, 6, 3, 4, 0]);
        assert_eq!(ranking.best(3), [7, 2, 5]);
        assert!(ranking.best(0).is_empty() && Ranking::default().best(2).is_empty());
    }

    #[test]
    fn a_candidate_is_as_far_as_its_label_is_before_the_next_class() {
        let logits = [0.5, 3.0, -1.0, 3.5, 0.0, 1.0, 1.5, -2.0, 2.5, 2.0];
        assert_eq!((margin(&logits, 3), margin(&logits, 1), margin(&logits, 7)), (0.5, -0.5, -5.5));
        let parameters = initial_parameters(3);
        let (view, mut activations, mut ranking) =
            (Parameters::of(&parameters), Activations::new(), Ranking::default());
        for number in 0..5 {
            let (pixels, label) = synthetic::sample(0, Split::Train, number.into());
            ranking.add(&view, &mut activations, &pixels, label);
            let expected = margin(&network::logits(&pixels, &view, &mut activations), label) - 1.0;
            assert_eq!(ranking.keys.last(), Some(&key(expected, number)));
        }
        assert_eq!(ranking.len(), 5);
    }
}
