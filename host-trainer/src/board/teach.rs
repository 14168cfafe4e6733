//! The host's twin of a board that learns: the same samples, the same epochs, and a look at every fingerprint.

use cnn_core::head::{self, FlatHead, Hidden};
use cnn_core::image::Pixels;
use cnn_core::learn::{self, Fault, Learner, Memory, Samples, Set, Settings};
use cnn_core::network::{self, Activations, FlatParameters, HIDDEN, Parameters};
use cnn_core::protocol::Refusal;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::ordinary::Ranking;

use super::client::{BoardError, Client};
use super::link::Link;

/// An image and its label.
pub type Sample = (Pixels, u8);

/// What a board is to learn from, in the order of each set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lesson {
    /// What is to be learned.
    pub own: Vec<Sample>,
    /// What is not to be forgotten.
    pub ordinary: Vec<Sample>,
}

impl Lesson {
    /// Every sample with its set and its place in it.
    fn samples(&self) -> impl Iterator<Item = (Set, u32, &Sample)> {
        let own = (0..).zip(&self.own).map(|(index, sample)| (Set::Own, index, sample));
        own.chain((0..).zip(&self.ordinary).map(|(index, sample)| (Set::Ordinary, index, sample)))
    }

    /// Samples of both sets.
    pub fn len(&self) -> usize {
        self.own.len() + self.ordinary.len()
    }

    /// Whether there is nothing to learn.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An epoch that board and host learned alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EqualEpoch {
    /// Its number, counted from 1.
    pub epoch: u32,
    /// The mean of the samples' losses, each before its step.
    pub loss: f64,
    /// The head after it.
    pub fingerprint: Fingerprint,
    /// Cycles by the board's own count.
    pub cycles: u32,
}

/// What the head of a model sees of an image.
fn hidden(pixels: &Pixels, parameters: &Parameters<'_>, activations: &mut Activations) -> Hidden {
    network::logits(pixels, parameters, activations);
    activations.hidden
}

/// Makes the board's samples those of the lesson, in its order; what it has already is not sent again. `progress` hears how
/// many are there.
///
/// # Errors
/// If the board has no room, sees other samples than this host over the model with `parameters`, refuses or does not
/// answer; if the line breaks.
pub fn teach<L: Link>(
    client: &mut Client<L>,
    parameters: &FlatParameters,
    lesson: &Lesson,
    mut progress: impl FnMut(usize),
) -> Result<(), BoardError> {
    let (view, mut activations) = (Parameters::of(parameters), Activations::new());
    let mut sees = |(pixels, label): &Sample| (hidden(pixels, &view, &mut activations), *label);
    let expected = checksum(lesson, &mut sees);
    let status = client.head()?;
    let counts = (lesson.own.len() as u64, lesson.ordinary.len() as u64);
    if (u64::from(status.own), u64::from(status.ordinary)) == counts && status.checksum == expected {
        progress(lesson.len());
        return Ok(());
    }
    if lesson.len() as u64 > u64::from(status.capacity) {
        return Err(Refusal::Learning(Fault::Full { capacity: status.capacity }).into());
    }
    // What the board has may be the beginning of the lesson.
    let part = Lesson {
        own: lesson.own.iter().take(status.own as usize).copied().collect(),
        ordinary: lesson.ordinary.iter().take(status.ordinary as usize).copied().collect(),
    };
    let is_part = u64::from(status.own) <= counts.0 && u64::from(status.ordinary) <= counts.1;
    let (mut own, mut ordinary) = (status.own, status.ordinary);
    if !is_part || checksum(&part, &mut sees) != status.checksum {
        client.forget(false)?;
        (own, ordinary) = (0, 0);
    }
    for (done, (set, index, sample)) in lesson.samples().enumerate() {
        if index >= if set == Set::Own { own } else { ordinary } {
            let taught = client.teach(set, index, sample.1, &sample.0)?;
            let (hidden, label) = sees(sample);
            if taught.checksum != learn::checksum((&hidden, label)) {
                return Err(BoardError::OtherSample { set, index });
            }
        }
        progress(done + 1);
    }
    if client.head()?.checksum == expected { Ok(()) } else { Err(BoardError::Unexpected) }
}

/// [`Samples::checksum`] of a board that has the lesson's.
fn checksum(lesson: &Lesson, sees: &mut impl FnMut(&Sample) -> (Hidden, u8)) -> u32 {
    let (mut room, mut labels) = (vec![[0.0; HIDDEN]; lesson.len()], vec![0; lesson.len()]);
    let mut samples = Samples::new(&mut room, &mut labels);
    for (set, index, sample) in lesson.samples() {
        let (hidden, label) = sees(sample);
        let _ = samples.add(set, index, label, &hidden);
    }
    samples.checksum()
}

/// Has the board learn the samples that it was taught, learns them here too, and compares loss and head after every epoch.
/// `each` hears of every epoch that is equal. Returns the learned head, which the board then uses.
///
/// # Errors
/// If the settings are out of range, the learning diverges, the board gives another head or another loss in any epoch,
/// refuses or does not answer; if the line breaks.
pub fn learn<L: Link>(
    client: &mut Client<L>,
    parameters: &FlatParameters,
    lesson: &Lesson,
    settings: &Settings,
    mut each: impl FnMut(EqualEpoch),
) -> Result<Box<FlatHead>, BoardError> {
    let (view, mut activations) = (Parameters::of(parameters), Activations::new());
    let (mut room, mut labels) = (vec![[0.0; HIDDEN]; lesson.len()], vec![0; lesson.len()]);
    let mut memory = Box::new(Memory::new());
    let mut learner = Learner::new(Samples::new(&mut room, &mut labels), &mut memory);
    let refused = |fault| BoardError::Refused(Refusal::Learning(fault));
    for (set, index, (pixels, label)) in lesson.samples() {
        let hidden = hidden(pixels, &view, &mut activations);
        learner.teach(set, index, *label, &hidden).map_err(refused)?;
    }
    let model = head::of(parameters);
    settings.check().map_err(|setting| refused(Fault::Setting(setting)))?;
    for epoch in 1..=settings.epochs {
        let here = learner.epoch(model, settings, epoch).map(|(loss, head)| (loss, Fingerprint::of(head)));
        // A board that says that it diverged must do so in the host's epoch.
        let there = client.learn(settings, epoch)?;
        let (loss, host) = here.map_err(refused)?;
        let board = Fingerprint::from(there.fingerprint);
        if board != host {
            return Err(BoardError::OtherLearning { epoch, board, host });
        }
        if there.loss.to_bits() != loss.to_bits() {
            return Err(BoardError::OtherLoss { epoch, board: there.loss, host: loss });
        }
        each(EqualEpoch { epoch, loss: loss / lesson.len() as f64, fingerprint: host, cycles: there.cycles });
    }
    learner.head().map(|head| Box::new(*head)).ok_or_else(|| refused(Fault::NoSamples))
}

/// All parameters of a model whose head learned.
pub fn with_head(parameters: &FlatParameters, head: &FlatHead) -> Box<FlatParameters> {
    let mut learned = Box::new(*parameters);
    learned[cnn_core::network::Layer::Fc2.range()].copy_from_slice(head);
    learned
}

/// The `count` ordinary samples that [`Ranking::best`] chooses, in its order.
pub fn choose_ordinary<'a>(
    parameters: &FlatParameters,
    samples: impl IntoIterator<Item = (&'a Pixels, u8)>,
    count: usize,
) -> Vec<Sample> {
    let (view, mut activations) = (Parameters::of(parameters), Activations::new());
    let samples: Vec<_> = samples.into_iter().collect();
    let mut ranking = Ranking::default();
    for (pixels, label) in &samples {
        ranking.add(&view, &mut activations, pixels, *label);
    }
    ranking.best(count).into_iter().map(|index| (*samples[index].0, samples[index].1)).collect()
}
