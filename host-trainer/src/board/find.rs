//! Which serial ports have a board at their other end.

use std::fmt;
use std::thread;
use std::time::Duration;

use serialport::{SerialPortInfo, SerialPortType};

use super::client::{BoardError, BoardInfo, Client, Timeouts};
use super::link::{LinkError, open};
use crate::text::one_line;

/// A board answers within a fraction of this, and is asked five times.
const SOON: Duration = Duration::from_millis(400);

/// A serial port on USB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbPort {
    /// Its name, for [`open`].
    pub name: String,
    /// Who made the device: USB's numbers of vendor and product, and its own words.
    pub device: Option<(u16, u16, String)>,
}

/// A port, and who answers there.
#[derive(Debug)]
pub struct Asked {
    /// The port.
    pub port: UsbPort,
    /// The board's own word, or why there is none.
    pub answer: Result<BoardInfo, NoAnswer>,
}

/// Why nothing is known of what is at a port.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The port cannot be opened.
    #[error(transparent)]
    Closed(#[from] LinkError),
    /// No reply, or none of a board.
    #[error(transparent)]
    Board(#[from] BoardError),
}

/// There is not one board, but none or several.
#[derive(Debug, thiserror::Error)]
pub enum NotOne {
    /// None.
    #[error(
        "no board answers at a serial port on USB{}; plug one in, or name its port with --port: a serial port such as \
         /dev/ttyACM0 or COM3, tcp:HOST:PORT, or unix:PATH",
        Silent(.0)
    )]
    None(Vec<Asked>),
    /// Several.
    #[error("{} boards answer: {}; name one with --port", .0.len(), .0.join(", "))]
    Several(Vec<String>),
}

/// Ports at which no board is, in words.
struct Silent<'a>(&'a [Asked]);

impl fmt::Display for Silent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|asked| asked.port.name.as_str()).collect();
        if names.is_empty() {
            f.write_str(", of which there is none")
        } else {
            write!(f, " (asked: {})", names.join(", "))
        }
    }
}

/// The serial ports on USB that this machine has now. Others are not asked: nobody knows what a byte does to them.
pub fn usb_ports() -> Vec<UsbPort> {
    let ports = serialport::available_ports().unwrap_or_default();
    let mut ports: Vec<UsbPort> = ports.into_iter().filter_map(usb_port).collect();
    ports.sort_by(|a, b| a.name.cmp(&b.name));
    ports
}

fn usb_port(port: SerialPortInfo) -> Option<UsbPort> {
    let SerialPortType::UsbPort(usb) = port.port_type else { return None };
    // macOS has every port twice; this one waits for a modem's carrier.
    if port.port_name.starts_with("/dev/tty.") {
        return None;
    }
    let words = [usb.manufacturer, usb.product].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some(UsbPort { name: port.port_name, device: Some((usb.vid, usb.pid, one_line(&words))) })
}

/// Asks at all ports at once who is there.
pub fn ask(ports: Vec<UsbPort>) -> Vec<Asked> {
    let workers: Vec<_> = ports
        .into_iter()
        .map(|port| {
            thread::spawn(move || {
                let answer = ask_one(&port.name);
                Asked { port, answer }
            })
        })
        .collect();
    workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
}

fn ask_one(port: &str) -> Result<BoardInfo, NoAnswer> {
    let timeouts = Timeouts { quick: SOON, ..Timeouts::default() };
    Ok(Client::with_timeouts(open(port)?, timeouts).info()?)
}

/// The one port at which a board answers.
///
/// # Errors
/// If there is none, or there are several.
pub fn only(asked: Vec<Asked>) -> Result<String, NotOne> {
    let mut answering: Vec<&str> =
        asked.iter().filter(|asked| asked.answer.is_ok()).map(|asked| asked.port.name.as_str()).collect();
    match (answering.pop(), answering.is_empty()) {
        (Some(port), true) => Ok(port.to_owned()),
        (Some(last), false) => Err(NotOne::Several(answering.into_iter().chain([last]).map(str::to_owned).collect())),
        (None, _) => Err(NotOne::None(asked)),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::time::Instant;

    use cnn_core::model::ModelError;
    use cnn_core::protocol::{self, Deframer, Info, LineCounters, MAX_FRAME, Memory, Reply};
    use serialport::{SerialPort, TTYPort};

    use super::*;

    /// A pseudo terminal at whose other end `answers` or nobody is.
    fn terminal(answers: bool) -> UsbPort {
        let (mut board, host) = TTYPort::pair().unwrap();
        let name = host.name().unwrap();
        drop(host);
        thread::spawn(move || {
            board.set_timeout(Duration::from_millis(20)).unwrap();
            let mut deframer = Deframer::new();
            let mut byte = [0];
            let end = Instant::now() + Duration::from_secs(30);
            while Instant::now() < end {
                // A terminal that nobody has open gives an error.
                if board.read_exact(&mut byte).is_err() {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                }
                let Ok(Some(frame)) = deframer.push(byte[0]) else { continue };
                let sequence = protocol::open(frame).unwrap().sequence;
                let info = Info {
                    firmware: "1",
                    board: "terminal",
                    clock_hz: 1,
                    model: Err(ModelError::Magic),
                    memory: Memory::default(),
                    line: LineCounters::default(),
                };
                let mut reply = [0; MAX_FRAME];
                let len = protocol::encode(sequence, &Reply::Info(info), &mut reply).unwrap();
                if answers {
                    board.write_all(&reply[..len]).unwrap();
                }
            }
        });
        UsbPort { name, device: None }
    }

    #[test]
    fn the_one_board_that_answers_is_found_among_other_ports() {
        let (board, silent) = (terminal(true), terminal(false));
        let missing = UsbPort { name: "/dev/no-such-port".into(), device: None };
        let asked = ask(vec![silent.clone(), board.clone(), missing]);
        assert_eq!(asked[1].answer.as_ref().unwrap().board, "terminal");
        assert!(matches!(asked[0].answer, Err(NoAnswer::Board(BoardError::Silent))), "{:?}", asked[0].answer);
        assert!(matches!(asked[2].answer, Err(NoAnswer::Closed(_))), "{:?}", asked[2].answer);
        assert_eq!(only(asked).unwrap(), board.name);
    }

    #[test]
    fn no_board_and_several_boards_are_called_so() {
        let (one, other) = (terminal(true), terminal(true));
        let message = only(ask(vec![one.clone(), other.clone()])).unwrap_err().to_string();
        assert!(message.contains("2 boards answer") && message.contains(&one.name), "{message}");
        assert!(message.contains(&other.name) && message.contains("--port"), "{message}");
        let silent = terminal(false);
        let message = only(ask(vec![silent.clone()])).unwrap_err().to_string();
        assert!(message.contains("no board answers") && message.contains(&silent.name), "{message}");
        let message = only(vec![]).unwrap_err().to_string();
        assert!(message.contains("there is none") && message.contains("--port"), "{message}");
    }
}
