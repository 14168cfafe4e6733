//! The firmware in emulators, from the very ELF file that a board is flashed with: the NUCLEO-F446RE's in QEMU, the
//! Raspberry Pi Pico's in rp2040js.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

use host_trainer::board::{Client, Link, Timeouts, open};
use object::read::elf::{ElfFile32, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol};
use tempfile::TempDir;

/// Where flash begins on the NUCLEO-F446RE.
const FLASH_START: u32 = 0x0800_0000;
/// Where its model area begins.
const MODEL_START: u32 = 0x0801_0000;
/// Where its RAM begins, and how much there is.
const RAM_START: u32 = 0x2000_0000;
const RAM_LEN: u32 = 128 * 1024;

/// Enough for a busy machine.
const TIMEOUTS: Timeouts = Timeouts {
    quick: Duration::from_secs(20),
    compute: Duration::from_secs(20),
    erase: Duration::from_secs(20),
    update: Duration::from_secs(600),
};
/// The Pico's emulator takes some hundred times as long as a Pico.
const PATIENCE: Duration = Duration::from_secs(400);

/// The firmware of a board as it was built.
pub struct Firmware {
    path: PathBuf,
    elf: Vec<u8>,
}

/// Bytes of the program's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Flash: code, constants and initial values.
    pub flash: u32,
    /// RAM of variables, the log's buffer included.
    pub variables: u32,
}

impl Firmware {
    /// The firmware that the environment variable `FIRMWARE_ELF` names; nothing, and a word about it, where it is unset.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn of_environment() -> Option<Self> {
        Self::of("FIRMWARE_ELF")
    }

    /// The Raspberry Pi Pico's, that `PICO_ELF` names.
    ///
    /// # Panics
    /// As [`Firmware::of_environment`].
    pub fn of_pico() -> Option<Self> {
        Self::of("PICO_ELF")
    }

    fn of(variable: &str) -> Option<Self> {
        let Some(path) = env::var_os(variable).map(PathBuf::from) else {
            skipped::skip(format_args!(
                "{variable} is not set; .ci/firmware.sh builds the firmware and runs this test"
            ));
            return None;
        };
        let elf = fs::read(&path).unwrap_or_else(|error| panic!("{variable}={}: {error}", path.display()));
        Some(Self { path, elf })
    }

    /// The ELF file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    pub fn elf(&self) -> &[u8] {
        &self.elf
    }

    fn parsed(&self) -> ElfFile32<'_, Endianness> {
        ElfFile32::parse(&*self.elf).expect("a 32-bit ELF file")
    }

    /// What a programmer writes to flash for this firmware, with `model` in the model area.
    ///
    /// # Panics
    /// If the program reaches into the model area.
    pub fn flash_with(&self, model: &[u8]) -> Vec<u8> {
        let mut image = vec![0xff; (MODEL_START - FLASH_START) as usize];
        let elf = self.parsed();
        for segment in elf.elf_program_headers() {
            let data = segment.data(elf.endian(), &*self.elf).expect("a whole file");
            let address = segment.p_paddr(elf.endian());
            if (FLASH_START..MODEL_START).contains(&address) {
                let start = (address - FLASH_START) as usize;
                image[start..start + data.len()].copy_from_slice(data);
            }
        }
        image.extend_from_slice(model);
        image
    }

    /// Sizes of the program, from the linker's symbols.
    ///
    /// # Panics
    /// If one of them is missing.
    pub fn sizes(&self) -> Sizes {
        let elf = self.parsed();
        let address = |name: &str| {
            let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
            symbol.unwrap_or_else(|| panic!("no symbol {name}")).address() as u32
        };
        let data = address("__edata") - address("__sdata");
        Sizes {
            flash: address("__sidata") + data - address("__vector_table"),
            variables: address("_stack_end") - address("__sdata"),
        }
    }

    /// Boots the firmware with `model` in the model area.
    pub fn boot_with(&self, model: &[u8]) -> Emulator {
        let folder = TempDir::new().expect("a temporary folder");
        let image = folder.path().join("flash.bin");
        fs::write(&image, self.flash_with(model)).expect("room for 512 KB");
        Emulator::start(folder, &image)
    }

    /// Boots the ELF file itself, with the model that is linked in.
    pub fn boot(&self) -> Emulator {
        Emulator::start(TempDir::new().expect("a temporary folder"), &self.path)
    }

    /// Boots the Raspberry Pi Pico's with `model` in the model area, in the emulator that is installed in the folder that
    /// the environment variable `RP2040JS` names.
    ///
    /// # Panics
    /// If it does not start.
    pub fn boot_pico(&self, model: &[u8]) -> Pico {
        let folder = TempDir::new().expect("a temporary folder");
        let [file, line] = ["model", "line"].map(|name| folder.path().join(name));
        fs::write(&file, model).expect("room for 512 KB");
        let node = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators/pico.mjs"))
            .args([&self.path, &line])
            .arg(env::var_os("RP2040JS").expect("RP2040JS names a folder"))
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .expect("node is installed");
        let link = retry(|| open(&format!("unix:{}", line.display())).ok());
        let timeouts = Timeouts { quick: PATIENCE, compute: PATIENCE, erase: PATIENCE, update: PATIENCE };
        Pico { node, client: Client::with_timeouts(link, timeouts), _folder: folder }
    }

    /// Words of the log that lies in an emulator's RAM, as `defmt-print` decodes them.
    ///
    /// # Panics
    /// If there is no log, or no `defmt-print`.
    pub fn log_of(&self, emulator: &mut Emulator) -> String {
        let ram = emulator.ram();
        let log = rtt_bytes(&ram).expect("the log's control block");
        let mut decoder = Command::new("defmt-print")
            .arg("-e")
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("defmt-print is installed: cargo install defmt-print");
        decoder.stdin.take().expect("piped").write_all(log).expect("it reads");
        let output = decoder.wait_with_output().expect("it ends with its input");
        String::from_utf8(output.stdout).expect("words")
    }
}

/// The bytes that the program wrote to RTT channel 0: <https://docs.rs/defmt-rtt>, SEGGER UM08001.
fn rtt_bytes(ram: &[u8]) -> Option<&[u8]> {
    let block = ram.windows(16).position(|window| window == b"SEGGER RTT\0\0\0\0\0\0")?;
    let word = |index: usize| {
        let bytes = ram.get(block + 16 + 4 * index..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    // Numbers of channels, then of channel 0: name, buffer, size, write offset.
    let (buffer, written) = (word(3)?, word(5)?);
    ram.get((buffer - RAM_START) as usize..)?.get(..written as usize)
}

/// A running QEMU; ends with this value.
pub struct Emulator {
    qemu: Child,
    folder: TempDir,
    monitor: BufReader<UnixStream>,
    client: Client<Box<dyn Link>>,
}

impl Emulator {
    fn start(folder: TempDir, kernel: &Path) -> Self {
        let [serial, monitor] = ["serial", "monitor"].map(|name| folder.path().join(name));
        // With `-icount` time passes by instructions: a busy machine does not make frames look broken off.
        // USART2 is the second serial port. QEMU waits for someone to connect to it before it starts the processor.
        let qemu = Command::new("qemu-system-arm")
            .args(["-M", "netduinoplus2", "-display", "none", "-icount", "shift=0", "-serial", "null"])
            .args(["-serial", "chardev:line", "-chardev"])
            .arg(format!("socket,id=line,path={},server=on,wait=on", serial.display()))
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", monitor.display()))
            .arg("-kernel")
            .arg(kernel)
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-arm is installed");
        let link = retry(|| open(&format!("unix:{}", serial.display())).ok());
        let monitor = retry(|| UnixStream::connect(&monitor).ok());
        let mut emulator =
            Self { qemu, folder, monitor: BufReader::new(monitor), client: Client::with_timeouts(link, TIMEOUTS) };
        emulator.command(r#"{"execute":"qmp_capabilities"}"#);
        emulator
    }

    /// The board at the other end of the line.
    pub fn client(&mut self) -> &mut Client<Box<dyn Link>> {
        &mut self.client
    }

    /// All of RAM.
    pub fn ram(&mut self) -> Vec<u8> {
        let path = self.folder.path().join("ram");
        let path_text = path.display();
        self.command(&format!(
            r#"{{"execute":"pmemsave","arguments":{{"val":{RAM_START},"size":{RAM_LEN},"filename":"{path_text}"}}}}"#
        ));
        fs::read(&path).expect("QEMU wrote it")
    }

    /// Has QEMU's monitor (QMP) carry out a command.
    fn command(&mut self, command: &str) {
        writeln!(self.monitor.get_mut(), "{command}").expect("QEMU runs");
        let mut line = String::new();
        while !line.starts_with(r#"{"return""#) {
            assert!(!line.contains(r#""error""#), "{command}: {line}");
            line.clear();
            assert_ne!(self.monitor.read_line(&mut line).expect("QEMU answers"), 0, "QEMU runs");
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A running rp2040js; ends with this value.
pub struct Pico {
    node: Child,
    client: Client<Box<dyn Link>>,
    _folder: TempDir,
}

impl Pico {
    /// The board at the other end of the line.
    pub fn client(&mut self) -> &mut Client<Box<dyn Link>> {
        &mut self.client
    }
}

impl Drop for Pico {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// What `attempt` gives once it gives something.
fn retry<T>(attempt: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "the emulator does not open its sockets");
        sleep(Duration::from_millis(20));
    }
}
