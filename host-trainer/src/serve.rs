//! The page of `web/`, given to a browser on this machine: its files are in the program, nothing else is ever read.
//!
//! A request is taken from anyone who can reach the port, so it is bounded in length, time and number, and answered only
//! if it asks this machine by an address: a site that lets its own name point here (DNS rebinding) gets nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::live::Feed;

/// The longest head of a request, in bytes. Browsers send less than one thousand.
pub const MAX_HEAD: usize = 8 << 10;
/// Requests that are answered at the same time; more are turned away.
pub const MAX_CONNECTIONS: usize = 32;
/// How long a request may take to arrive, and an answer to be taken.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// What the page may do: load its own files, and no more. `index.html` has the same, for other servers.
pub const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; \
                          worker-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its name, as requests have it.
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its contents.
    pub contents: &'static [u8],
}

macro_rules! page {
    ($($name:literal: $type:literal),* $(,)?) => {
        [$(File { name: $name, content_type: $type, contents: include_bytes!(concat!("../../web/page/", $name)) }),*]
    };
}

/// Where the events of a run are.
pub const EVENTS: &str = "/events";

const HTML: usize = 0;
const PAGE: [File; 20] = page![
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "load.js": "text/javascript; charset=utf-8",
    "network.js": "text/javascript; charset=utf-8",
    "explain.js": "text/javascript; charset=utf-8",
    "detail.js": "text/javascript; charset=utf-8",
    "paint.js": "text/javascript; charset=utf-8",
    "maps.js": "text/javascript; charset=utf-8",
    "pad.js": "text/javascript; charset=utf-8",
    "picture.js": "text/javascript; charset=utf-8",
    "train.js": "text/javascript; charset=utf-8",
    "lesson.js": "text/javascript; charset=utf-8",
    "board.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "curves.js": "text/javascript; charset=utf-8",
    "worker.js": "text/javascript; charset=utf-8",
    "offline.js": "text/javascript; charset=utf-8",
    "known.json": "application/json",
    "cnn.wasm": "application/wasm",
];
const MODEL: File = File {
    name: "mnist.cnnm",
    content_type: "application/octet-stream",
    contents: include_bytes!("../../firmware/model/mnist.cnnm"),
};

/// All files of the page.
pub fn files() -> impl Iterator<Item = &'static File> {
    PAGE.iter().chain([&MODEL])
}

/// What a request gets.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// A file of the page.
    File(&'static File),
    /// The events of a run; where there is none, as [`Answer::NotFound`].
    Events,
    /// So many listen to the run that there is no place.
    Busy,
    /// It is not HTTP, or not whole.
    Malformed,
    /// It asks for another name than this machine's.
    OtherHost,
    /// It wants anything but to read.
    NotGet,
    /// There is no such file.
    NotFound,
    /// Its head is longer than [`MAX_HEAD`].
    TooLong,
}

impl Answer {
    fn status(self) -> &'static str {
        match self {
            Self::File(_) | Self::Events => "200 OK",
            Self::Busy => "503 Service Unavailable",
            Self::Malformed => "400 Bad Request",
            Self::OtherHost => "421 Misdirected Request",
            Self::NotGet => "405 Method Not Allowed",
            Self::NotFound => "404 Not Found",
            Self::TooLong => "431 Request Header Fields Too Large",
        }
    }

    /// The whole response; of events, its head.
    pub fn to_bytes(self) -> Vec<u8> {
        let status = self.status();
        let (content_type, contents) = match self {
            Self::File(file) => (file.content_type, Some(file.contents)),
            Self::Events => ("text/event-stream", None),
            _ => ("text/plain; charset=utf-8", Some(status.as_bytes())),
        };
        let length = contents.map(|contents| format!("Content-Length: {}\r\n", contents.len())).unwrap_or_default();
        let allow = if matches!(self, Self::NotGet) { "Allow: GET\r\n" } else { "" };
        let mut response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{length}{allow}\
             Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n\
             Cache-Control: no-cache\r\nConnection: close\r\n\r\n"
        )
        .into_bytes();
        response.extend_from_slice(contents.unwrap_or_default());
        response
    }
}

/// What a request's head, up to its empty line, gets on that port.
pub fn answer(head: &[u8], port: u16) -> Answer {
    let Ok(head) = std::str::from_utf8(head) else { return Answer::Malformed };
    let mut lines = head.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (request.next(), request.next(), request.next(), request.next())
    else {
        return Answer::Malformed;
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || method.is_empty() || !target.starts_with('/') {
        return Answer::Malformed;
    }
    let mut hosts = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Answer::Malformed };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Answer::Malformed;
        }
        if name.eq_ignore_ascii_case("host") {
            hosts.push(value.trim_matches([' ', '\t']));
        }
    }
    match *hosts.as_slice() {
        [host] if is_this_machine(host, port) => {}
        [_] => return Answer::OtherHost,
        _ => return Answer::Malformed,
    }
    if method != "GET" {
        return Answer::NotGet;
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if path == "/" {
        return Answer::File(&PAGE[HTML]);
    }
    if path == EVENTS {
        return Answer::Events;
    }
    files().find(|file| path.strip_prefix('/') == Some(file.name)).map_or(Answer::NotFound, Answer::File)
}

/// Whether a `Host` is an address or `localhost`, with the port: no name that someone else could have.
fn is_this_machine(host: &str, port: u16) -> bool {
    let (name, given) = match host.rsplit_once(':') {
        Some((name, given)) if !given.ends_with(']') => (name, given.parse()),
        _ => (host, Ok(80)),
    };
    let address = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(name) => name.parse().is_ok_and(|address: IpAddr| address.is_ipv6()),
        None => name.parse().is_ok_and(|address: IpAddr| address.is_ipv4()) || name.eq_ignore_ascii_case("localhost"),
    };
    address && given == Ok(port)
}

/// Serves the page and a run, on a thread of its own, until the program ends. Returns the page's address.
///
/// # Errors
/// If the port cannot be listened on.
pub fn in_background(address: SocketAddr, run: Arc<Feed>) -> io::Result<String> {
    let listener = TcpListener::bind(address)?;
    let url = format!("http://{}/?live", listener.local_addr()?);
    // What becomes of the server is no concern of the run.
    Builder::new().name("live".into()).spawn(move || serve(&listener, Some(&run)))?;
    Ok(url)
}

/// Answers requests until the listener fails; of a run, if there is one.
///
/// # Errors
/// If the listener does.
pub fn serve(listener: &TcpListener, run: Option<&Arc<Feed>>) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // The other side gave up, or the system has no more of something for a moment.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted || error.kind() == ErrorKind::Interrupted => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let slot = Slot(Arc::clone(&open));
        if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        let run = run.cloned();
        // A thread that the system does not start drops the connection.
        let _ = Builder::new().name("serve".into()).spawn(move || {
            let _slot = slot;
            // Whoever asked may be gone at any moment: nobody else is concerned.
            let _ = exchange(stream, port, run.as_ref());
        });
    }
}

/// A place among the connections, given back at the end.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads one request and answers it.
fn exchange(mut stream: TcpStream, port: u16, run: Option<&Arc<Feed>>) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let mut answer = match head(&mut stream, deadline)? {
        Some(head) => answer(&head, port),
        None => Answer::TooLong,
    };
    let listener = match (answer, run) {
        (Answer::Events, Some(run)) => run.listen(),
        _ => None,
    };
    if matches!(answer, Answer::Events) && listener.is_none() {
        answer = if run.is_some() { Answer::Busy } else { Answer::NotFound };
    }
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&answer.to_bytes())?;
    if let Some(mut listener) = listener {
        listener.send_all(&mut stream)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // A socket that is closed over unread bytes takes the answer away from its reader: what little comes is read.
    let mut rest = [0; MAX_HEAD];
    while read_until(&mut stream, deadline, &mut rest)? > 0 {}
    Ok(())
}

/// A request's head without its empty line; nothing if it is too long.
fn head(stream: &mut TcpStream, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let read = read_until(stream, deadline, &mut buffer)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            head.truncate(end);
            return Ok((head.len() <= MAX_HEAD).then_some(head));
        }
        if head.len() > MAX_HEAD {
            return Ok(None);
        }
    }
}

/// Reads what comes before the deadline.
fn read_until(stream: &mut TcpStream, deadline: Instant, buffer: &mut [u8]) -> io::Result<usize> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    stream.read(buffer)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn status(request: &str) -> &'static str {
        answer(request.as_bytes(), 8017).status()
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8017")
    }

    #[test]
    fn every_file_that_the_page_names_is_there() {
        let html = std::str::from_utf8(PAGE[HTML].contents).unwrap();
        let script = |file: &File| file.content_type.starts_with("text/javascript");
        let texts = files().filter(|file| script(file)).map(|file| std::str::from_utf8(file.contents).unwrap());
        let mut named = 0;
        for text in texts.chain([html]) {
            for quoted in text.split(['\'', '"']) {
                let extension = quoted.strip_prefix("./").unwrap_or(quoted).rsplit_once('.');
                let Some((name, "js" | "css" | "wasm" | "cnnm")) = extension else { continue };
                if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    let path = format!("/{}", quoted.strip_prefix("./").unwrap_or(quoted));
                    assert!(matches!(answer(get(&path).as_bytes(), 8017), Answer::File(_)), "{path}");
                    named += 1;
                }
            }
        }
        assert!(named > 20, "{named} names of files were found");
        assert!(html.contains(&POLICY.replace("; frame-ancestors 'none'", "")), "the policy of index.html");
    }

    #[test]
    fn every_file_is_kept_for_when_there_is_no_network() {
        let offline = files().find(|file| file.name == "offline.js").unwrap();
        let offline = std::str::from_utf8(offline.contents).unwrap();
        for file in files().filter(|file| file.name != "offline.js") {
            assert!(offline.contains(&format!("'{}'", file.name)), "{}", file.name);
        }
    }

    #[test]
    fn the_page_is_less_than_a_megabyte() {
        let bytes: usize = files().map(|file| file.contents.len()).sum();
        assert!(bytes < 1_000_000, "{bytes} bytes");
    }

    #[test]
    fn only_get_of_a_file_of_the_page_is_answered() {
        for path in ["/", "/index.html", "/?x=1", "/cnn.wasm", "/mnist.cnnm?y"] {
            assert_eq!(status(&get(path)), "200 OK", "{path}");
        }
        for path in ["/absent", "/../Cargo.toml", "/%69ndex.html", "//index.html", "/index.html/", "/.", "/\0"] {
            assert_eq!(status(&get(path)), "404 Not Found", "{path}");
        }
        for method in ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "get"] {
            assert_eq!(status(&get("/").replacen("GET", method, 1)), "405 Method Not Allowed", "{method}");
        }
        assert!(
            answer(get("/").replacen("GET", "POST", 1).as_bytes(), 8017)
                .to_bytes()
                .windows(10)
                .any(|it| it == b"Allow: GET")
        );
    }

    #[test]
    fn only_this_machine_is_answered_for() {
        let with = |host: &str| status(&format!("GET / HTTP/1.1\r\nHost: {host}"));
        for host in ["127.0.0.1:8017", "localhost:8017", "LOCALHOST:8017", "[::1]:8017", "192.168.0.7:8017"] {
            assert_eq!(with(host), "200 OK", "{host}");
        }
        let others = [
            "evil.example:8017",
            "localhost.evil.example:8017",
            "127.0.0.1.evil.example:8017",
            "127.0.0.1",
            "localhost:80",
            "127.0.0.1:8018",
            "::1:8017",
            "[::1]",
            "[127.0.0.1]:8017",
            "",
            ":8017",
            "127.0.0.1:8017:8017",
            "127.0.0.1:",
            "a@127.0.0.1:8017",
            "0x7f000001:8017",
            "127.1:8017",
        ];
        for host in others {
            assert_eq!(with(host), "421 Misdirected Request", "{host}");
        }
        for request in ["GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: localhost:8017\r\nhost: localhost:8017"] {
            assert_eq!(status(request), "400 Bad Request");
        }
        assert_eq!(answer(b"GET / HTTP/1.1\r\nHost: 127.0.0.1", 80).status(), "200 OK");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let host = "\r\nHost: localhost:8017";
        for line in [
            "",
            "GET",
            "GET /",
            "GET / HTTP/2",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 x",
            "GET http://localhost:8017/ HTTP/1.1",
            "GET * HTTP/1.1",
            " / HTTP/1.1",
            "\u{16}\u{3}\u{1}",
        ] {
            assert_eq!(status(&format!("{line}{host}")), "400 Bad Request", "{line}");
        }
        for header in ["no colon", ": empty", "a b: c", "\tfolded: x", ""] {
            assert_eq!(status(&format!("{}\r\n{header}", get("/"))), "400 Bad Request", "{header}");
        }
        assert_eq!(answer(b"GET /\xff HTTP/1.1\r\nHost: localhost:8017", 8017).status(), "400 Bad Request");
    }

    /// What the server sends back, until it closes.
    fn sent(address: std::net::SocketAddr, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).unwrap();
        // It may answer and close before it has all.
        let _ = stream.write_all(request);
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response);
        response
    }

    #[test]
    fn a_server_survives_whatever_is_sent_to_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, None));
        let request = format!("GET /cnn.wasm HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let whole = sent(address, request.as_bytes());
        let wasm = files().find(|file| file.name == "cnn.wasm").unwrap();
        assert!(whole.starts_with(b"HTTP/1.1 200 OK\r\n") && whole.ends_with(wasm.contents));

        let endless = [b"GET / HTTP/1.1\r\n".as_slice(), &b"X: y\r\n".repeat(10_000)].concat();
        assert!(sent(address, &endless).starts_with(b"HTTP/1.1 431 "));
        assert!(sent(address, &[0xff; 9000]).starts_with(b"HTTP/1.1 431 "));
        let events = format!("GET {EVENTS} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        assert!(sent(address, events.as_bytes()).starts_with(b"HTTP/1.1 404 "), "there is no run");
        assert!(sent(address, b"\x16\x03\x01\r\n\r\n").starts_with(b"HTTP/1.1 400 "));
        drop(TcpStream::connect(address).unwrap());
        // Silent ones take all places, and lose them after a while.
        let silent: Vec<_> = (0..MAX_CONNECTIONS + 8).map(|_| TcpStream::connect(address).unwrap()).collect();
        let begin = Instant::now();
        while !sent(address, request.as_bytes()).starts_with(b"HTTP/1.1 200 OK\r\n") {
            assert!(begin.elapsed() < 4 * TIMEOUT, "the server does not recover");
            thread::sleep(Duration::from_millis(100));
        }
        drop(silent);
    }
}
