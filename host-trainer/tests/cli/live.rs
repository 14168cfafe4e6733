//! `train --live`: whoever looks on, the run is the one that nobody looks at.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use super::*;

/// A run that is looked at: its output until the address was printed, and the address.
struct Shown {
    child: std::process::Child,
    out: BufReader<std::process::ChildStdout>,
    address: String,
}

impl Shown {
    fn start(folder: &Path, out: &str, epochs: &str, more: &[&str]) -> Self {
        let recipe =
            ["train", "--data", "data", "--lr", "0.01", "--out", out, "--epochs", epochs, "--live", "0", "--no-open"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_host-trainer"))
            .args([&recipe, more].concat())
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(out.read_line(&mut line).expect("a line"), 0, "the address is printed");
            if let Some(url) = line.strip_prefix("live     http://") {
                break url.trim_end().strip_suffix("/?live").expect("the page's address").to_owned();
            }
        };
        Self { child, out, address }
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).expect("it reads");
        stream
    }

    fn end(mut self) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("UTF-8");
        let mut errors = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut errors).expect("UTF-8");
        assert!(self.child.wait().expect("it ends").success(), "{rest}\n{errors}");
        assert_eq!(errors, "", "nothing of it is a word on standard error");
    }
}

/// The epochs that a listener heard of: their numbers and fingerprints.
fn told(events: &str) -> Vec<(u64, String)> {
    let lists = events.split("event: epochs\ndata: ").skip(1).map(|rest| rest.lines().next().expect("a line"));
    let lists = lists.map(|list| serde_json::from_str::<Vec<serde_json::Value>>(list).expect("JSON"));
    let epoch = |it: serde_json::Value| (it["epoch"].as_u64().unwrap(), it["fingerprint"].as_str().unwrap().to_owned());
    lists.flatten().map(epoch).collect()
}

#[test]
fn a_run_is_shown_and_is_the_same_run() {
    let folder = folder_with_data();
    let shown = Shown::start(folder.path(), "o", "40", &[]);
    let mut page = String::new();
    shown.ask("/?live").read_to_string(&mut page).expect("UTF-8");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("id=\"live\""));
    // Some say nothing, some listen and do not read, some are gone at once.
    let silent: Vec<_> = (0..3).map(|_| TcpStream::connect(&shown.address).expect("it listens")).collect();
    let deaf: Vec<_> = (0..3).map(|_| shown.ask("/events")).collect();
    (0..3).for_each(|_| drop(shown.ask("/events")));
    let mut events = String::new();
    let _ = shown.ask("/events").read_to_string(&mut events);
    shown.end();
    drop((silent, deaf));
    assert!(events.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"), "{events}");
    assert!(events.ends_with("event: end\ndata: \"the run is complete after 40 epochs\"\n\n"), "{events}");
    let expected = fingerprints(&record(&folder.path().join("o")));
    assert_eq!(told(&events), (1..).zip(expected.clone()).collect::<Vec<_>>());

    succeed(folder.path(), &["train", "--data", "data", "--lr", "0.01", "--out", "unseen", "--epochs", "40"]);
    assert_eq!(fingerprints(&record(&folder.path().join("unseen"))), expected);

    // One that goes on tells what was before.
    let shown = Shown::start(folder.path(), "o", "60", &["--resume"]);
    let mut events = String::new();
    let _ = shown.ask("/events").read_to_string(&mut events);
    shown.end();
    let expected = fingerprints(&record(&folder.path().join("o")));
    assert_eq!(told(&events), (1..=60).zip(expected).collect::<Vec<_>>());
}

#[test]
fn a_port_in_use_ends_no_run() {
    let folder = folder_with_data();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let args = ["train", "--data", "data", "--epochs", "1", "--out", "o", "--live", &port];
    let output = run_in(folder.path(), &args);
    let message = stderr(&output);
    assert!(output.status.success(), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("warning: ") && message.contains(&port) && message.contains("--live 0"), "{message}");
    assert_eq!(fingerprints(&record(&folder.path().join("o"))).len(), 1);
}

#[test]
fn what_is_no_port_is_refused() {
    let folder = folder_with_data();
    for (flags, word) in [
        (&["--live", "65536"][..], "65536"),
        (&["--live", "-1"], "-1"),
        (&["--live", "x"], "'x'"),
        (&["--no-open"], "--live"),
    ] {
        fail(folder.path(), &[&["train", "--data", "data", "--out", "o"], flags].concat(), 2, &[word]);
    }
    assert!(!folder.path().join("o").exists());
}
