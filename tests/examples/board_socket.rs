//! A modelled board that listens on a port of this machine, for what is no Rust: `board_socket [MODEL_FILE]` prints its
//! address. One line at a time; the board and its flash stay.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use tests::board::flash::NucleoF446re;
use tests::board::line::Faults;
use tests::board::{model, modelled};

fn main() -> io::Result<()> {
    let file = std::env::args_os().nth(1).map_or_else(|| Ok(model::file(1)), std::fs::read)?;
    let mut board = modelled::Board::<NucleoF446re>::holding(&file, Faults::default(), 0);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut line, _) = listener.accept()?;
        line.set_read_timeout(Some(Duration::from_millis(2)))?;
        let mut bytes = [0; 4096];
        loop {
            match line.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => board.write_all(&bytes[..count])?,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            while let Ok(count) = board.read(&mut bytes) {
                if line.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
        }
    }
}
