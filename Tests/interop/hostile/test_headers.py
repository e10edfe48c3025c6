"""Header blocks: too long, too many frames, never finished, blown up by the table."""

import time

import pytest
from frames import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    INTERNAL_ERROR,
    OK,
    PREFACE,
    RESOURCE_EXHAUSTED,
    SETTINGS,
    cut,
    frame,
    message,
    settings,
)


@pytest.mark.parametrize("piece", [b"", b"\x00\x01a\x01b"])
def test_continuation_flood(arena, piece):
    """CVE-2024-27316 and its like: CONTINUATION frames without end, empty or with a field each. nghttp2 takes eight."""
    with arena.attacked() as server:
        peer = server.peer()
        peer.send(frame(HEADERS, 0, peer.open_stream(), peer.block()))
        peer.flood(frame(CONTINUATION, 0, 1, piece), 10_000)
        peer.expect_goaway(ENHANCE_YOUR_CALM)


def test_a_slow_peer_is_served_byte_by_byte(arena):
    """No attack: preface, SETTINGS and a request cut into CONTINUATION frames, each byte a segment of its own."""
    with arena.attacked() as server:
        peer = server.peer(preface=False)
        stream, block = peer.open_stream(), peer.block()
        cut = len(block) // 4
        request = frame(HEADERS, 0, stream, block[:cut])
        request += frame(CONTINUATION, 0, stream, block[cut : 2 * cut])
        request += frame(CONTINUATION, 0, stream, block[2 * cut : 3 * cut])
        request += frame(CONTINUATION, END_HEADERS, stream, block[3 * cut :])
        request += frame(DATA, END_STREAM, stream, message(b"slow"))
        assert peer.slowly(PREFACE + settings() + request, pause=0.0005)
        assert peer.status(stream) == OK


@pytest.mark.parametrize("flags", [0, END_HEADERS])
@pytest.mark.parametrize("kind", [HEADERS, CONTINUATION])
def test_headers_that_are_never_finished(arena, kind, flags):
    """Slowloris: a header block that goes on byte by byte and does not end, be its frame the last or not.
    `handshakeTimeout`."""
    with arena.attacked(handshakeTimeout=400) as server:
        peer = server.peer()
        assert peer.call() == OK
        if kind == HEADERS:
            data = frame(HEADERS, flags, 3, peer.block(), length=10_000)
        else:
            data = frame(HEADERS, 0, 3, peer.block()) + frame(CONTINUATION, flags, 3, b"", length=10_000)
        # A field of four bytes, again and again.
        start = time.monotonic()
        peer.send(data)
        while peer.slowly(b"\x00\x01a\x00", 0.005) and not peer.is_closed:
            peer.poll()
        peer.expect_goaway(ENHANCE_YOUR_CALM, "a header block was not finished in time")
        assert time.monotonic() - start >= 0.4


def test_a_header_list_that_is_too_long(arena):
    """Over the limit in bytes or in fields: the call is refused; over four times that the stream is reset.
    `maximumMetadataBytes`, `maximumMetadataEntries`."""
    with arena.attacked() as server:
        peer = server.peer()
        for extra in [[("x", "a" * 17_000)], [(f"x{n}", "a") for n in range(100)]]:
            stream, request = peer.request(extra=extra, body=message())
            peer.send(b"".join(cut(request)))
            assert peer.status(stream) == RESOURCE_EXHAUSTED
            # The same in front of what makes it gRPC.
            stream = peer.open_stream()
            fields = [(":method", "POST"), (":scheme", "http"), (":path", "/test.Target/Say"), (":authority", "raw")]
            block = peer.encoder.encode([*fields, *extra, ("content-type", "application/grpc")])
            peer.send(b"".join(cut(frame(HEADERS, END_HEADERS, stream, block))))
            assert peer.status(stream) == RESOURCE_EXHAUSTED
            assert peer.fields[stream][":status"] == "200"
        stream, request = peer.request(extra=[(f"y{n}", "a" * 3_900) for n in range(20)], body=message())
        peer.send(b"".join(cut(request)))
        assert peer.reset_code(stream) == INTERNAL_ERROR
        assert peer.call() == OK


def test_hpack_bomb(arena):
    """CVE-2016-1544 and its like: one field of 4,000 bytes in the table, then references to it of one byte each: 50 KB
    that stand for 200 MB. `maximumMetadataBytes`."""
    with arena.attacked() as server:
        peer = server.peer()
        field = b"\x40\x01x\x7f" + bytes([(3_900 - 127) % 128 + 128, (3_900 - 127) // 128]) + b"a" * 3_900
        for _ in range(20):
            stream = peer.open_stream()
            bomb = peer.encoder.encode([]) + field + b"\xbe" * 12_000
            peer.send(frame(HEADERS, 0, stream, bomb))
            peer.send(frame(CONTINUATION, 0, stream, b"\xbe" * 16_000))
            peer.send(frame(CONTINUATION, END_HEADERS, stream, b"\xbe" * 16_000))
            assert peer.reset_code(stream) == INTERNAL_ERROR


def test_binary_values_of_nothing_but_commas(arena):
    """Requests of 40 bytes that refer to a `-bin` value of 3,500 commas in the table four times: each comma could begin
    another value. They cost no more than other values of that length."""
    with arena.attacked() as server:
        costs = []
        for value in ["A" * 3_500, "," * 3_500]:
            peer = server.peer()
            fields = [("x-bin", value)]
            peer.send(peer.request(body=message(b"x"), extra=fields)[1])
            begun = server.cpu()
            for _ in range(8):
                batch = [peer.request(body=message(b"x"), extra=fields * 4) for _ in range(50)]
                assert sum(len(request) for _, request in batch) < 50 * 100
                peer.send(b"".join(request for _, request in batch))
                assert peer.status(batch[-1][0]) == OK
            costs.append(server.cpu() - begun)
        print(f"[{costs[0]:.2f} s, {costs[1]:.2f} s]", end=" ")
        assert costs[1] <= 2 * costs[0] + 0.3, costs


def test_hpack_table_size_games(arena):
    """Table size updates above what was offered break the compression; below it, as often as the peer likes, they
    are only work. SETTINGS that ask for a table of 4 GiB cost nothing: ours stays at 4,096 bytes."""
    with arena.attacked() as server:
        peer = server.peer(opening=frame(SETTINGS, payload=b"\x00\x01\xff\xff\xff\xff"))
        for _ in range(50):
            peer.encoder.header_table_size = 0
            peer.encoder.header_table_size = 4_096
            stream, request = peer.request(body=message(b"x"), extra=[("x", "a" * 3_000)])
            peer.send(request)
            assert peer.status(stream) == OK
        peer.send(frame(HEADERS, END_HEADERS, peer.open_stream(), b"\x3f\xe1\xff\x03" + peer.block()))
        peer.expect_goaway(COMPRESSION_ERROR)


def test_empty_headers_flood(arena):
    """CVE-2019-9518 and its like: HEADERS frames of no length, each on a new stream. `maximumProvokedResets`."""
    with arena.attacked() as server:
        peer = server.peer()
        while peer.send(frame(HEADERS, END_HEADERS, peer.open_stream())) and peer.hears_reset(peer.next_stream - 2):
            assert peer.next_stream < 1_000
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_provoked_resets")


def test_headers_without_end_on_one_stream(arena):
    """A flood of trailers on one stream: the first is an error of the stream, those behind it are ignored, and counted.
    `maximumIdleFrames`."""
    with arena.attacked() as server:
        peer = server.peer()
        stream, request = peer.request("Collect", end=False)
        peer.send(request)
        peer.flood(frame(HEADERS, END_HEADERS, stream, b"\x00\x01a\x01b"), 20_000)
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_frames_without_progress")
