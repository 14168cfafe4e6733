// node pico.mjs ELF SOCKET RP2040JS [MODEL]: a Raspberry Pi Pico with the program in ELF, its USB serial port on a Unix socket.
//
// MODEL, if named, takes the place of the model that is linked in. RP2040JS is the folder that rp2040js is installed in.
//
// rp2040js brings no boot ROM. The image calls a few of its functions; they are written here, in JavaScript, from the
// RP2040 data sheet (2.8.3), and run when the processor gets to their addresses.
import fs from 'node:fs';
import net from 'node:net';
import { createRequire } from 'node:module';

const [elfPath, socketPath, folder, modelPath] = process.argv.slice(2);
const { Simulator, ConsoleLogger, LogLevel, USBCDC } = createRequire(`${fs.realpathSync(folder)}/`)('rp2040js');

const FLASH = 0x10000000;
const FLASH_END = FLASH + 2 * 1024 * 1024;
const MODEL = 0x10020000;
const CYCLE_NANOS = 8; // 125 MHz
/** Cycles after which the peripherals' clock goes on. */
const STEP = 64;

/** What a programmer would write to flash for an ELF file. */
function flashOf(path) {
  const elf = fs.readFileSync(path);
  const flash = new Uint8Array(FLASH_END - FLASH).fill(0xff);
  const [headers, size, count] = [elf.readUInt32LE(28), elf.readUInt16LE(42), elf.readUInt16LE(44)];
  for (let i = 0; i < count; i++) {
    const [type, offset, , address, length] = [0, 4, 8, 12, 16].map((at) => elf.readUInt32LE(headers + i * size + at));
    if (type === 1 && length > 0 && address >= FLASH && address < FLASH_END) {
      flash.set(elf.subarray(offset, offset + length), address - FLASH);
    }
  }
  return flash;
}

/** Functions of the boot ROM by their codes, at addresses of our own. */
const romFunctions = {
  // Connect and leave the flash chip's command mode, empty the cache, go back to reading in place: nothing to do here.
  IF() {},
  EX() {},
  FC() {},
  CX() {},
  // Erase: offset, bytes.
  RE(board, [offset, bytes]) {
    if (offset % 4096 || bytes % 4096) throw new Error(`erases ${bytes} bytes at ${offset}`);
    board.mcu.flash.fill(0xff, offset, offset + bytes);
  },
  // Program whole pages: offset, data, bytes. It clears bits and never sets one.
  RP(board, [offset, data, bytes]) {
    if (offset % 256 || bytes % 256) throw new Error(`programs ${bytes} bytes at ${offset}`);
    for (let i = 0; i < bytes; i++) board.mcu.flash[offset + i] &= board.mcu.readUint8(data + i);
  },
  // Copy words: destination, source, bytes.
  C4({ mcu }, [to, from, bytes]) {
    if (to % 4 || from % 4 || bytes % 4) throw new Error(`copies ${bytes} bytes from ${from} to ${to} by words`);
    for (let i = 0; i < bytes; i += 4) mcu.writeUint32(to + i, mcu.readUint32(from + i));
  },
};
const LOOKUP = 0x100;
const TABLE = 0x200;
const addressOf = new Map(Object.keys(romFunctions).map((code, i) => [code, 0x110 + 16 * i]));
const codeAt = new Map([...addressOf].map(([code, address]) => [address, code]));

/** A ROM whose reset vector is the second stage at the start of flash, as if the first stage had run. */
function bootRom() {
  const rom = new Uint32Array(4096);
  const bytes = new DataView(rom.buffer);
  bytes.setUint32(0, 0x20042000, true);
  bytes.setUint32(4, FLASH | 1, true);
  bytes.setUint16(0x14, TABLE, true);
  bytes.setUint16(0x18, LOOKUP | 1, true);
  return rom;
}

/** A board from reset on. */
class Board {
  constructor(flash) {
    this.simulator = new Simulator();
    this.mcu = this.simulator.rp2040;
    this.mcu.logger = new ConsoleLogger(LogLevel.Error);
    this.mcu.loadBootrom(bootRom());
    this.mcu.flash.set(flash);
    // The second stage goes on to the vector table where no one called it.
    this.mcu.core.LR = 0;
    this.cycles = 0;
    this.resetWanted = false;
    this.correct();
    this.cdc = new USBCDC(this.mcu.usbCtrl);
    // Its host sends empty packets for ever where there is nothing to send.
    this.room = 0;
    this.mcu.usbCtrl.onEndpointRead = (endpoint, size) => {
      if (endpoint === this.cdc.outEndpoint) this.room = size;
    };
  }

  /** Hands the board a packet, if it waits for one; returns what is left of `bytes`. */
  feed(bytes) {
    const taken = Math.min(this.room, bytes.length);
    if (taken > 0) {
      this.room = 0;
      this.mcu.usbCtrl.endpointReadDone(this.cdc.outEndpoint, Uint8Array.from(bytes.slice(0, taken)));
    }
    return bytes.slice(taken);
  }

  /** Faults of rp2040js 1.4.1. */
  correct() {
    const { mcu } = this;
    // The counter of the flash's stream reads as all ones; embassy-rp waits for it to be through.
    const read = mcu.readUint32.bind(mcu);
    mcu.readUint32 = (address) => (address >>> 0 === 0x14000018 ? 0 : read(address));
    // SYSRESETREQ does nothing.
    const write = mcu.writeUint32.bind(mcu);
    mcu.writeUint32 = (address, value) => {
      if (address >>> 0 === 0xe000ed0c && value & 4) this.resetWanted = true;
      else write(address, value);
    };
    // AVAILABLE of an OUT buffer goes away when it is armed, not when it is filled: embassy-rp, which looks at that bit,
    // would read 64 bytes of before.
    const usb = mcu.usbCtrl;
    const AVAILABLE = 1 << 10;
    const change = (offset, bits) => {
      const view = mcu.usbDPRAMView;
      view.setUint32(offset, bits(view.getUint32(offset, true)), true);
    };
    const updated = usb.DPRAMUpdated;
    usb.DPRAMUpdated = function (offset, value) {
      updated.call(this, offset, value);
      const isOut = offset & 4 && offset >= 0x88 && offset <= 0xfc;
      if (isOut && value & AVAILABLE) change(offset, (bits) => bits | AVAILABLE);
    };
    const finish = usb.finishRead;
    usb.finishRead = function (endpoint, buffer) {
      change(0x84 + 8 * endpoint, (bits) => bits & ~AVAILABLE);
      return finish.call(this, endpoint, buffer);
    };
  }

  /** Runs the ROM's function at the program counter. */
  rom() {
    const { core } = this.mcu;
    const { registers } = core;
    const pc = core.PC & ~1;
    if (pc === LOOKUP) {
      const code = String.fromCharCode(registers[1] & 0xff, (registers[1] >>> 8) & 0xff);
      if (!addressOf.has(code)) throw new Error(`the boot ROM's function ${code} is not written`);
      registers[0] = addressOf.get(code) | 1;
    } else if (codeAt.has(pc)) {
      romFunctions[codeAt.get(pc)](this, [0, 1, 2].map((i) => registers[i] >>> 0));
    } else {
      throw new Error(`the program runs into the boot ROM at ${pc.toString(16)}`);
    }
    core.PC = core.LR & ~1;
  }

  /** Runs for about `cycles` cycles. */
  run(cycles) {
    const { core } = this.mcu;
    const { clock } = this.simulator;
    const end = this.cycles + cycles;
    let pending = 0;
    while (this.cycles < end && !this.resetWanted) {
      if (core.waiting) {
        const nanos = Math.min(clock.nanosToNextAlarm || CYCLE_NANOS, 20_000);
        clock.tick(nanos + pending * CYCLE_NANOS);
        this.cycles += nanos / CYCLE_NANOS;
        pending = 0;
        // An interrupt that is held back ends the wait too.
        if (core.pendingInterrupts & core.enabledInterrupts || core.pendingSystick || core.pendingPendSV) core.waiting = false;
        continue;
      }
      if (core.PC < 0x4000) this.rom();
      const taken = core.executeInstruction();
        this.cycles += taken;
      pending += taken;
      if (pending >= STEP) {
        clock.tick(pending * CYCLE_NANOS);
        pending = 0;
      }
    }
  }
}

const flash = flashOf(elfPath);
if (modelPath) {
  flash.fill(0xff, MODEL - FLASH);
  flash.set(fs.readFileSync(modelPath), MODEL - FLASH);
}
let socket = null;
let toBoard = [];
let board = start(flash);

function start(contents) {
  const started = new Board(contents);
  started.cdc.onSerialData = (bytes) => socket?.write(Buffer.from(bytes));
  return started;
}

function turn() {
  for (let i = 0; i < 50; i++) {
    toBoard = board.feed(toBoard);
    board.run(20_000);
    if (board.resetWanted) board = start(board.mcu.flash.slice(0, FLASH_END - FLASH));
  }
  setImmediate(turn);
}

net
  .createServer((other) => {
    socket = other;
    other.on('data', (bytes) => toBoard.push(...bytes));
    other.on('error', () => {});
    other.on('close', () => (socket = socket === other ? null : socket));
  })
  .listen(socketPath);
turn();
