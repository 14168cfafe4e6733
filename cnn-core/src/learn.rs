//! The head learns from samples that are shown one by one: what a board does between two requests, without I/O.
//!
//! A sample is kept as its 120 hidden values and its label, in one of two sets: a person's own digits, and ordinary ones
//! that keep the network from forgetting the rest. An epoch takes all of them once, the sets mixed evenly in one fixed
//! order ([`Samples::get`]). Learning starts from the model's own head with momentum 0, so that the learned head is a pure
//! function of model, samples and [`Settings`]; it comes into use when its last epoch is done. Until then, and if it
//! diverges, the head that was in use stays.
//!
//! Every call may be repeated: twice has the effect of once.

use serde::{Deserialize, Serialize};

use crate::head::{self, FlatHead, HEAD_LEN, Hidden};
use crate::sgd::Sgd;
use crate::shapes::{CLASSES, HIDDEN};
use crate::train::Diverged;

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// How the head learns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Epochs, at least 1.
    pub epochs: u32,
    /// Samples of a step, at least 1; the last one of an epoch may have fewer.
    pub batch_length: u32,
    /// [`Sgd::learning_rate`].
    pub learning_rate: f32,
    /// [`Sgd::momentum`].
    pub momentum: f32,
    /// [`Sgd::weight_decay`].
    pub weight_decay: f32,
}

impl Settings {
    /// Whether one can learn so.
    ///
    /// # Errors
    /// The first of them that is out of its range.
    pub fn check(&self) -> Result<(), Setting> {
        // −0.0 as a factor would turn gradients of 0 into −0.0.
        let is_rate = |rate: f32| rate.is_finite() && rate.is_sign_positive();
        let settings = [
            (self.epochs > 0, Setting::Epochs),
            (self.batch_length > 0, Setting::BatchLength),
            (is_rate(self.learning_rate), Setting::LearningRate),
            (is_rate(self.momentum), Setting::Momentum),
            (is_rate(self.weight_decay), Setting::WeightDecay),
        ];
        settings.into_iter().find(|(is_good, _)| !is_good).map_or(Ok(()), |(_, setting)| Err(setting))
    }

    fn sgd(&self) -> Sgd {
        Sgd { learning_rate: self.learning_rate, momentum: self.momentum, weight_decay: self.weight_decay }
    }
}

/// One of the [`Settings`]; the order of the variants is part of [`crate::protocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Setting {
    /// None.
    #[error("0 epochs")]
    Epochs,
    /// No samples in a step.
    #[error("batches of 0 samples")]
    BatchLength,
    /// NaN, infinite or negative.
    #[error("a learning rate that is negative or not a finite number")]
    LearningRate,
    /// NaN, infinite or negative.
    #[error("a momentum that is negative or not a finite number")]
    Momentum,
    /// NaN, infinite or negative.
    #[error("a weight decay that is negative or not a finite number")]
    WeightDecay,
}

/// Why nothing is learned, or what was learned is not kept; the order of the variants is part of [`crate::protocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// A label that is no digit.
    #[error("{0} is no label: expected a digit from 0 to 9")]
    Label(u8),
    /// A sample that is not the next of its set, nor one that is there.
    #[error("the next sample of this set is number {next}, counted from 0")]
    Place {
        /// The next one's place.
        next: u32,
    },
    /// The place holds another sample.
    #[error("the board holds another sample in this place: let it forget all of them, and teach them anew")]
    Other,
    /// No room is left.
    #[error("there is no room for more than {capacity} samples")]
    Full {
        /// Samples that there is room for.
        capacity: u32,
    },
    /// No sample was shown.
    #[error("there is nothing to learn from: teach samples first")]
    NoSamples,
    /// A setting out of range.
    #[error("nothing is learned with {0}")]
    Setting(Setting),
    /// An epoch that is not the next one and not the last one again.
    #[error("the next epoch is number {next}")]
    Epoch {
        /// The next one's number, counted from 1.
        next: u32,
    },
    /// A parameter left the range ([`crate::range`]). The head that was in use stays.
    #[error("the learning diverged in epoch {epoch}; the head stays as it was: learn with a smaller rate")]
    Diverged {
        /// The epoch's number, counted from 1.
        epoch: u32,
    },
    /// The running model is not in f32.
    #[error("the model is in integers, and only one in f32 learns")]
    Integers,
    /// The model's own head is in use.
    #[error("no learned head is in use")]
    NoHead,
    /// Flash has no room for another head.
    #[error("flash has no room for another head until another model is sent")]
    NoRoom,
}

/// A set of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Set {
    /// What is to be learned.
    Own,
    /// What is not to be forgotten.
    Ordinary,
}

/// Samples of both sets in one memory: the own ones from its start on, the ordinary ones from its end.
#[derive(Debug)]
pub struct Samples<'a> {
    hidden: &'a mut [Hidden],
    labels: &'a mut [u8],
    own: usize,
    ordinary: usize,
}

impl<'a> Samples<'a> {
    /// None, and room for as many as both slices have.
    pub fn new(hidden: &'a mut [Hidden], labels: &'a mut [u8]) -> Self {
        Self { hidden, labels, own: 0, ordinary: 0 }
    }

    /// Samples that there is room for.
    pub fn capacity(&self) -> usize {
        self.hidden.len().min(self.labels.len())
    }

    /// How many samples a set has.
    pub fn count(&self, set: Set) -> usize {
        match set {
            Set::Own => self.own,
            Set::Ordinary => self.ordinary,
        }
    }

    /// Samples of both sets.
    pub fn len(&self) -> usize {
        self.own + self.ordinary
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn place(&self, set: Set, index: usize) -> usize {
        match set {
            Set::Own => index,
            Set::Ordinary => self.capacity() - 1 - index,
        }
    }

    fn sample(&self, set: Set, index: usize) -> (&Hidden, u8) {
        let place = self.place(set, index);
        (&self.hidden[place], self.labels[place])
    }

    /// The sample that an epoch takes at this place of its order, counted from 0.
    ///
    /// Of the first k of n own and m ordinary samples, ⌊k·n / (n + m)⌋ are own ones; each set is in its own order.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn get(&self, place: usize) -> (&Hidden, u8) {
        let own_before = |place: usize| (place as u64 * self.own as u64 / self.len() as u64) as usize;
        let own = own_before(place);
        if own_before(place + 1) > own { self.sample(Set::Own, own) } else { self.sample(Set::Ordinary, place - own) }
    }

    /// Keeps a sample in place `index` of its set. One that is there already is accepted again.
    ///
    /// # Errors
    /// If the label is none, the place is not the next one, it holds another sample, or no room is left.
    pub fn add(&mut self, set: Set, index: u32, label: u8, hidden: &Hidden) -> Result<(), Fault> {
        if usize::from(label) >= CLASSES {
            return Err(Fault::Label(label));
        }
        let (next, index) = (self.count(set), index as usize);
        if index < next {
            return if self.sample(set, index) == (hidden, label) { Ok(()) } else { Err(Fault::Other) };
        }
        if index > next {
            return Err(Fault::Place { next: next as u32 });
        }
        if self.len() == self.capacity() {
            return Err(Fault::Full { capacity: self.capacity() as u32 });
        }
        let place = self.place(set, index);
        self.hidden[place] = *hidden;
        self.labels[place] = label;
        match set {
            Set::Own => self.own += 1,
            Set::Ordinary => self.ordinary += 1,
        }
        Ok(())
    }

    /// CRC-32 of all samples, the own ones first: of each its label and its hidden values as little-endian f32.
    pub fn checksum(&self) -> u32 {
        let mut digest = CRC.digest();
        for set in [Set::Own, Set::Ordinary] {
            for index in 0..self.count(set) {
                update(&mut digest, self.sample(set, index));
            }
        }
        digest.finalize()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        (self.own, self.ordinary) = (0, 0);
    }
}

/// CRC-32 of one sample: its label and its hidden values as little-endian f32.
pub fn checksum(sample: (&Hidden, u8)) -> u32 {
    let mut digest = CRC.digest();
    update(&mut digest, sample);
    digest.finalize()
}

fn update(digest: &mut crc::Digest<'_, u32>, (hidden, label): (&Hidden, u8)) {
    digest.update(&[label]);
    for value in hidden {
        digest.update(&value.to_le_bytes());
    }
}

/// The memory of a [`Learner`] beside that of its samples.
#[derive(Debug)]
pub struct Memory {
    in_use: FlatHead,
    head: FlatHead,
    momentum: FlatHead,
    gradient: FlatHead,
}

impl Memory {
    /// All zeros; `const`, so that it can be a `static`.
    pub const fn new() -> Self {
        Self { in_use: [0.0; HEAD_LEN], head: [0.0; HEAD_LEN], momentum: [0.0; HEAD_LEN], gradient: [0.0; HEAD_LEN] }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes of a sample.
pub const SAMPLE_BYTES: usize = HIDDEN * size_of::<f32>() + 1;

/// A learning that has begun: the epoch that was asked for last, and what came out.
#[derive(Debug, Clone, Copy)]
struct Progress {
    settings: Settings,
    epoch: u32,
    loss: Result<f64, Fault>,
}

/// Samples, what is being learned from them, and the head that was.
#[derive(Debug)]
pub struct Learner<'a> {
    samples: Samples<'a>,
    memory: &'a mut Memory,
    has_head: bool,
    progress: Option<Progress>,
}

impl<'a> Learner<'a> {
    /// Without samples and without a head.
    pub fn new(samples: Samples<'a>, memory: &'a mut Memory) -> Self {
        Self { samples, memory, has_head: false, progress: None }
    }

    /// The learned head that is in use, if the model's own is not.
    pub fn head(&self) -> Option<&FlatHead> {
        self.has_head.then_some(&self.memory.in_use)
    }

    /// The samples.
    pub fn samples(&self) -> &Samples<'a> {
        &self.samples
    }

    /// Puts a head into use that was learned earlier.
    pub fn restore(&mut self, head: &FlatHead) {
        self.memory.in_use = *head;
        self.has_head = true;
    }

    /// All samples are gone, and with them what was being learned.
    pub fn forget_samples(&mut self) {
        self.samples.clear();
        self.progress = None;
    }

    /// All samples are gone, and the model's own head is in use again.
    pub fn forget(&mut self) {
        self.forget_samples();
        self.has_head = false;
    }

    /// [`Samples::add`]; a new sample ends what was being learned.
    ///
    /// # Errors
    /// As [`Samples::add`].
    pub fn teach(&mut self, set: Set, index: u32, label: u8, hidden: &Hidden) -> Result<(), Fault> {
        let before = self.samples.len();
        self.samples.add(set, index, label, hidden)?;
        if self.samples.len() > before {
            self.progress = None;
        }
        Ok(())
    }

    /// Epoch number `epoch`, counted from 1, of a learning with these settings that starts from `model`, the model's own
    /// head. Returns the sum of the samples' losses, each before its step, and the head after the epoch.
    ///
    /// Epoch 1 begins anew; every other one follows the one before it, with the same settings. The last one that was asked
    /// for may be asked for again. After the last epoch of all the head is in use.
    ///
    /// # Errors
    /// If the settings are out of range, there are no samples, it is not this epoch's turn, or the learning diverges.
    pub fn epoch(&mut self, model: &FlatHead, settings: &Settings, epoch: u32) -> Result<(f64, &FlatHead), Fault> {
        settings.check().map_err(Fault::Setting)?;
        if self.samples.is_empty() {
            return Err(Fault::NoSamples);
        }
        let known = self.progress.filter(|progress| progress.settings == *settings);
        if let Some(progress) = known.filter(|progress| progress.epoch == epoch) {
            return progress.loss.map(|loss| (loss, &self.memory.head));
        }
        let next = match known {
            Some(Progress { epoch, loss: Ok(_), .. }) if epoch < settings.epochs => epoch + 1,
            _ => 1,
        };
        if epoch != next && epoch != 1 {
            return Err(Fault::Epoch { next });
        }
        if epoch == 1 {
            self.memory.head = *model;
            self.memory.momentum.fill(0.0);
        }
        let loss = self.run(settings).map_err(|Diverged| Fault::Diverged { epoch });
        self.progress = Some(Progress { settings: *settings, epoch, loss });
        if loss.is_ok() && epoch == settings.epochs {
            self.memory.in_use = self.memory.head;
            self.has_head = true;
        }
        loss.map(|loss| (loss, &self.memory.head))
    }

    /// Every sample once.
    fn run(&mut self, settings: &Settings) -> Result<f64, Diverged> {
        let Memory { head, momentum, gradient, .. } = &mut *self.memory;
        let (samples, sgd) = (&self.samples, settings.sgd());
        let mut loss = 0.0;
        for start in (0..samples.len()).step_by(settings.batch_length as usize) {
            let end = samples.len().min(start.saturating_add(settings.batch_length as usize));
            let batch = (start..end).map(|place| samples.get(place));
            loss += head::step(&sgd, head, momentum, gradient, batch)?;
        }
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    const SETTINGS: Settings =
        Settings { epochs: 3, batch_length: 4, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0 };

    /// Memory for some samples, lent to what the test does.
    fn with_room<T>(capacity: usize, test: impl FnOnce(Learner<'_>) -> T) -> T {
        let (mut hidden, mut labels, mut memory) = (vec![[0.0; HIDDEN]; capacity], vec![0; capacity], Memory::new());
        test(Learner::new(Samples::new(&mut hidden, &mut labels), &mut memory))
    }

    fn hidden(seed: usize) -> Hidden {
        core::array::from_fn(|i| ((seed * 31 + i * 17) % 23) as f32 / 8.0)
    }

    fn teach(learner: &mut Learner<'_>, own: usize, ordinary: usize) {
        for (set, count) in [(Set::Own, own), (Set::Ordinary, ordinary)] {
            for index in 0..count {
                let seed = index + 100 * usize::from(set == Set::Ordinary);
                learner.teach(set, index as u32, (seed % 10) as u8, &hidden(seed)).expect("there is room");
            }
        }
    }

    fn model() -> FlatHead {
        core::array::from_fn(|i| (i % 13) as f32 / 100.0 - 0.06)
    }

    /// Losses and heads of all epochs.
    fn learn(learner: &mut Learner<'_>, settings: &Settings) -> Vec<(f64, FlatHead)> {
        let mut epochs = vec![];
        for epoch in 1..=settings.epochs {
            let (loss, head) = learner.epoch(&model(), settings, epoch).expect("its turn");
            epochs.push((loss, *head));
        }
        epochs
    }

    #[test]
    fn the_sets_are_mixed_evenly_and_each_keeps_its_order() {
        for (own, ordinary) in [(1, 0), (0, 1), (1, 1), (3, 7), (10, 4), (5, 5), (1, 9)] {
            with_room(own + ordinary, |mut learner| {
                teach(&mut learner, own, ordinary);
                let samples = learner.samples();
                let order: Vec<Hidden> = (0..samples.len()).map(|place| *samples.get(place).0).collect();
                let of_set = |seeds: core::ops::Range<usize>| seeds.map(hidden).collect::<Vec<_>>();
                let (own_set, ordinary_set) = (of_set(0..own), of_set(100..100 + ordinary));
                let (mut seen_own, mut seen_ordinary) = (0, 0);
                for (place, hidden) in order.iter().enumerate() {
                    if own_set.get(seen_own) == Some(hidden) {
                        seen_own += 1
                    } else {
                        seen_ordinary += 1
                    }
                    assert_eq!(seen_own, (place + 1) * own / (own + ordinary), "{own} and {ordinary}, {place}");
                    assert!(seen_ordinary == 0 || ordinary_set[..seen_ordinary].iter().all(|it| order.contains(it)));
                }
                assert_eq!((seen_own, seen_ordinary), (own, ordinary));
            });
        }
    }

    #[test]
    fn samples_out_of_order_of_no_class_or_too_many_are_refused() {
        with_room(3, |mut learner| {
            let teach =
                |learner: &mut Learner<'_>, set, index, label, seed| learner.teach(set, index, label, &hidden(seed));
            assert_eq!(teach(&mut learner, Set::Own, 0, 10, 0), Err(Fault::Label(10)));
            assert_eq!(teach(&mut learner, Set::Own, 1, 9, 0), Err(Fault::Place { next: 0 }));
            assert_eq!(teach(&mut learner, Set::Own, 0, 9, 0), Ok(()));
            assert_eq!(teach(&mut learner, Set::Own, 0, 9, 0), Ok(()), "again");
            assert_eq!(teach(&mut learner, Set::Own, 0, 8, 0), Err(Fault::Other));
            assert_eq!(teach(&mut learner, Set::Own, 0, 9, 1), Err(Fault::Other));
            assert_eq!(teach(&mut learner, Set::Ordinary, 0, 1, 1), Ok(()));
            assert_eq!(teach(&mut learner, Set::Ordinary, u32::MAX, 1, 1), Err(Fault::Place { next: 1 }));
            assert_eq!(teach(&mut learner, Set::Ordinary, 1, 1, 2), Ok(()));
            assert_eq!(teach(&mut learner, Set::Ordinary, 2, 1, 3), Err(Fault::Full { capacity: 3 }));
            assert_eq!(teach(&mut learner, Set::Own, 1, 1, 3), Err(Fault::Full { capacity: 3 }));
            assert_eq!((learner.samples().count(Set::Own), learner.samples().count(Set::Ordinary)), (1, 2));
            learner.restore(&model());
            learner.forget_samples();
            assert!(learner.samples().is_empty() && learner.head() == Some(&model()));
            learner.forget();
            assert!(learner.head().is_none());
        });
    }

    #[test]
    fn a_head_is_in_use_after_the_last_epoch_and_not_before() {
        with_room(10, |mut learner| {
            teach(&mut learner, 6, 4);
            for epoch in 1..=3 {
                assert!(learner.head().is_none(), "{epoch}");
                learner.epoch(&model(), &SETTINGS, epoch).expect("its turn");
            }
            let first = *learner.head().expect("learned");
            assert_ne!(first, model());
            // What is not learned to its end changes nothing; a new sample ends it.
            learner.epoch(&model(), &Settings { learning_rate: 0.5, ..SETTINGS }, 1).expect("it begins");
            assert_eq!(learner.head(), Some(&first));
            assert_eq!(learner.epoch(&model(), &SETTINGS, 2).err(), Some(Fault::Epoch { next: 1 }));
        });
    }

    #[test]
    fn an_epoch_asked_for_twice_is_learned_once_and_all_of_them_again_give_the_same() {
        let expected = with_room(10, |mut learner| {
            teach(&mut learner, 6, 4);
            learn(&mut learner, &SETTINGS)
        });
        with_room(10, |mut learner| {
            teach(&mut learner, 6, 4);
            for (epoch, expected) in (1..).zip(&expected) {
                for _ in 0..3 {
                    let (loss, head) = learner.epoch(&model(), &SETTINGS, epoch).expect("its turn");
                    assert_eq!((loss, head), (expected.0, &expected.1));
                }
                let skipped = learner.epoch(&model(), &SETTINGS, epoch + 2).err();
                assert_eq!(skipped, Some(Fault::Epoch { next: if epoch < 3 { epoch + 1 } else { 1 } }));
            }
            assert_eq!(learn(&mut learner, &SETTINGS), expected);
        });
        assert!(expected.windows(2).all(|pair| pair[1].0 < pair[0].0), "the losses fall");
    }

    #[test]
    fn a_new_sample_ends_what_was_being_learned() {
        with_room(3, |mut learner| {
            assert_eq!(learner.epoch(&model(), &SETTINGS, 1).err(), Some(Fault::NoSamples));
            teach(&mut learner, 2, 0);
            learner.epoch(&model(), &SETTINGS, 1).expect("it begins");
            learner.teach(Set::Own, 1, 1, &hidden(1)).expect("it is there");
            learner.epoch(&model(), &SETTINGS, 2).expect("nothing new");
            learner.teach(Set::Own, 2, 2, &hidden(2)).expect("there is room");
            assert_eq!(learner.epoch(&model(), &SETTINGS, 3).err(), Some(Fault::Epoch { next: 1 }));
        });
    }

    #[test]
    fn what_diverges_says_so_as_often_as_it_is_asked_and_keeps_the_head() {
        with_room(10, |mut learner| {
            teach(&mut learner, 6, 4);
            learn(&mut learner, &SETTINGS);
            let head = *learner.head().expect("learned");
            let wild = Settings { learning_rate: 1e30, ..SETTINGS };
            for _ in 0..2 {
                assert_eq!(learner.epoch(&model(), &wild, 1).err(), Some(Fault::Diverged { epoch: 1 }));
                assert_eq!(learner.head(), Some(&head));
            }
            assert_eq!(learner.epoch(&model(), &wild, 2).err(), Some(Fault::Epoch { next: 1 }));
            assert_eq!(learn(&mut learner, &SETTINGS).last().map(|last| last.1), Some(head), "as if it had not been");
        });
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        with_room(1, |mut learner| {
            teach(&mut learner, 1, 0);
            for rate in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.1, -0.0] {
                for (settings, expected) in [
                    (Settings { learning_rate: rate, ..SETTINGS }, Setting::LearningRate),
                    (Settings { momentum: rate, ..SETTINGS }, Setting::Momentum),
                    (Settings { weight_decay: rate, ..SETTINGS }, Setting::WeightDecay),
                    (Settings { epochs: 0, ..SETTINGS }, Setting::Epochs),
                    (Settings { batch_length: 0, ..SETTINGS }, Setting::BatchLength),
                ] {
                    assert_eq!(learner.epoch(&model(), &settings, 1).err(), Some(Fault::Setting(expected)));
                }
            }
            learner.epoch(&model(), &Settings { batch_length: u32::MAX, ..SETTINGS }, 1).expect("one batch of all");
        });
    }
}
