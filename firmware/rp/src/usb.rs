//! A serial port over USB (CDC-ACM) as `embedded-io` has it.
//!
//! USB wants answers within milliseconds, and a forward pass takes longer: so its tasks run in an interrupt of the lowest
//! priority, and two pipes connect them with the main loop.

use core::sync::atomic::{AtomicBool, Ordering};

use board_support::NotFetched;
use cnn_core::protocol::MAX_FRAME;
use cortex_m::interrupt::free;
use cortex_m::singleton;
use embassy_executor::InterruptExecutor;
use embassy_futures::join::join3;
use embassy_rp::interrupt::{self, InterruptExt, Priority};
use embassy_rp::{Peri, bind_interrupts, peripherals, usb};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_usb::class::cdc_acm::{CdcAcmClass, State};
use embassy_usb::{Builder, Config};
use embedded_io::{ErrorType, Read, ReadReady, Write};

/// Bytes of a packet, the most that full speed has.
const PACKET: usize = 64;
/// For private use: <https://pid.codes/1209/0001/>.
const VENDOR: u16 = 0x1209;
const PRODUCT: u16 = 0x0001;
/// How often a reply is looked after until it counts as one that nobody fetches: some 20 ms.
const LOOKS: u32 = 100;

/// From the host. Where it is full, USB itself holds the host back.
static RECEIVED: Pipe<CriticalSectionRawMutex, { 2 * MAX_FRAME }> = Pipe::new();
/// To the host.
static REPLIES: Pipe<CriticalSectionRawMutex, MAX_FRAME> = Pipe::new();
/// Something was put into `REPLIES` that the host has not fetched yet.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);
static EXECUTOR: InterruptExecutor = InterruptExecutor::new();

bind_interrupts!(struct Interrupts {
    USBCTRL_IRQ => usb::InterruptHandler<peripherals::USB>;
});

#[embassy_rp::interrupt]
unsafe fn SWI_IRQ_1() {
    // SAFETY: this is the interrupt that `Port::new` started the executor with.
    unsafe { EXECUTOR.on_interrupt() }
}

#[embassy_executor::task]
async fn run(peripheral: Peri<'static, peripherals::USB>, board: &'static str) {
    let mut config = Config::new(VENDOR, PRODUCT);
    config.manufacturer = Some("cnn");
    config.product = Some(board);
    let mut builder = Builder::new(
        usb::Driver::new(peripheral, Interrupts),
        config,
        singleton!(: [u8; 256] = [0; 256]).expect("spawned once"),
        singleton!(: [u8; 64] = [0; 64]).expect("spawned once"),
        &mut [],
        singleton!(: [u8; 64] = [0; 64]).expect("spawned once"),
    );
    let state = singleton!(: State<'static> = State::new()).expect("spawned once");
    let (mut sender, mut receiver) = CdcAcmClass::new(&mut builder, state, PACKET as u16).split();
    let mut device = builder.build();
    let incoming = async {
        let mut packet = [0; PACKET];
        loop {
            receiver.wait_connection().await;
            while let Ok(len) = receiver.read_packet(&mut packet).await {
                RECEIVED.write_all(packet.get(..len).unwrap_or_default()).await;
            }
        }
    };
    let outgoing = async {
        // A packet that is not full ends a transfer: the host waits for nothing more.
        let mut packet = [0; PACKET - 1];
        loop {
            let len = REPLIES.read(&mut packet).await;
            sender.wait_connection().await;
            // What a host that went away does not fetch is lost.
            let sent = sender.write_packet(packet.get(..len).unwrap_or_default()).await;
            if REPLIES.is_empty() {
                // An empty packet has room only after the host fetched what was before it.
                if sent.is_ok() {
                    let _ = sender.write_packet(&[]).await;
                }
                UNDER_WAY.store(false, Ordering::Release);
            }
        }
    };
    join3(device.run(), incoming, outgoing).await;
}

/// Stops the core until the next interrupt, unless bytes are there.
pub fn sleep() {
    // An interrupt that comes after the look at the pipe still ends the wait: WFI wakes on it though it is held back.
    free(|_| {
        if RECEIVED.is_empty() {
            cortex_m::asm::wfi();
        }
    });
}

/// The main loop's end of the two pipes.
pub struct Port(());

impl Port {
    /// Starts USB; `board` is the name that the device shows.
    ///
    /// # Panics
    /// If called twice.
    pub fn new(peripheral: Peri<'static, peripherals::USB>, board: &'static str) -> Self {
        interrupt::SWI_IRQ_1.set_priority(Priority::P3);
        EXECUTOR.start(interrupt::SWI_IRQ_1).spawn(run(peripheral, board).expect("spawned once"));
        Self(())
    }
}

impl ErrorType for Port {
    type Error = NotFetched;
}

impl ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, NotFetched> {
        Ok(!RECEIVED.is_empty())
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NotFetched> {
        loop {
            match RECEIVED.try_read(buffer) {
                Ok(len) => return Ok(len),
                Err(_) => sleep(),
            }
        }
    }
}

impl Write for Port {
    /// All of `bytes`, or none where a host left too much behind: it never waits for one.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, NotFetched> {
        if REPLIES.free_capacity() < bytes.len() {
            return Err(NotFetched);
        }
        UNDER_WAY.store(true, Ordering::Release);
        REPLIES.try_write(bytes).map_err(|_| NotFetched)
    }

    /// Waits until the host has fetched everything, but not long: a reset would take it away.
    fn flush(&mut self) -> Result<(), NotFetched> {
        for _ in 0..LOOKS {
            if !UNDER_WAY.load(Ordering::Acquire) {
                return Ok(());
            }
            cortex_m::asm::delay(embassy_rp::clocks::clk_sys_freq() / 5000);
        }
        Err(NotFetched)
    }
}
