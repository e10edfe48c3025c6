"""Frames that cost the attacker next to nothing, and frames that must not be."""

import struct

import pytest
from frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    OK,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    message,
    settings,
    window_update,
)


@pytest.mark.parametrize("batch", [1, 1_000])
def test_ping_flood(arena, batch):
    """CVE-2019-9512: PINGs, each of which has to be answered. `minimumPingInterval`, `pingStrikes`."""
    with arena.attacked() as server:
        peer = server.peer()
        peer.flood(frame(PING, payload=bytes(8)), 5_000, batch)
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_pings")


def test_ping_flood_by_one_who_does_not_read(arena):
    """The same, and the answers are not taken. The server hangs up all the same."""
    with arena.attacked() as server:
        files = server.descriptors()
        peer = server.peer(receive_buffer=2_048)
        for _ in range(200):
            if not peer.send(frame(PING, payload=bytes(8)) * 1_000):
                break
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_pings")
        assert server.descriptors() <= files + 1


@pytest.mark.parametrize(
    "attack",
    [
        frame(SETTINGS),
        settings(_3=100),
        settings(_4=1) + settings(_4=2**31 - 1),
        frame(SETTINGS, payload=b"\x00\x04\x00\x01\x00\x00" * 30),
    ],
    ids=["empty", "streams", "windows", "long"],
)
def test_settings_flood(arena, attack):
    """CVE-2019-9515: SETTINGS, each of which has to be acknowledged. `settingsPerMinute`."""
    with arena.attacked() as server:
        peer = server.peer()
        peer.flood(attack, 5_000)
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_settings")


def test_settings_frames_as_large_as_can_be(arena):
    """CVE-2020-11080: a SETTINGS frame with 2,700 entries. nghttp2 takes 32."""
    with arena.attacked() as server:
        peer = server.peer()
        peer.send(frame(SETTINGS, payload=b"\x00\x04\x00\x01\x00\x00" * 2_700))
        peer.expect_goaway(ENHANCE_YOUR_CALM)


IDLE = {
    "empty DATA (CVE-2019-9518)": frame(DATA, 0, 1),
    "DATA of nothing but padding": frame(DATA, PADDED, 1, b"\x09" + bytes(9)),
    "PRIORITY (CVE-2019-9513)": frame(PRIORITY, 0, 3, struct.pack(">IB", 1, 16)),
    "dependencies in a circle": frame(PRIORITY, 0, 3, struct.pack(">IB", 5, 16))
    + frame(PRIORITY, 0, 5, struct.pack(">IB", 3, 16)),
    "WINDOW_UPDATE of the connection": window_update(0, 1),
    "WINDOW_UPDATE of the stream": window_update(1, 1),
    "PING answers that nobody asked for": frame(PING, ACK, payload=bytes(8)),
    "unknown frames": frame(0xF0, 0xFF, 1),
    "ALTSVC": frame(10, 0, 0, b"\x00\x00"),
    "frames without progress beside one byte that is some": frame(PRIORITY, 0, 3, struct.pack(">IB", 1, 16)) * 400
    + frame(DATA, 0, 1, b"\x00"),
}


@pytest.mark.parametrize("attack", IDLE)
def test_frames_without_progress(arena, attack):
    """Frames that move nothing forward. `maximumIdleFrames` in ten seconds."""
    with arena.attacked() as server:
        peer = server.peer()
        stream, request = peer.request("Collect", end=False)
        peer.send(request + frame(DATA, 0, stream, message(b"", 4_000_000)))
        count = len(IDLE[attack]) > 1_000 and 50 or 12_000
        peer.flood(IDLE[attack], count)
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_frames_without_progress")


def test_unknown_frames_as_large_as_can_be(arena):
    """The same with 16 KiB in each: they are skipped, not kept. `maximumIdleFrames`."""
    with arena.attacked(maximumIdleFrames=1_000) as server:
        peer = server.peer()
        peer.flood(frame(0xF0, 0, 0, bytes(16_384)), 1_200, 20)
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_frames_without_progress")


def test_padding_counts_against_the_window_and_is_given_back(arena):
    """A message in frames of 1 byte and 255 of padding, 2 MB in all: more than every window, so it is served only if
    padding is credited. `streamWindow`, `connectionWindow`."""
    with arena.attacked() as server:
        peer = server.peer()
        stream, request = peer.request("Collect", end=False)
        peer.send(request)
        body = message(bytes(8_000))
        for i in range(len(body)):
            peer.send_data(stream, b"\xff" + body[i : i + 1] + bytes(255), PADDED)
        peer.send(frame(DATA, END_STREAM, stream))
        assert peer.status(stream) == OK


@pytest.mark.parametrize(
    "attack, code",
    [
        (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 0, b"\x83"), PROTOCOL_ERROR),
        (frame(CONTINUATION, END_HEADERS, 0, b"\x83"), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 0, bytes(4)), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 7, bytes(4)), PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
        (frame(SETTINGS, ACK), PROTOCOL_ERROR),
        (frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 2, b"\x83"), PROTOCOL_ERROR),
        (frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + b"\x83"), PROTOCOL_ERROR),
        (settings(_2=2), PROTOCOL_ERROR),
        (settings(_4=2**31), FLOW_CONTROL_ERROR),
        (settings(_5=1), PROTOCOL_ERROR),
        (window_update(0, 0), PROTOCOL_ERROR),
        (window_update(0, 2**31 - 1), FLOW_CONTROL_ERROR),
        (frame(DATA, PADDED, 1, b"\xffx"), PROTOCOL_ERROR),
        (frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
        (frame(DATA, 0, 1, length=2**24 - 1), FRAME_SIZE_ERROR),
        (frame(HEADERS, 0, 3, length=16_385), FRAME_SIZE_ERROR),
        (frame(0xF0, 0, 0, length=2**24 - 1), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    ],
    ids=lambda value: value.hex()[:32] if isinstance(value, bytes) else str(value),
)
def test_frames_that_must_not_be(arena, attack, code):
    """On the wrong stream, of the wrong size, pushed by a client, windows over 2^31 - 1: the end of the connection, and
    of no other."""
    with arena.attacked() as server:
        peer = server.peer()
        stream, request = peer.request("Collect", end=False)
        assert stream == 1
        peer.send(request)
        # The server's SETTINGS are acknowledged: one more acknowledgement is one too many.
        peer.until(lambda f: type(f).__name__ == "SettingsFrame", "SETTINGS")
        peer.send(attack)
        peer.expect_goaway(code)


def test_goaway_of_a_client_lets_its_calls_finish(arena):
    """GOAWAYs of a client, in a flood: what it has begun is finished. `maximumIdleFrames`."""
    with arena.attacked(maximumIdleFrames=500) as server:
        peer = server.peer()
        stream, request = peer.request("Collect", end=False)
        peer.send(request + frame(GOAWAY, payload=bytes(8)))
        peer.send(frame(DATA, END_STREAM, stream, message(b"last")))
        assert peer.status(stream) == OK
        # A connection with a call under way: one without any would be closed for the first of them.
        peer = server.peer()
        _, request = peer.request("Collect", end=False)
        peer.send(request)
        peer.flood(frame(GOAWAY, payload=bytes(8) + b"x" * 1_000), 1_000, 50)
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_frames_without_progress")
