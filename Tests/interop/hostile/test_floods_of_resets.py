"""Streams that are opened and at once given up, by the attacker or because of what it does."""

import struct

import pytest
from frames import (
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    HEADERS,
    INTERNAL_ERROR,
    OK,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RESOURCE_EXHAUSTED,
    STREAM_CLOSED,
    RstStreamFrame,
    SettingsFrame,
    cut,
    frame,
    message,
    reset,
    settings,
    window_update,
)


@pytest.mark.parametrize("batch", [1, 500])
@pytest.mark.parametrize("code", [CANCEL, 0])
def test_rapid_reset(arena, batch, code):
    """CVE-2023-44487: streams opened and reset at once, one by one or hundreds in one segment. `resetBurst`,
    `resetsPerSecond`."""
    with arena.attacked() as server:
        peer = server.peer()
        for _ in range(2_000 // batch):
            data = b""
            for _ in range(batch):
                stream, request = peer.request("Collect", end=False)
                data += request + reset(stream, code)
            if not peer.send(data) or peer.is_closed:
                break
            peer.poll()
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_resets")


def test_cancelling_now_and_then_is_no_attack(arena):
    """What `resetBurst` allows: a caller may give up a hundred calls at once."""
    with arena.attacked() as server:
        peer = server.peer()
        for _ in range(100):
            stream, request = peer.request("Collect", end=False)
            peer.send(request + reset(stream))
        assert peer.call() == OK


def _window_of_nothing(peer):
    stream, request = peer.request("Collect", end=False)
    return request + window_update(stream, 0)


def _window_too_wide(peer):
    stream, request = peer.request("Collect", end=False)
    return request + window_update(stream, 2**31 - 1)


def _data_after_the_end(peer):
    stream, request = peer.request("Stubborn", message(b"x"))
    return request + frame(DATA, 0, stream, b"more")


def _headers_after_the_end(peer):
    stream, request = peer.request("Stubborn", message(b"x"))
    return request + peer.headers(stream)


def _depends_on_itself(peer):
    stream, request = peer.request("Collect", end=False)
    return request + frame(PRIORITY, 0, stream, struct.pack(">IB", stream, 16))


def _headers_that_depend_on_themselves(peer):
    stream = peer.open_stream()
    return frame(HEADERS, END_HEADERS | 0x20, stream, struct.pack(">IB", stream, 16) + peer.block("Collect"))


def _priority_of_wrong_size(peer):
    stream, request = peer.request("Collect", end=False)
    return request + frame(PRIORITY, 0, stream, b"abc")


def _data_beyond_the_window(peer):
    stream, request = peer.request("Collect", end=False)
    return request + frame(DATA, 0, stream, message(b"", 10_000) + bytes(4_000))


def _data_beyond_content_length(peer):
    stream, request = peer.request("Collect", end=False, content_length="3")
    return request + frame(DATA, 0, stream, message(b"four"))


def _trailers_without_an_end(peer):
    stream, request = peer.request("Collect", end=False)
    return request + frame(HEADERS, END_HEADERS, stream, peer.encoder.encode([("x", "y")]))


def _trailers_with_a_path(peer):
    stream, request = peer.request("Collect", end=False)
    return request + frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.encoder.encode([(":path", "/")]))


def _no_path(peer):
    return frame(HEADERS, END_HEADERS, peer.open_stream(), peer.encoder.encode([(":method", "POST")]))


def _capital_letters(peer):
    return peer.request("Collect", end=False, extra=[("X-Upper", "1")])[1]


def _far_too_long_headers(peer):
    return b"".join(cut(peer.request("Collect", end=False, extra=[(f"x{n}", "a" * 3_900) for n in range(20)])[1]))


PROVOKED = (ENHANCE_YOUR_CALM, "too_many_provoked_resets")


@pytest.mark.parametrize(
    "provoke, code, reason",
    [
        # nghttp2 takes some of these as reason enough to end the connection the first time.
        (_window_of_nothing, PROTOCOL_ERROR, ""),
        (_window_too_wide, *PROVOKED),
        (_data_after_the_end, STREAM_CLOSED, ""),
        (_headers_after_the_end, STREAM_CLOSED, ""),
        (_depends_on_itself, PROTOCOL_ERROR, ""),
        (_headers_that_depend_on_themselves, PROTOCOL_ERROR, ""),
        (_priority_of_wrong_size, 6, ""),
        (_data_beyond_the_window, *PROVOKED),
        (_data_beyond_content_length, *PROVOKED),
        (_trailers_without_an_end, *PROVOKED),
        (_trailers_with_a_path, *PROVOKED),
        (_no_path, *PROVOKED),
        (_capital_letters, *PROVOKED),
        (_far_too_long_headers, *PROVOKED),
    ],
)
def test_made_you_reset(arena, provoke, code, reason):
    """CVE-2025-8671: the attacker breaks a rule on each stream, so that the server resets it, and opens the next.
    `maximumProvokedResets`."""
    with arena.attacked(streamWindow=2_000) as server:
        peer = server.peer()
        peer.until(lambda f: isinstance(f, SettingsFrame), "SETTINGS")  # its windows count once it is acknowledged
        # Each reset is waited for: a hundred streams at once would be too many for another reason.
        while peer.send(provoke(peer)) and peer.hears_reset(peer.next_stream - 2):
            assert peer.next_stream < 1_000
        peer.expect_goaway(code, reason)


def test_a_few_mistakes_reset_their_streams_alone(arena):
    """What `maximumProvokedResets` allows, and each mistake's code."""
    with arena.attacked(streamWindow=2_000) as server:
        peer = server.peer()
        for provoke, code in [
            (_window_too_wide, FLOW_CONTROL_ERROR),
            (_data_beyond_the_window, FLOW_CONTROL_ERROR),
            (_data_beyond_content_length, PROTOCOL_ERROR),
            (_no_path, PROTOCOL_ERROR),
            (_far_too_long_headers, INTERNAL_ERROR),
        ]:
            peer.send(provoke(peer))
            assert peer.reset_code(peer.next_stream - 2) == code, provoke
        assert peer.call() == OK


def test_more_streams_than_were_offered_before_the_offer_is_acknowledged(arena):
    """Streams over SETTINGS_MAX_CONCURRENT_STREAMS that are sent before the peer can know of it are refused, and can be
    sent again. `maximumStreams`."""
    with arena.attacked() as server:
        peer = server.peer(opening=settings())
        streams = []
        for _ in range(150):
            stream, request = peer.request("Collect", end=False)
            streams.append(stream)
            peer.send(request)
        for stream in streams[100:]:
            assert peer.reset_code(stream) == REFUSED_STREAM
        peer.send(b"".join(frame(DATA, END_STREAM, stream) for stream in streams[:100]))
        assert [peer.status(stream) for stream in streams[:100]] == [OK] * 100
        assert peer.call() == OK


def test_more_streams_than_were_offered(arena):
    """Who has acknowledged SETTINGS_MAX_CONCURRENT_STREAMS and opens more has broken the protocol: nghttp2 ends the
    connection (RFC 9113 §5.4 lets a stream error be one of the connection). `maximumStreams`."""
    with arena.attacked() as server:
        peer = server.peer()
        peer.pong()
        peer.send(b"".join(peer.request("Collect", end=False)[1] for _ in range(101)))
        peer.expect_goaway(PROTOCOL_ERROR)


def test_a_flood_of_streams_that_are_refused(arena):
    """The attacker never acknowledges SETTINGS, so that every stream too many is only refused. `maximumIdleFrames`:
    a refused stream is no progress."""
    with arena.attacked(maximumIdleFrames=2_000) as server:
        peer = server.peer()
        peer.acknowledge = lambda: None
        peer.send(b"".join(peer.request("Collect", end=False)[1] for _ in range(100)))
        for _ in range(60):
            if not peer.send(b"".join(peer.request("Collect", end=False)[1] for _ in range(100))) or peer.is_closed:
                break
            peer.poll()
        peer.expect_goaway(ENHANCE_YOUR_CALM, "too_many_frames_without_progress")
        assert peer.count(RstStreamFrame) > 1_000


def test_handlers_that_do_not_end_when_cancelled(arena):
    """Resets few enough for `resetBurst`, of calls whose handlers go on: they count until they end.
    `maximumHandlers`."""
    with arena.attacked(maximumHandlers=10) as server:
        peer = server.peer()
        for _ in range(10):
            stream, request = peer.request("Stubborn", message(b"x"))
            peer.send(request)
            assert peer.call() == (RESOURCE_EXHAUSTED if stream == 37 else OK)  # so that it has begun
            peer.send(reset(stream))
        assert peer.call() == RESOURCE_EXHAUSTED


def test_handlers_that_all_begin_at_once(arena):
    """Calls are opened first and ended together: what counts is how many handlers run when one is to begin.
    `maximumHandlers`."""
    with arena.attacked(maximumHandlers=10) as server:
        peer = server.peer()
        opened = [peer.request("Stubborn", message(b"x"), end=False) for _ in range(90)]
        peer.send(b"".join(data for _, data in opened))
        peer.pong()
        peer.send(b"".join(frame(DATA, END_STREAM, stream) for stream, _ in opened))
        statuses = [peer.status(stream) for stream, _ in opened]
        assert statuses == [OK] * 10 + [RESOURCE_EXHAUSTED] * 80
