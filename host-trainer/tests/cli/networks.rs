//! Mirrors as they are met: hostile ones, with passwords, behind proxies, with certificates of a company's own. All of
//! them are on this machine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// A hundred years' certificates of these tests alone: a root, and a mirror under it that is called 127.0.0.1 and
/// mirror.invalid. Made with `openssl req -x509` and `openssl x509 -req`.
const ROOT: &str = include_str!("certificates/root.pem");
const CERTIFICATE: &[u8] = include_bytes!("certificates/mirror.pem");
const KEY: &[u8] = include_bytes!("certificates/mirror.key");

/// What a server was asked, head by head.
type Heads = Arc<Mutex<Vec<String>>>;

/// The head of a request.
fn head_of(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A server on this machine: its address, and what it was asked.
fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> (String, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one").to_string();
    let heads = Heads::default();
    let (asked, answer) = (heads.clone(), Arc::new(answer));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (asked, answer) = (asked.clone(), answer.clone());
            thread::spawn(move || {
                let head = head_of(&mut stream);
                asked.lock().expect("no panic").push(head.clone());
                answer(&head, &mut stream);
            });
        }
    });
    (address, heads)
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A server that always answers the same.
fn always(response: Vec<u8>) -> (String, Heads) {
    serve(move |_, stream| stream.write_all(&response).unwrap_or_default())
}

/// The program in `folder`, with no proxy and no certificates from the environment but these variables.
fn program(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-trainer"));
    command.args(args).current_dir(folder).env_remove("MNIST_DIR").env_remove("NO_COLOR");
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// The program ends with `code` and one line of error, which is returned; nothing is trained.
#[track_caller]
fn fails(folder: &Path, args: &[&str], variables: &[(&str, &str)], code: i32) -> String {
    let output = program(folder, args, variables).output().expect("the program was built");
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {message}\n{}", stdout(&output));
    assert!(message.starts_with("error:") && message.lines().count() == 1, "{args:?}: {message}");
    assert!(!message.contains("NOT MNIST") && !stdout(&output).contains("epoch"), "{args:?}: {message}");
    message
}

#[test]
fn whoever_names_a_mirror_gets_that_or_an_error_from_every_command() {
    let folder = folder_with_data();
    train(folder.path(), "o", &[]);
    for status in ["403 Forbidden", "404 Not Found", "500 Sorry"] {
        let (address, _) = always(response(status, "", b"no"));
        let mirror = format!("http://{address}/mnist/");
        for args in [
            &["--out", "p"][..],
            &["train", "--dataset", "mnist", "--out", "p"],
            &["evaluate", "o/weights.postcard"],
            &["evaluate", "o/weights.postcard", "--split", "train"],
            &["predict", "o/weights.postcard", "--index", "0"],
            &["verify"],
            &["verify", "o/run.json"],
        ] {
            // A flag counts before the environment, which names a sound folder here.
            for mnist_dir in ["", "data"] {
                let args = [args, &["--mirror", &mirror]].concat();
                let message = fails(folder.path(), &args, &[("MNIST_DIR", mnist_dir)], 1);
                assert!(message.contains(&status[..3]) && message.contains(&address), "{message}");
            }
        }
    }
    let mirror = "http://127.0.0.1:9/";
    for args in [&["--data", "data", "--mirror", mirror][..], &["--dataset", "synthetic", "--mirror", mirror]] {
        let message = fails(folder.path(), args, &[], 2);
        assert!(message.contains("two sources"), "{message}");
    }
}

/// A proxy that nobody runs: no address outside is reached.
const OFFLINE: [(&str, &str); 2] = [("HTTPS_PROXY", "http://127.0.0.1:9"), ("HTTP_PROXY", "http://127.0.0.1:9")];

#[test]
fn digits_stand_in_only_where_nobody_named_a_source_and_are_said_to() {
    let folder = folder_with_data();
    train(folder.path(), "o", &[]);
    let predict = ["predict", "o/weights.postcard", "--index", "0"];
    let output = program(folder.path(), &predict, &[&OFFLINE[..], &[("MNIST_DIR", "")]].concat()).output();
    let output = output.expect("the program was built");
    assert!(output.status.success() && stderr(&output).contains("NOT MNIST"), "{}", stderr(&output));
    for args in [&[&predict[..], &["--dataset", "mnist"]].concat()[..], &["--dataset", "mnist"]] {
        let message = fails(folder.path(), args, &OFFLINE, 1);
        assert!(message.contains("could not be downloaded"), "{message}");
    }
    // The record names its data set.
    let message = fails(folder.path(), &["verify", "o/run.json"], &OFFLINE, 1);
    assert!(message.contains("could not be downloaded"), "{message}");
    for (name, value) in [("empty", ""), ("half", "half")] {
        fs::create_dir(folder.path().join(name)).expect("created");
        if !value.is_empty() {
            fs::copy(
                folder.path().join("data/train-images-idx3-ubyte"),
                folder.path().join("half/train-images-idx3-ubyte"),
            )
            .expect("copied");
        }
        fails(folder.path(), &["--data", name], &OFFLINE, 1);
        fails(folder.path(), &["--out", "p"], &[&OFFLINE[..], &[("MNIST_DIR", name)]].concat(), 1);
    }
    let message = fails(folder.path(), &["--data", "data", "--dataset", "mnist"], &OFFLINE, 1);
    assert!(message.contains("MNIST is asked for"), "{message}");
}

#[test]
fn a_password_and_a_query_are_sent_and_never_shown() {
    let folder = TempDir::new().expect("a temporary folder");
    let page = response("200 OK", "Content-Type: text/html\r\n", b"<html>");
    let elsewhere = always(page.clone()).0;
    let redirected = response("302 Found", &format!("Location: http://{elsewhere}/x?sig=t0ken\r\n"), b"");
    let lost = response("302 Found", "Location: http://me:s3cret@ /\r\n", b"");
    for answer in [response("401 Unauthorized", "", b""), page, redirected, lost, b"garbage s3cret".to_vec()] {
        let (address, heads) = always(answer);
        let mirror = format!("http://me:s3cret@{address}/mnist/?sig=t0ken");
        let message = fails(folder.path(), &["--mirror", &mirror], &[], 1);
        assert!(message.contains(&format!("http://{address}/mnist/train-images-idx3-ubyte.gz")), "{message}");
        assert!(["s3cret", "t0ken", "bWU6czNjcmV0"].iter().all(|secret| !message.contains(secret)), "{message}");
        let heads = heads.lock().expect("no panic");
        assert!(heads[0].starts_with("GET /mnist/train-images-idx3-ubyte.gz?sig=t0ken "), "{heads:?}");
        assert!(heads[0].contains("Basic bWU6czNjcmV0"), "{heads:?}");
    }
    for mirror in
        ["ftp://me:s3cret@host/", "me:s3cret@host", "http://me:s3cret@/x", "http://me:s3 cret@host/", "nonsense"]
    {
        let message = fails(folder.path(), &["--mirror", mirror], &[], 2);
        assert!(
            message.contains("the mirror is not an address")
                && message.contains("(--mirror)")
                && !message.contains("cret"),
            "{message}"
        );
    }
}

/// The largest memory in bytes that the program had, and its exit code.
#[cfg(target_os = "linux")]
#[expect(clippy::zombie_processes, reason = "wait4 waits for it")]
fn peak_memory(mut command: Command) -> (u64, i32) {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program was built");
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is one, and both pointers are to variables that live until the call returns.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        let pid = child.id().try_into().expect("a process number");
        assert_eq!(libc::wait4(pid, &mut status, 0, &mut usage), pid);
        usage
    };
    (usage.ru_maxrss as u64 * 1024, libc::WEXITSTATUS(status))
}

#[test]
#[cfg(target_os = "linux")]
fn whatever_a_mirror_sends_takes_no_more_memory_than_the_file() {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    let folder = TempDir::new().expect("a temporary folder");
    // A million blank images, as a header promises them: 784 MB.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for word in [0x0803_u32, 1_000_000, 28, 28] {
        bomb.write_all(&word.to_be_bytes()).expect("a Vec takes everything");
    }
    let blank = vec![0; 784_000];
    (0..1000).for_each(|_| bomb.write_all(&blank).expect("a Vec takes everything"));
    let bomb = bomb.finish().expect("a Vec takes everything");
    assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
    let chunked = |bytes: &[u8]| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in bytes.chunks(1 << 16) {
            answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
            answer.extend([chunk, b"\r\n"].concat());
        }
        [answer, b"0\r\n\r\n".to_vec()].concat()
    };
    let mut twice = GzEncoder::new(Vec::new(), Compression::best());
    twice.write_all(&bomb).expect("a Vec takes everything");
    let twice = twice.finish().expect("a Vec takes everything");
    let encoded = response("200 OK", "Content-Encoding: gzip\r\n", &twice);
    let servers = [
        ("a bomb", always(response("200 OK", "", &bomb))),
        ("a bomb in chunks", always(chunked(&bomb))),
        ("a bomb in gzip", always(response("200 OK", "", &twice))),
        ("a bomb with an encoding", always(encoded)),
        ("a length of a terabyte", always(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\nx".to_vec())),
        ("a wrong length", always([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", &bomb[..]].concat())),
        (
            "no end",
            serve(|_, stream| {
                let started = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while started.is_ok() && stream.write_all(&[0x1f; 1 << 16]).is_ok() {}
            }),
        ),
        (
            "no end of headers",
            serve(|_, stream| {
                let started = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                while started.is_ok() && stream.write_all(b"A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").is_ok() {}
            }),
        ),
    ];
    let (idle, _) = peak_memory(program(folder.path(), &["--mirror", "http://127.0.0.1:9/"], &[]));
    for (what, (address, _)) in servers {
        let mirror = format!("http://{address}/");
        let (peak, code) = peak_memory(program(folder.path(), &["--mirror", &mirror], &[]));
        println!("{what}: {} MB, {} MB without an answer", peak / 1_000_000, idle / 1_000_000);
        assert_eq!(code, 1, "{what}");
        // The training images have 47 MB.
        assert!(peak < idle + (64 << 20), "{what}: {peak} bytes, {idle} without an answer");
    }
    assert!(!folder.path().join("data/mnist").exists());
}

/// A mirror with the tests' certificate that answers every request with 403.
fn encrypted() -> (u16, Heads) {
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE).collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it has one").port();
    let heads = Heads::default();
    let asked = heads.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).expect("the configuration is sound");
            let mut stream = StreamOwned::new(connection, stream);
            let head = head_of(&mut stream);
            if !head.is_empty() {
                asked.lock().expect("no panic").push(head);
                stream.write_all(&response("403 Forbidden", "", b"no")).unwrap_or_default();
                stream.conn.send_close_notify();
                stream.flush().unwrap_or_default();
            }
        }
    });
    (port, heads)
}

#[test]
fn certificates_of_ones_own_are_trusted_where_the_environment_names_them() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("root.pem"), ROOT).expect("written");
    fs::create_dir(folder.path().join("roots")).expect("created");
    fs::write(folder.path().join("roots/company.pem"), ROOT).expect("written");
    fs::write(folder.path().join("empty.pem"), "").expect("written");
    let (port, heads) = encrypted();
    let mirror = format!("https://127.0.0.1:{port}/");
    let said = |variables: &[(&str, &str)]| fails(folder.path(), &["--mirror", &mirror], variables, 1);
    let message = said(&[]);
    assert!(message.contains("certificate") && message.contains("SSL_CERT_FILE"), "{message}");
    assert!(heads.lock().expect("no panic").is_empty(), "nothing is asked of a mirror that is not trusted");
    for variable in [("SSL_CERT_FILE", "root.pem"), ("SSL_CERT_DIR", "roots")] {
        let message = said(&[variable]);
        assert!(message.contains("403"), "{variable:?}: {message}");
    }
    for (file, words) in [("empty.pem", "SSL_CERT_FILE"), ("missing.pem", "missing.pem"), ("roots", "is a folder")] {
        let message = said(&[("SSL_CERT_FILE", file)]);
        assert!(message.contains("no certificate could be read") && message.contains(words), "{message}");
    }
}

/// A proxy that connects whoever asks to one address, whatever was asked for.
fn tunnel(to: u16) -> (String, Heads) {
    serve(move |head, stream| {
        if !head.starts_with("CONNECT ") {
            return;
        }
        let mut target = TcpStream::connect(("127.0.0.1", to)).expect("it listens");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap_or_default();
        let (mut from, mut back) = (stream.try_clone().expect("a socket"), target.try_clone().expect("a socket"));
        thread::spawn(move || std::io::copy(&mut from, &mut target));
        let _ = std::io::copy(&mut back, stream);
    })
}

#[test]
fn the_proxies_of_the_environment_are_asked_and_no_others() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("root.pem"), ROOT).expect("written");
    let (port, _) = encrypted();
    let plain = always(response("403 Forbidden", "", b"no")).0;
    let plain_port: u16 = plain.rsplit(':').next().expect("a port").parse().expect("a number");
    let trusted = ("SSL_CERT_FILE", "root.pem");
    // No name server knows these hosts: only the proxy leads to them.
    for (mirror, to, variables) in [
        ("https://mirror.invalid/", port, ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]),
        ("http://mirror.invalid/", plain_port, ["HTTP_PROXY", "http_proxy", "all_proxy"]),
    ] {
        for variable in variables {
            let (address, heads) = tunnel(to);
            let proxy = format!("http://me:s3cret@{address}");
            let message = fails(folder.path(), &["--mirror", mirror], &[trusted, (variable, &proxy)], 1);
            assert!(message.contains("403") && !message.contains("s3cret"), "{variable}: {message}");
            let heads = heads.lock().expect("no panic");
            assert!(heads[0].starts_with("CONNECT mirror.invalid:"), "{heads:?}");
            assert!(heads[0].contains("Basic bWU6czNjcmV0"), "{heads:?}");
            let variables = [(variable, &*proxy), ("NO_PROXY", "example.org, invalid")];
            let message = fails(folder.path(), &["--mirror", mirror], &variables, 1);
            assert!(message.contains("mirror.invalid") && !message.contains("403"), "{message}");
        }
    }
    // A proxy that refuses, and what is none.
    let (address, _) = always(response("407 Proxy Authentication Required", "", b""));
    let proxy = format!("http://me:s3cret@{address}");
    let message = fails(folder.path(), &["--mirror", "https://mirror.invalid/"], &[("HTTPS_PROXY", &proxy)], 1);
    assert!(message.contains("407") && !message.contains("s3cret"), "{message}");
    let variables = [("HTTPS_PROXY", "gopher://me:s3cret@host")];
    let message = fails(folder.path(), &["--mirror", "https://mirror.invalid/"], &variables, 1);
    assert!(message.contains("HTTPS_PROXY") && !message.contains("s3cret"), "{message}");
}
