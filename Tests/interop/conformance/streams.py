"""The connection, frames in general and streams (h2spec: http2/3 to http2/5)."""

from conformance.wire import *

OPEN = END_HEADERS
DUMMY = [("x-dummy", "a" * 20)]


def own_preface(connection):
    connection.send(PREFACE, settings())
    first = connection.receive()
    if first is None or first.kind != SETTINGS:
        raise Unexpected(f"{first} came first, instead of SETTINGS")


def bad_preface(connection):
    connection.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
    connection.fails(PROTOCOL_ERROR)


def after_end(frames, *codes):
    """These frames come after both sides have ended the stream."""

    def run(connection):
        connection.send(headers())
        connection.ends()
        connection.send(frames)
        connection.fails(*codes)

    return run


def too_many_streams(connection):
    """Answers wait for a window, so that all streams stay open."""
    limit = connection.peer_settings.get(MAX_CONCURRENT_STREAMS, 100)
    connection.send(settings((INITIAL_WINDOW_SIZE, 0)))
    connection.send(*[headers(stream) for stream in range(1, 2 * limit + 3, 2)])
    connection.fails_stream(PROTOCOL_ERROR, REFUSED_STREAM)


def closes_after_goaway(connection):
    connection.send(ping(stream=3))
    connection.wait_for("the end", lambda got: False, closed=True)


def goaway_for_bad_ping(connection):
    connection.send(ping(stream=3))
    connection.wait_for("GOAWAY", lambda got: got.kind == GOAWAY and got.code == PROTOCOL_ERROR)


unknown = lambda stream=0: frame(0xFF, 0, stream, b"\0" * 8)
half_closed = lambda *frames: [headers(), *frames]
after_reset = lambda *frames: [headers(fields=POST, flags=OPEN), reset(), *frames]
unfinished = lambda *frames: [headers(flags=END_STREAM, extra=block(*DUMMY)), *frames]

CASES = [
    Case("3.5", 1, "a connection preface is answered by SETTINGS", own_preface, is_raw=True),
    Case("3.5", 2, "an invalid preface", bad_preface, is_raw=True),
    case("4.1", 1, "a frame of an unknown type", unknown(), pings),
    case("4.1", 2, "an undefined flag", ping(flags=0x16), pings),
    case("4.1", 3, "the reserved bit", ping(reserved=True), pings),
    case("4.2", 1, "DATA of 2^14 bytes",
         [headers(fields=POST, flags=OPEN), data(payload=bytes(MAXIMUM_FRAME))], answers),
    case("4.2", 2, "DATA over the maximum",
         [headers(fields=POST, flags=OPEN), data(payload=bytes(MAXIMUM_FRAME + 1))], fails_stream(FRAME_SIZE_ERROR)),
    case("4.2", 3, "HEADERS over the maximum",
         headers(extra=block(*[(f"x-{number}", "a" * 126) for number in range(130)])), fails(FRAME_SIZE_ERROR)),
    case("4.3", 1, "an invalid header block",
         frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x00\x02\x6d\x65\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
         fails(COMPRESSION_ERROR)),
    case("4.3", 2, "PRIORITY inside a header block",
         unfinished(priority(), continuation(fields=DUMMY)), fails(PROTOCOL_ERROR)),
    case("4.3", 3, "HEADERS of another stream inside a header block", unfinished(headers(3)), fails(PROTOCOL_ERROR)),
    case("5.1", 1, "idle: DATA", data(), fails(PROTOCOL_ERROR)),
    case("5.1", 2, "idle: RST_STREAM", reset(), fails(PROTOCOL_ERROR)),
    case("5.1", 3, "idle: WINDOW_UPDATE", window_update(1, 100), fails(PROTOCOL_ERROR)),
    case("5.1", 4, "idle: CONTINUATION", continuation(fields=REQUEST), fails(PROTOCOL_ERROR)),
    case("5.1", 5, "half-closed (remote): DATA", half_closed(data()), fails_stream(STREAM_CLOSED)),
    case("5.1", 6, "half-closed (remote): HEADERS", half_closed(headers()), fails_stream(STREAM_CLOSED)),
    case("5.1", 7, "half-closed (remote): CONTINUATION",
         half_closed(continuation(fields=REQUEST)), fails_stream(STREAM_CLOSED, PROTOCOL_ERROR)),
    case("5.1", 8, "closed after RST_STREAM: DATA", after_reset(data()), fails_stream(STREAM_CLOSED)),
    case("5.1", 9, "closed after RST_STREAM: HEADERS", after_reset(headers()), fails_stream(STREAM_CLOSED)),
    case("5.1", 10, "closed after RST_STREAM: CONTINUATION",
         after_reset(continuation(fields=DUMMY)), fails_stream(STREAM_CLOSED, PROTOCOL_ERROR)),
    Case("5.1", 11, "closed: DATA", after_end(data(), STREAM_CLOSED)),
    Case("5.1", 12, "closed: HEADERS", after_end(headers(), STREAM_CLOSED)),
    Case("5.1", 13, "closed: CONTINUATION",
         after_end(continuation(fields=DUMMY), STREAM_CLOSED, PROTOCOL_ERROR)),
    case("5.1.1", 1, "an even stream", headers(2), fails(PROTOCOL_ERROR)),
    case("5.1.1", 2, "a stream below the last one", [headers(5), headers(3)], fails(PROTOCOL_ERROR)),
    Case("5.1.2", 1, "more streams than the peer takes", too_many_streams),
    case("5.3.1", 1, "HEADERS that depend on themselves",
         headers(flags=END_STREAM | END_HEADERS | WITH_PRIORITY, before=priority_fields(1)),
         fails_stream(PROTOCOL_ERROR)),
    case("5.3.1", 2, "PRIORITY that depends on itself", priority(2, 2), fails_stream(PROTOCOL_ERROR)),
    Case("5.4.1", 1, "an invalid PING closes the connection", closes_after_goaway),
    Case("5.4.1", 2, "an invalid PING gets GOAWAY", goaway_for_bad_ping),
    case("5.5", 1, "an unknown frame", unknown(1), pings),
    case("5.5", 2, "an unknown frame inside a header block",
         unfinished(unknown(1), continuation(fields=DUMMY)), fails(PROTOCOL_ERROR)),
]
