"""Each kind of frame (h2spec: http2/6), and error codes (http2/7)."""

from conformance.wire import *

OPEN = END_HEADERS
POSTED = headers(fields=POST, flags=OPEN)
DUMMY = [("x-dummy", "a" * 20)]
LARGEST_WINDOW = (1 << 31) - 1


def acknowledges(connection):
    connection.wait_for("SETTINGS ACK", lambda got: got.kind == SETTINGS and got.flags & ACK)


def pongs_once(connection):
    """A PING that is an answer gets none: the first answer that comes is that to the second PING."""
    connection.send(ping(b"answer..", flags=ACK), ping(b"question"))
    got = connection.wait_for("PING ACK", lambda got: got.kind == PING and got.flags & ACK)
    if got.payload != b"question":
        raise Unexpected("a PING with ACK was answered")


def one_byte(connection):
    connection.sends_data(1)


def window_after_headers(connection):
    connection.send(settings((INITIAL_WINDOW_SIZE, 0)), headers())
    connection.answers()
    connection.send(settings((INITIAL_WINDOW_SIZE, 1)))
    connection.sends_data(1)


def negative_window(connection):
    """Three bytes go out, then the window is made smaller than that: the next byte waits for the difference and one."""
    connection.send(settings((INITIAL_WINDOW_SIZE, 3)), headers())
    connection.sends_data(3)
    connection.send(settings((INITIAL_WINDOW_SIZE, 2)), window_update(1, 2))
    connection.sends_data(1)


unfinished = lambda *frames: [headers(flags=END_STREAM, extra=block(*DUMMY)), *frames]
whole = lambda *frames: [headers(), *frames]

DATA_TO_PUSH_PROMISE = [
    case("6.1", 1, "DATA on stream 0", [POSTED, data(0)], fails(PROTOCOL_ERROR)),
    case("6.1", 2, "DATA on a stream that is not open", [headers(), data()], fails_stream(STREAM_CLOSED)),
    case("6.1", 3, "DATA with more padding than payload",
         [POSTED, data(payload=b"\x06test", flags=END_STREAM | PADDED)], fails(PROTOCOL_ERROR)),
    case("6.2", 1, "PRIORITY behind HEADERS without END_HEADERS", unfinished(priority()), fails(PROTOCOL_ERROR)),
    case("6.2", 2, "HEADERS of another stream behind those", unfinished(headers(3)), fails(PROTOCOL_ERROR)),
    case("6.2", 3, "HEADERS on stream 0", headers(0), fails(PROTOCOL_ERROR)),
    case("6.2", 4, "HEADERS with more padding than payload",
         headers(flags=END_STREAM | END_HEADERS | PADDED, before=b"\xff"), fails(PROTOCOL_ERROR)),
    case("6.3", 1, "PRIORITY on stream 0", priority(0), fails(PROTOCOL_ERROR)),
    case("6.3", 2, "PRIORITY of 4 bytes", [POSTED, frame(PRIORITY, 0, 1, bytes(4))], fails_stream(FRAME_SIZE_ERROR)),
    case("6.4", 1, "RST_STREAM on stream 0", reset(0), fails(PROTOCOL_ERROR)),
    case("6.4", 2, "RST_STREAM on an idle stream", reset(1), fails(PROTOCOL_ERROR)),
    case("6.4", 3, "RST_STREAM of 3 bytes", [POSTED, frame(RST_STREAM, 0, 1, bytes(3))], fails(FRAME_SIZE_ERROR)),
    case("6.5", 1, "SETTINGS ACK with a payload", frame(SETTINGS, ACK, 0, b"\0"), fails(FRAME_SIZE_ERROR)),
    case("6.5", 2, "SETTINGS on stream 1", frame(SETTINGS, 0, 1, bytes.fromhex("000300000064")), fails(PROTOCOL_ERROR)),
    case("6.5", 3, "SETTINGS of 3 bytes", frame(SETTINGS, 0, 0, b"\0\3\0"), fails(FRAME_SIZE_ERROR)),
    case("6.5.2", 1, "ENABLE_PUSH of 2", settings((ENABLE_PUSH, 2)), fails(PROTOCOL_ERROR)),
    case("6.5.2", 2, "INITIAL_WINDOW_SIZE over the maximum",
         settings((INITIAL_WINDOW_SIZE, 1 << 31)), fails(FLOW_CONTROL_ERROR)),
    case("6.5.2", 3, "MAX_FRAME_SIZE below 2^14", settings((MAX_FRAME_SIZE, MAXIMUM_FRAME - 1)), fails(PROTOCOL_ERROR)),
    case("6.5.2", 4, "MAX_FRAME_SIZE over 2^24 - 1", settings((MAX_FRAME_SIZE, 1 << 24)), fails(PROTOCOL_ERROR)),
    case("6.5.2", 5, "an unknown setting", settings((0xFF, 1)), pings),
    case("6.5.3", 1, "the last of two values counts",
         [settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), headers()], one_byte),
    case("6.5.3", 2, "SETTINGS are acknowledged", settings((ENABLE_PUSH, 0)), acknowledges),
]

PING_TO_CONTINUATION = [
    case("6.7", 1, "PING", b"", pings),
    Case("6.7", 2, "PING with ACK", pongs_once),
    case("6.7", 3, "PING on stream 1", ping(stream=1), fails(PROTOCOL_ERROR)),
    case("6.7", 4, "PING of 6 bytes", ping(bytes(6)), fails(FRAME_SIZE_ERROR)),
    case("6.8", 1, "GOAWAY on stream 1", goaway(stream=1), fails(PROTOCOL_ERROR)),
    case("6.9", 1, "WINDOW_UPDATE of 0", window_update(0, 0), fails(PROTOCOL_ERROR)),
    case("6.9", 2, "WINDOW_UPDATE of 0 on a stream", [POSTED, window_update(1, 0)], fails_stream(PROTOCOL_ERROR)),
    case("6.9", 3, "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, bytes(3)), fails(FRAME_SIZE_ERROR)),
    case("6.9.1", 1, "a window of one byte", [settings((INITIAL_WINDOW_SIZE, 1)), headers()], one_byte),
    case("6.9.1", 2, "the connection's window over 2^31 - 1",
         [window_update(0, LARGEST_WINDOW), window_update(0, LARGEST_WINDOW)], fails(FLOW_CONTROL_ERROR)),
    case("6.9.1", 3, "a stream's window over 2^31 - 1",
         [POSTED, window_update(1, LARGEST_WINDOW), window_update(1, LARGEST_WINDOW)],
         fails_stream(FLOW_CONTROL_ERROR)),
    Case("6.9.2", 1, "INITIAL_WINDOW_SIZE changed after HEADERS", window_after_headers),
    Case("6.9.2", 2, "a window that becomes negative", negative_window),
    case("6.9.2", 3, "INITIAL_WINDOW_SIZE over the maximum",
         settings((INITIAL_WINDOW_SIZE, 1 << 31)), fails(FLOW_CONTROL_ERROR)),
    case("6.10", 1, "several CONTINUATION",
         unfinished(continuation(fields=[("x-a", "a")], flags=0), continuation(fields=[("x-b", "b")])), answers),
    case("6.10", 2, "another frame behind CONTINUATION",
         unfinished(continuation(fields=DUMMY, flags=0), data()), fails(PROTOCOL_ERROR)),
    case("6.10", 3, "CONTINUATION on stream 0", unfinished(continuation(0, DUMMY)), fails(PROTOCOL_ERROR)),
    case("6.10", 4, "CONTINUATION behind HEADERS with END_HEADERS",
         whole(continuation(fields=DUMMY)), fails(PROTOCOL_ERROR)),
    case("6.10", 5, "CONTINUATION behind CONTINUATION with END_HEADERS",
         unfinished(continuation(fields=DUMMY), continuation(fields=DUMMY)), fails(PROTOCOL_ERROR)),
    case("6.10", 6, "CONTINUATION behind DATA",
         [POSTED, data(flags=0), continuation(fields=DUMMY)], fails(PROTOCOL_ERROR)),
]

ERROR_CODES = [
    Case("7", 1, "GOAWAY with an unknown code", lambda connection: unknown_code(connection, goaway(0xFF))),
    case("7", 2, "RST_STREAM with an unknown code", [POSTED, reset(1, 0xFF)], pings),
]


def unknown_code(connection, sent):
    """Not a reason for an error: the connection ends or still answers."""
    connection.send(sent, ping(b"conforms"))
    is_answer = lambda got: got.kind == PING and got.flags & ACK
    connection.wait_for("PING ACK or the end", is_answer, closed=True, never=Connection.is_error)


CASES = DATA_TO_PUSH_PROMISE + PING_TO_CONTINUATION + ERROR_CODES
