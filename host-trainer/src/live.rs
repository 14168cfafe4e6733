//! A run as it goes, for a browser: what is known of it after every epoch, as server-sent events of [`crate::serve`].
//!
//! The run gives its news away and waits for nobody: [`Feed::epoch`] copies a few kilobytes under a lock that is never held
//! while anything is sent. Whoever listens has a thread of the server, gets what came before, and is left alone when it does
//! not read.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cnn_core::network::{CONV1_CHANNELS, FlatParameters, PARAMETER_COUNT};
use cnn_train::backend::Outcome;
use cnn_train::consistency::as_line;
use cnn_train::dataset::Dataset;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::recipe::Recipe;
use cnn_train::trainer::EpochReport;
use serde::Serialize;

use crate::report::record::EpochRecord;

/// Those who may listen at the same time; the others are told that there is no place.
pub const MAX_LISTENERS: usize = 16;
/// Epochs of a long run that a newcomer hears of: evenly chosen, the last one among them.
pub const MAX_HISTORY: usize = 1000;
/// Test images read wrong that are shown, the first ones of the split.
pub const MAX_MISREAD: usize = 24;
/// A sign of life is sent after so long without news; whoever does not take it is gone.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How long the end of a run waits for its listeners to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);
/// conv1's kernels are the first parameters.
const KERNELS: usize = CONV1_CHANNELS * 9;
const _: () = assert!(KERNELS < PARAMETER_COUNT);

/// What there is to say of a run before its first epoch.
#[derive(Debug, Serialize)]
struct About {
    recipe: String,
    epochs: u32,
    dataset: String,
    backend: String,
    initial_fingerprint: Fingerprint,
}

/// A test image that is read wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Misread {
    /// Its index in the test split.
    index: usize,
    /// What the network reads.
    read: u8,
}

/// The network as it is.
#[derive(Debug, Clone)]
struct Now {
    kernels: [f32; KERNELS],
    misread: Vec<Misread>,
    /// All that are read wrong, of those that were read.
    wrong: usize,
    count: usize,
}

struct State {
    epochs: Vec<EpochReport>,
    now: Arc<Now>,
    end: Option<String>,
}

/// What is known of a run, for whoever listens.
pub struct Feed {
    about: String,
    dataset: Arc<Dataset>,
    state: Mutex<State>,
    changed: Condvar,
    listeners: AtomicUsize,
}

impl Feed {
    /// Of a run that trained `epochs` already and has these parameters.
    pub fn new(
        recipe: &Recipe,
        dataset: Arc<Dataset>,
        backend: &str,
        initial_fingerprint: Fingerprint,
        epochs: Vec<EpochReport>,
        parameters: &FlatParameters,
    ) -> Self {
        let about = About {
            recipe: recipe.to_string(),
            epochs: recipe.epochs,
            dataset: as_line(&dataset.name),
            backend: as_line(backend),
            initial_fingerprint,
        };
        let about = serde_json::to_string(&about).expect("texts and a number");
        let now = Now { kernels: kernels(parameters), misread: Vec::new(), wrong: 0, count: 0 };
        Self {
            about,
            dataset,
            state: Mutex::new(State { epochs, now: Arc::new(now), end: None }),
            changed: Condvar::new(),
            listeners: AtomicUsize::new(0),
        }
    }

    /// An epoch is complete; `outcomes` are those of the test split.
    pub fn epoch(&self, report: &EpochReport, outcomes: &[Outcome], parameters: &FlatParameters) {
        let labels = self.dataset.test.labels();
        let wrong = |(index, (outcome, label)): (usize, (&Outcome, &u8))| {
            (outcome.prediction != *label).then_some(Misread { index, read: outcome.prediction })
        };
        let mut all = outcomes.iter().zip(labels).enumerate().filter_map(wrong);
        let misread: Vec<Misread> = all.by_ref().take(MAX_MISREAD).collect();
        let wrong = misread.len() + all.count();
        let now = Now { kernels: kernels(parameters), misread, wrong, count: outcomes.len() };
        let mut state = self.lock();
        state.epochs.push(*report);
        state.now = Arc::new(now);
        drop(state);
        self.changed.notify_all();
    }

    /// The run is over, in one line. Waits until those who listen were told, for a second at most.
    pub fn end(&self, how: &str) {
        self.lock().end = Some(as_line(how));
        self.changed.notify_all();
        let deadline = Instant::now() + FAREWELL;
        while self.listeners.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among the listeners, if there is one.
    pub(crate) fn listen(self: &Arc<Self>) -> Option<Listener> {
        if self.listeners.fetch_add(1, Ordering::Relaxed) >= MAX_LISTENERS {
            self.listeners.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Listener { feed: Arc::clone(self), heard: 0 })
    }
}

fn kernels(parameters: &FlatParameters) -> [f32; KERNELS] {
    *parameters.first_chunk().expect("there are more parameters")
}

/// Somebody who listens.
pub(crate) struct Listener {
    feed: Arc<Feed>,
    /// Epochs that it has heard of.
    heard: usize,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.feed.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// Sends all that is known and then what comes, until the run is over.
    ///
    /// # Errors
    /// If the listener is gone, or does not read.
    pub(crate) fn send_all(&mut self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(event("run", &self.feed.about).as_bytes())?;
        let mut news = Some(self.news());
        loop {
            let over = news.as_ref().is_some_and(|news| news.end.is_some());
            let text = news.map_or_else(|| ":\n\n".into(), |news| self.text(&news));
            to.write_all(text.as_bytes())?;
            if over {
                return Ok(());
            }
            news = self.wait();
        }
    }

    /// What is new, once something is; nothing if nothing is for a while.
    fn wait(&mut self) -> Option<News> {
        let heard = self.heard;
        let nothing = |state: &mut State| state.epochs.len() == heard && state.end.is_none();
        let (state, timeout) = self
            .feed
            .changed
            .wait_timeout_while(self.feed.lock(), SIGN_OF_LIFE, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        (!timeout.timed_out()).then(|| self.news())
    }

    /// What is known and was not heard of.
    fn news(&mut self) -> News {
        let state = self.feed.lock();
        let new = &state.epochs[self.heard..];
        // Counted from the end, so that the last one is among them.
        let step = new.len().div_ceil(MAX_HISTORY).max(1);
        let mut epochs: Vec<EpochReport> = new.iter().rev().step_by(step).copied().collect();
        let news = (Arc::clone(&state.now), state.end.clone());
        let heard = state.epochs.len();
        drop(state);
        epochs.reverse();
        self.heard = heard;
        News { epochs, now: news.0, end: news.1 }
    }

    fn text(&self, news: &News) -> String {
        let mut text = String::new();
        let records: Vec<EpochRecord> = news.epochs.iter().map(EpochRecord::from).collect();
        text += &event("epochs", &json(&records));
        let Now { kernels, misread, wrong, count } = &*news.now;
        let images = self.feed.dataset.test.images();
        let misread: Vec<_> = misread
            .iter()
            .map(|&Misread { index, read }| MisreadImage {
                index,
                read,
                label: self.feed.dataset.test.labels()[index],
                pixels: hex::encode(images[index]),
            })
            .collect();
        text += &event("now", &json(&NowText { kernels, misread, wrong: *wrong, count: *count }));
        if let Some(end) = &news.end {
            text += &event("end", &json(end));
        }
        text
    }
}

/// What a listener has not heard of.
struct News {
    epochs: Vec<EpochReport>,
    now: Arc<Now>,
    end: Option<String>,
}

#[derive(Serialize)]
struct NowText<'a> {
    kernels: &'a [f32],
    misread: Vec<MisreadImage>,
    wrong: usize,
    count: usize,
}

#[derive(Serialize)]
struct MisreadImage {
    index: usize,
    read: u8,
    label: u8,
    /// Two hexadecimal digits a pixel.
    pixels: String,
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("finite numbers and texts")
}

/// An event; JSON has no line breaks outside of texts, and none within them.
fn event(name: &str, json: &str) -> String {
    let mut text = String::new();
    write!(text, "event: {name}\ndata: {json}\n\n").expect("a String takes everything");
    text
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::{SocketAddr, TcpStream};
    use std::thread;

    use cnn_train::backend::{Reference, TrainingState};
    use cnn_train::dataset::synthetic;
    use cnn_train::random::initial_parameters;
    use cnn_train::trainer::{KeepError, Observer, Run};

    use super::*;

    const RECIPE: Recipe = Recipe { epochs: 3, batch_size: 7, learning_rate: 0.03, ..Recipe::TUTORIAL };

    fn feed(dataset: &Arc<Dataset>, epochs: Vec<EpochReport>) -> Arc<Feed> {
        let parameters = initial_parameters(0);
        Arc::new(Feed::new(&RECIPE, Arc::clone(dataset), "fake", Fingerprint::of(&parameters), epochs, &parameters))
    }

    fn report(epoch: u32) -> EpochReport {
        let split = cnn_train::metrics::Metrics { loss: f64::from(epoch), correct: 1, count: 3 };
        let metrics = cnn_train::metrics::EpochMetrics { epoch, train: split, test: split };
        let fingerprint = Fingerprint::from([epoch as u8; 32]);
        EpochReport { metrics, fingerprint, training_seconds: 0.0, evaluation_seconds: 0.0 }
    }

    fn outcomes(dataset: &Dataset, wrong: usize) -> Vec<Outcome> {
        let predict = |(index, &label): (usize, &u8)| Outcome {
            loss: 1.0,
            prediction: if index < wrong { (label + 1) % 10 } else { label },
        };
        dataset.test.labels().iter().enumerate().map(predict).collect()
    }

    /// The events' names and their data.
    fn events(text: &str) -> Vec<(String, serde_json::Value)> {
        text.split("\n\n")
            .filter(|event| !event.is_empty() && *event != ":")
            .map(|event| {
                let (name, data) = event.split_once('\n').expect("two lines");
                let data = data.strip_prefix("data: ").expect("data");
                (name.strip_prefix("event: ").expect("a name").to_owned(), serde_json::from_str(data).expect("JSON"))
            })
            .collect()
    }

    #[test]
    fn a_newcomer_hears_all_that_was_and_then_what_comes() {
        let dataset = Arc::new(synthetic::synthetic(0, 3, 40));
        let feed = feed(&dataset, vec![report(1)]);
        feed.epoch(&report(2), &outcomes(&dataset, 30), &initial_parameters(5));
        let mut listener = feed.listen().expect("there is a place");
        let listens = thread::spawn(move || {
            let mut text = Vec::new();
            listener.send_all(&mut text).expect("a Vec takes everything");
            String::from_utf8(text).expect("UTF-8")
        });
        feed.epoch(&report(3), &outcomes(&dataset, 0), &initial_parameters(6));
        feed.end("3 epochs\nare complete");
        let events = events(&listens.join().expect("it ends"));
        let (name, run) = &events[0];
        assert_eq!((name.as_str(), &run["epochs"], &run["backend"]), ("run", &3.into(), &"fake".into()));
        let named =
            |wanted: &str| events.iter().filter(|(name, _)| name == wanted).map(|(_, data)| data).collect::<Vec<_>>();
        let numbers: Vec<_> =
            named("epochs").iter().flat_map(|data| data.as_array().unwrap()).map(|it| it["epoch"].clone()).collect();
        assert_eq!(numbers, [1, 2, 3], "each once, whenever it was heard");
        let last = *named("now").last().expect("it is told");
        assert_eq!((&last["wrong"], &last["count"]), (&0.into(), &40.into()));
        let kernel = last["kernels"][143].as_f64().expect("a number") as f32;
        assert_eq!(kernel.to_bits(), initial_parameters(6)[143].to_bits());
        assert_eq!(named("end"), [&"3 epochs\u{fffd}are complete"]);
    }

    #[test]
    fn the_first_digits_that_are_read_wrong_are_shown_and_all_counted() {
        let dataset = Arc::new(synthetic::synthetic(0, 3, 40));
        let feed = feed(&dataset, vec![]);
        feed.epoch(&report(1), &outcomes(&dataset, 30), &initial_parameters(5));
        let mut listener = feed.listen().expect("there is a place");
        let news = listener.news();
        let events = events(&listener.text(&news));
        let now = &events[1].1;
        assert_eq!(now["wrong"], 30);
        let misread = now["misread"].as_array().unwrap();
        assert_eq!(misread.len(), MAX_MISREAD);
        for (index, misread) in misread.iter().enumerate() {
            let label = dataset.test.labels()[index];
            assert_eq!((&misread["label"], &misread["read"]), (&label.into(), &((label + 1) % 10).into()));
            assert_eq!(misread["pixels"], hex::encode(dataset.test.images()[index]));
        }
    }

    #[test]
    fn a_long_history_is_thinned_and_keeps_its_last_epoch() {
        let dataset = Arc::new(synthetic::synthetic(0, 3, 4));
        let feed = feed(&dataset, (1..=12_345).map(report).collect());
        let news = feed.listen().expect("there is a place").news();
        assert!(news.epochs.len() <= MAX_HISTORY && news.epochs.len() > MAX_HISTORY / 2);
        assert!(news.epochs.is_sorted_by_key(|report| report.metrics.epoch));
        assert_eq!(news.epochs.last().map(|report| report.metrics.epoch), Some(12_345));
    }

    /// Tells a feed of a run.
    struct Told(Arc<Feed>, Vec<Outcome>);

    impl Observer for Told {
        fn advance(&mut self, _samples: usize) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Continue(())
        }

        fn epoch(&mut self, _report: &EpochReport) {}

        fn tested(&mut self, outcomes: &[Outcome]) {
            self.1 = outcomes.to_vec();
        }

        fn keep(&mut self, report: &EpochReport, state: &TrainingState) -> Result<(), KeepError> {
            self.0.epoch(report, &self.1, &state.parameters);
            Ok(())
        }
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(format!("GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).expect("it reads");
        stream
    }

    #[test]
    fn whoever_listens_the_run_is_the_same_and_ends() {
        let dataset = Arc::new(synthetic::synthetic(0, 40, 20));
        let feed = feed(&dataset, vec![]);
        let url = crate::serve::in_background(([127, 0, 0, 1], 0).into(), Arc::clone(&feed)).expect("a free port");
        let address: SocketAddr =
            url.strip_prefix("http://").and_then(|url| url.strip_suffix("/?live")).unwrap().parse().unwrap();
        // Some read, some do not, some are gone at once; more than there is room for.
        let silent: Vec<_> = (0..MAX_LISTENERS / 2).map(|_| connect(address)).collect();
        for _ in 0..8 {
            drop(connect(address));
        }
        let mut reader = BufReader::new(connect(address));
        let mut line = String::new();
        while !line.starts_with("event: now") {
            line.clear();
            assert_ne!(reader.read_line(&mut line).expect("it is told"), 0);
        }
        let crowd: Vec<_> = (0..2 * MAX_LISTENERS).map(|_| connect(address)).collect();
        let begin = Instant::now();
        let run = |observer: &mut dyn Observer| {
            Run::new(&RECIPE).go_on(&mut Reference::new(Arc::clone(&dataset)), &dataset, &RECIPE, observer)
        };
        let listened = run(&mut Told(Arc::clone(&feed), Vec::new()));
        feed.end("over");
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody holds it up");
        let alone = run(&mut Told(
            Arc::new(Feed::new(
                &RECIPE,
                Arc::clone(&dataset),
                "x",
                alone_fingerprint(),
                vec![],
                &initial_parameters(0),
            )),
            Vec::new(),
        ));
        assert_eq!(listened.state, alone.state);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("it ends");
        assert!(rest.contains("event: end\ndata: \"over\"\n\n"), "{rest}");
        let mut told = 0;
        for mut stream in crowd {
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text);
            told += usize::from(text.starts_with("HTTP/1.1 200"));
            assert!(text.is_empty() || text.starts_with("HTTP/1.1 200") || text.starts_with("HTTP/1.1 503"), "{text}");
        }
        assert!(told < MAX_LISTENERS, "{told} of the crowd had a place");
        drop(silent);
    }

    fn alone_fingerprint() -> Fingerprint {
        Fingerprint::from([0; 32])
    }
}
