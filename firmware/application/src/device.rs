//! What requests do: everything behind the line.

use cnn_core::int8;
use cnn_core::network::predict;
use cnn_core::protocol::{Classified, ClassifiedInt8, Info, LineCounters, Refusal, Reply, Request};
use embedded_hal::digital::OutputPin;

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
    pub(crate) system: S,
}

impl<'a, F: ModelFlash, P: OutputPin, S: System> Device<'a, F, P, S> {
    /// Checks the model in flash.
    pub fn boot(flash: F, light: P, mut system: S, start: &'a mut StartBuffer, mut engine: Engine<'a>) -> Self {
        let area = ModelArea::boot(flash, start, &mut engine);
        let (event, pattern) = match area.model() {
            Ok(fingerprint) => (Event::ModelRuns { fingerprint }, Pattern::Dark),
            Err(error) => (Event::ModelMissing(error), Pattern::NoModel),
        };
        system.log(event);
        let pattern_start = system.cycles();
        Self { area, light, pattern, pattern_start, engine, system }
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
            Err(refusal) => Err(refusal),
        };
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
            Reply::UpdateAt { .. } | Reply::Info(_) | Reply::Resetting => {}
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
                Reply::ClassifiedInt8(ClassifiedInt8 { logits, scale, class: predict(&logits) as u8, cycles })
            }
            Running::Float(parameters) => {
                let logits = self.engine.logits(pixels, parameters);
                let cycles = self.system.cycles().wrapping_sub(start) as u32;
                Reply::Classified(Classified { logits, class: predict(&logits) as u8, cycles })
            }
        })
    }
}
