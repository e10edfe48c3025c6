"""Frames as bytes, a connection that sends them, and what may come back."""

import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import Callable

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, WITH_PRIORITY = 0x4, 0x8, 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT = range(5)
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(5, 10)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, _ = range(1, 7)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAXIMUM_FRAME = 1 << 14


@dataclass
class Case:
    """`run` talks over a connection that has shaken hands (unless `is_raw`) and raises `Unexpected` where the peer does
    not do what the section asks for."""

    section: str
    number: int
    title: str
    run: Callable
    is_raw: bool = False

    @property
    def name(self):
        return f"{self.section}#{self.number}"


class Unexpected(Exception):
    pass


# Frames


def frame(kind, flags=0, stream=0, payload=b"", reserved=False):
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream | (0x80000000 if reserved else 0)) + payload


def literal(name, value, kind=0x00):
    """A field that is not indexed, name and value as they are (RFC 7541 §6.2); short ones only."""
    name, value = name.encode(), value.encode()
    assert len(name) < 127
    long = b"" if len(value) < 127 else length_above(len(value), 127)
    return bytes([kind, len(name)]) + name + bytes([min(len(value), 127)]) + long + value


def length_above(number, prefix):
    """The rest of an integer that does not fit into its prefix (RFC 7541 §5.1)."""
    number -= prefix
    result = b""
    while number >= 128:
        result += bytes([number % 128 + 128])
        number //= 128
    return result + bytes([number])


def block(*fields):
    return b"".join(literal(name, value) for name, value in fields)


REQUEST = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")]
POST = [(":method", "POST")] + REQUEST[1:]


def headers(stream=1, fields=REQUEST, flags=END_STREAM | END_HEADERS, extra=b"", before=b"", after=b""):
    """`extra` is added to the header block; `before` and `after` are the fields around it (padding, priority)."""
    return frame(HEADERS, flags, stream, before + block(*fields) + extra + after)


def data(stream=1, payload=b"test", flags=END_STREAM):
    return frame(DATA, flags, stream, payload)


def continuation(stream=1, fields=(), flags=END_HEADERS):
    return frame(CONTINUATION, flags, stream, block(*fields))


def priority(stream=1, dependency=0, weight=255, exclusive=False):
    return frame(PRIORITY, 0, stream, priority_fields(dependency, weight, exclusive))


def priority_fields(dependency=0, weight=255, exclusive=False):
    return struct.pack(">IB", dependency | (0x80000000 if exclusive else 0), weight)


def reset(stream=1, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def settings(*values, flags=0):
    return frame(SETTINGS, flags, 0, b"".join(struct.pack(">HI", key, value) for key, value in values))


def ping(payload=b"\0" * 8, flags=0, stream=0, **rest):
    return frame(PING, flags, stream, payload, **rest)


def goaway(code=NO_ERROR, stream=0):
    return frame(GOAWAY, 0, stream, struct.pack(">II", 0, code))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


# The connection


@dataclass
class Received:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self):
        offset = {RST_STREAM: 0, GOAWAY: 4}.get(self.kind)
        return None if offset is None else struct.unpack_from(">I", self.payload, offset)[0]

    def __str__(self):
        names = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE CONTINUATION".split()
        code = "" if self.code is None else f" code {self.code}"
        return f"{names[self.kind]} on {self.stream}, flags {self.flags}, {len(self.payload)} bytes{code}"


class Connection:
    """Waits for an answer no longer than `patience` seconds: what takes that long counts as no answer."""

    def __init__(self, port, patience=5):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.patience = patience
        self.buffer = b""
        self.peer_settings = {}
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        try:
            self.socket.sendall(b"".join(frames))
        except OSError:
            pass  # Closed by the peer: reading tells whether it should have been.

    def shake_hands(self, *values):
        self.send(PREFACE, settings(*values))
        self.wait_for("SETTINGS", lambda got: got.kind == SETTINGS and not got.flags & ACK)
        self.send(settings(flags=ACK))
        self.wait_for("SETTINGS ACK", lambda got: got.kind == SETTINGS and got.flags & ACK)

    def receive(self):
        """The next frame; None when the connection is closed.

        Raises TimeoutError."""
        end = time.monotonic() + self.patience
        while True:
            if len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + length:
                    return self.take(length)
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise TimeoutError
            try:
                chunk = self.socket.recv(65536)
            except OSError:
                return None
            if not chunk:
                return None
            self.buffer += chunk

    def take(self, length):
        stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
        got = Received(self.buffer[3], self.buffer[4], stream, self.buffer[9 : 9 + length])
        self.buffer = self.buffer[9 + length :]
        if got.kind == SETTINGS:
            pairs = (struct.unpack_from(">HI", got.payload, at) for at in range(0, len(got.payload), 6))
            self.peer_settings.update(pairs)
        self.seen.append(got)
        return got

    def wait_for(self, what, is_wanted, closed=False, never=lambda got: False):
        """Reads until a frame is as wanted, or until the end where that will do (`closed`)."""
        while True:
            try:
                got = self.receive()
            except TimeoutError:
                raise Unexpected(f"{what} did not come; {self.history()}") from None
            if got is None:
                if closed:
                    return None
                raise Unexpected(f"closed before {what} came; {self.history()}")
            if is_wanted(got):
                return got
            if never(got):
                raise Unexpected(f"{got} came instead of {what}")

    def history(self):
        return "after " + "; ".join(str(got) for got in self.seen) if self.seen else "nothing came"

    # What sections ask for

    def fails(self, *codes):
        """A connection error of one of these codes."""
        is_wanted = lambda got: got.kind == GOAWAY and got.code in codes
        other = lambda got: got.kind == GOAWAY and got.code != NO_ERROR and got.code not in codes
        self.wait_for(f"GOAWAY with code {codes} or the end", is_wanted, closed=True, never=other)

    def fails_stream(self, *codes):
        """A stream error of one of these codes, or the same as a connection error (RFC 9113 §5.4)."""
        is_wanted = lambda got: got.kind in (GOAWAY, RST_STREAM) and got.code in codes
        other = lambda got: got.kind in (GOAWAY, RST_STREAM) and got.code != NO_ERROR and got.code not in codes
        self.wait_for(f"RST_STREAM or GOAWAY with code {codes}, or the end", is_wanted, closed=True, never=other)

    def answers(self, stream=1):
        self.wait_for("HEADERS", lambda got: got.kind == HEADERS and got.stream == stream, never=self.is_error)

    def ends(self, stream=1):
        """The answer is complete, or its rest is not wanted any more."""

        def is_end(got):
            is_last = got.kind in (DATA, HEADERS) and got.flags & END_STREAM
            return got.stream == stream and (is_last or (got.kind == RST_STREAM and got.code == NO_ERROR))

        self.wait_for("the stream's end", is_end)

    def pings(self, payload=b"conforms"):
        """All is well: a PING is answered."""
        self.send(ping(payload))
        is_answer = lambda got: got.kind == PING and got.flags & ACK and got.payload == payload
        self.wait_for("PING ACK", is_answer, never=lambda got: got.kind == GOAWAY)

    def sends_data(self, length=None):
        is_wanted = lambda got: got.kind == DATA and (length is None or len(got.payload) == length)
        self.wait_for(f"DATA of {length} bytes", is_wanted, never=lambda got: got.kind == DATA or self.is_error(got))

    @staticmethod
    def is_error(got):
        return got.kind in (GOAWAY, RST_STREAM) and got.code != NO_ERROR


def case(section, number, title, sent, then, is_raw=False):
    """A case that sends frames and expects one thing: `sent` is bytes or a list of them."""

    def run(connection):
        connection.send(sent if isinstance(sent, bytes) else b"".join(sent))
        then(connection)

    return Case(section, number, title, run, is_raw)


def fails(*codes):
    return lambda connection: connection.fails(*codes)


def fails_stream(*codes):
    return lambda connection: connection.fails_stream(*codes)


def answers(connection):
    connection.answers()


def pings(connection):
    connection.pings()
