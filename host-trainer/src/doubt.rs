//! When an answer is not to be trusted, and why.

use cnn_core::image::{Doubts, Pixels};
use cnn_core::int8;
use cnn_core::loss::softmax;
use cnn_core::network::{CLASSES, Logits, predict};

use crate::classifier::Classifier;

/// An answer with less probability than this has a remark.
const SURE: f32 = 0.9;
/// A digit that is read with this probability when it is turned upside down may lie so.
const SURE_UPSIDE_DOWN: f32 = 0.9;

/// What a network makes of a digit.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The network's outputs; of an int8 model, times their scale.
    pub logits: Logits,
    /// Those of an int8 model as they are.
    pub integers: Option<int8::Logits>,
    /// Their softmax.
    pub probabilities: [f32; CLASSES],
    /// The most likely class.
    pub prediction: usize,
    /// What there is to doubt, a line each; empty if nothing.
    pub remarks: Vec<String>,
}

impl Reading {
    /// Reads a digit; with `doubts`, that of a picture, about which there are remarks.
    pub fn of(pixels: &Pixels, doubts: Option<&Doubts>, classifier: &mut Classifier<'_>) -> Self {
        let answer = classifier.read(pixels);
        let probabilities = softmax(&answer.logits);
        let mut remarks = Vec::new();
        if let Some(doubts) = doubts {
            remarks.extend(doubts.remarks().map(String::from));
            remarks.extend(of_answer(&probabilities));
            let mut turned = *pixels;
            turned.reverse();
            remarks.extend(of_direction(&probabilities, &softmax(&classifier.read(&turned).logits)));
        }
        Self { logits: answer.logits, integers: answer.integers, probabilities, prediction: answer.prediction, remarks }
    }
}

/// The margin between the two most likely classes.
fn of_answer(probabilities: &[f32; CLASSES]) -> Option<String> {
    let best = predict(probabilities);
    if probabilities[best] >= SURE {
        return None;
    }
    let second =
        (0..CLASSES).filter(|&class| class != best).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))?;
    let [first_share, second_share] = [best, second].map(|class| 100.0 * probabilities[class]);
    Some(format!("it may be a {second} as well: {best} has {first_share:.0} %, {second} has {second_share:.0} %"))
}

/// Whether the picture may be upside down: then it would be another digit.
fn of_direction(probabilities: &[f32; CLASSES], turned: &[f32; CLASSES]) -> Option<String> {
    let (here, there) = (predict(probabilities), predict(turned));
    let is_doubtful = here != there && turned[there] >= SURE_UPSIDE_DOWN;
    is_doubtful.then(|| format!("if the picture is upside down, it is a {there} ({:.0} %)", 100.0 * turned[there]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pairs: &[(usize, f32)]) -> [f32; CLASSES] {
        let mut probabilities = [0.0; CLASSES];
        for &(class, share) in pairs {
            probabilities[class] = share;
        }
        probabilities
    }

    #[test]
    fn a_close_answer_names_the_second() {
        let line = of_answer(&shares(&[(7, 0.55), (1, 0.45)])).unwrap();
        assert_eq!(line, "it may be a 1 as well: 7 has 55 %, 1 has 45 %");
        assert_eq!(of_answer(&shares(&[(7, 0.95), (1, 0.05)])), None);
    }

    #[test]
    fn a_digit_that_is_another_one_upside_down_has_a_remark() {
        let line = of_direction(&shares(&[(6, 1.0)]), &shares(&[(9, 0.98)])).unwrap();
        assert_eq!(line, "if the picture is upside down, it is a 9 (98 %)");
        assert_eq!(of_direction(&shares(&[(8, 1.0)]), &shares(&[(8, 1.0)])), None);
        assert_eq!(of_direction(&shares(&[(5, 1.0)]), &shares(&[(2, 0.6)])), None);
    }

    #[test]
    fn every_doubt_of_the_preparation_is_a_line_of_its_own() {
        let all =
            Doubts { at_edge: true, several_digits: true, several_parts: true, low_contrast: true, odd_shape: true };
        assert_eq!(all.remarks().count(), 5);
        assert_eq!(Doubts::default().remarks().count(), 0);
        assert_eq!(Doubts { several_digits: true, ..Doubts::default() }.remarks().count(), 1);
    }
}
