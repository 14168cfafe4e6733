//! Downloads MNIST: from the first mirror that has it, verified before it gets its name.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cnn_train::threads;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::uri::Scheme;
use ureq::http::{self, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, ResponseExt};

use super::idx::{self, Fault};
use super::mnist::OriginalFile;
pub use super::proxy::{Proxies, ProxyError};
use crate::files::{FileError, read, write_whole};

/// Where MNIST is downloaded from, in this order.
pub const MIRRORS: [&str; 2] =
    ["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"];

/// Bytes that an archive may be longer than its contents.
const ARCHIVE_OVERHEAD: u64 = 1 << 16;

/// How to reach the mirrors.
#[derive(Debug, Clone)]
pub struct DownloadOptions {
    /// Time until all mirrors together are given up for one file if none of them answers.
    pub answer: Duration,
    /// Time until a transfer is given up that makes no progress.
    pub stall: Duration,
    /// How long a transfer may be slower than [`SLOWEST`].
    pub timeout: Duration,
    /// Time for all files together.
    pub total: Duration,
    /// The proxies to use; if none, those that the environment names.
    pub proxies: Option<Proxies>,
    /// Who is told of a transfer as it goes.
    pub watch: Option<Watch>,
}

/// Begins to watch the transfer of a file of this name and, where it is known, this length in bytes. What it returns is
/// told of the bytes as they come, and dropped when no more do.
pub type Watch = fn(name: &'static str, length: Option<u64>) -> Box<dyn FnMut(u64)>;

/// Bytes that must come in a second.
pub const SLOWEST: u64 = 1 << 10;

impl Default for DownloadOptions {
    /// Gives up after 14 s, a transfer after 5 s in which nothing came or 15 s in which too little came, and all after an
    /// hour.
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(14),
            stall: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            total: Duration::from_secs(3600),
            proxies: None,
            watch: None,
        }
    }
}

/// Why the files could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No mirror gave this file.
    #[error("{name} could not be downloaded: {}",
        attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unavailable {
        /// The file.
        name: &'static str,
        /// What happened at each mirror.
        attempts: Vec<Attempt>,
    },
    /// The address of a mirror is none.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The environment names a proxy that is none.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The environment names certificates that are none.
    #[error("no certificate could be read where SSL_CERT_FILE and SSL_CERT_DIR say: {0}")]
    Certificates(String),
    /// A thread watches the time of a name's resolution.
    #[error("the system starts no thread, which a download needs: raise the limit on processes")]
    Threads,
    /// The folder cannot be made.
    #[error("cannot create the folder {}: {cause}; take the files from another one", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

impl DownloadError {
    /// Whether no mirror sent anything, as without a network.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unavailable { attempts, .. } => {
                attempts.iter().all(|attempt| matches!(attempt.failure, Failure::Request(_)))
            }
            _ => false,
        }
    }
}

/// A download that failed.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {failure}")]
pub struct Attempt {
    /// What was asked for, without a name, a password or a query.
    pub url: String,
    /// What came instead.
    pub failure: Failure,
}

/// Why a mirror did not give a file.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The mirror was not reached, did not answer, or answered with an error.
    #[error("{0}")]
    Request(String),
    /// It sent a web page, as proxies and the login pages of networks do.
    #[error("a web page came instead of the file, from {from} (does this network want a login?)")]
    WebPage {
        /// The address after all redirections, as in [`Attempt`].
        from: String,
    },
    /// The transfer ended early or stood still.
    #[error("the transfer broke off after {received} bytes ({cause})")]
    Transfer {
        /// Bytes that had come.
        received: usize,
        /// What happened.
        cause: io::Error,
    },
    /// The transfer went on, but hardly.
    #[error("the transfer was given up after {received} bytes: fewer than {SLOWEST} came in a second, for {} s",
        timeout.as_secs())]
    TooSlow {
        /// Bytes that had come.
        received: usize,
        /// How long it was slow.
        timeout: Duration,
    },
    /// More came, or was announced, than the file can be long.
    #[error("more than {limit} bytes came, which is longer than the file")]
    TooLong {
        /// Bytes accepted.
        limit: u64,
    },
    /// It is not an IDX file of the right kind.
    #[error("what came {0}")]
    Malformed(Fault),
    /// It is an IDX file with other contents.
    #[error("what came is not MNIST: the contents have the SHA-256 {found}, not {expected}")]
    WrongContents {
        /// SHA-256 of the original.
        expected: &'static str,
        /// SHA-256 of what came.
        found: String,
    },
}

/// An address that is none. It is not shown: there may be a password in it.
#[derive(Debug, thiserror::Error)]
#[error("the mirror is not an address such as https://HOST/FOLDER/ (http and https are known)")]
pub struct MirrorError;

/// Where a folder with the files can be downloaded from. Its address may hold a name, a password and a query, which are
/// sent and never shown.
struct Mirror {
    uri: Uri,
    agent: Agent,
}

impl Mirror {
    fn new(address: &str, agent: impl FnOnce(bool) -> Agent) -> Result<Self, MirrorError> {
        let uri: Uri = address.trim().parse().map_err(|_| MirrorError)?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(MirrorError),
        };
        if uri.host().is_none_or(str::is_empty) {
            return Err(MirrorError);
        }
        Ok(Self { uri, agent: agent(https) })
    }

    /// The address of a file.
    fn address_of(&self, name: &str) -> String {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let query = self.uri.query().map_or(String::new(), |query| format!("?{query}"));
        format!("{}://{authority}{}/{name}{query}", scheme(&self.uri), self.uri.path().trim_end_matches('/'))
    }

    /// A text without what is secret in the address.
    fn censored<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let user = self.uri.authority().and_then(|authority| Some(authority.as_str().rsplit_once('@')?.0));
        let password = user.and_then(|user| Some(user.split_once(':')?.1));
        let mut text = Cow::Borrowed(text);
        for secret in [user, password, self.uri.query()].into_iter().flatten().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "…").into();
        }
        text
    }
}

fn scheme(uri: &Uri) -> &str {
    uri.scheme_str().unwrap_or("http")
}

/// An address without name, password and query.
fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}{}", scheme(uri), uri.path())
}

/// Downloads `files` into `folder`, which is made if need be. Each file is tried at every mirror until one gives it.
/// Under its name a file appears whole and verified or not at all.
/// Returns what must be said of the way on which they came, if others can read along.
///
/// # Errors
/// If an address is none, if no mirror gives a file, or if it cannot be written. The files before it stay.
pub fn download(
    files: &[OriginalFile],
    folder: &Path,
    mirrors: &[String],
    options: &DownloadOptions,
) -> Result<Option<String>, DownloadError> {
    if files.is_empty() {
        return Ok(None);
    }
    if threads::startable(1) == 0 {
        return Err(DownloadError::Threads);
    }
    let end = Instant::now() + options.total;
    let proxies = options.proxies.clone().map_or_else(Proxies::from_env, Ok)?;
    let roots = roots()?;
    let agent = |https| agent(options, mirrors.len(), &proxies, &roots, https);
    let mut mirrors = mirrors.iter().map(|address| Mirror::new(address, agent)).collect::<Result<VecDeque<_>, _>>()?;
    let mut unencrypted = None;
    for file in files {
        let Received { bytes, from } = from_any(&mut mirrors, file, options, end)?;
        if from.scheme() == Some(&Scheme::HTTP) {
            unencrypted = Some(from);
        }
        fs::create_dir_all(folder).map_err(|cause| DownloadError::Folder { folder: folder.into(), cause })?;
        // A server may have unpacked the file on the way.
        let suffix = if idx::is_gzip(&bytes) { ".gz" } else { "" };
        write_whole(&folder.join(format!("{}{suffix}", file.name)), &bytes)?;
    }
    Ok(unencrypted.map(|from| {
        format!(
            "{}://{} is not encrypted, so others can see what is asked for; what came is MNIST, by the SHA-256 of \
             every file's contents",
            scheme(&from),
            from.authority().map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or_default())
        )
    }))
}

/// The certificates to trust: those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else those of the system, else, where the
/// system has none, those compiled in.
fn roots() -> Result<RootCerts, DownloadError> {
    let [file, folders] =
        ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| env::var_os(name).filter(|value| !value.is_empty()));
    let named = file.is_some() || folders.is_some();
    if let Some(file) = &file {
        // A pipe would be waited for.
        read::open(Path::new(file))
            .map_err(|error| DownloadError::Certificates(format!("{} {error}", Path::new(file).display())))?;
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return if named { Err(DownloadError::Certificates(errors.join("; "))) } else { Ok(RootCerts::WebPki) };
    }
    Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>().into())
}

/// Each mirror gets an equal part of the time, and gives it to finding, connecting and answering.
fn agent(options: &DownloadOptions, mirrors: usize, proxies: &Proxies, roots: &RootCerts, https: bool) -> Agent {
    let share = options.answer / mirrors.max(1) as u32;
    Agent::config_builder()
        .timeout_resolve(Some(share * 2 / 7))
        .timeout_connect(Some(share * 3 / 7))
        .timeout_recv_response(Some(share * 2 / 7))
        .timeout_per_read(Some(options.stall))
        .timeout_per_write(Some(options.stall))
        .max_redirects(3)
        .proxy(proxies.of(https))
        .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// A verified file, packed or not.
struct Received {
    bytes: Vec<u8>,
    /// The address after all redirections.
    from: Uri,
}

/// The file from the first mirror that gives it; those that fail go to the end of the queue.
fn from_any(
    mirrors: &mut VecDeque<Mirror>,
    file: &OriginalFile,
    options: &DownloadOptions,
    end: Instant,
) -> Result<Received, DownloadError> {
    let mut attempts = Vec::new();
    for _ in 0..mirrors.len() {
        let mirror = &mirrors[0];
        let address = mirror.address_of(&format!("{}.gz", file.name));
        match from_one(mirror, &address, file, options, end) {
            Ok(received) => return Ok(received),
            Err(failure) => {
                let url = address.parse().map_or_else(|_| shown(&mirror.uri), |uri| shown(&uri));
                attempts.push(Attempt { url, failure });
            }
        }
        mirrors.rotate_left(1);
    }
    Err(DownloadError::Unavailable { name: file.name, attempts })
}

fn from_one(
    mirror: &Mirror,
    address: &str,
    file: &OriginalFile,
    options: &DownloadOptions,
    end: Instant,
) -> Result<Received, Failure> {
    let left = end.saturating_duration_since(Instant::now());
    let request = mirror.agent.get(address).config().timeout_global(Some(left)).build();
    let response = request.call().map_err(|error| Failure::Request(mirror.censored(&told(&error)).into()))?;
    let from = response.get_uri().clone();
    if content_type(&response).starts_with("text/html") {
        return Err(Failure::WebPage { from: shown(&from) });
    }
    let bytes = receive(response.into_body(), file, options)?;
    if bytes.trim_ascii_start().starts_with(b"<") {
        return Err(Failure::WebPage { from: shown(&from) });
    }
    let found = file.sha256_of(&bytes).map_err(Failure::Malformed)?;
    if found == file.sha256 {
        Ok(Received { bytes, from })
    } else {
        Err(Failure::WrongContents { expected: file.sha256, found })
    }
}

/// What went wrong, with what helps where it is known.
fn told(error: &ureq::Error) -> String {
    let text = error.to_string();
    match error {
        // The address may hold what is secret.
        ureq::Error::BadUri(_) => "it leads to an address that cannot be used".into(),
        _ if text.contains("certificate") => {
            format!("{text} (certificates of one's own, as companies have them, are taken from SSL_CERT_FILE)")
        }
        _ => text,
    }
}

fn content_type(response: &http::Response<Body>) -> &str {
    response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Receives a body no longer than the file can be, and not slower than it may come.
fn receive(body: Body, file: &OriginalFile, options: &DownloadOptions) -> Result<Vec<u8>, Failure> {
    let limit = file.length + ARCHIVE_OVERHEAD;
    let length = body.content_length();
    if length.is_some_and(|length| length > limit) {
        return Err(Failure::TooLong { limit });
    }
    let mut watcher = options.watch.map(|watch| watch(file.name, length));
    let mut advance = |bytes| watcher.iter_mut().for_each(|advance| advance(bytes));
    receive_within(&mut body.into_reader(), limit, options.timeout, &mut advance)
}

fn receive_within(
    body: &mut impl Read,
    limit: u64,
    timeout: Duration,
    advance: &mut dyn FnMut(u64),
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    // When the transfer was last seen to be fast enough, and what had come then.
    let mut lately = (Instant::now(), 0);
    loop {
        let received = match body.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(received) => &buffer[..received],
            Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
            Err(cause) => return Err(Failure::Transfer { received: bytes.len(), cause }),
        };
        if bytes.len() as u64 + received.len() as u64 > limit {
            return Err(Failure::TooLong { limit });
        }
        if bytes.capacity() - bytes.len() < received.len() {
            // Not doubled: memory follows what came.
            bytes.reserve_exact(1 << 20);
        }
        bytes.extend_from_slice(received);
        advance(received.len() as u64);
        let elapsed = lately.0.elapsed();
        if elapsed >= timeout {
            if (bytes.len() - lately.1) as f64 / elapsed.as_secs_f64() < SLOWEST as f64 {
                return Err(Failure::TooSlow { received: bytes.len(), timeout });
            }
            lately = (Instant::now(), bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::time::Instant;

    use cnn_train::dataset::digest::labels_sha256;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::dataset::mnist::Kind;

    const LABELS: [u8; 5] = [3, 1, 4, 1, 5];
    const NAME: &str = "labels-idx1-ubyte";

    /// Stands in for a file of MNIST: [`LABELS`].
    fn original() -> OriginalFile {
        let sha256 = hex::encode(labels_sha256(&LABELS)).leak();
        OriginalFile { name: NAME, kind: Kind::Labels, length: 8 + LABELS.len() as u64, sha256 }
    }

    fn labels_file(labels: &[u8]) -> Vec<u8> {
        [&[0, 0, 8, 1, 0, 0, 0, labels.len() as u8], labels].concat()
    }

    fn packed(contents: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(contents).unwrap();
        encoder.finish().unwrap()
    }

    /// An answer whose `Content-Length` tells the truth.
    fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    fn good() -> Vec<u8> {
        answer("200 OK", "Content-Type: application/x-gzip\r\n", &packed(&labels_file(&LABELS)))
    }

    /// A mirror on this machine that answers every request with what `reply` writes, and then closes the connection.
    fn serve(mut reply: impl FnMut(&str, &mut TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mnist/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8(request).unwrap();
                reply(request.split(' ').nth(1).unwrap_or_default(), &mut stream);
            }
        });
        url
    }

    /// A mirror that always answers the same.
    fn always(bytes: Vec<u8>) -> String {
        serve(move |_, stream| stream.write_all(&bytes).unwrap_or_default())
    }

    /// A mirror that nobody runs.
    fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    }

    /// Times that a busy machine keeps.
    fn patient() -> DownloadOptions {
        DownloadOptions {
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(20),
            proxies: Some(Proxies::default()),
            ..DownloadOptions::default()
        }
    }

    fn fetch(folder: &Path, mirrors: &[String]) -> Result<Option<String>, DownloadError> {
        download(&[original()], folder, mirrors, &patient())
    }

    fn names_in(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Why a mirror fails; nothing is left behind.
    fn failure(mirror: String) -> Failure {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(folder.path(), &[mirror]).unwrap_err();
        assert_eq!(names_in(folder.path()), [""; 0], "{error}");
        let DownloadError::Unavailable { name: NAME, mut attempts } = error else { panic!("{error}") };
        assert_eq!(attempts.len(), 1);
        attempts.remove(0).failure
    }

    #[test]
    fn a_good_file_arrives_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("made/on/the/way");
        let mirror = serve(|path, stream| {
            assert_eq!(path, "/mnist/labels-idx1-ubyte.gz");
            stream.write_all(&good()).unwrap();
        });
        fetch(&folder, &[mirror]).unwrap();
        assert_eq!(names_in(&folder), ["labels-idx1-ubyte.gz"]);
        assert_eq!(idx::read_labels(&original().find(&folder).unwrap()).unwrap(), LABELS);
    }

    #[test]
    fn a_file_that_was_unpacked_on_the_way_is_named_so() {
        let folder = tempfile::tempdir().unwrap();
        fetch(folder.path(), &[always(answer("200 OK", "", &labels_file(&LABELS)))]).unwrap();
        assert_eq!(names_in(folder.path()), [NAME]);
    }

    #[test]
    fn a_redirection_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = always(good());
        fetch(folder.path(), &[always(answer("302 Found", &format!("Location: {target}x.gz\r\n"), b""))]).unwrap();
        assert_eq!(names_in(folder.path()), ["labels-idx1-ubyte.gz"]);
    }

    #[test]
    fn the_second_mirror_helps_out_and_is_asked_first_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, requests) = std::sync::mpsc::channel();
        let bad = serve(move |_, stream| {
            sender.send(()).unwrap();
            stream.write_all(&answer("404 Not Found", "", b"no")).unwrap();
        });
        let other = OriginalFile { name: "other-idx1-ubyte", ..original() };
        download(&[original(), other], folder.path(), &[bad, always(good())], &patient()).unwrap();
        assert_eq!(names_in(folder.path()).len(), 2);
        assert_eq!(requests.try_iter().count(), 1);
    }

    #[test]
    fn a_web_page_is_known_as_one() {
        let page = b"<!DOCTYPE html><title>Log in</title>";
        let html = answer("200 OK", "Content-Type: text/html; charset=utf-8\r\n", page);
        assert!(matches!(failure(always(html.clone())), Failure::WebPage { .. }));
        assert!(matches!(failure(always(answer("200 OK", "", page))), Failure::WebPage { .. }));
        let login = always(html);
        let redirected = always(answer("302 Found", &format!("Location: {login}login\r\n"), b""));
        assert!(matches!(failure(redirected), Failure::WebPage { from } if from == format!("{login}login")));
    }

    #[test]
    fn an_error_status_is_told() {
        for status in [404, 403, 500] {
            let failure = failure(always(answer(&format!("{status} Sorry"), "", b"no")));
            assert!(failure.to_string().contains(&status.to_string()), "{failure}");
        }
        let endless = serve(|_, stream| {
            stream.write_all(&answer("302 Found", "Location: /again\r\n", b"")).unwrap();
        });
        assert!(matches!(failure(endless), Failure::Request(_)));
    }

    #[test]
    fn a_cut_transfer_is_known_as_one() {
        let cut = good();
        assert!(matches!(failure(always(cut[..cut.len() - 7].into())), Failure::Transfer { .. }));
        // Without a length only the archive itself can tell.
        let headless = [b"HTTP/1.1 200 OK\r\n\r\n", &packed(&labels_file(&LABELS))[..15]].concat();
        assert!(matches!(failure(always(headless)), Failure::Malformed(Fault::Gzip(_))));
    }

    #[test]
    fn wrong_contents_are_refused() {
        let other = answer("200 OK", "", &packed(&labels_file(&[3, 1, 4, 1, 6])));
        assert!(matches!(failure(always(other)), Failure::WrongContents { .. }));
        let malformed = answer("200 OK", "", b"not found");
        assert!(matches!(failure(always(malformed)), Failure::Malformed(Fault::Magic { .. })));
    }

    #[test]
    fn an_endless_body_is_cut_off() {
        let endless = serve(|_, stream| {
            let started = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while started.is_ok() && stream.write_all(&[0x1f; 1 << 16]).is_ok() {}
        });
        assert!(matches!(failure(endless), Failure::TooLong { .. }));
    }

    #[test]
    fn silence_is_given_up_in_time() {
        let options =
            DownloadOptions { answer: Duration::from_millis(1400), stall: Duration::from_millis(300), ..patient() };
        let held = |_: &str, stream: &mut TcpStream| std::mem::forget(stream.try_clone());
        let stalled = move |path: &str, stream: &mut TcpStream| {
            stream.write_all(&good()[..100]).unwrap();
            held(path, stream);
        };
        let folder = tempfile::tempdir().unwrap();
        for (mirrors, unreachable) in [([serve(held), serve(held)], true), ([serve(held), serve(stalled)], false)] {
            let start = Instant::now();
            let error = download(&[original()], folder.path(), &mirrors, &options).unwrap_err();
            assert!(start.elapsed() < options.answer, "{:?}", start.elapsed());
            assert_eq!(error.is_unreachable(), unreachable, "{error}");
        }
        assert_eq!(names_in(folder.path()), [""; 0]);
    }

    /// A mirror that sends a byte at a time.
    fn trickle() -> String {
        serve(|_, stream| {
            let started = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while started.is_ok() && stream.write_all(&[0x1f]).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    }

    /// Why [`trickle`] fails under these times.
    fn too_slow(options: DownloadOptions) -> Failure {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let large = OriginalFile { length: 1 << 20, ..original() };
        let error = download(&[large], folder.path(), &[trickle()], &options).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert!(!error.is_unreachable(), "{error}");
        let DownloadError::Unavailable { mut attempts, .. } = error else { panic!("{error}") };
        attempts.remove(0).failure
    }

    #[test]
    fn a_transfer_that_hardly_moves_is_given_up() {
        let failure = too_slow(DownloadOptions { timeout: Duration::from_millis(300), ..patient() });
        assert!(matches!(failure, Failure::TooSlow { .. }), "{failure}");
        let failure = too_slow(DownloadOptions { total: Duration::from_millis(600), ..patient() });
        assert!(matches!(failure, Failure::Transfer { .. }), "{failure}");
    }

    #[test]
    fn what_is_announced_longer_than_the_file_is_not_received() {
        let announced = b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n".to_vec();
        assert!(matches!(failure(always(announced)), Failure::TooLong { .. }));
    }

    #[test]
    fn no_more_is_unpacked_than_the_file_has() {
        let longer = labels_file(&[LABELS.as_slice(), &[9; 1 << 20]].concat());
        let longer = answer("200 OK", "", &packed(&longer));
        assert!(matches!(failure(always(longer)), Failure::Malformed(Fault::TooLong { expected: 13 })));
        let shorter = answer("200 OK", "", &packed(&labels_file(&LABELS[..4])));
        assert!(matches!(failure(always(shorter)), Failure::Malformed(Fault::Truncated { .. })));
        let twice = answer("200 OK", "", &packed(&packed(&labels_file(&LABELS))));
        assert!(matches!(failure(always(twice)), Failure::Malformed(Fault::Magic { .. })));
    }

    #[test]
    fn an_address_that_is_none_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        for address in ["", "nonsense", "ftp://me:s3cret@host/", "http://", "//host/"] {
            let error = fetch(folder.path(), &[address.into()]).unwrap_err();
            assert!(matches!(error, DownloadError::Mirror(_)) && !error.is_unreachable(), "{address}: {error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn who_reads_along_is_said_where_nothing_is_encrypted() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = always(good()).replace("http://", "http://me:s3cret@");
        let remark = fetch(folder.path(), &[mirror]).unwrap().unwrap();
        assert!(remark.contains("http://127.0.0.1") && remark.contains("SHA-256"), "{remark}");
        assert!(!remark.contains("s3cret"), "{remark}");
        assert_eq!(download(&[], folder.path(), &[], &patient()).unwrap(), None);
    }

    #[test]
    fn a_slow_transfer_may_take_its_time() {
        let options = DownloadOptions { stall: Duration::from_secs(1), ..patient() };
        let slow = serve(|_, stream| {
            let answer = good();
            let (head, body) = answer.split_at(answer.len() - 24);
            stream.write_all(head).unwrap();
            for bytes in body.chunks(2) {
                std::thread::sleep(Duration::from_millis(100));
                stream.write_all(bytes).unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        download(&[original()], folder.path(), &[slow], &options).unwrap();
        assert!(start.elapsed() > options.stall, "not slow enough to tell");
    }

    #[test]
    fn only_mirrors_that_were_not_reached_count_as_unreachable() {
        let folder = tempfile::tempdir().unwrap();
        let unreachable = |mirrors: &[String]| fetch(folder.path(), mirrors).unwrap_err().is_unreachable();
        assert!(unreachable(&[nobody()]));
        assert!(!unreachable(&[always(answer("200 OK", "", b"not found")), nobody()]));
    }

    #[test]
    fn a_partial_file_of_an_earlier_start_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".labels-idx1-ubyte.gz.partial"), b"half").unwrap();
        assert_eq!(original().find(folder.path()), None);
        fetch(folder.path(), &[always(good())]).unwrap();
        assert_eq!(idx::read_labels(&original().find(folder.path()).unwrap()).unwrap(), LABELS);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = fetch(&file.join("folder"), &[always(good())]).unwrap_err();
        assert!(matches!(error, DownloadError::Folder { .. }), "{error}");
    }
}
