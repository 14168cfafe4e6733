//! The functions that JavaScript calls. There are no imports: a module computes and nothing else.
//!
//! Bytes go in through [`input`], which gives a place for them, and come back through [`output`]. A function that can
//! refuse returns 1 if it does, with the reason in the output. Places in memory are valid until the next call, since
//! memory may grow and move. One thread has a module, so what it holds is the thread's own.

use std::cell::RefCell;

use cnn_core::image::Pixels;
use cnn_core::learn::{Fault, Settings};
use cnn_core::network::IMAGE_PIXELS;
use cnn_core::protocol::{BAUD_RATE, Classified, HeadStatus};
use cnn_core::shapes::Layers;
use cnn_train::checkpoint::{Checkpoint, CheckpointError};
use cnn_train::dataset::{Split, synthetic};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use cnn_train::trainer::EpochReport;

use crate::board::{Answer, Board, BoardError, Next, Task, Teaching, Update};
use crate::lesson::{self, Lesson};
use crate::look::{self, Look};
use crate::training::{Gathered, Refusal, Run};

/// Bytes that [`input`] takes at most: the images of a data set of 300,000.
pub const MAX_INPUT: usize = 240 << 20;

#[derive(Default)]
struct Page {
    look: Look,
    input: Vec<u8>,
    output: Vec<u8>,
    gathered: Gathered,
    /// What the next run goes on from.
    checkpoint: Option<Checkpoint>,
    run: Option<Run>,
    lesson: Lesson,
    board: Option<Board>,
    numbers: [f64; 6],
}

thread_local! {
    static PAGE: RefCell<Page> = RefCell::default();
}

fn with<T>(work: impl FnOnce(&mut Page) -> T) -> T {
    PAGE.with_borrow_mut(work)
}

/// Runs what may refuse, with the input; leaves its answer or the reason in the output.
fn answer<E: std::fmt::Display>(work: impl FnOnce(&mut Page, &[u8]) -> Result<Vec<u8>, E>) -> u32 {
    with(|page| {
        let input = std::mem::take(&mut page.input);
        let result = work(page, &input);
        page.input = input;
        let refused = result.is_err();
        page.output = result.unwrap_or_else(|reason| reason.to_string().into_bytes());
        refused.into()
    })
}

/// Exports functions under their names, each with its docs.
macro_rules! exports {
    ($($(#[$docs:meta])* fn $name:ident($($argument:ident: $type:ty),*) $(-> $output:ty)? $body:block)*) => {
        $(
            $(#[$docs])*
            // SAFETY: no other symbol of that name is linked.
            #[unsafe(no_mangle)]
            pub extern "C" fn $name($($argument: $type),*) $(-> $output)? $body
        )*
    };
}

exports! {
    /// A place for `length` bytes; null if they are more than [`MAX_INPUT`].
    fn input(length: usize) -> *mut u8 {
        if length > MAX_INPUT {
            return std::ptr::null_mut();
        }
        with(|page| {
            page.input.clear();
            page.input.shrink_to(length.max(1 << 16));
            page.input.resize(length, 0);
            page.input.as_mut_ptr()
        })
    }

    /// Where the answer of the last function that has one begins.
    fn output() -> *const u8 {
        with(|page| page.output.as_ptr())
    }

    /// Bytes of that answer.
    fn output_length() -> usize {
        with(|page| page.output.len())
    }

    /// Takes the model file of the input. Answers what it was trained on.
    fn load_model() -> u32 {
        answer(|page, input| {
            let trained = page.look.load_model(input)?;
            page.lesson.changed(&page.look.parameters);
            Ok::<_, look::Refusal>(trained.into_bytes())
        })
    }

    /// Takes the input as the model file of parameters that are told by [`set_parameters`].
    fn know_model() -> u32 {
        answer(|page, input| page.look.know_model(input).map(|()| Vec::new()))
    }

    /// Takes the parameters of the input.
    fn set_parameters() -> u32 {
        answer(|page, input| {
            page.look.set_parameters(input)?;
            page.lesson.changed(&page.look.parameters);
            Ok::<_, look::Refusal>(Vec::new())
        })
    }

    /// Takes the digit of the input.
    fn set_pixels() -> u32 {
        answer(|page, input| page.look.set_pixels(input).map(|()| Vec::new()))
    }

    /// Prepares the picture of the input, RGBA. Answers what makes the digit doubtful.
    fn prepare(width: usize, height: usize) -> u32 {
        answer(|page, input| page.look.prepare(width, height, input).map(String::into_bytes))
    }

    /// Takes a built-in test digit. Returns its label.
    fn sample(index: u32) -> u32 {
        with(|page| {
            let (pixels, label) = synthetic::sample(synthetic::DEFAULT_SEED, Split::Test, index.into());
            page.look.pixels = pixels;
            label.into()
        })
    }

    /// Runs the network on the digit. Returns the class.
    fn look() -> usize {
        with(|page| page.look.look())
    }

    /// Answers the fingerprint of the network's parameters.
    fn fingerprint() {
        with(|page| page.output = Fingerprint::of(&page.look.parameters).to_string().into_bytes());
    }

    /// The digit: 784 bytes.
    fn pixels() -> *const u8 {
        with(|page| page.look.pixels.as_ptr())
    }

    /// The normalised image: 28·28 values.
    fn image() -> *const f32 {
        with(|page| page.look.activations.image.as_ptr().cast())
    }

    /// conv1's sums: 16·26·26 values.
    fn conv1() -> *const f32 {
        with(|page| page.look.conv1.as_ptr().cast())
    }

    /// conv1 after ReLU and pooling: 16·13·13 values.
    fn pool1() -> *const f32 {
        with(|page| page.look.activations.pool1.as_ptr().cast())
    }

    /// conv2's sums: 32·11·11 values.
    fn conv2() -> *const f32 {
        with(|page| page.look.conv2.as_ptr().cast())
    }

    /// conv2 after ReLU and pooling: 32·5·5 values.
    fn pool2() -> *const f32 {
        with(|page| page.look.activations.pool2.as_ptr().cast())
    }

    /// fc1 after ReLU: 120 values.
    fn hidden() -> *const f32 {
        with(|page| page.look.activations.hidden.as_ptr())
    }

    /// The logits: 10 values.
    fn logits() -> *const f32 {
        with(|page| page.look.logits.as_ptr())
    }

    /// The probabilities: 10 values.
    fn probabilities() -> *const f32 {
        with(|page| page.look.probabilities.as_ptr())
    }

    /// The parameters: 102,130 values in PyTorch's order.
    fn parameters() -> *const f32 {
        with(|page| page.look.parameters.as_ptr())
    }

    /// Answers the model file of the parameters as they are.
    fn model_file() -> u32 {
        answer(|page, _| page.look.model_file().map(|(_, file)| file))
    }

    /// The speed of a board's serial port, in bits a second.
    fn baud_rate() -> u32 {
        BAUD_RATE
    }

    /// A port to a board was opened. Any number will do as the first that its requests have, but not always the same.
    fn board_opened(sequence: u32) {
        with(|page| page.board = Some(Board::new(sequence)));
    }

    /// Begins to ask the board: 0 who it is, 1 to classify the digit, 2 to run the parameters as they are, 3 what it has of
    /// samples and heads, 4 to have the lesson's samples, 5 to learn the lesson's last epoch as it was learned here, 6 to
    /// keep its learned head, 7 to forget samples and heads. Answers what is to be sent first. `now` is a time in
    /// milliseconds, here and below.
    fn board_ask(task: u32, now: f64) -> u32 {
        answer(|page, _| {
            let task = match task {
                0 => Task::Info,
                1 => Task::Classify(Box::new(page.look.pixels)),
                2 => {
                    let (fingerprint, file) = page.look.model_file()?;
                    Task::Update(Update::new(file, fingerprint)?)
                }
                3 => Task::Head,
                4 => Task::Teach(Teaching::new(page.lesson.shown())),
                5 => Task::Learn(*page.lesson.last_epoch().ok_or(lesson::Refusal::Changed)?),
                6 => Task::Keep,
                _ => Task::Forget,
            };
            let board = page.board.as_mut().ok_or(BoardError::Idle)?;
            board.ask(task, now);
            Ok::<_, AskError>(board.frame().to_vec())
        })
    }

    /// Takes the bytes of the input, which the board sent, or none because its [`board_deadline`] is over. Returns 0 with
    /// the answer, 1 with the reason why there is none, 2 with what is to be sent next, 3 if there is only to be listened.
    fn board_hear(now: f64) -> u32 {
        with(|page| {
            let heard = match &mut page.board {
                Some(board) => board.hear(&page.input, now),
                None => Err(BoardError::Idle),
            };
            let frame = || page.board.as_ref().map(|board| board.frame().to_vec());
            let (code, output) = match heard {
                Ok(Next::Done(answer)) => (0, words(answer).into_bytes()),
                Err(error) => (1, error.to_string().into_bytes()),
                Ok(Next::Send) => (2, frame().unwrap_or_default()),
                Ok(Next::Listen) => (3, Vec::new()),
            };
            page.output = output;
            code
        })
    }

    /// Until when bytes of the board are waited for.
    fn board_deadline() -> f64 {
        with(|page| page.board.as_ref().map_or(0.0, Board::deadline))
    }

    /// How much of the model file, or of the lesson's samples, the board has, from 0 to 1.
    fn board_progress() -> f64 {
        with(|page| {
            let (there, length) = page.board.as_ref().map_or((0, 0), Board::progress);
            there as f64 / length.max(1) as f64
        })
    }

    /// Takes the lesson's ordinary digits from now on from the training split that was gathered; 0: from the built-in ones.
    fn lesson_take_from(files: u32) -> u32 {
        answer(|page, _| {
            let gathered = if files == 0 { None } else { Some(std::mem::take(&mut page.gathered).training()?) };
            page.lesson.take_from(gathered);
            Ok::<_, Refusal>(Vec::new())
        })
    }

    /// Looks at the next `count` digits that may be ordinary ones of the lesson. Returns the share that is done.
    fn lesson_rank(count: usize) -> f64 {
        with(|page| {
            let (done, of) = page.lesson.rank(&page.look.parameters, count);
            done as f64 / of.max(1) as f64
        })
    }

    /// Samples that a lesson has room for.
    fn lesson_room() -> usize {
        lesson::ROOM
    }

    /// Begins the lesson of the input's own samples: of each its label, then its pixels.
    fn lesson_begin(
        epochs: u32, batch_length: u32, learning_rate: f32, momentum: f32, weight_decay: f32
    ) -> u32 {
        answer(|page, input| {
            let settings = Settings { epochs, batch_length, learning_rate, momentum, weight_decay };
            page.lesson.begin(&page.look.parameters, input, settings).map(|()| Vec::new())
        })
    }

    /// Mixes in the `count` best of the digits that were looked at.
    fn lesson_mix_in(count: usize) -> u32 {
        answer(|page, _| page.lesson.mix_in(&page.look.parameters, count).map(|()| Vec::new()))
    }

    /// Learns an epoch, counted from 1. Answers two lines: the mean of the samples' losses, each before its step, and the
    /// fingerprint of the head after it.
    fn lesson_epoch(number: u32) -> u32 {
        answer(|page, _| {
            let (loss, epoch) = page.lesson.epoch(&page.look.parameters, number)?;
            Ok::<_, lesson::Refusal>(format!("{loss}\n{}", epoch.fingerprint).into_bytes())
        })
    }

    /// Answers what the learned head makes of the digit that was looked at: ten logits, ten probabilities. Refuses while
    /// there is none.
    fn lesson_look() -> u32 {
        answer(|page, _| {
            let (logits, probabilities) = page.lesson.look(&page.look.activations.hidden).ok_or(Fault::NoHead)?;
            Ok::<_, Fault>([logits, probabilities].as_flattened().iter().flat_map(|it| it.to_le_bytes()).collect())
        })
    }

    /// Answers the learned head's fingerprint. Refuses while there is none.
    fn lesson_head() -> u32 {
        answer(|page, _| {
            let head = page.lesson.head().ok_or(Fault::NoHead)?;
            Ok::<_, Fault>(Fingerprint::of(head).to_string().into_bytes())
        })
    }

    /// Answers the model file with the learned head.
    fn lesson_model() -> u32 {
        answer(|page, _| {
            let head = page.lesson.head().ok_or(lesson::Refusal::Fault(Fault::NoHead))?;
            Ok::<_, AskError>(page.look.model_file_with(head)?)
        })
    }

    /// Forgets the lesson's samples and the learned head.
    fn lesson_forget() {
        with(|page| page.lesson.forget());
    }

    /// Answers the logits of all digits of the input, 784 bytes each: ten little-endian f32 for each.
    fn logits_of_all() {
        with(|page| {
            let (digits, _): (&[Pixels], _) = page.input.as_chunks::<IMAGE_PIXELS>();
            page.output.clear();
            for digit in digits {
                page.look.pixels = *digit;
                page.look.look();
                page.output.extend(page.look.logits.iter().flat_map(|logit| logit.to_le_bytes()));
            }
        });
    }

    /// Forgets the data set that is being gathered, and the run.
    fn forget() {
        with(|page| {
            page.gathered = Gathered::default();
            page.run = None;
        });
    }

    /// Draws `count` built-in digits more of the training split, or of the test split.
    fn draw(test: u32, count: usize) {
        with(|page| page.gathered.draw(split(test), count));
    }

    /// Takes the IDX file of the input, images or labels of the training split, or of the test split.
    fn take(test: u32) -> u32 {
        answer(|page, input| page.gathered.take(split(test), input).map(|()| Vec::new()))
    }

    /// Takes the checkpoint of the input for [`begin`]; an empty input: none. Answers twelve lines: epochs, batch size,
    /// learning rate, momentum, weight decay, seed, shuffling (0 or 1), schedule and layers of its run, name and SHA-256 of
    /// the data set, the name of the file that the initial parameters came from or nothing; then the lines of its epochs.
    fn take_checkpoint() -> u32 {
        answer(|page, input| {
            page.checkpoint = None;
            if input.is_empty() {
                return Ok(Vec::new());
            }
            let checkpoint = Checkpoint::parse(input)?;
            let described = checkpoint_lines(&checkpoint).into_bytes();
            page.checkpoint = Some(checkpoint);
            Ok::<_, CheckpointError>(described)
        })
    }

    /// Begins a run on what was gathered, or goes on from the checkpoint that was taken. The input is three lines: the data
    /// set's name, the schedule of the learning rate, the layers that are trained. Answers eight lines: the name, the
    /// SHA-256, the numbers of training and of test images, the fingerprint of the initial parameters, schedule and layers in
    /// the form that records have, who trains.
    fn begin(
        epochs: u32, batch_size: u32, learning_rate: f32, momentum: f32, weight_decay: f32, seed: u64, shuffle: u32
    ) -> u32 {
        answer(|page, input| {
            let input = String::from_utf8_lossy(input);
            let mut lines = input.splitn(3, '\n');
            let name = lines.next().unwrap_or_default().to_owned();
            let schedule: RateSchedule = lines.next().unwrap_or_default().parse()?;
            let layers = Layers::parse(lines.next().unwrap_or_default());
            let layers = layers.map_err(|error| Refusal::Layers(error.to_string()))?;
            let shuffle = shuffle != 0;
            let recipe =
                Recipe { epochs, batch_size, learning_rate, momentum, weight_decay, seed, shuffle, schedule, layers };
            let dataset = std::mem::take(&mut page.gathered).dataset(name)?;
            let run = match page.checkpoint.take() {
                Some(checkpoint) => Run::go_on(dataset, recipe, checkpoint)?,
                None => Run::new(dataset, recipe)?,
            };
            let dataset = run.dataset();
            let (train, test) = (dataset.train.len(), dataset.test.len());
            let (name, hash) = (&dataset.name, hex::encode(dataset.hash));
            let (initial, backend) = (run.complete().initial_fingerprint, run.backend());
            let lines = format!("{name}\n{hash}\n{train}\n{test}\n{initial}\n{schedule}\n{layers}\n{backend}");
            page.run = Some(run);
            Ok::<_, Refusal>(lines.into_bytes())
        })
    }

    /// Trains the epoch's next steps. Afterwards [`done`] says how far it is.
    fn train(steps: usize) -> u32 {
        answer(|page, _| run(page)?.train(steps).map(|_| Vec::new()))
    }

    /// Images of the epoch that are done.
    fn done() -> usize {
        with(|page| page.run.as_ref().map_or(0, Run::done))
    }

    /// Reads the first test images with the parameters as they are, which become the network's. [`numbers`]: mean loss,
    /// right ones, images.
    fn probe() -> u32 {
        answer(|page, _| {
            let (metrics, state) = run(page)?.probe()?;
            page.look.parameters = state.parameters;
            page.lesson.changed(&page.look.parameters);
            page.numbers[..3].copy_from_slice(&[metrics.loss, metrics.correct as f64, metrics.count as f64]);
            Ok::<_, Refusal>(Vec::new())
        })
    }

    /// Ends the epoch. Answers the fingerprint. [`numbers`]: mean loss, right ones and images of the training split, then
    /// of the test split.
    fn finish_epoch() -> u32 {
        answer(|page, _| {
            let (metrics, fingerprint) = run(page)?.finish_epoch()?;
            let of_split = [metrics.train, metrics.test].map(|it| [it.loss, it.correct as f64, it.count as f64]);
            page.numbers.copy_from_slice(of_split.as_flattened());
            Ok::<_, Refusal>(fingerprint.to_string().into_bytes())
        })
    }

    /// Numbers of the last probe or epoch: six f64.
    fn numbers() -> *const f64 {
        with(|page| page.numbers.as_ptr())
    }

    /// Notes how long the last complete epoch took, in seconds.
    fn timed(training: f64, evaluation: f64) {
        with(|page| page.run.as_mut().map(|run| run.timed(training, evaluation)));
    }

    /// Answers the checkpoint after the last complete epoch.
    fn checkpoint() -> u32 {
        answer(|page, _| run(page)?.checkpoint())
    }

    /// Answers the model file after the last complete epoch.
    fn model() -> u32 {
        answer(|page, _| run(page)?.model())
    }
}

fn checkpoint_lines(checkpoint: &Checkpoint) -> String {
    let Checkpoint { settings, dataset, initial_file, epochs: done, .. } = checkpoint;
    let &Recipe { epochs, batch_size, learning_rate, momentum, weight_decay, seed, shuffle, schedule, layers } =
        settings;
    let (shuffle, name, hash) = (u32::from(shuffle), &dataset.name, hex::encode(dataset.sha256));
    let initial = initial_file.as_deref().unwrap_or_default();
    let settings = format!("{epochs}\n{batch_size}\n{learning_rate}\n{momentum}\n{weight_decay}\n{seed}\n{shuffle}");
    let head = format!("{settings}\n{schedule}\n{layers}\n{name}\n{hash}\n{initial}");
    done.iter().fold(head, |lines, epoch| lines + "\n" + &epoch_line(epoch))
}

/// An epoch on a line: loss, right ones and images of either split, as [`finish_epoch`] gives them, the fingerprint, and the
/// seconds of training and evaluation.
fn epoch_line(epoch: &EpochReport) -> String {
    let EpochReport { metrics, fingerprint, training_seconds, evaluation_seconds } = epoch;
    let [train, test] = [metrics.train, metrics.test].map(|it| format!("{} {} {}", it.loss, it.correct, it.count));
    format!("{train} {test} {fingerprint} {training_seconds} {evaluation_seconds}")
}

/// Why a board is not asked, or there is no model of a lesson.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Model(#[from] look::Refusal),
    #[error(transparent)]
    Lesson(#[from] lesson::Refusal),
    #[error(transparent)]
    Board(#[from] BoardError),
}

/// What a board gave, a line each: the model's fingerprint, or nothing, and the fields; or class, cycles and the bits of the
/// ten logits; or the fingerprint of the model that it runs now; or the room for samples, the fingerprint of the learned head
/// or nothing, and the fields; or an epoch's cycles; or the fingerprint of the head that it keeps.
fn words(answer: Answer) -> String {
    match answer {
        Answer::Info { fields, model } => {
            let model = model.map(|model| model.to_string()).unwrap_or_default();
            format!("{model}\n{fields}")
        }
        Answer::Classified(Classified { logits, class, cycles }) => {
            let bits = logits.map(|logit| logit.to_bits().to_string()).join("\n");
            format!("{class}\n{cycles}\n{bits}")
        }
        Answer::Updated(fingerprint) | Answer::Kept(fingerprint) => fingerprint.to_string(),
        Answer::Head(status) => status.map(|status| head_words(&status)).unwrap_or_default(),
        Answer::Taught => String::new(),
        Answer::Learned { cycles } => cycles.to_string(),
    }
}

/// What `board info` says of samples and heads, behind the lines of [`words`].
fn head_words(status: &HeadStatus) -> String {
    let &HeadStatus { capacity, own, ordinary, learned, kept, .. } = status;
    let learned = learned.map(|head| Fingerprint::from(head).to_string()).unwrap_or_default();
    let head = if learned.is_empty() { "the model's own".into() } else { format!("learned: {learned}") };
    let mut words = format!(
        "{capacity}\n{learned}\nsamples\t{own} taught and {ordinary} ordinary, room for {capacity}\nhead\t{head}"
    );
    match kept {
        Ok(Some(head)) => words += &format!("\nkept\t{}", Fingerprint::from(head)),
        Ok(None) => {}
        Err(error) => words += &format!("\nkept\ta head that is not used: {error}"),
    }
    words
}

fn split(test: u32) -> Split {
    if test == 0 { Split::Train } else { Split::Test }
}

fn run(page: &mut Page) -> Result<&mut Run, Refusal> {
    page.run.as_mut().ok_or(Refusal::NoModel)
}
