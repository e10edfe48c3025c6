"""Connections that end while their peers still read: all that was answered arrives; nobody is waited for in vain."""

import signal
import time

import pytest
from arena import wait_until
from buddy.testing.v1 import testing_pb2
from frames import DATA, END_STREAM, GOAWAY, OK, GoAwayFrame, Peer, frame, message, settings, window_update
from rpc_server import running
from test_slow_peers import STALLED

WIDE = settings(_4=2**30) + window_update(0, 2**30)
FAREWELL = frame(GOAWAY, payload=bytes(8))


def read_slowly(peer, stream):
    """Half a megabyte or so a second, as the peer says now and then that it has read: the grpc-status in the end."""
    while stream not in peer.fields or "grpc-status" not in peer.fields[stream]:
        if not peer._fill():
            break
        peer._parse()
        peer.send(window_update(0, 1))
        time.sleep(0.08)
    return peer.status(stream)


def test_a_caller_that_says_goodbye_may_read_slowly(arena):
    """The caller's GOAWAY, and a response that it takes seconds to read: it is written to its end first."""
    with arena.attacked() as server:
        peer = server.peer(opening=WIDE, receive_buffer=65_536)
        stream, request = peer.request("Expand", message(b"1 4000000"))
        peer.send(request + FAREWELL)
        assert read_slowly(peer, stream) == OK
        peer.until_closed()
        assert not server.log


@pytest.mark.parametrize("length", [300_000, 1_500_000, 2_700_000, 3_200_000])
def test_a_caller_that_says_goodbye_and_does_not_read(arena, length):
    """The same, and nothing is read: wherever the response waits, in kernel or server. `writeStallTimeout`"""
    with arena.attacked(writeStallTimeout=500) as server:
        before = server.descriptors()
        peer = server.peer(opening=WIDE, receive_buffer=4_096)
        peer.send(peer.request("Expand", message(b"1 %d" % length))[1] + FAREWELL)
        wait_until(lambda: any(STALLED in line for line in server.log), "it is cut off")
        wait_until(lambda: server.descriptors() <= before, "the connection is closed")


def expand(peer):
    stream = peer.open_stream()
    body = testing_pb2.ExpandRequest(text="y" * 1_000, count=4_000).SerializeToString()
    path = {":path": "/buddy.testing.v1.Echo/Expand"}
    peer.send(peer.headers(stream, **path) + frame(DATA, END_STREAM, stream, message(body)))
    return stream


def test_a_server_that_stops_lets_its_callers_read():
    """SIGTERM while a response is read slowly: the rest of it, its trailers and both GOAWAYs arrive."""
    with running("rpc-echo-server", "--grace", 60_000) as server:
        peer = Peer(server.port, opening=WIDE, receive_buffer=65_536)
        stream = expand(peer)
        assert peer._fill()
        server.signal(signal.SIGTERM)
        assert read_slowly(peer, stream) == OK
        peer.until_closed()
        goodbyes = [(f.last_stream_id, f.error_code) for f in peer.seen if isinstance(f, GoAwayFrame)]
        assert goodbyes == [(2**31 - 1, 0), (stream, 0)]


def test_a_server_that_stops_does_not_wait_for_who_does_not_read():
    """The same, and nothing is read: the grace ends it, long before `writeStallTimeout`."""
    with running("rpc-echo-server", "--grace", 500) as server:
        peer = Peer(server.port, opening=WIDE, receive_buffer=4_096)
        expand(peer)
        assert peer._fill()
        server.signal(signal.SIGTERM)
        start = time.monotonic()
        assert server.wait() == 0
        assert time.monotonic() - start < 20
        peer.close()
