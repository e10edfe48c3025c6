"""Our client against servers that mean it harm: each call ends with a clear status, soon, and memory stays bounded."""

import gzip
import os
import subprocess
import time

import pytest
from arena import MIB, TOOL
from bad_server import BadServer, first_request
from frames import (
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    CONTINUATION,
    PING,
    PUSH_PROMISE,
    ACK,
    HeadersFrame,
    frame,
    message,
    reset,
    settings,
    window_update,
)

DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, CANCELLED = 4, 8, 13, 14, 1
FLOODED = "too_many_frames_without_progress"


def call(behave, method="Say", **options):
    """What `rpc-test-peer client` says of one call to such a server: (status, message, its largest memory)."""
    server = BadServer(behave)
    arguments = [str(TOOL), "client", server.address, method, *(f"{k}={v}" for k, v in options.items())]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = code
    server.close()
    assert code == 0, f"the client died: {code}"
    status, _, text = output.strip().partition(" ")
    return int(status), text, usage.ru_maxrss * 1024


def answer(stream, peer, body=b"", trailers=(("grpc-status", "0"),), head=(), flags=END_HEADERS | END_STREAM):
    """A response as it should be, but for what is given."""
    fields = [(":status", "200"), ("content-type", "application/grpc"), *head]
    data = frame(HEADERS, END_HEADERS, stream, peer.encoder.encode(fields))
    for start in range(0, len(body), 16_384):
        data += frame(DATA, 0, stream, body[start : start + 16_384])
    return data + frame(HEADERS, flags, stream, peer.encoder.encode(list(trailers)))


def honest(peer):
    peer.send(settings())
    stream = first_request(peer)
    peer.send(answer(stream, peer, message(b"hello")))
    peer.until_closed()


def flooding(piece, count, before=b""):
    def behave(peer):
        peer.send(settings())
        first_request(peer)
        peer.send(before)
        peer.flood(piece, count)
        peer.until_closed()

    return behave


def after_request(make):
    """Sends what `make(stream, peer)` returns, and then nothing."""

    def behave(peer):
        peer.send(settings())
        peer.send(make(first_request(peer), peer))
        peer.until_closed()

    return behave


def _response_head(stream, peer, *fields):
    return frame(HEADERS, END_HEADERS, stream, peer.encoder.encode([(":status", "200"), *fields]))


INTERIM = frame(HEADERS, END_HEADERS, 1, b"\x08\x03103")


@pytest.fixture(scope="module")
def honest_memory():
    status, text, memory = call(honest)
    assert (status, text) == (0, "hello")
    return memory


CASES = {
    "SETTINGS flood": (flooding(settings(), 5_000), UNAVAILABLE, "too_many_settings"),
    "huge SETTINGS": (flooding(frame(4, payload=b"\0\x04\0\1\0\0" * 2_700), 1), UNAVAILABLE, ""),
    "PING flood": (flooding(frame(PING, payload=bytes(8)), 20_000), UNAVAILABLE, "lood"),
    "PING answers": (flooding(frame(PING, ACK, payload=bytes(8)), 20_000), UNAVAILABLE, FLOODED),
    "resets of a stream that is over": (flooding(reset(1, CANCEL), 20_000, before=reset(1, CANCEL)), CANCELLED, ""),
    "WINDOW_UPDATE flood": (flooding(window_update(0, 1), 20_000), UNAVAILABLE, FLOODED),
    "empty DATA": (
        after_request(
            lambda s, p: _response_head(s, p, ("content-type", "application/grpc")) + frame(DATA, 0, s) * 20_000
        ),
        UNAVAILABLE,
        FLOODED,
    ),
    "1xx flood": (flooding(INTERIM, 20_000), UNAVAILABLE, FLOODED),
    "unknown frames": (flooding(frame(0xF0, 0, 0, bytes(1_000)), 20_000), UNAVAILABLE, FLOODED),
    "CONTINUATION without end": (
        flooding(frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"), 5_000, before=frame(HEADERS, 0, 1, b"\x88")),
        UNAVAILABLE,
        "CONTINUATION",
    ),
    "headers without end": (
        after_request(lambda s, p: frame(HEADERS, 0, s, b"\x88")),
        DEADLINE_EXCEEDED,
        "",
    ),
    "trailers of 17 KB": (
        after_request(
            lambda s, p: _response_head(s, p, ("content-type", "application/grpc"))
            + frame(HEADERS, END_HEADERS | END_STREAM, s, p.encoder.encode([(f"y{n}", "b" * 100) for n in range(120)]))
        ),
        RESOURCE_EXHAUSTED,
        "",
    ),
    "a message of 4 GiB": (
        after_request(lambda s, p: answer(s, p, message(b"x", 2**32 - 1))),
        RESOURCE_EXHAUSTED,
        "4294967295",
    ),
    "a gzip bomb": (
        after_request(
            lambda s, p: answer(
                s, p, message(gzip.compress(bytes(4 * MIB + 1), 9), flag=1), head=[("grpc-encoding", "gzip")]
            )
        ),
        RESOURCE_EXHAUSTED,
        "",
    ),
    "an answer on a stream that nobody opened": (
        after_request(lambda s, p: answer(s + 2, p, message(b"x"))),
        UNAVAILABLE,
        "",
    ),
    "a push": (
        after_request(lambda s, p: frame(PUSH_PROMISE, END_HEADERS, s, b"\0\0\0\2\x82\x84\x86\x41\x01a")),
        UNAVAILABLE,
        "",
    ),
    "no answer": (after_request(lambda s, p: b""), DEADLINE_EXCEEDED, ""),
    "no SETTINGS": (lambda peer: peer.until_closed(), UNAVAILABLE, ""),
    "trailers without an end": (
        after_request(lambda s, p: answer(s, p, message(b"x"), flags=END_HEADERS)),
        INTERNAL,
        "",
    ),
    "a window of 2^31": (after_request(lambda s, p: window_update(0, 2**31 - 1)), UNAVAILABLE, ""),
    "HTTP/1": (lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3), UNAVAILABLE, ""),
    "random bytes": (lambda peer: peer.send(settings() + bytes(range(256)) * 100), UNAVAILABLE, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_a_server_that_means_harm(honest_memory, name):
    """Each of these ends the call with that status and reason. Floods: `ClientOptions.maximumIdleFrames` and
    `settingsPerMinute`; sizes: `maximumResponseBytes` and `maximumMetadataBytes`; silence: `connectTimeout` and
    deadlines. The client's memory stays within 16 MiB of what an honest call takes."""
    behave, wanted, reason = CASES[name]
    start = time.monotonic()
    status, text, memory = call(behave, timeout=1_500, connectTimeout=1_000)
    assert (status, reason in text) == (wanted, True), (status, text)
    assert memory <= honest_memory + 16 * MIB, (memory - honest_memory) / MIB
    assert time.monotonic() - start < 20


def test_a_table_of_16_mib(honest_memory):
    """SETTINGS_HEADER_TABLE_SIZE of 16 MiB does not make the client keep a table of that size: 300 calls with it."""

    def behave(peer):
        peer.send(settings(_1=16 * MIB))
        stream = -1
        for _ in range(300):
            stream = peer.until(lambda f: isinstance(f, HeadersFrame) and f.stream_id > stream, "a request").stream_id
            peer.send(answer(stream, peer, message(b"hello")))
        peer.until_closed()

    status, text, memory = call(behave, calls=300)
    assert (status, text) == (0, "\n".join(["hello"] + ["0 hello"] * 299))
    assert memory <= honest_memory + 8 * MIB
