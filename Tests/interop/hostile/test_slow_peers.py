"""Peers that say or take too little, too slowly."""

import time

import pytest
from arena import MIB, wait_until
from frames import (
    DATA,
    DEADLINE_EXCEEDED,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    OK,
    PREFACE,
    PROTOCOL_ERROR,
    SETTINGS_TIMEOUT,
    frame,
    message,
    settings,
    window_update,
)

WIDE = settings(_4=2**31 - 1) + window_update(0, 2**31 - 1 - 65_535)
STALLED = "the peer stopped reading, or reads too slowly"


@pytest.mark.parametrize("opening", [b"", PREFACE[:5], PREFACE, PREFACE + settings()[:5]])
def test_silence(arena, opening):
    """Connections that say nothing, or do not finish their preface and SETTINGS. `handshakeTimeout`."""
    with arena.attacked(handshakeTimeout=400) as server:
        peers = [server.peer(preface=False) for _ in range(50)]
        for peer in peers:
            peer.send(opening)
        for peer in peers:
            peer.expect_goaway(ENHANCE_YOUR_CALM, "no HTTP/2 preface and SETTINGS in time")


def test_a_preface_that_takes_for_ever(arena):
    """Slowloris: a byte now and then does not renew `handshakeTimeout`."""
    with arena.attacked(handshakeTimeout=400) as server:
        peer = server.peer(preface=False)
        assert not peer.slowly(PREFACE + settings() * 100, pause=0.05)
        peer.expect_goaway(ENHANCE_YOUR_CALM, "no HTTP/2 preface and SETTINGS in time")


@pytest.mark.parametrize("text", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" * 3])
def test_another_protocol(arena, text):
    """HTTP/1, or a TLS hello: told so at once."""
    with arena.attacked() as server:
        peer = server.peer(preface=False)
        peer.send(text)
        peer.expect_goaway(PROTOCOL_ERROR)


def test_settings_that_are_not_acknowledged(arena):
    """A peer that never acknowledges our SETTINGS is not bound by them. `handshakeTimeout`."""
    with arena.attacked(handshakeTimeout=400) as server:
        peer = server.peer()
        peer.acknowledge = lambda: None
        assert peer.call() == OK
        peer.expect_goaway(SETTINGS_TIMEOUT, "our SETTINGS were not acknowledged in time")


def trickle(peer, method, beginning):
    """Begins 99 calls, sends each a byte now and then, and expects the deadline of all, and of nothing else."""
    streams = []
    for _ in range(99):
        stream, request = peer.request(method, beginning, end=False)
        streams.append(stream)
        peer.send(request)
    start = time.monotonic()
    while time.monotonic() - start < 0.3:
        peer.send(b"".join(frame(DATA, 0, stream, b"x") for stream in streams))
        time.sleep(0.05)
    assert [peer.status(stream) for stream in streams] == [DEADLINE_EXCEEDED] * 99
    assert peer.call() == OK


def test_a_request_that_is_never_finished(arena):
    """Slowloris on DATA: calls that send a byte now and then would hold their streams for ever. `requestTimeout`."""
    with arena.attacked(requestTimeout=500) as server:
        trickle(server.peer(), "Say", message(b"", 1_000))


def test_a_stream_of_requests_may_take_its_time(arena):
    """What `requestTimeout` does not end: a handler that waits for the next of many messages, or has not taken one."""
    with arena.attacked(requestTimeout=400) as server:
        peer = server.peer()
        stream, request = peer.request("Collect", message(b"a"), end=False)
        unread, busy = peer.request("Unread", message(b"a") + message(b"", 9), end=False)
        peer.send(request + busy)
        time.sleep(1.0)
        peer.send(frame(DATA, END_STREAM, stream, message(b"b")))
        assert peer.status(stream) == OK
        assert unread not in peer.fields
        # Each message begins another time.
        stream, request = peer.request("Collect", end=False)
        text = message(b"c")
        peer.send(request + frame(DATA, 0, stream, text[:-1]))
        for _ in range(50):
            peer.send(frame(DATA, 0, stream, text[-1:] + text[:-1]))
            time.sleep(0.02)
        peer.send(frame(DATA, END_STREAM, stream, text[-1:]))
        assert peer.status(stream) == OK


def test_a_message_of_a_stream_that_is_never_finished(arena):
    """It may rest between messages, not within one. `requestTimeout`."""
    with arena.attacked(requestTimeout=500) as server:
        trickle(server.peer(), "Collect", message(b"a") + message(b"", 1_000))


@pytest.mark.parametrize("rate", [0, 1])
def test_slow_read(arena, rate):
    """CVE-2019-9517: wide windows, and nothing or a byte at a time is read. `writeStallTimeout`, `minimumReadRate`."""
    with arena.attacked(writeStallTimeout=500) as server:
        peer = server.peer(opening=WIDE, receive_buffer=4_096)
        peer.send(peer.request("Expand", message(b"1000 100000"))[1])
        start = time.monotonic()

        def is_cut_off():
            if rate:
                assert peer.socket.recv(rate)
            return any(STALLED in line for line in server.log)

        wait_until(is_cut_off, "the slow reader is cut off")
        assert time.monotonic() - start >= 0.5


def test_reading_slowly_is_no_attack(arena):
    """What `minimumReadRate` allows: a peer that takes 4 MB at its leisure, several times `writeStallTimeout`."""
    with arena.attacked(writeStallTimeout=300) as server:
        peer = server.peer(opening=WIDE, receive_buffer=4_096)
        stream, request = peer.request("Expand", message(b"40 100000"))
        peer.send(request)
        start = time.monotonic()
        while time.monotonic() - start < 1.0:
            assert peer._fill()
            time.sleep(0.01)
        assert peer.status(stream) == OK
        assert not server.log


def test_responses_held_by_windows_of_nothing(arena):
    """CVE-2019-9511: large responses asked for, and no window given for them: 20 MB waits. `maximumBufferedBytes`, for
    `writeStallTimeout`; and no bytes wait for the socket, so that nothing but the windows holds them."""
    with arena.attacked(writeStallTimeout=500, memory=48 * MIB) as server:
        peer = server.peer(opening=settings(_4=0))
        peer.send(b"".join(peer.request("Expand", message(b"1 1000000"))[1] for _ in range(20)))
        peer.expect_goaway(ENHANCE_YOUR_CALM, STALLED)


@pytest.mark.parametrize("window", [0, 10_000])
def test_few_responses_held_for_long(arena, window):
    """Less than `maximumBufferedBytes`, all of it or almost: what waits has to be taken within ten times
    `writeStallTimeout`."""
    with arena.attacked(writeStallTimeout=100, memory=24 * MIB) as server:
        peer = server.peer(opening=settings(_4=0))
        stream, request = peer.request("Expand", message(b"1 4000000"))
        peer.send(request)
        while not peer.is_closed:
            if window:
                peer.send(window_update(stream, window) + window_update(0, window))
            peer.poll()
            time.sleep(0.1)
        peer.expect_goaway(ENHANCE_YOUR_CALM, STALLED)


def test_many_responses_held_by_small_windows(arena):
    """More than `maximumBufferedBytes`, and 4 KB a second taken of it: more than `minimumReadRate` asks for, and not a
    tenth in each `writeStallTimeout`."""
    with arena.attacked(writeStallTimeout=500, memory=48 * MIB) as server:
        peer = server.peer(opening=settings(_4=0))
        peer.send(b"".join(peer.request("Expand", message(b"1 4000000"))[1] for _ in range(90)))
        while not peer.is_closed:
            peer.send(window_update(1, 400) + window_update(0, 400))
            peer.poll()
            time.sleep(0.1)
        peer.expect_goaway(ENHANCE_YOUR_CALM, STALLED)


def test_a_large_response_over_a_slow_link(arena):
    """What is no attack: 1 MB in pieces, within ten times `writeStallTimeout`."""
    with arena.attacked(writeStallTimeout=600) as server:
        peer = server.peer(opening=settings(_4=0))
        stream, request = peer.request("Expand", message(b"1 1000000"))
        peer.send(request)
        for _ in range(26):
            peer.send(window_update(stream, 40_000) + window_update(0, 40_000))
            peer.poll()
            time.sleep(0.1)
        assert peer.status(stream) == OK
        assert not server.log


def test_a_few_responses_may_wait_for_their_windows(arena):
    """What `maximumBufferedBytes` allows: a caller that has stopped reading one of its streams for a while."""
    with arena.attacked(writeStallTimeout=200) as server:
        peer = server.peer(opening=settings(_4=0))
        stream, request = peer.request("Expand", message(b"4 1000000"))
        peer.send(request)
        time.sleep(0.8)
        peer.send(window_update(stream, 2**24) + window_update(0, 2**24))
        assert peer.status(stream) == OK


def test_windows_of_one_byte(arena):
    """CVE-2019-9511: window given a byte at a time, so that each byte is a frame. `maximumIdleFrames` leaves it be, as
    each is taken; it only costs what any frame costs, and nobody else's time."""
    with arena.attacked() as server:
        peer = server.peer(opening=settings(_4=1))
        stream, request = peer.request("Expand", message(b"1 2000"))
        peer.send(request)
        for _ in range(20):
            peer.send(window_update(stream, 1) * 100)
            peer.poll()
        peer.send(window_update(stream, 100_000))
        assert peer.status(stream) == OK
