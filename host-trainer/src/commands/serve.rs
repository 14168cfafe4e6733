//! `serve`: the page for a browser.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use host_trainer::serve;

use super::output::{result, say};
use crate::cli::ServeArgs;

/// Serves until the program is ended.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let wanted = SocketAddr::new(args.address, args.port);
    let listener = TcpListener::bind(wanted)
        .with_context(|| format!("{wanted} cannot be listened on; --port 0 takes a free port"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    result!("{url}");
    say!("Ctrl-C ends it. The page keeps nothing and sends nothing.");
    if !args.no_open {
        open(&url);
    }
    serve::serve(&listener, None).context("no more connections are taken")?;
    Ok(ExitCode::SUCCESS)
}

/// Opens a browser, if the system has one; the address was printed anyway.
pub fn open(url: &str) {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        let mut command = Command::new("rundll32");
        command.arg("url.dll,FileProtocolHandler");
        command
    } else {
        Command::new("xdg-open")
    };
    let _ = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}
