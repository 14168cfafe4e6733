//! The page's committed WebAssembly, run without a browser: the bits of `cnn-core`; what the page takes for granted.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cnn_core::head;
use cnn_core::image::Pixels;
use cnn_core::learn::{self, Learner, Memory, Set, Settings};
use cnn_core::network::{self, Activations, HIDDEN, Logits, Parameters};
use cnn_core::shapes::Layers;
use cnn_train::backend::{Cpu, CpuOptions};
use cnn_train::dataset::{Dataset, Samples, Split, synthetic};
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use cnn_train::recipe::Recipe;
use cnn_train::schedule::RateSchedule;
use equality::mnist_dir;
use host_trainer::board::with_head;
use host_trainer::dataset::idx::{self, parse_images, parse_labels};
use host_trainer::model_file::LoadedModel;
use host_trainer::report::record::RunRecord;
use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use wasmi::{Engine, Linker, Module, Store, TypedFunc};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Vec<u8> {
    fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const MODEL: &str = "firmware/model/mnist.cnnm";

fn model() -> LoadedModel {
    LoadedModel::parse(read(MODEL), Path::new(MODEL)).expect("the committed model is whole")
}

fn logits(model: &LoadedModel, images: &[Pixels]) -> Vec<Logits> {
    let mut activations = Activations::new();
    let of_image = |pixels| network::logits(pixels, &Parameters::of(&model.parameters), &mut activations);
    images.iter().map(of_image).collect()
}

fn bytes(logits: &[Logits]) -> Vec<u8> {
    logits.as_flattened().iter().flat_map(|logit| logit.to_le_bytes()).collect()
}

/// The module, in an interpreter.
struct Page {
    store: Store<()>,
    instance: wasmi::Instance,
}

impl Page {
    fn new() -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, read("web/page/cnn.wasm")).expect("it is a module");
        assert_eq!(module.imports().len(), 0, "it computes and does nothing else");
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate_and_start(&mut store, &module).expect("it has no start");
        Self { store, instance }
    }

    fn call<A: wasmi::WasmParams, R: wasmi::WasmResults>(&mut self, name: &str, arguments: A) -> R {
        let function: TypedFunc<A, R> = self.instance.get_typed_func(&self.store, name).expect(name);
        function.call(&mut self.store, arguments).unwrap_or_else(|trap| panic!("{name}: {trap}"))
    }

    fn give(&mut self, input: &[u8]) {
        let place: u32 = self.call("input", (input.len() as u32,));
        let memory = self.instance.get_memory(&self.store, "memory").expect("memory");
        memory.write(&mut self.store, place as usize, input).expect("it made room");
    }

    fn output(&mut self) -> Vec<u8> {
        let (place, length): (u32, u32) = (self.call("output", ()), self.call("output_length", ()));
        let memory = self.instance.get_memory(&self.store, "memory").expect("memory");
        memory.data(&self.store)[place as usize..][..length as usize].to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.output()).expect("it is a text")
    }
}

#[test]
fn the_committed_module_has_the_bits_of_the_core() {
    let mut page = Page::new();
    page.give(&read(MODEL));
    assert_eq!(page.call::<_, u32>("load_model", ()), 0);
    let samples = synthetic::samples(0, Split::Test, 40);
    page.give(samples.images().as_flattened());
    page.call::<_, ()>("logits_of_all", ());
    assert_eq!(page.output(), bytes(&logits(&model(), samples.images())));
}

#[test]
fn the_committed_module_trains_and_writes_as_the_program_does() {
    let layers = Layers::parse("conv2,fc2").unwrap();
    let schedule = RateSchedule::Step { every: 1, factor: 0.1 };
    let recipe = Recipe { epochs: 1, batch_size: 7, learning_rate: 0.03, schedule, layers, ..Recipe::TUTORIAL };
    let dataset = Arc::new(synthetic::synthetic(0, 24, 5));
    let mut backend = Cpu::new(Arc::clone(&dataset), CpuOptions::default()).unwrap();
    let expected = cnn_train::trainer::train(&mut backend, &dataset, &recipe, &mut Silent);

    let mut page = Page::new();
    page.call::<_, ()>("draw", (0, 24));
    page.call::<_, ()>("draw", (1, 5));
    let schedule = "step:1:0.1";
    page.give(format!("{}\n{schedule}\nfc2,conv2", synthetic::name(0)).as_bytes());
    assert_eq!(page.call::<_, u32>("begin", (1, 7, 0.03f32, 0.9f32, 0.005f32, 0u64, 1)), 0);
    let initial = Fingerprint::of(&initial_parameters(0));
    let (name, hash) = (&dataset.name, hex::encode(dataset.hash));
    let lines = format!("{name}\n{hash}\n24\n5\n{initial}\n{schedule}\nconv2,fc2\ncpu (simd128, 1 thread)");
    assert_eq!(page.text(), lines);
    for _ in 0..2 {
        assert_eq!(page.call::<_, u32>("train", (2,)), 0);
        assert_eq!(page.call::<_, u32>("probe", ()), 0);
    }
    assert_eq!(page.call::<_, u32>("done", ()), 24);
    assert_eq!(page.call::<_, u32>("finish_epoch", ()), 0);
    assert_eq!(page.text(), expected.epochs[0].fingerprint.to_string());
    assert_eq!(page.call::<_, u32>("train", (1,)), 1, "the run is over");
    assert_eq!(page.call::<_, u32>("model", ()), 0);
    let training = recipe.training(&dataset.name, dataset.hash, &expected.epochs[0].metrics);
    let golden = &dataset.test.images()[0];
    let file =
        host_trainer::model_file::to_bytes(Path::new("m"), Some(training), &expected.state.parameters, golden).unwrap();
    assert!(page.output() == file, "the model file is the program's");
}

struct Silent;

impl cnn_train::trainer::Observer for Silent {
    fn advance(&mut self, _samples: usize) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }

    fn epoch(&mut self, _report: &cnn_train::trainer::EpochReport) {}
}

#[test]
fn the_committed_module_learns_and_writes_as_the_program_does() {
    let settings = Settings { epochs: 3, batch_length: 4, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.001 };
    let (model, samples) = (model(), synthetic::samples(0, Split::Test, 6));
    let (mut room, mut labels, mut memory) = (vec![[0.0; HIDDEN]; 6], vec![0; 6], Memory::new());
    let mut learner = Learner::new(learn::Samples::new(&mut room, &mut labels), &mut memory);
    let mut activations = Activations::new();
    let mut records = vec![];
    for (index, (pixels, label)) in (0..).zip(samples.images().iter().zip(samples.labels())) {
        network::logits(pixels, &Parameters::of(&model.parameters), &mut activations);
        learner.teach(Set::Own, index, *label, &activations.hidden).expect("there is room");
        records.extend([&[*label], pixels.as_slice()].concat());
    }
    let mut page = Page::new();
    page.give(&read(MODEL));
    assert_eq!(page.call::<_, u32>("load_model", ()), 0);
    page.give(&records);
    assert_eq!(page.call::<_, u32>("lesson_begin", (3, 4, 0.01f32, 0.9f32, 0.001f32)), 0);
    assert_eq!(page.call::<_, u32>("lesson_mix_in", (0,)), 0);
    assert_eq!(page.call::<_, u32>("lesson_look", ()), 1, "nothing is learned yet");
    for epoch in 1..=3 {
        let (loss, head) = learner.epoch(head::of(&model.parameters), &settings, epoch).expect("its turn");
        assert_eq!(page.call::<_, u32>("lesson_epoch", (epoch,)), 0);
        assert_eq!(page.text(), format!("{}\n{}", loss / 6.0, Fingerprint::of(head)));
    }
    let learned = with_head(&model.parameters, learner.head().expect("it has learned"));
    assert_eq!(page.call::<_, u32>("lesson_model", ()), 0);
    let file = host_trainer::model_file::to_bytes(Path::new("m"), None, &learned, model.golden()).unwrap();
    assert!(page.output() == file, "the model file is that of `board export`");
    page.give(&samples.images()[0]);
    assert_eq!(page.call::<_, u32>("set_pixels", ()), 0);
    page.call::<_, u32>("look", ());
    assert_eq!(page.call::<_, u32>("lesson_look", ()), 0);
    let expected = network::logits(&samples.images()[0], &Parameters::of(&learned), &mut activations);
    assert_eq!(page.output()[..40], bytes(&[expected]));
    page.call::<_, ()>("lesson_forget", ());
    assert_eq!(page.call::<_, u32>("lesson_head", ()), 1);
}

#[test]
fn the_committed_module_refuses_what_is_damaged_and_goes_on() {
    let mut page = Page::new();
    let file = read(MODEL);
    for damaged in [&file[..file.len() - 1], &file[1..], b"CNNM", b""] {
        page.give(damaged);
        assert_eq!(page.call::<_, u32>("load_model", ()), 1);
        assert!(!page.text().is_empty());
    }
    page.give(&[255; 4 * 9]);
    for (width, height) in [(3, 3), (3, 4), (0, 9), (-1, 1), (i32::MAX, i32::MAX)] {
        assert_eq!(page.call::<_, u32>("prepare", (width, height)), 1, "{width}×{height}");
    }
    page.give(&[0, 0, 8, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 28, 0, 0, 0, 28]);
    assert_eq!(page.call::<_, u32>("take", (0,)), 1);
    for name in ["train", "probe", "finish_epoch", "model"] {
        let code = if name == "train" { page.call::<_, u32>(name, (1,)) } else { page.call::<_, u32>(name, ()) };
        assert_eq!(code, 1, "{name} without a run");
    }
    assert_eq!(page.call::<_, u32>("input", (u32::MAX,)), 0, "no room for so much");
    page.give(&file);
    assert_eq!(page.call::<_, u32>("load_model", ()), 0);
}

/// What `web/check/bits.mjs` compares with: 10,000 logits in a row, and the epochs of a small run.
#[derive(Deserialize)]
struct Expected {
    synthetic_logits: String,
    mnist_logits: String,
    synthetic_training: SmallRun,
}

/// The committed run's recipe on the first of the built-in digits, with the learning rate 0.03.
#[derive(Deserialize)]
struct SmallRun {
    train: usize,
    test: usize,
    epochs: Vec<Fingerprint>,
}

#[test]
fn the_small_run_that_the_page_is_held_to_is_the_programs() {
    let expected: Expected = serde_json::from_slice(&read("web/check/expected.json")).expect("JSON");
    let SmallRun { train, test, epochs } = expected.synthetic_training;
    let dataset = Arc::new(synthetic::synthetic(0, train, test));
    let recipe = Recipe { epochs: epochs.len() as u32, learning_rate: 0.03, ..Recipe::TUTORIAL };
    let mut backend = Cpu::new(Arc::clone(&dataset), CpuOptions::default()).unwrap();
    let run = cnn_train::trainer::train(&mut backend, &dataset, &recipe, &mut Silent);
    assert_eq!(run.epochs.iter().map(|epoch| epoch.fingerprint).collect::<Vec<_>>(), epochs);
    assert!(epochs.len() > 1);
}

#[test]
fn ten_thousand_logits_are_those_that_the_page_is_held_to() {
    let expected: Expected = serde_json::from_slice(&read("web/check/expected.json")).expect("JSON");
    let model = model();
    let sha256 = |images: &[Pixels]| hex::encode(Sha256::digest(bytes(&logits(&model, images))));
    assert_eq!(sha256(synthetic::standard_split(Split::Test).images()), expected.synthetic_logits);
    if let Some(folder) = mnist_dir() {
        assert_eq!(sha256(&idx::read_images(&mnist_images(&folder)).unwrap()), expected.mnist_logits);
    }
}

fn mnist_images(folder: &Path) -> PathBuf {
    let plain = folder.join("t10k-images-idx3-ubyte");
    if plain.exists() { plain } else { folder.join("t10k-images-idx3-ubyte.gz") }
}

/// A run whose fingerprints the page knows.
#[derive(Deserialize)]
struct Known {
    run: String,
    settings: Recipe,
    sha256: String,
    fingerprints: Vec<Fingerprint>,
}

#[test]
fn the_fingerprints_that_the_page_knows_are_the_programs() {
    let known: Vec<Known> = serde_json::from_slice(&read("web/page/known.json")).expect("JSON");
    let [demo, recipe, mnist] = known.as_slice() else { panic!("three runs") };
    let record: RunRecord = serde_json::from_slice(&read("firmware/model/run.json")).expect("a record");
    assert_eq!((mnist.settings, &mnist.sha256), (record.settings, &hex::encode(record.dataset.sha256)));
    assert_eq!(mnist.fingerprints, record.epochs.iter().map(|epoch| epoch.fingerprint).collect::<Vec<_>>());

    let digits = synthetic::standard();
    // What is known of an epoch is its parameters: one image is enough to evaluate.
    let test = Samples::new(digits.test.images()[..1].to_vec(), digits.test.labels()[..1].to_vec());
    let trained = Arc::new(Dataset { test, ..digits.clone() });
    for known in [demo, recipe] {
        assert_eq!(known.sha256, hex::encode(digits.hash), "{}", known.run);
        assert_eq!((known.settings.seed, known.settings.batch_size, known.fingerprints.len()), (0, 100, 3));
        let settings = Recipe { epochs: 1, ..known.settings };
        let mut backend = Cpu::new(Arc::clone(&trained), CpuOptions::default()).unwrap();
        let run = cnn_train::trainer::train(&mut backend, &trained, &settings, &mut Silent);
        assert_eq!(run.epochs[0].fingerprint, known.fingerprints[0], "{}", known.run);
    }
    assert_eq!((demo.settings.learning_rate, recipe.settings.learning_rate), (0.03, 0.0001));
}

proptest! {
    #[test]
    fn the_pages_reader_of_idx_files_takes_what_the_programs_takes(
        is_images: bool,
        count in 0u32..4,
        side in prop_oneof![9 => Just(28u32), 1 => any::<u32>()],
        cut in prop_oneof![4 => Just(0usize), 1 => 0usize..40],
        added in prop_oneof![4 => Just(0usize), 1 => 1usize..9],
        label in 0u8..12,
        change in prop::option::of((0usize..16, any::<u8>())),
    ) {
        let mut file = if is_images {
            [vec![0, 0, 8, 3], count.to_be_bytes().to_vec(), 28u32.to_be_bytes().to_vec(), side.to_be_bytes().to_vec(),
                vec![label; count as usize * 784]].concat()
        } else {
            [vec![0, 0, 8, 1], count.to_be_bytes().to_vec(), vec![label; count as usize]].concat()
        };
        file.truncate(file.len().saturating_sub(cut));
        file.extend(vec![0; added]);
        if let Some((at, byte)) = change && let Some(changed) = file.get_mut(at) {
            *changed = byte;
        }
        // The program's reader unpacks; the page's browser does that before.
        prop_assume!(!idx::is_gzip(&file));
        let expected = match (parse_images(&file), parse_labels(&file)) {
            (Ok(images), Err(_)) => Some(web::idx::Contents::Images(images)),
            (Err(_), Ok(labels)) => Some(web::idx::Contents::Labels(labels)),
            (Err(_), Err(_)) => None,
            (Ok(_), Ok(_)) => unreachable!("no file is both"),
        };
        let mut what = String::new();
        write!(what, "{:?}", web::idx::parse(&file).as_ref().err()).unwrap();
        prop_assert_eq!(web::idx::parse(&file).ok(), expected, "{}", what);
    }
}
