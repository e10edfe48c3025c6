"""What an attacker can make the server keep."""

import gzip
import time

import grpc
import pytest
from arena import MIB, wait_until
from frames import (
    DATA,
    DEADLINE_EXCEEDED,
    END_STREAM,
    INVALID_ARGUMENT,
    OK,
    RESOURCE_EXHAUSTED,
    frame,
    message,
    reset,
    settings,
    window_update,
)


def test_a_message_that_claims_4_gib(arena):
    """Refused by its prefix alone. `maximumRequestBytes`."""
    with arena.attacked() as server:
        peer = server.peer()
        for method in ["Say", "Collect"]:
            for _ in range(100):
                stream, request = peer.request(method, message(b"x", 2**32 - 1), end=False)
                peer.send(request)
                assert peer.status(stream) == RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("method", "missing"), [("Say", 1), ("Say", 0), ("Collect", 1), ("Unread", 1), ("Unread", 0)])
def test_many_messages_half_sent(arena, method, missing):
    """A hundred streams that send 4 MiB without an end, all of it or all but the last byte, as far as their windows let
    them: 400 MB, of which `maximumBufferedBytes` are taken, and a `streamWindow` each."""
    with arena.attacked(memory=48 * MIB) as server:
        peer = server.peer()
        left = {}
        for _ in range(100):
            stream, request = peer.request(method, end=False)
            left[stream] = 4 * MIB - missing
            peer.send(request)
            peer.send_data(stream, message(b"", 4 * MIB))
        last = time.monotonic()
        while time.monotonic() - last < 0.5:
            peer.poll()
            for stream in left:
                count = min(peer.window(0), peer.window(stream), left[stream], 16_384)
                if count > 0:
                    peer.send_data(stream, bytes(count))
                    left[stream] -= count
                    last = time.monotonic()
            assert not peer.is_closed
        taken = sum(4 * MIB - rest for rest in left.values())
        assert 20 * MIB < taken < 40 * MIB, taken
        peer.pong()


@pytest.mark.parametrize("method", ["Collect", "Say"])
def test_many_large_messages_of_an_honest_peer(arena, method):
    """A hundred uploads of 4 MiB at once are over `maximumBufferedBytes`, as are the answers that echo them, and all of
    them are served, although none may take longer than `requestTimeout` while it has its turn."""
    with arena.attacked(memory=150 * MIB, requestTimeout=5_000) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.unary_unary(f"/test.Target/{method}")
            body = bytes(4 * MIB)
            answers = [call.future(body, timeout=120) for _ in range(100)]
            wanted = body if method == "Say" else b"%d" % len(body)
            assert all(answer.result() == wanted for answer in answers)


def test_responses_that_nobody_takes(arena):
    """CVE-2019-9511: 17 KB that ask for 400 MB, and no window: over `maximumBufferedBytes` no handler begins. Calls
    wait in order, those whose time is up end, and the others are answered once the peer reads."""
    with arena.attacked(memory=48 * MIB) as server:
        peer = server.peer(opening=settings(_4=0))
        asked = [peer.request("Expand", message(b"1 4000000")) for _ in range(90)]
        peer.send(b"".join(data for _, data in asked))
        late, request = peer.request("Say", message(b"x"), grpc_timeout="100m")
        peer.send(request)
        assert peer.status(late) == DEADLINE_EXCEEDED
        for stream, _ in asked:
            peer.send(window_update(stream, 5_000_000) + window_update(0, 5_000_000))
            assert peer.status(stream) == OK
            peer.seen.clear()
        stream, request = peer.request("Say", message(b"x"))
        peer.send(request + window_update(stream, 100))
        assert peer.status(stream) == OK


def test_a_message_in_tiny_pieces(arena):
    """A message of 20 KB in DATA frames of one byte: no piece keeps the buffer that it arrived in."""
    with arena.attacked() as server:
        peer = server.peer()
        streams = []
        for _ in range(10):
            stream, request = peer.request("Collect", end=False)
            streams.append(stream)
            peer.send(request)
        body = message(bytes(2_000))
        for start in range(0, len(body), 100):
            for stream in streams:
                pieces = (body[i : i + 1] for i in range(start, min(start + 100, len(body))))
                peer.send(b"".join(frame(DATA, 0, stream, piece) for piece in pieces))
        peer.send(b"".join(frame(DATA, END_STREAM, stream) for stream in streams))
        assert [peer.status(stream) for stream in streams] == [OK] * 10


def test_many_small_messages_that_nobody_reads(arena):
    """A hundred streams full of messages of one byte: what waits for a handler is kept as it came. `streamWindow`."""
    with arena.attacked(memory=80 * MIB) as server:
        peer = server.peer()
        body = message(b"x") * (256 * 1024 // 6)
        for _ in range(100):
            stream, request = peer.request("Unread", end=False)
            peer.send(request)
            for start in range(0, len(body), 16_384):
                peer.send_data(stream, body[start : start + 16_384])
        peer.pong()


def test_an_idle_connection_is_cheap(arena):
    """A peer may open `maximumConnectionsPerPeer` connections and leave them: no more than 64 KiB each."""
    with arena.attacked(memory=200 * 64 * 1024) as server:
        for _ in range(200):
            server.peer()
        for peer in server.peers:
            peer.pong()


GZIP_BOMB = gzip.compress(bytes(4 * MIB + 1), 9)


def test_gzip_bomb(arena):
    """4 KB that inflate to more than `maximumRequestBytes`: a thousand times their size."""
    assert len(GZIP_BOMB) * 900 < 4 * MIB
    with arena.attacked() as server:
        peer = server.peer()
        for _ in range(50):
            stream, request = peer.request("Say", message(GZIP_BOMB, flag=1), grpc_encoding="gzip")
            peer.send(request)
            assert peer.status(stream) == RESOURCE_EXHAUSTED


def test_calls_leave_nothing_behind(arena):
    """Calls, cancelled ones and failed ones, 2,400 of each, on four connections: what the second half adds to the
    server's memory is less than 64 bytes a call, less than anything that could be kept of one."""
    with arena.attacked(resetBurst=100_000, maximumProvokedResets=100_000) as server:
        _call_in_all_ways(server, 600)  # what is allocated once
        before = server.rss()
        _call_in_all_ways(server, 1_200)
        middle = server.rss()
        _call_in_all_ways(server, 1_200)
        first, second = middle - before, server.rss() - middle
        print(f"[+{first / 1024:.0f} KiB, then +{second / 1024:.0f} KiB]", end=" ")
        assert second <= 3 * 1_200 * 64


def _call_in_all_ways(server, count):
    """So many calls of each kind, half of them on each of two connections, which end."""
    for _ in range(2):
        peer = server.peer()
        assert peer.call() == OK
        files = server.descriptors()
        for _ in range(count // 2):
            assert peer.call() == OK
            assert peer.call("Expand", b"not numbers") == INVALID_ARGUMENT
            stream, request = peer.request("Collect", message(b"part"), end=False)
            peer.send(request + reset(stream))
            peer.seen.clear()
        peer.pong()
        peer.close()
        wait_until(lambda files=files: server.descriptors() < files, "the connection is closed")
