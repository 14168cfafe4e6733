#!/usr/bin/env python3
"""A client of the board protocol written from docs/protocol.md alone, standard library only, and what it finds.

    client.py SOCKET MODEL

talks to a board over a Unix socket, whose model is the file MODEL, and fails at the first reply that is not as the page has
it. What a host does with these replies is not its subject: it sends what no host sends.
"""

import hashlib
import socket
import struct
import sys
import time
import zlib

MAX_FRAME = 1048
REFUSALS = (
    ("version", "byte"),
    ("unknown request",),
    ("malformed",),
    ("no model", "model error"),
    ("no update",),
    ("offset", "u32"),
    ("chunk length",),
    ("incomplete", "u32"),
    ("model", "model error"),
    ("flash",),
    ("learning", "fault"),
)
# The fields of each fault of learning, all of them varints.
FAULT_FIELDS = (1, 1, 0, 1, 0, 1, 1, 1, 0, 0, 0)
# The fields of each reason why a kept head is not used.
KEPT_ERROR_FIELDS = (0, 1, 0, 1)
# The fields of each model error, all of them varints.
MODEL_ERROR_FIELDS = (0, 1, 2, 1, 1, 0, 0, 0, 1, 0, 3, 0, 1, 1, 1, 2, 3, 1)


def stuff(message):
    """COBS."""
    out = bytearray()
    blocks = message.split(b"\0")
    for block in blocks:
        while len(block) >= 254:
            out += b"\xff" + block[:254]
            block = block[254:]
        out += bytes([len(block) + 1]) + block
    return bytes(out)


def unstuff(frame):
    out, at = bytearray(), 0
    while at < len(frame):
        code = frame[at]
        block = frame[at + 1 : at + code]
        if code == 0 or len(block) != code - 1:
            raise ValueError("COBS")
        out += block
        at += code
        if code < 255 and at < len(frame):
            out.append(0)
    return bytes(out)


def framed(message):
    return stuff(message + struct.pack("<I", zlib.crc32(message))) + b"\0"


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def message(sequence, number, fields=b"", version=1):
    return bytes([version]) + varint(sequence) + varint(number) + fields


class Fields:
    """Reads a message from its start to its end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at : self.at + count]
        assert len(piece) == count, "the message ends too early"
        self.at += count
        return piece

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text(self):
        return self.take(self.varint()).decode()

    def model_error(self):
        number = self.varint()
        return (number, *(self.varint() for _ in range(MODEL_ERROR_FIELDS[number])))

    def fault(self):
        number = self.varint()
        return (number, *(self.byte() if number == 0 else self.varint() for _ in range(FAULT_FIELDS[number])))

    def kept(self):
        if self.byte():
            number = self.varint()
            return (number, *(self.varint() for _ in range(KEPT_ERROR_FIELDS[number])))
        return self.take(32) if self.byte() else None

    def end(self):
        assert self.at == len(self.data), f"{len(self.data) - self.at} bytes behind the reply"


def read_reply(data):
    """Sequence number and reply of a message whose CRC was right."""
    fields = Fields(data)
    assert fields.byte() == 1, "the version"
    sequence, number = fields.varint(), fields.varint()
    if number == 0:
        reply = {"firmware": fields.text(), "board": fields.text(), "clock_hz": fields.varint()}
        reply["model"] = fields.model_error() if fields.byte() else fields.take(32)
        reply["memory"] = [fields.varint() for _ in range(3)]
        reply["line"] = [fields.varint() for _ in range(5)]
    elif number == 1:
        reply = {"logits": struct.unpack("<10f", fields.take(40)), "class": fields.byte(), "cycles": fields.varint()}
    elif number == 2:
        reply = {"next": fields.varint()}
    elif number == 3:
        reply = {"fingerprint": fields.take(32)}
    elif number == 4:
        reply = {}
    elif number == 7:
        reply = {name: fields.varint() for name in ("capacity", "own", "ordinary", "checksum")}
        reply["learned"] = fields.take(32) if fields.byte() else None
        reply["kept"] = fields.kept()
    elif number == 8:
        reply = {"count": fields.varint(), "checksum": fields.varint()}
    elif number == 9:
        (loss,) = struct.unpack("<d", fields.take(8))
        reply = {"loss": loss, "fingerprint": fields.take(32), "cycles": fields.varint()}
    elif number == 10:
        reply = {"values": fields.take(220)}
    else:
        assert number == 5, f"reply {number}"
        name, *kinds = REFUSALS[fields.varint()]
        read = {
            "byte": fields.byte,
            "u32": fields.varint,
            "model error": fields.model_error,
            "fault": fields.fault,
        }
        reply = {"refusal": (name, *(read[kind]() for kind in kinds))}
    fields.end()
    return sequence, reply


class Board:
    def __init__(self, path):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(path)
        self.received = b""
        self.sequence = 1000

    def reply(self, sequence, seconds):
        """The reply to a request, or nothing if none comes in time."""
        end = time.monotonic() + seconds
        while True:
            while b"\0" in self.received:
                frame, self.received = self.received.split(b"\0", 1)
                if not frame:
                    continue
                assert len(frame) < MAX_FRAME, "a reply longer than any frame"
                data = unstuff(frame)
                assert zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], "a reply's CRC"
                found, reply = read_reply(data[:-4])
                if found == sequence:
                    return reply
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.line.settimeout(left)
            try:
                self.received += self.line.recv(4096)
            except TimeoutError:
                return None

    def ask(self, number, fields=b"", version=1):
        """Asks until there is a reply: the board may not listen yet."""
        self.sequence += 1
        for _ in range(10):
            reply = self.send(message(self.sequence, number, fields, version), self.sequence, 6)
            if reply is not None:
                return reply
        raise AssertionError(f"no reply to request {number}")

    def send(self, data, sequence, seconds=30):
        """Sends a message as it is."""
        self.line.sendall(b"\0" + framed(data))
        return self.reply(sequence, seconds)

    def info(self):
        return self.ask(0)


def expect(what, found, expected):
    assert found == expected, f"{what}: {found}, the page says {expected}"


def refused(*refusal):
    return {"refusal": refusal}


def check_example():
    expect("the example", framed(message(5, 5)).hex(), "08010505efb39ef300")
    for length in (0, 1, 253, 254, 255, 508, 1042):
        for data in (bytes(length), b"\1" * length, bytes(i * 7 % 256 for i in range(length))):
            assert unstuff(stuff(data)) == data and 0 not in stuff(data)


def check_info(board, model):
    info = board.info()
    # The parameters end the file.
    expect("the fingerprint", info["model"], hashlib.sha256(model[-102130 * 4 :]).digest())
    assert info["clock_hz"] > 0 and all(len(info[name].encode()) <= 32 for name in ("firmware", "board"))
    return info["line"]


def check_malformed(board):
    pixels = bytes(i % 256 for i in range(784))
    image = varint(784) + pixels
    for what, number, fields in (
        ("info with a byte behind it", 0, b"\0"),
        ("reset with a byte behind it", 5, b"\5"),
        ("783 pixels", 1, varint(783) + pixels[1:]),
        ("785 pixels", 1, varint(785) + pixels + b"\0"),
        ("no pixels", 1, varint(0)),
        ("a byte behind the pixels", 1, image + b"\0"),
        ("pixels that end too early", 1, image[:-1]),
        ("a slice longer than any message", 1, varint(2**32 - 1) + pixels),
        ("a length of six bytes", 1, b"\xff" * 5 + b"\x01" + pixels),
        ("a header of 15 bytes", 2, b"CNNM" + bytes(11)),
        ("a header of 17 bytes", 2, b"CNNM" + bytes(13)),
        ("a chunk without data", 3, varint(16)),
        ("an offset above 32 bits", 3, varint(2**32) + varint(16) + bytes(16)),
        ("head with a byte behind it", 6, b"\0"),
        ("a third set", 7, b"\2\0\7" + image),
        ("a sample of 783 pixels", 7, b"\0\0\7" + varint(783) + pixels[1:]),
        ("settings that end too early", 8, b"\1\1" + bytes(12)),
        ("a truth value of 2", 9, b"\2"),
        ("forget without a word", 9, b""),
        ("keep with a byte behind it", 10, b"\0"),
    ):
        expect(what, board.ask(number, fields), refused("malformed"))
    expect("no number", board.send(b"\1\x07", 7), refused("malformed"))
    expect("a number that is no varint", board.send(b"\1\x07" + b"\xff" * 6, 7), refused("malformed"))
    for number in (12, 13, 127, 128, 2**32 - 1):
        expect(f"request {number}", board.ask(number, b"anything"), refused("unknown request"))
    reply = board.ask(1, image)
    assert reply["class"] == max(range(10), key=lambda index: reply["logits"][index]), "the class"
    # A varint need not be the shortest.
    longer = board.ask(1, b"\x90\x86\x80\x00" + pixels)
    expect("784 in four bytes", longer["logits"], reply["logits"])
    assert board.send(b"\1\x87\0\0", 7) is not None, "a sequence number in two bytes"
    assert board.send(b"\1\x87\0\x80\0", 7) is not None, "a request's number in two bytes"


def check_versions(board):
    for version in (0, 2, 127, 255):
        expect(f"version {version}", board.ask(0, b"what it may be", version), refused("version", 1))
    expect("only version and number", board.send(b"\2\7", 7), refused("version", 1))
    assert board.send(message(2**32 - 1, 0), 2**32 - 1) is not None, "the last sequence number"


def check_frames(board, before):
    # What has no reply: no message, no version, no sequence number, one above 32 bits.
    silent = [b"", b"\1", b"\1\x87", b"\1" + b"\xff" * 4 + b"\x1f\0", b"\2" + b"\xff" * 6]
    for data in silent:
        board.line.sendall(b"\0" + framed(data))
    damaged = bytearray(framed(message(9, 0)))
    damaged[2] ^= 1
    board.line.sendall(bytes(damaged))
    # The longest frame, and one byte more: an unknown request with what fills it. The second waits for the first one's
    # reply, as the page asks: a board keeps one frame while it is busy.
    for what, length, number, wait, reply in (
        ("the longest frame", MAX_FRAME, 21, 30, refused("unknown request")),
        ("a longer frame", MAX_FRAME + 1, 22, 1, None),
    ):
        fill = next(fill for fill in range(1000, 1060) if len(framed(message(number, 12, b"\1" * fill))) == length)
        board.line.sendall(framed(message(number, 12, b"\1" * fill)))
        expect(what, board.reply(number, wait), reply)
    # A block of 254 bytes that ends a message has two forms.
    body = next(
        data
        for i in range(1, 255)
        for data in [bytes([1, 25, 12, i]) + b"\1" * 246]
        if b"\0" not in struct.pack("<I", zlib.crc32(data))
    )
    whole = body + struct.pack("<I", zlib.crc32(body))
    for end in (b"\0", b"\1\0"):
        board.line.sendall(b"\xff" + whole + end)
        expect("a block of 254 bytes", board.reply(25, 30), refused("unknown request"))
    board.line.sendall(bytes(2000))
    line = board.info()["line"]
    expect("damaged frames", line[1] - before[1], len(silent) + 1)
    expect("frames too long", line[2] - before[2], 1)


def check_update(board, model):
    header = bytearray(model[:16])
    expect("the model that runs", board.ask(2, bytes(header)), {"next": len(model)})
    expect("its commit", board.ask(4, bytes(header)), {"fingerprint": board.info()["model"]})
    expect("a chunk without an update", board.ask(3, varint(16) + varint(16) + bytes(16)), refused("no update"))
    for change, error in (
        ({0: b"XNNM"}, (0,)),
        ({4: struct.pack("<I", 9)}, (1, 9)),
        ({8: struct.pack("<I", 16)}, (4, 16)),
        ({8: struct.pack("<I", 2**32 - 1)}, (4, 2**32 - 1)),
    ):
        other = bytearray(header)
        for at, data in change.items():
            other[at : at + 4] = data
        expect(f"a header with {change}", board.ask(2, bytes(other)), refused("model", error))
    other = bytearray(header)
    other[12] ^= 1
    begin = bytes(other)
    expect("another file", board.ask(2, begin), {"next": 16})

    def chunk(offset, data):
        return board.ask(3, varint(offset) + varint(len(data)) + data)

    expect("a chunk too far on", chunk(32, bytes(16)), refused("offset", 16))
    for length in (0, 15):
        expect(f"a chunk of {length} bytes", chunk(16, bytes(length)), refused("chunk length"))
    expect("a chunk behind the end", chunk(len(model), bytes(16)), refused("chunk length"))
    expect("a commit too early", board.ask(4, begin), refused("incomplete", 16))
    expect("shapes of another network", chunk(16, bytes(1024)), refused("model", (7,)))
    expect("half of a start", chunk(16, model[16:272]), {"next": 272})
    expect("the same once more", chunk(16, model[16:272]), {"next": 272})
    expect("the update goes on", board.ask(2, begin), {"next": 272})
    assert isinstance(board.info()["model"], bytes), "the model runs until the start of the new one was checked"


def check_learning(board):
    def settings(epochs, batch, *rates):
        return varint(epochs) + varint(batch) + struct.pack("<3f", *rates)

    def learning(*fault):
        return refused("learning", fault)

    def teach(place, index, label, seed):
        pixels = bytes(i * seed % 251 if i % 5 == 0 else 0 for i in range(784))
        return board.ask(7, bytes([place]) + varint(index) + bytes([label]) + varint(784) + pixels)

    empty = board.ask(6)
    counts = (empty["own"], empty["ordinary"], empty["checksum"], empty["learned"])
    expect("a board that was taught nothing", counts, (0, 0, 0, None))
    # Behind the model the emulator's flash has zeros, which are no head; a board's is erased.
    assert empty["kept"] in (None, (0,)), empty["kept"]
    good = settings(2, 2, 0.001, 0.9, 0.0)
    expect("to learn nothing", board.ask(8, good + varint(1)), learning(4))
    expect("to keep no head", board.ask(10), learning(9))
    expect("to read no head", board.ask(11, varint(0)), learning(9))
    expect("a label of 10", teach(0, 0, 10, 3), learning(0, 10))
    expect("a label of 255", teach(0, 0, 255, 3), learning(0, 255))
    expect("the second sample first", teach(0, 1, 3, 3), learning(1, 0))
    first = teach(0, 0, 3, 3)
    expect("samples of the set", first["count"], 1)
    expect("the same once more", teach(0, 0, 3, 3), first)
    expect("another in its place", teach(0, 0, 4, 3), learning(2))
    expect("an ordinary one", teach(1, 0, 5, 7)["count"], 1)
    expect("a second one", teach(0, 1, 4, 11)["count"], 2)
    for number, wrong in enumerate(
        (
            settings(0, 2, 0.001, 0.9, 0.0),
            settings(2, 0, 0.001, 0.9, 0.0),
            settings(2, 2, float("nan"), 0.9, 0.0),
            settings(2, 2, 0.001, float("inf"), 0.0),
            settings(2, 2, 0.001, 0.9, -0.5),
        )
    ):
        expect(f"setting {number}", board.ask(8, wrong + varint(1)), learning(5, number))
    for epoch in (0, 2, 3):
        expect(f"epoch {epoch} first", board.ask(8, good + varint(epoch)), learning(6, 1))
    epochs = []
    for epoch in (1, 2):
        expect("the head until the last epoch is done", board.ask(6)["learned"], None)
        epochs.append(board.ask(8, good + varint(epoch)))
        again = board.ask(8, good + varint(epoch))
        del epochs[-1]["cycles"], again["cycles"]
        expect("an epoch once more", again, epochs[-1])
    assert epochs[0]["loss"] > epochs[1]["loss"] > 0
    head = b"".join(board.ask(11, varint(piece))["values"] for piece in range(22))
    expect("piece 22", board.ask(11, varint(22)), refused("malformed"))
    expect("the head's fingerprint", hashlib.sha256(head).digest(), epochs[1]["fingerprint"])
    status = board.ask(6)
    expect("the head in use", status["learned"], epochs[1]["fingerprint"])
    expect("what diverges", board.ask(8, settings(1, 9, 1e30, 0.0, 0.0) + varint(1)), learning(7, 1))
    expect("the head stays", board.ask(6), status)
    # The emulator has no flash controller, and no room that is erased; a board keeps it.
    kept = board.ask(10)
    assert kept in (refused("flash"), learning(10), dict(status, kept=status["learned"])), kept
    expect("forgotten samples", board.ask(9, b"\0")["own"], 0)
    expect("the head without them", board.ask(6)["learned"], epochs[1]["fingerprint"])
    expect("forgotten heads", board.ask(9, b"\1"), empty)


def check_reset(board):
    expect("reset", board.ask(5), {})
    expect("good frames after the reset", board.info()["line"][0], 1)


def main():
    path, model = sys.argv[1], open(sys.argv[2], "rb").read()
    check_example()
    board = Board(path)
    before = check_info(board, model)
    check_malformed(board)
    check_versions(board)
    check_frames(board, before)
    check_update(board, model)
    check_learning(board)
    check_reset(board)
    print("the firmware replies as docs/protocol.md says")


main()
