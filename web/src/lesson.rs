//! A lesson in the page: the head learns from a person's digits, with ordinary ones among them, as on a board
//! ([`cnn_core::learn`]), and with a board's bits.
//!
//! It goes in pieces, so that the page stays live: [`Lesson::rank`] until all candidates are known, [`Lesson::begin`],
//! [`Lesson::mix_in`], then an epoch at a time. The network itself stays as it is; another one ends the lesson.

use cnn_core::head::{self, FlatHead, Hidden};
use cnn_core::image::Pixels;
use cnn_core::learn::{Fault, Learner, Memory, Samples, Set, Settings};
use cnn_core::linear::linear;
use cnn_core::loss::softmax;
use cnn_core::network::{self, Activations, CLASSES, FlatParameters, HIDDEN, IMAGE_PIXELS, Logits, Parameters};
use cnn_train::dataset::{Split, synthetic};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::ordinary::{POOL, Ranking};

/// Samples of both sets that a lesson has room for: more than any board has.
pub const ROOM: usize = 1000;
/// Bytes of an own sample: its label, then its pixels.
pub const SAMPLE_LEN: usize = 1 + IMAGE_PIXELS;

/// Why nothing is learned.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What [`cnn_core::learn`] says.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Bytes that should be own samples are not.
    #[error("{found} bytes are not samples of {SAMPLE_LEN} bytes")]
    Samples {
        /// Number of bytes.
        found: usize,
    },
    /// The network is no longer the one that the lesson began with.
    #[error("the network was changed meanwhile: learn again")]
    Changed,
}

/// A sample of the lesson.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Its set.
    pub set: Set,
    /// Its place there, counted from 0.
    pub index: u32,
    /// The digit.
    pub label: u8,
    /// The image.
    pub pixels: Pixels,
    /// What the head sees of it.
    pub hidden: Hidden,
}

/// What an epoch gave here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// How it was learned.
    pub settings: Settings,
    /// Its number, counted from 1.
    pub number: u32,
    /// The sum of the samples' losses, each before its step.
    pub loss: f64,
    /// The head after it.
    pub fingerprint: Fingerprint,
}

/// Where ordinary samples come from.
#[derive(Default)]
enum Pool {
    /// The built-in digits of the training split.
    #[default]
    BuiltIn,
    /// Images and labels of files.
    Files(Vec<Pixels>, Vec<u8>),
}

impl Pool {
    fn len(&self) -> usize {
        match self {
            Self::BuiltIn => POOL,
            Self::Files(images, _) => images.len().min(POOL),
        }
    }

    fn sample(&self, index: usize) -> (Pixels, u8) {
        match self {
            Self::BuiltIn => synthetic::sample(synthetic::DEFAULT_SEED, Split::Train, index as u64),
            Self::Files(images, labels) => (images[index], labels[index]),
        }
    }
}

/// What was taught, what is learned from it, and the head that was learned.
pub struct Lesson {
    pool: Pool,
    ranking: Ranking,
    learner: Learner<'static>,
    shown: Vec<Shown>,
    settings: Settings,
    epoch: Option<Epoch>,
    /// The network over which all of this is.
    over: Option<Fingerprint>,
    activations: Box<Activations>,
}

impl Default for Lesson {
    fn default() -> Self {
        // A page has one lesson, for as long as it lives.
        let samples = Samples::new(vec![[0.0; HIDDEN]; ROOM].leak(), vec![0; ROOM].leak());
        Self {
            pool: Pool::default(),
            ranking: Ranking::default(),
            learner: Learner::new(samples, Box::leak(Box::new(Memory::new()))),
            shown: Vec::new(),
            settings: Settings { epochs: 0, batch_length: 0, learning_rate: 0.0, momentum: 0.0, weight_decay: 0.0 },
            epoch: None,
            over: None,
            activations: Box::new(Activations::new()),
        }
    }
}

impl Lesson {
    /// Hears of the network's parameters. Others than before end what was learned over those.
    pub fn changed(&mut self, parameters: &FlatParameters) {
        if self.over.is_some() {
            self.begin_over(parameters);
        }
    }

    fn begin_over(&mut self, parameters: &FlatParameters) {
        let network = Fingerprint::of(parameters);
        if self.over.replace(network).is_some_and(|before| before != network) {
            self.forget();
            self.ranking = Ranking::default();
        }
    }

    /// Takes ordinary samples from the built-in digits from now on, or from images of files with their labels.
    pub fn take_from(&mut self, files: Option<(Vec<Pixels>, Vec<u8>)>) {
        self.pool = files.map_or(Pool::BuiltIn, |(mut images, labels)| {
            images.truncate(POOL);
            images.shrink_to_fit();
            Pool::Files(images, labels)
        });
        self.ranking = Ranking::default();
    }

    /// Looks at the next `count` candidates. Returns how many are done, and of how many.
    pub fn rank(&mut self, parameters: &FlatParameters, count: usize) -> (usize, usize) {
        self.begin_over(parameters);
        let view = Parameters::of(parameters);
        let done = self.ranking.len();
        for index in done..self.pool.len().min(done.saturating_add(count)) {
            let (pixels, label) = self.pool.sample(index);
            self.ranking.add(&view, &mut self.activations, &pixels, label);
        }
        (self.ranking.len(), self.pool.len())
    }

    /// Takes the own samples, and how to learn. What was learned before stays in use until the last epoch is done.
    ///
    /// # Errors
    /// If there are none or too many, one is none, or a setting is out of range.
    pub fn begin(&mut self, parameters: &FlatParameters, own: &[u8], settings: Settings) -> Result<(), Refusal> {
        settings.check().map_err(Fault::Setting)?;
        let (samples, rest) = own.as_chunks::<SAMPLE_LEN>();
        if !rest.is_empty() {
            return Err(Refusal::Samples { found: own.len() });
        }
        if samples.is_empty() {
            return Err(Fault::NoSamples.into());
        }
        self.begin_over(parameters);
        self.learner.forget_samples();
        self.shown.clear();
        (self.settings, self.epoch) = (settings, None);
        for (index, [label, pixels @ ..]) in (0..).zip(samples) {
            self.show(parameters, Set::Own, index, *label, pixels)?;
        }
        Ok(())
    }

    /// Mixes in the `count` ordinary samples that hold the borders of the classes best.
    ///
    /// # Errors
    /// If there is no room for so many, or not all candidates are known of the network as it is.
    pub fn mix_in(&mut self, parameters: &FlatParameters, count: usize) -> Result<(), Refusal> {
        if self.shown.is_empty() || (count > 0 && self.ranking.len() < self.pool.len()) {
            return Err(Refusal::Changed);
        }
        for (index, chosen) in (0..).zip(self.ranking.best(count)) {
            let (pixels, label) = self.pool.sample(chosen);
            self.show(parameters, Set::Ordinary, index, label, &pixels)?;
        }
        Ok(())
    }

    fn show(
        &mut self,
        parameters: &FlatParameters,
        set: Set,
        index: u32,
        label: u8,
        pixels: &Pixels,
    ) -> Result<(), Fault> {
        network::logits(pixels, &Parameters::of(parameters), &mut self.activations);
        let hidden = self.activations.hidden;
        self.learner.teach(set, index, label, &hidden)?;
        self.shown.push(Shown { set, index, label, pixels: *pixels, hidden });
        Ok(())
    }

    /// Learns the epoch of this number, counted from 1. Returns the mean of the samples' losses with what there is to
    /// compare. After the last one the head is in use.
    ///
    /// # Errors
    /// If it is not its turn, the learning diverges, or the network was changed.
    pub fn epoch(&mut self, parameters: &FlatParameters, number: u32) -> Result<(f64, Epoch), Refusal> {
        if self.shown.is_empty() {
            return Err(Refusal::Changed);
        }
        let settings = self.settings;
        let (loss, head) = self.learner.epoch(head::of(parameters), &settings, number)?;
        let epoch = Epoch { settings, number, loss, fingerprint: Fingerprint::of(head) };
        self.epoch = Some(epoch);
        Ok((loss / self.shown.len() as f64, epoch))
    }

    /// All samples, the own ones first, each set in its order.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// The epoch that was learned last.
    pub fn last_epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The learned head that is in use.
    pub fn head(&self) -> Option<&FlatHead> {
        self.learner.head()
    }

    /// Logits and probabilities that the learned head gives for what it sees of a digit.
    pub fn look(&self, hidden: &Hidden) -> Option<(Logits, [f32; CLASSES])> {
        let (weight, bias) = head::split(self.head()?);
        let mut logits = [0.0; CLASSES];
        linear(hidden, weight, bias, &mut logits);
        Some((logits, softmax(&logits)))
    }

    /// Forgets all samples and the learned head.
    pub fn forget(&mut self) {
        self.learner.forget();
        self.shown.clear();
        self.epoch = None;
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::learn::Setting;
    use cnn_train::random::initial_parameters;

    use super::*;

    const SETTINGS: Settings =
        Settings { epochs: 3, batch_length: 4, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };

    fn own(count: usize) -> Vec<u8> {
        let samples = synthetic::samples(1, Split::Test, count);
        let records = samples.images().iter().zip(samples.labels());
        records.flat_map(|(pixels, label)| [&[*label], pixels.as_slice()].concat()).collect()
    }

    /// A pool of files, so that not 20,000 candidates are looked at.
    fn small_pool(lesson: &mut Lesson, count: usize) {
        let samples = synthetic::samples(2, Split::Train, count);
        lesson.take_from(Some((samples.images().to_vec(), samples.labels().to_vec())));
    }

    fn learned(lesson: &mut Lesson, parameters: &FlatParameters, ordinary: usize) -> FlatHead {
        lesson.begin(parameters, &own(6), SETTINGS).unwrap();
        lesson.mix_in(parameters, ordinary).unwrap();
        let losses: Vec<f64> = (1..=3).map(|number| lesson.epoch(parameters, number).unwrap().0).collect();
        assert!(losses.is_sorted_by(|one, next| one > next), "{losses:?}");
        *lesson.head().expect("it is in use")
    }

    #[test]
    fn the_learned_head_gives_the_logits_of_the_network_that_has_it() {
        let (parameters, mut lesson) = (initial_parameters(1), Lesson::default());
        small_pool(&mut lesson, 30);
        assert_eq!(lesson.rank(&parameters, 20), (20, 30));
        assert_eq!(lesson.rank(&parameters, 20), (30, 30));
        let head = learned(&mut lesson, &parameters, 8);
        assert_eq!(lesson.shown().len(), 14);
        let (pixels, mut activations) = (synthetic::sample(3, Split::Test, 0).0, Activations::new());
        let with_head = head::with(Parameters::of(&parameters), &head);
        let expected = network::logits(&pixels, &with_head, &mut activations);
        let (logits, probabilities) = lesson.look(&activations.hidden).unwrap();
        assert_eq!(logits.map(f32::to_bits), expected.map(f32::to_bits));
        assert_eq!(probabilities, softmax(&expected));
        lesson.forget();
        assert!(lesson.head().is_none() && lesson.look(&activations.hidden).is_none());
        assert_eq!(learned(&mut lesson, &parameters, 8), head, "as if it were the first time");
    }

    #[test]
    fn another_network_ends_the_lesson_and_the_same_one_does_not() {
        let (parameters, mut lesson) = (initial_parameters(1), Lesson::default());
        small_pool(&mut lesson, 5);
        lesson.rank(&parameters, 5);
        let head = learned(&mut lesson, &parameters, 2);
        lesson.changed(&parameters.clone());
        assert_eq!(lesson.head(), Some(&head));
        lesson.changed(&initial_parameters(2));
        assert!(lesson.head().is_none() && lesson.last_epoch().is_none());
        assert_eq!(lesson.epoch(&parameters, 1).err(), Some(Refusal::Changed));
        lesson.begin(&parameters, &own(2), SETTINGS).unwrap();
        assert_eq!(lesson.mix_in(&parameters, 1), Err(Refusal::Changed), "the candidates were another network's");
        lesson.mix_in(&parameters, 0).unwrap();
        assert!(lesson.epoch(&parameters, 1).is_ok());
    }

    #[test]
    fn what_is_no_lesson_is_refused_and_the_head_stays() {
        let (parameters, mut lesson) = (initial_parameters(1), Lesson::default());
        small_pool(&mut lesson, 2);
        lesson.rank(&parameters, 2);
        let head = learned(&mut lesson, &parameters, 2);
        let refusal = |lesson: &mut Lesson, own: &[u8], settings| lesson.begin(&parameters, own, settings).err();
        assert_eq!(refusal(&mut lesson, &own(1)[1..], SETTINGS), Some(Refusal::Samples { found: SAMPLE_LEN - 1 }));
        assert_eq!(refusal(&mut lesson, &[], SETTINGS), Some(Fault::NoSamples.into()));
        let mut label = own(2);
        label[SAMPLE_LEN] = 10;
        assert_eq!(refusal(&mut lesson, &label, SETTINGS), Some(Fault::Label(10).into()));
        let full = Some(Fault::Full { capacity: ROOM as u32 }.into());
        assert_eq!(refusal(&mut lesson, &own(ROOM + 1), SETTINGS), full);
        let none = Settings { epochs: 0, ..SETTINGS };
        assert_eq!(refusal(&mut lesson, &own(1), none), Some(Fault::Setting(Setting::Epochs).into()));
        lesson.begin(&parameters, &own(ROOM), SETTINGS).unwrap();
        assert_eq!(lesson.mix_in(&parameters, 1).err(), full);
        let wild = Settings { learning_rate: 1e30, ..SETTINGS };
        lesson.begin(&parameters, &own(6), wild).unwrap();
        assert_eq!(lesson.epoch(&parameters, 2).err(), Some(Fault::Epoch { next: 1 }.into()));
        assert_eq!(lesson.epoch(&parameters, 1).err(), Some(Fault::Diverged { epoch: 1 }.into()));
        assert_eq!(lesson.head(), Some(&head));
    }
}
