"""A peer that can say anything: a plain socket, frames by hyperframe, header blocks by hpack. Nothing is checked on the
way out; what comes back is read frame by frame."""

import contextlib
import socket
import struct
import time

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS, PADDED = 4, 8

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)

OK, CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = 0, 1, 3, 4, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14

PATIENCE = 20.0
"""Seconds that an answer may take before a test gives up: far beyond what it takes, since the machine may be busy."""


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """Any frame, right or wrong; `length` claims another length than the payload's."""
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(**values):
    """A SETTINGS frame of numbered settings: `settings(_4=0)` sets the initial window to nothing."""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", int(k[1:]), v) for k, v in values.items()))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, stream=stream, payload=struct.pack(">I", code))


def message(body=b"", claim=None, flag=0):
    """A gRPC message, or the beginning of one that claims to be longer."""
    return bytes([flag]) + struct.pack(">I", len(body) if claim is None else claim) + body


def cut(request):
    """The frames of a request whose header block is too long for one HEADERS frame, cut into CONTINUATION frames."""
    length = int.from_bytes(request[:3], "big")
    block, stream = request[9 : 9 + length], int.from_bytes(request[5:9], "big")
    pieces = [block[start : start + 16_384] for start in range(0, length, 16_384)]
    for index, piece in enumerate(pieces):
        flags = END_HEADERS if index == len(pieces) - 1 else 0
        yield frame(CONTINUATION if index else HEADERS, flags, stream, piece)
    yield request[9 + length :]


class Peer:
    """One connection to a server."""

    def __init__(self, port, preface=True, opening=None, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.next_stream = 1
        self.buffer = bytearray()
        self.fields = {}
        self.windows = {}
        """Bytes that we may send, by stream; 0 is the connection's."""
        self.resets = set()
        self.seen = []
        """Every frame read so far."""
        self.is_closed = False
        """The server has hung up, or the connection is reset."""
        if preface:
            self.send(PREFACE + (settings() if opening is None else opening))

    def close(self):
        self.socket.close()

    # Saying things

    def send(self, data):
        """Returns whether the server still takes it."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def slowly(self, data, pause=0.0):
        """Byte by byte, each in a segment of its own."""
        return all(self.send(data[i : i + 1]) is True and time.sleep(pause) is None for i in range(len(data)))

    def flood(self, piece, count, batch=200):
        """The piece `count` times, or until the server hangs up; reads on the way what it answers."""
        sent = 0
        while sent < count and not self.is_closed:
            if not self.send(piece * min(batch, count - sent)):
                break
            sent += min(batch, count - sent)
            self.poll()

    def open_stream(self):
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        return stream

    def block(self, method="Say", extra=(), **replaced):
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"/test.Target/{method}",
            ":authority": "raw",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        fields.update({name.replace("_", "-"): value for name, value in replaced.items()})
        return self.encoder.encode([*fields.items(), *extra])

    def headers(self, stream, flags=END_HEADERS, **arguments):
        return frame(HEADERS, flags, stream, self.block(**arguments))

    def request(self, method="Say", body=b"", end=True, **arguments):
        """A request's headers and DATA, not sent yet: (stream, bytes)."""
        stream = self.open_stream()
        data = self.headers(stream, method=method, **arguments)
        for start in range(0, len(body), 16384):
            data += frame(DATA, 0, stream, body[start : start + 16384])
        return stream, data + (frame(DATA, END_STREAM, stream) if end else b"")

    def call(self, method="Say", body=b"hello"):
        """A whole call: its grpc-status."""
        stream, data = self.request(method, message(body))
        self.send(data)
        return self.status(stream)

    # Hearing things

    def _fill(self):
        """Reads once. False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        self.buffer += data
        self.is_closed = self.is_closed or not data
        return bool(data)

    def _parse(self):
        new = []
        while len(self.buffer) >= 9:
            parsed, length = Frame.parse_frame_header(memoryview(bytes(self.buffer[:9])))
            if len(self.buffer) < 9 + length:
                break
            parsed.parse_body(memoryview(bytes(self.buffer[9 : 9 + length])))
            del self.buffer[: 9 + length]
            if isinstance(parsed, HeadersFrame):
                fields = dict(self.decoder.decode(parsed.data))
                self.fields.setdefault(parsed.stream_id, {}).update(fields)
            if isinstance(parsed, SettingsFrame) and "ACK" not in parsed.flags:
                self.acknowledge()
            if isinstance(parsed, WindowUpdateFrame):
                self.windows[parsed.stream_id] = self.window(parsed.stream_id) + parsed.window_increment
            if isinstance(parsed, RstStreamFrame):
                self.resets.add(parsed.stream_id)
            new.append(parsed)
        self.seen += new
        return new

    def window(self, stream, initial=256 * 1024):
        """What is left of a window: the server's default for streams, RFC 9113's for the connection."""
        return self.windows.get(stream, initial if stream else 65_535)

    def send_data(self, stream, payload, flags=0):
        """A DATA frame; waits for the windows that it needs."""
        while min(self.window(0), self.window(stream)) < len(payload):
            assert self._fill(), "the server hung up instead of giving window"
            self._parse()
        self.windows[0] = self.window(0) - len(payload)
        self.windows[stream] = self.window(stream) - len(payload)
        self.send(frame(DATA, flags, stream, payload))

    def acknowledge(self):
        self.send(frame(SETTINGS, ACK))

    def poll(self):
        """Reads what is there, without waiting."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.socket.recv(65536)
                if not data:
                    self.is_closed = True
                    break
                self.buffer += data
        self.socket.settimeout(PATIENCE)
        self._parse()

    def until(self, wanted, what):
        """Reads until a frame that was read, now or before, is wanted; fails when the connection ends first."""
        found = next((f for f in self.seen if wanted(f)), None)
        while found is None:
            assert self._fill(), f"the server hung up before {what}; it sent {self.seen[-5:]}"
            found = next((f for f in self._parse() if wanted(f)), None)
        return found

    def status(self, stream):
        """The grpc-status that a stream ends with."""

        def is_end(received):
            if isinstance(received, RstStreamFrame) and received.stream_id == stream:
                raise AssertionError(f"stream {stream} was reset with {received.error_code}")
            return isinstance(received, HeadersFrame | DataFrame) and (
                received.stream_id == stream and "END_STREAM" in received.flags
            )

        self.until(is_end, f"the end of stream {stream}")
        return int(self.fields[stream]["grpc-status"])

    def reset_code(self, stream):
        return self.until(
            lambda f: isinstance(f, RstStreamFrame) and f.stream_id == stream, f"a reset of stream {stream}"
        ).error_code

    def hears_reset(self, stream):
        """Reads until the stream is reset (true) or the connection ends (false)."""
        while stream not in self.resets:
            if not self._fill():
                return False
            self._parse()
        return True

    def pong(self, payload=b"12345678"):
        self.send(frame(PING, payload=payload))
        self.until(lambda f: isinstance(f, PingFrame) and "ACK" in f.flags and f.opaque_data == payload, "a PONG")

    def until_closed(self):
        """Reads to the end of the connection; returns the code and reason of the last GOAWAY, or None."""
        while not self.is_closed:
            self._fill()
        self._parse()
        last = next((f for f in reversed(self.seen) if isinstance(f, GoAwayFrame)), None)
        return last and (last.error_code, last.additional_data.decode())

    def expect_goaway(self, code, reason=None):
        """The server says why and hangs up, and says it once."""
        answer = self.until_closed()
        assert answer is not None, "the server hung up without a word"
        assert answer[0] == code, answer
        if reason is not None:
            assert reason in answer[1], answer
        codes = [f.error_code for f in self.seen if isinstance(f, GoAwayFrame)]
        assert codes == [code], f"more than one GOAWAY: {codes}"

    def count(self, kind):
        return sum(isinstance(f, kind) for f in self.seen)
