//! `board teach`, `learn`, `forget`, `keep` and `export` with a board over a socket that learns as cnn-core does.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use cnn_core::head::{self, FlatHead};
use cnn_core::learn::{self, Learner, Samples, Set};
use cnn_core::network::{self, Activations, HIDDEN, Parameters};
use cnn_core::protocol::{
    self, Deframer, HeadPiece, HeadStatus, Info, Learned, LineCounters, MAX_FRAME, Memory, Refusal, Reply, Request,
    Taught,
};
use cnn_train::fingerprint::Fingerprint;
use host_trainer::model_file::LoadedModel;

use super::*;

const ROOM: usize = 12;

/// A board that learns, for one command after the other; after epoch `wrong` it names another head.
fn board(model: LoadedModel, wrong: Option<u32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("tcp:{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        let (mut hidden, mut labels) = ([[0.0; HIDDEN]; ROOM], [0; ROOM]);
        let mut memory = Box::new(learn::Memory::new());
        let mut learner = Learner::new(Samples::new(&mut hidden, &mut labels), &mut memory);
        for line in listener.incoming() {
            let mut line = line.expect("the program connects");
            let (mut deframer, mut byte) = (Deframer::new(), [0]);
            while line.read_exact(&mut byte).is_ok() {
                let Ok(Some(frame)) = deframer.push(byte[0]) else { continue };
                let message = protocol::open(frame).expect("the program's frames are whole");
                let request = message.request().expect("the program's requests make sense");
                let reply = reply(&model, &mut learner, wrong, request).unwrap_or_else(Reply::Refused);
                let mut frame = [0; MAX_FRAME];
                let len = protocol::encode(message.sequence, &reply, &mut frame).expect("it fits");
                if line.write_all(&frame[..len]).is_err() {
                    break;
                }
            }
        }
    });
    port
}

fn fingerprint(head: &FlatHead) -> [u8; 32] {
    *Fingerprint::of(head).as_bytes()
}

fn reply(
    model: &LoadedModel,
    learner: &mut Learner<'_>,
    wrong: Option<u32>,
    request: Request<'_>,
) -> Result<Reply<'static>, Refusal> {
    match request {
        Request::Info => Ok(Reply::Info(Info {
            firmware: "0",
            board: "student",
            clock_hz: 1,
            model: Ok(*model.fingerprint.as_bytes()),
            memory: Memory::default(),
            line: LineCounters::default(),
        })),
        Request::Teach { set, index, label, pixels } => {
            let mut activations = Activations::new();
            network::logits(
                pixels.try_into().expect("784 pixels"),
                &Parameters::of(&model.parameters),
                &mut activations,
            );
            learner.teach(set, index, label, &activations.hidden).map_err(Refusal::Learning)?;
            let checksum = learn::checksum((&activations.hidden, label));
            Ok(Reply::Taught(Taught { count: learner.samples().count(set) as u32, checksum }))
        }
        Request::Learn { settings, epoch } => {
            let start = head::of(&model.parameters);
            let (loss, head) = learner.epoch(start, &settings, epoch).map_err(Refusal::Learning)?;
            let fingerprint = if wrong == Some(epoch) { [0xde; 32] } else { fingerprint(head) };
            Ok(Reply::Learned(Learned { loss, fingerprint, cycles: 7 }))
        }
        Request::ReadHead { piece } => {
            let mut values = [[0.0; 11]; 5];
            let head = learner.head().expect("the program asks first");
            values.as_flattened_mut().copy_from_slice(&head[55 * piece as usize..][..55]);
            Ok(Reply::HeadPiece(HeadPiece { values }))
        }
        Request::Head | Request::Keep | Request::Forget { .. } => {
            if let Request::Forget { heads } = request {
                if heads { learner.forget() } else { learner.forget_samples() }
            }
            let learned = learner.head().map(fingerprint);
            Ok(Reply::Head(HeadStatus {
                capacity: ROOM as u32,
                own: learner.samples().count(Set::Own) as u32,
                ordinary: learner.samples().count(Set::Ordinary) as u32,
                checksum: learner.samples().checksum(),
                learned,
                kept: Ok(if request == Request::Keep { learned } else { None }),
            }))
        }
        _ => Err(Refusal::UnknownRequest),
    }
}

#[test]
fn a_board_is_taught_learns_beside_the_host_and_its_head_becomes_a_model_file() {
    let folder = folder_with_data();
    let at = folder.path();
    train(at, "out", &[]);
    let model = || LoadedModel::read(&at.join("out/weights.postcard")).expect("a model");
    for (name, place) in [("one.pgm", 1), ("mine/3/a.pgm", 2), ("mine/3/b.pgm", 3), ("mine/9/c.pgm", 4)] {
        let path = at.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("written");
        fs::write(path, [&b"P5\n28 28\n255\n"[..], &pixels(place)].concat()).expect("written");
    }
    let port = board(model(), None);
    let on = |args: &[&str]| succeed(at, &[&["board", "--port", &port][..], args].concat());
    let not_on = |args: &[&str], code, words: &[&str]| {
        fail(at, &[&["board", "--port", &port][..], args].concat(), code, words);
    };
    not_on(&["learn"], 1, &["lesson.cnnl", "nothing was taught yet"]);
    not_on(&["teach", "one.pgm", "--as-is"], 1, &["one.pgm", "--label"]);
    not_on(&["teach", "mine", "--label", "3"], 1, &["mine", "--label 3"]);
    not_on(&["teach", "one.pgm", "--label", "10"], 2, &["--label", "10"]);
    not_on(&["teach", "out", "--as-is"], 1, &["out", "0 to 9"]);
    assert!(on(&["teach", "one.pgm", "--label", "1", "--as-is"]).contains("has 1 samples"));
    assert!(on(&["teach", "mine", "--as-is"]).contains("has 4 samples"));
    let settings = ["--epochs", "3", "--lr", "0.01", "--batch-size", "2"];
    let out = on(&[&["learn", "--ordinary", "3", "--data", "data"][..], &settings].concat());
    assert!(out.contains("epoch   3") && out.matches("  equal  ").count() == 3, "{out}");
    assert!(on(&["info"]).contains("4 taught and 3 ordinary, room for 12"));
    assert!(on(&["keep"]).contains("keeps the learned head"));
    on(&["export", "learned.cnnm"]);
    let learned = LoadedModel::read(&at.join("learned.cnnm")).expect("a model");
    let shown = Fingerprint::of(head::of(&learned.parameters)).to_string();
    assert!(out.contains(&shown), "{out}");
    assert!(learned.parameters[..100_920] == model().parameters[..100_920]);
    // More than fit, and a diverging rate.
    not_on(&["learn", "--ordinary", "9", "--data", "data"], 1, &["no room for more than 12 samples"]);
    not_on(&["learn", "--ordinary", "0", "--lr", "1e30"], 1, &["diverged in epoch"]);
    on(&["forget"]);
    assert!(!at.join("lesson.cnnl").exists());
    not_on(&["export", "no.cnnm"], 1, &["no learned head"]);

    // Another model than the board's, and a board that learns otherwise.
    let port = board(model(), Some(2));
    let on = |args: &[&str]| [&["board", "--port", &port][..], args].concat().join(" ");
    let with = |line: String, words: &[&str]| fail(at, &line.split(' ').collect::<Vec<_>>(), 1, words);
    with(on(&["teach", "one.pgm", "--label", "1", "--as-is", "--model", "absent"]), &["absent"]);
    with(on(&["teach", "one.pgm", "--label", "1", "--as-is", "--lesson", "one.pgm"]), &["one.pgm", "--lesson"]);
    let teach = on(&["teach", "one.pgm", "--label", "1", "--as-is"]);
    succeed(at, &teach.split(' ').collect::<Vec<_>>());
    with(on(&["learn", "--ordinary", "0"]), &["epoch 2", "dedede"]);
}
