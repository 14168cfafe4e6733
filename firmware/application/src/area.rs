//! The area of flash that holds the model: checked at boot, read in place, replaced by an update.
//!
//! There is room for one model, so an update gives up the old one, but not before all that stands in front of the new
//! one's parameters is here and was checked; until then it waits in RAM. What is erased first and written last is the
//! file's header: whenever power fails, the next boot finds the old file whole, the new file whole, or a file that does
//! not pass [`AnyModel::parse_prefix`]; it then waits for a model.

use cnn_core::head::FlatHead;
use cnn_core::int8::{self, BLOCK_LEN, Block};
use cnn_core::model::{self, AnyModel, FileHeader, HEADER_LEN, MAX_START, ModelError};
use cnn_core::network::FlatParameters;
use cnn_core::protocol::{CHUNK_ALIGNMENT, KeptError, MAX_CHUNK, Refusal};
use embedded_storage::nor_flash::NorFlash;

use crate::engine::{Engine, Running};
use crate::kept;

/// The flash of the model area, which the processor also reads as memory.
///
/// Offsets of the `NorFlash` methods are indices into [`ModelFlash::contents`].
pub trait ModelFlash: NorFlash {
    /// All bytes of the area where they lie, on a border of 16 bytes.
    fn contents(&self) -> &[u8];
}

/// Memory for the start of a file.
pub type StartBuffer = [u8; MAX_START];

/// The model area.
pub struct ModelArea<'a, F> {
    flash: F,
    state: State,
    /// The update that has begun, as long as flash is as it was.
    arriving: Option<Arriving>,
    start: &'a mut StartBuffer,
}

/// A file of `len` bytes whose start is not whole yet: `received` bytes of it lie in RAM.
#[derive(Debug, Clone, Copy)]
struct Arriving {
    header: FileHeader,
    len: usize,
    received: usize,
}

impl Arriving {
    fn next(&self) -> usize {
        HEADER_LEN + self.received
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The file in flash is not a model that this board runs.
    Refused(ModelError),
    /// The file passed every check.
    Running { header: FileHeader, fingerprint: [u8; 32], parameters_at: usize, kind: Kind },
    /// A file of `len` bytes is arriving; flash holds it from behind the header up to `next`.
    Updating { header: FileHeader, len: usize, next: usize },
}

/// What the running model's parameters are.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// f32.
    Float,
    /// Integers, whose logits have this scale.
    Int8 {
        /// What a step of a logit is worth.
        scale: f32,
    },
}

impl<'a, F: ModelFlash> ModelArea<'a, F> {
    const WHOLE_WORDS: () = assert!(
        CHUNK_ALIGNMENT.is_multiple_of(F::WRITE_SIZE)
            && HEADER_LEN.is_multiple_of(F::WRITE_SIZE)
            && F::ERASE_SIZE >= HEADER_LEN + MAX_CHUNK,
        "header and chunks are whole words of the flash"
    );

    /// Checks the file in flash, its golden image included. `start` is memory for updates.
    pub fn boot(flash: F, start: &'a mut StartBuffer, engine: &mut Engine<'_>) -> Self {
        let () = Self::WHOLE_WORDS;
        let mut area = Self { flash, state: State::Refused(ModelError::Magic), arriving: None, start };
        area.check(engine);
        area
    }

    /// Gives the flash back.
    pub fn release(self) -> F {
        self.flash
    }

    /// Fingerprint of the running model, or why none runs.
    pub fn model(&self) -> Result<[u8; 32], ModelError> {
        match self.state {
            State::Refused(error) => Err(error),
            State::Running { fingerprint, .. } => Ok(fingerprint),
            State::Updating { len, next, .. } => Err(ModelError::Truncated { expected: len, found: next }),
        }
    }

    /// The running model's parameters where they lie.
    pub fn running(&self) -> Result<Running<'_>, ModelError> {
        let State::Running { parameters_at, kind, .. } = self.state else {
            return Err(self.model().err().unwrap_or(ModelError::NotInPlace));
        };
        let contents = self.flash.contents();
        let running = match kind {
            Kind::Float => float_at(contents, parameters_at).map(Running::Float),
            Kind::Int8 { scale } => int8_at(contents, parameters_at).map(|parameters| Running::Int8(parameters, scale)),
        };
        running.ok_or(ModelError::NotInPlace)
    }

    /// The learned head in flash that belongs to the running model.
    ///
    /// # Errors
    /// Why the one that is there is not used.
    pub fn kept(&self) -> Result<Option<&FlatHead>, KeptError> {
        self.model().map_or(Ok(None), |fingerprint| kept::find(&self.flash, &fingerprint))
    }

    /// Keeps a head of the running model in flash.
    pub fn keep(&mut self, head: &FlatHead) -> Result<(), Refusal> {
        let fingerprint = self.model().map_err(Refusal::NoModel)?;
        kept::keep(&mut self.flash, &fingerprint, head)
    }

    /// Forgets every head in flash.
    pub fn forget_kept(&mut self) -> Result<(), Refusal> {
        kept::forget(&mut self.flash)
    }

    /// Prepares for the file that starts with `header`; returns the offset from which its bytes are wanted.
    ///
    /// That is the end of the file if it is running already, and the place where it stopped if this very update broke
    /// off before. Flash stays as it is. A machine that could run no model wants none.
    pub fn begin(&mut self, header: &FileHeader, engine: &Engine<'_>) -> Result<u32, Refusal> {
        engine.arithmetic.map_err(|violation| Refusal::Model(violation.into()))?;
        let len = model::file_len(header).map_err(Refusal::Model)?;
        if len > self.flash.contents().len() {
            return Err(Refusal::Model(ModelError::Length(len as u32)));
        }
        let known = match (self.state, self.arriving) {
            (_, Some(arriving)) if arriving.header == *header => return Ok(arriving.next() as u32),
            (State::Running { header: running, .. }, _) if running == *header => Some(len),
            (State::Updating { header: written, next, .. }, _) if written == *header => Some(next),
            _ => None,
        };
        self.arriving = known.is_none().then_some(Arriving { header: *header, len, received: 0 });
        Ok(known.unwrap_or(HEADER_LEN) as u32)
    }

    /// Takes the file's bytes from `offset` on; returns the offset from which bytes are wanted next.
    ///
    /// A chunk that is here already is accepted again without a write: its reply may have been lost.
    pub fn take_chunk(&mut self, offset: u32, data: &[u8], engine: &mut Engine<'_>) -> Result<u32, Refusal> {
        let (header, len, next) = match (self.arriving, self.state) {
            (Some(arriving), _) => (arriving.header, arriving.len, arriving.next()),
            (None, State::Updating { header, len, next }) => (header, len, next),
            _ => return Err(Refusal::NoUpdate),
        };
        let offset = offset as usize;
        let end = offset.checked_add(data.len()).filter(|&end| end <= len).ok_or(Refusal::ChunkLength)?;
        let whole_words = data.len().is_multiple_of(CHUNK_ALIGNMENT) || end == len;
        if data.is_empty() || data.len() > MAX_CHUNK || !whole_words {
            return Err(Refusal::ChunkLength);
        }
        if offset >= HEADER_LEN && end <= next && self.held(offset, end) == Some(data) {
            return Ok(next as u32);
        }
        if offset != next {
            return Err(Refusal::Offset { next: next as u32 });
        }
        match self.arriving {
            Some(arriving) => self.hold_back(arriving, data, engine)?,
            None => self.write_on(header, len, offset, data)?,
        }
        Ok(end as u32)
    }

    /// Bytes of the file that is being received, if they are here.
    fn held(&self, offset: usize, end: usize) -> Option<&[u8]> {
        match self.arriving {
            Some(_) => self.start.get(offset.checked_sub(HEADER_LEN)?..end.checked_sub(HEADER_LEN)?),
            None => self.flash.contents().get(offset..end),
        }
    }

    /// Keeps bytes of a file's start in RAM. Once it is whole and passed every check that it allows, the model in flash
    /// is given up for it; a start that fails leaves everything as it was, so that the same chunk fails again.
    fn hold_back(&mut self, arriving: Arriving, data: &[u8], engine: &mut Engine<'_>) -> Result<(), Refusal> {
        let Arriving { header, len, received } = arriving;
        let room = self.start.get_mut(received..).unwrap_or_default();
        let kept = data.len().min(room.len());
        room[..kept].copy_from_slice(&data[..kept]);
        let start = self.start.get(..received + kept).unwrap_or_default();
        if !model::check_start(&header, start).map_err(Refusal::Model)? {
            // A start that is not whole yet left room for more.
            self.arriving = Some(Arriving { received: received + kept, ..arriving });
            return Ok(());
        }
        if erase_block_at(&mut self.flash, 0).is_err() {
            // Whatever flash holds now decides: an area that cannot be erased at all still holds the old model.
            self.check(engine);
            return Err(Refusal::Flash);
        }
        self.arriving = None;
        let earlier = self.start.get(..received).unwrap_or_default();
        if append(&mut self.flash, HEADER_LEN, earlier).is_err() {
            self.state = State::Refused(ModelError::Truncated { expected: len, found: HEADER_LEN });
            return Err(Refusal::Flash);
        }
        self.write_on(header, len, arriving.next(), data)
    }

    /// Writes the next bytes of a file for which the model in flash was given up.
    fn write_on(&mut self, header: FileHeader, len: usize, offset: usize, data: &[u8]) -> Result<(), Refusal> {
        if append(&mut self.flash, offset, data).is_err() {
            self.state = State::Refused(ModelError::Truncated { expected: len, found: offset });
            return Err(Refusal::Flash);
        }
        self.state = State::Updating { header, len, next: offset + data.len() };
        Ok(())
    }

    /// Checks the file that has arrived and runs it; returns its fingerprint. A file that fails is given up.
    pub fn commit(&mut self, header: &FileHeader, engine: &mut Engine<'_>) -> Result<[u8; 32], Refusal> {
        let (len, next) = match (self.arriving, self.state) {
            (Some(arriving), _) if arriving.header == *header => (arriving.len, arriving.next()),
            (_, State::Running { header: running, fingerprint, .. }) if running == *header => return Ok(fingerprint),
            (_, State::Updating { header: written, len, next }) if written == *header => (len, next),
            _ => return Err(Refusal::NoUpdate),
        };
        if next < len {
            return Err(Refusal::Incomplete { next: next as u32 });
        }
        let contents = self.flash.contents().get(HEADER_LEN..len).unwrap_or_default();
        if let Err(error) = model::check_contents(header, contents) {
            self.state = State::Refused(error);
            return Err(Refusal::Model(error));
        }
        if write(&mut self.flash, 0, header).is_err() {
            self.check(engine);
            return Err(Refusal::Flash);
        }
        self.check(engine);
        self.model().map_err(Refusal::Model)
    }

    /// Looks at what flash holds, from the first byte to the golden image's last logit.
    fn check(&mut self, engine: &mut Engine<'_>) {
        self.state = match examine(self.flash.contents(), engine) {
            Ok(running) => running,
            Err(error) => State::Refused(error),
        };
    }
}

/// Puts a file into an area that has none. For boards whose boot loader checks the whole program at every start, so that what
/// changes cannot be a part of it.
///
/// As with an update the header is written last, and its last word ends it: as long as that is blank, the area has no file,
/// and after a power cut the next start begins anew.
///
/// # Errors
/// If flash does not take the file, or has no room for it.
pub fn install<F: ModelFlash>(flash: &mut F, file: &[u8]) -> Result<(), NotTaken> {
    let (header, rest) = file.split_first_chunk::<HEADER_LEN>().ok_or(NotTaken)?;
    if file.len() > flash.contents().len() {
        return Err(NotTaken);
    }
    let held = flash.contents().first_chunk::<HEADER_LEN>().ok_or(NotTaken)?;
    if !held.ends_with(&[0xff; size_of::<u32>()]) {
        return Ok(());
    }
    erase_block_at(flash, 0)?;
    append(flash, HEADER_LEN, rest)?;
    write(flash, 0, header)
}

/// Writes at `offset`, erasing each block first that begins there or within the data.
fn append<F: ModelFlash>(flash: &mut F, offset: usize, data: &[u8]) -> Result<(), NotTaken> {
    let mut block = offset.next_multiple_of(F::ERASE_SIZE);
    while block < offset + data.len() {
        erase_block_at(flash, block)?;
        block += F::ERASE_SIZE;
    }
    write_padded(flash, offset, data)
}

/// Writes data whose last word may not be whole.
pub fn write_padded<F: ModelFlash>(flash: &mut F, offset: usize, data: &[u8]) -> Result<(), NotTaken> {
    let (words, rest) = data.split_at(data.len() - data.len() % CHUNK_ALIGNMENT);
    write(flash, offset, words)?;
    if !rest.is_empty() {
        let mut word = [0xff; CHUNK_ALIGNMENT];
        word[..rest.len()].copy_from_slice(rest);
        write(flash, offset + words.len(), &word)?;
    }
    Ok(())
}

/// Erases the block that begins at `offset` and looks whether it is blank.
pub fn erase_block_at<F: ModelFlash>(flash: &mut F, offset: usize) -> Result<(), NotTaken> {
    let end = offset + F::ERASE_SIZE;
    flash.erase(offset as u32, end as u32).map_err(|_| NotTaken)?;
    let block = flash.contents().get(offset..end).ok_or(NotTaken)?;
    if block.iter().all(|&byte| byte == 0xff) { Ok(()) } else { Err(NotTaken) }
}

/// Writes whole words and looks whether they are there.
pub fn write<F: ModelFlash>(flash: &mut F, offset: usize, words: &[u8]) -> Result<(), NotTaken> {
    flash.write(offset as u32, words).map_err(|_| NotTaken)?;
    let written = flash.contents().get(offset..offset + words.len());
    if written == Some(words) { Ok(()) } else { Err(NotTaken) }
}

/// Flash reported an error, or does not hold what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken;

/// f32 parameters, if they lie on their border.
fn float_at(contents: &[u8], at: usize) -> Option<&FlatParameters> {
    let bytes = contents.get(at..at + size_of::<FlatParameters>())?;
    let values: &[f32] = bytemuck::try_cast_slice(bytes).ok()?;
    values.try_into().ok()
}

/// Integer parameters, if they lie on their border.
fn int8_at(contents: &[u8], at: usize) -> Option<int8::Parameters<'_>> {
    let block: &Block = contents.get(at..at + BLOCK_LEN)?.try_into().ok()?;
    int8::Parameters::borrow(block)
}

/// Every check of a model file that lies at the start of `contents`.
fn examine(contents: &[u8], engine: &mut Engine<'_>) -> Result<State, ModelError> {
    let (model, rest) = AnyModel::parse_prefix(contents)?;
    // The golden image may give its logits by chance.
    engine.arithmetic?;
    engine.self_test(&model)?;
    let header = *contents.first_chunk().ok_or(ModelError::Magic)?;
    let (kind, parameter_bytes) = match &model {
        AnyModel::Float(_) => (Kind::Float, size_of::<FlatParameters>()),
        AnyModel::Int8(model) => (Kind::Int8 { scale: model.metadata().scales.logits }, BLOCK_LEN),
    };
    // The parameters end the file.
    let parameters_at = contents.len() - rest.len() - parameter_bytes;
    Ok(State::Running { header, fingerprint: model.fingerprint(), parameters_at, kind })
}
