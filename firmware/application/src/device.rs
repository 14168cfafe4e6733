//! What requests do: everything behind the line.

use cnn_core::head::{self, FlatHead};
use cnn_core::int8;
use cnn_core::learn::{self, Fault, Learner, Set, Settings};
use cnn_core::network::{FlatParameters, Parameters, predict};
use cnn_core::protocol::{
    Classified, ClassifiedInt8, HeadPiece, HeadStatus, Info, Learned, LineCounters, PIECE_SHAPE, Refusal, Reply,
    Request, Taught,
};
use embedded_hal::digital::OutputPin;
use hmac_sha256::Hash;

use crate::area::{ModelArea, ModelFlash, StartBuffer};
use crate::confidence::permille;
use crate::engine::{Engine, Running};
use crate::light::Pattern;
use crate::{Event, Next, System, VERSION};

/// Model, light and the rest of the board.
pub struct Device<'a, F, P, S> {
    area: ModelArea<'a, F>,
    light: P,
    pattern: Pattern,
    /// When the pattern began, in cycles.
    pattern_start: u64,
    engine: Engine<'a>,
    learner: Learner<'a>,
    /// The model that samples and learned head belong to.
    learned_over: Option<[u8; 32]>,
    pub(crate) system: S,
}

impl<'a, F: ModelFlash, P: OutputPin, S: System> Device<'a, F, P, S> {
    /// Checks the model in flash, and the learned head that belongs to it.
    pub fn boot(
        flash: F,
        light: P,
        mut system: S,
        start: &'a mut StartBuffer,
        mut engine: Engine<'a>,
        learner: Learner<'a>,
    ) -> Self {
        let area = ModelArea::boot(flash, start, &mut engine);
        let (event, pattern) = match area.model() {
            Ok(fingerprint) => (Event::ModelRuns { fingerprint }, Pattern::Dark),
            Err(error) => (Event::ModelMissing(error), Pattern::NoModel),
        };
        system.log(event);
        let pattern_start = system.cycles();
        let mut device = Self { area, light, pattern, pattern_start, engine, learner, learned_over: None, system };
        device.follow_model();
        device
    }

    /// If another model runs than the one that samples and head belong to, they are forgotten, and the head in flash that
    /// belongs to it is taken.
    fn follow_model(&mut self) {
        let model = self.area.model().ok();
        if model == self.learned_over {
            return;
        }
        self.learned_over = model;
        self.learner.forget();
        match self.area.kept() {
            Ok(Some(head)) => {
                self.learner.restore(head);
                self.system.log(Event::HeadRuns { fingerprint: fingerprint(head) });
            }
            Ok(None) => {}
            Err(error) => self.system.log(Event::HeadRefused(error)),
        }
    }

    /// Gives the parts of the board back.
    pub fn release(self) -> (F, P, S) {
        (self.area.release(), self.light, self.system)
    }

    /// Moves the light.
    pub fn show(&mut self, now: u64) {
        let elapsed = now.wrapping_sub(self.pattern_start) / u64::from(self.system.clock_hz() / 1000).max(1);
        // A light that cannot be switched is no reason to stop.
        let _ = self.light.set_state(self.pattern.is_lit(elapsed).into());
    }

    /// Carries out a request, or what stands in its place if it could not be read.
    pub fn carry_out(&mut self, request: Result<Request<'_>, Refusal>, line: LineCounters) -> (Reply<'static>, Next) {
        let reply = match request {
            Ok(Request::Reset) => return (Reply::Resetting, Next::Reset),
            Ok(Request::Info) => Ok(Reply::Info(self.info(line))),
            Ok(Request::Classify { pixels }) => self.classify(pixels),
            Ok(Request::UpdateBegin { header }) => {
                self.area.begin(&header, &self.engine).map(|next| Reply::UpdateAt { next })
            }
            Ok(Request::UpdateChunk { offset, data }) => {
                let taken = self.area.take_chunk(offset, data, &mut self.engine);
                taken.map(|next| Reply::UpdateAt { next })
            }
            Ok(Request::UpdateCommit { header }) => {
                let committed = self.area.commit(&header, &mut self.engine);
                committed.map(|fingerprint| Reply::Activated { fingerprint })
            }
            Ok(Request::Head) => Ok(Reply::Head(self.head_status())),
            Ok(Request::Teach { set, index, label, pixels }) => self.teach(set, index, label, pixels),
            Ok(Request::Learn { settings, epoch }) => self.learn(&settings, epoch),
            Ok(Request::Forget { heads }) => self.forget(heads),
            Ok(Request::Keep) => self.keep(),
            Ok(Request::ReadHead { piece }) => self.head_piece(piece),
            Err(refusal) => Err(refusal),
        };
        self.follow_model();
        (reply.unwrap_or_else(Reply::Refused), Next::Poll)
    }

    /// Tells log and light what was replied. It follows the reply, so that the host does not wait for it.
    pub fn report(&mut self, reply: &Reply<'_>) {
        match *reply {
            Reply::Classified(Classified { logits, class, cycles }) => {
                self.classified(permille(&logits, class.into()), class, cycles);
            }
            Reply::ClassifiedInt8(ClassifiedInt8 { logits, scale, class, cycles }) => {
                self.classified(permille(&int8::scaled(&logits, scale), class.into()), class, cycles);
            }
            Reply::Activated { fingerprint } => {
                self.system.log(Event::ModelRuns { fingerprint });
                self.start(Pattern::Dark);
            }
            Reply::Refused(refusal) => {
                self.system.log(Event::Refused(refusal));
                if self.area.model().is_err() {
                    self.start(Pattern::NoModel);
                }
            }
            // Until the model in flash is given up, it goes on showing its digits.
            Reply::UpdateAt { next } if self.pattern != Pattern::NoModel && self.area.model().is_err() => {
                self.system.log(Event::UpdateFrom(next));
                self.start(Pattern::NoModel);
            }
            Reply::Learned(Learned { cycles, .. }) => self.system.log(Event::Learned { cycles }),
            Reply::UpdateAt { .. }
            | Reply::Info(_)
            | Reply::Resetting
            | Reply::Head(_)
            | Reply::Taught(_)
            | Reply::HeadPiece(_) => {}
        }
    }

    fn classified(&mut self, permille: u16, class: u8, cycles: u32) {
        self.system.log(Event::Classified { class, permille, cycles });
        self.start(Pattern::Digit(class));
    }

    fn start(&mut self, pattern: Pattern) {
        self.pattern = pattern;
        self.pattern_start = self.system.cycles();
    }

    fn info(&self, line: LineCounters) -> Info<'static> {
        Info {
            firmware: VERSION,
            board: S::BOARD,
            clock_hz: self.system.clock_hz(),
            model: self.area.model(),
            memory: self.system.memory(),
            line,
        }
    }

    fn classify(&mut self, pixels: &[u8]) -> Result<Reply<'static>, Refusal> {
        let pixels = pixels.try_into().map_err(|_| Refusal::Malformed)?;
        let start = self.system.cycles();
        Ok(match self.area.running().map_err(Refusal::NoModel)? {
            Running::Int8(parameters, scale) => {
                let logits = self.engine.int8_logits(pixels, &parameters);
                let cycles = self.system.cycles().wrapping_sub(start) as u32;
                Reply::ClassifiedInt8(ClassifiedInt8 { logits, scale, class: int8::predict(&logits) as u8, cycles })
            }
            Running::Float(parameters) => {
                let parameters = Parameters::of(parameters);
                let parameters = self.learner.head().map_or(parameters, |head| head::with(parameters, head));
                let logits = self.engine.logits(pixels, &parameters);
                let cycles = self.system.cycles().wrapping_sub(start) as u32;
                Reply::Classified(Classified { logits, class: predict(&logits) as u8, cycles })
            }
        })
    }

    fn head_status(&self) -> HeadStatus {
        let samples = self.learner.samples();
        HeadStatus {
            capacity: samples.capacity() as u32,
            own: samples.count(Set::Own) as u32,
            ordinary: samples.count(Set::Ordinary) as u32,
            checksum: samples.checksum(),
            learned: self.learner.head().map(fingerprint),
            kept: self.area.kept().map(|head| head.map(fingerprint)),
        }
    }

    fn teach(&mut self, set: Set, index: u32, label: u8, pixels: &[u8]) -> Result<Reply<'static>, Refusal> {
        let pixels = pixels.try_into().map_err(|_| Refusal::Malformed)?;
        let hidden = self.engine.hidden(pixels, &Parameters::of(learning_model(&self.area)?));
        self.learner.teach(set, index, label, hidden).map_err(Refusal::Learning)?;
        let checksum = learn::checksum((hidden, label));
        Ok(Reply::Taught(Taught { count: self.learner.samples().count(set) as u32, checksum }))
    }

    fn learn(&mut self, settings: &Settings, epoch: u32) -> Result<Reply<'static>, Refusal> {
        let start = self.system.cycles();
        let model = head::of(learning_model(&self.area)?);
        let (loss, head) = self.learner.epoch(model, settings, epoch).map_err(Refusal::Learning)?;
        let cycles = self.system.cycles().wrapping_sub(start) as u32;
        Ok(Reply::Learned(Learned { loss, fingerprint: fingerprint(head), cycles }))
    }

    fn forget(&mut self, heads: bool) -> Result<Reply<'static>, Refusal> {
        self.learner.forget_samples();
        if heads {
            // First what comes back after a reset.
            self.area.forget_kept()?;
            self.learner.forget();
        }
        Ok(Reply::Head(self.head_status()))
    }

    fn keep(&mut self) -> Result<Reply<'static>, Refusal> {
        let head = self.learner.head().ok_or(Refusal::Learning(Fault::NoHead))?;
        self.area.keep(head)?;
        Ok(Reply::Head(self.head_status()))
    }

    fn head_piece(&self, piece: u32) -> Result<Reply<'static>, Refusal> {
        let head = self.learner.head().ok_or(Refusal::Learning(Fault::NoHead))?;
        let (rows, _) = head.as_chunks::<{ PIECE_SHAPE[1] }>();
        let (pieces, _) = rows.as_chunks::<{ PIECE_SHAPE[0] }>();
        let values = *pieces.get(piece as usize).ok_or(Refusal::Malformed)?;
        Ok(Reply::HeadPiece(HeadPiece { values }))
    }
}

/// The running model, if its head can learn.
fn learning_model<'f, F: ModelFlash>(area: &'f ModelArea<'_, F>) -> Result<&'f FlatParameters, Refusal> {
    match area.running().map_err(Refusal::NoModel)? {
        Running::Float(parameters) => Ok(parameters),
        Running::Int8(..) => Err(Refusal::Learning(Fault::Integers)),
    }
}

/// SHA-256 of a head as little-endian f32.
fn fingerprint(head: &FlatHead) -> [u8; 32] {
    let mut hash = Hash::new();
    for value in head {
        hash.update(value.to_le_bytes());
    }
    hash.finalize()
}
