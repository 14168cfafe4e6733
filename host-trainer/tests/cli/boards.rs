//! `board` with a board at the other end that says what it should not, over a socket.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use cnn_core::network::{self, Activations, Parameters, predict};
use cnn_core::protocol::{self, Classified, Deframer, Info, LineCounters, MAX_FRAME, Memory, Refusal, Reply, Request};
use host_trainer::model_file::LoadedModel;

use super::*;

/// How a board lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    Class(u8),
    Nan,
    Fingerprint,
}

/// A board that runs `model` and lies; returns the port to give to the program.
fn board(model: LoadedModel, lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("tcp:{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        let (mut line, _) = listener.accept().expect("the program connects");
        let (mut deframer, mut byte) = (Deframer::new(), [0]);
        while line.read_exact(&mut byte).is_ok() {
            let Ok(Some(frame)) = deframer.push(byte[0]) else { continue };
            let message = protocol::open(frame).expect("the program's frames are whole");
            let reply = reply(&model, lie, message.request().expect("the program's requests make sense"));
            let mut frame = [0; MAX_FRAME];
            let len = protocol::encode(message.sequence, &reply, &mut frame).expect("it fits");
            if line.write_all(&frame[..len]).is_err() {
                return;
            }
        }
    });
    port
}

fn reply(model: &LoadedModel, lie: Lie, request: Request<'_>) -> Reply<'static> {
    match request {
        Request::Info => Reply::Info(Info {
            firmware: "0",
            board: "liar",
            clock_hz: 1,
            model: Ok(*model.fingerprint.as_bytes()),
            memory: Memory::default(),
            line: LineCounters::default(),
        }),
        Request::Classify { pixels } => {
            let mut activations = Activations::new();
            let mut logits = network::logits(
                pixels.try_into().expect("784 pixels"),
                &Parameters::of(&model.parameters),
                &mut activations,
            );
            let class = if let Lie::Class(class) = lie { class } else { predict(&logits) as u8 };
            if lie == Lie::Nan {
                logits = [f32::NAN; 10];
            }
            Reply::Classified(Classified { logits, class, cycles: 9 })
        }
        Request::UpdateChunk { offset, data } => Reply::UpdateAt { next: offset + data.len() as u32 },
        Request::UpdateCommit { .. } if lie == Lie::Fingerprint => Reply::Activated { fingerprint: [0xde; 32] },
        Request::UpdateCommit { .. } => Reply::Activated { fingerprint: *model.fingerprint.as_bytes() },
        Request::UpdateBegin { .. } => Reply::UpdateAt { next: 16 },
        Request::Reset => Reply::Resetting,
        // As firmware that does not learn.
        _ => Reply::Refused(Refusal::UnknownRequest),
    }
}

#[test]
fn what_a_board_says_is_compared_before_it_is_a_success() {
    let folder = folder_with_data();
    let at = folder.path();
    train(at, "o", &[]);
    let model = || LoadedModel::read(&at.join("o/weights.postcard")).expect("a model");
    let fingerprint = model().fingerprint.to_string();
    fs::write(at.join("one.pgm"), [&b"P5\n28 28\n255\n"[..], &pixels(1)].concat()).expect("written");
    let verify = ["verify", "o/weights.postcard", "--data", "data", "--count", "5"];
    let update = ["update", "o/weights.postcard"];
    let classify = ["classify", "one.pgm", "--as-is"];
    let with = |lie: Lie| board(model(), lie);
    let on = |port: &str, args: &[&str]| succeed(at, &[&["board", "--port", port][..], args].concat());
    let not_on = |port: &str, args: &[&str], words: &[&str]| {
        fail(at, &[&["board", "--port", port][..], args].concat(), 1, words);
    };
    let out = on(&with(Lie::None), &verify);
    assert!(out.contains("equal     5 of 5 images") && out.contains("by the board's own count"), "{out}");
    assert!(on(&with(Lie::None), &update).contains(&fingerprint));
    assert!(on(&with(Lie::None), &classify).contains("prediction "));
    assert!(on(&with(Lie::None), &["info"]).starts_with("The board says of itself"));

    not_on(&with(Lie::Fingerprint), &update, &["dededede", &fingerprint]);
    not_on(&with(Lie::Class(77)), &verify, &["class 77"]);
    not_on(&with(Lie::Class(200)), &classify, &["class 200"]);
    not_on(&with(Lie::Nan), &classify, &["logit of class 0 is NaN"]);
    not_on(&with(Lie::Nan), &verify, &["logit of class 0 is NaN"]);
    let nothing = ["board", "--port", "/dev/null", "verify", "o/weights.postcard", "--count", "0"];
    fail(at, &nothing, 2, &["--count", "from 1"]);
    // What is no model is not sent: no port is opened for it either way, but no board loses its model.
    fs::write(at.join("bad.postcard"), b"CNNM").expect("written");
    not_on(&with(Lie::None), &["update", "bad.postcard"], &["bad.postcard", "truncated"]);
}
