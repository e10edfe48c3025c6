"""What every server must be able to do (h2spec: generic)."""

from conformance.wire import *

OPEN = END_HEADERS


def no_window(*frames):
    """A request whose answer waits for a window, then these frames."""
    return [settings((INITIAL_WINDOW_SIZE, 0)), headers(), *frames, window_update(1, 1)]


def sends_data(connection):
    connection.sends_data()


def preface(connection):
    connection.send(PREFACE, settings())
    connection.wait_for("SETTINGS", lambda got: got.kind == SETTINGS)


def priority_on_closed(connection):
    connection.send(headers())
    connection.ends()
    connection.send(priority())
    connection.pings()


def reset_when_half_closed(connection):
    """The stream is gone; the connection may go too."""
    connection.send(headers(), reset(), ping(b"conforms"))
    is_answer = lambda got: got.kind == PING and got.flags & ACK
    connection.wait_for("PING ACK or the end", is_answer, closed=True)


def acknowledges(connection):
    connection.wait_for("SETTINGS ACK", lambda got: got.kind == SETTINGS and got.flags & ACK)


def goes_away(connection):
    """GOAWAY is taken: the connection ends or still answers."""
    connection.send(goaway(), ping(b"conforms"))
    is_answer = lambda got: got.kind == PING and got.flags & ACK
    connection.wait_for("PING ACK or the end", is_answer, closed=True, never=Connection.is_error)


# Representations of one field, user-agent or x-test (RFC 7541 §6): with literal and Huffman-coded strings.
AGENT = b"\x0auser-agent\x06h2spec"
AGENT_CODED = bytes.fromhex("87b505b161cc5a93849c48aca4")
TEST = b"\x06x-test\x06h2spec"
TEST_CODED = bytes.fromhex("85f2b24a84ff849c48aca4")
INDEXED_NAME = {0x40: b"\x7a", 0x00: b"\x0f\x2b", 0x10: b"\x1f\x2b"}  # index 58 is user-agent


def hpack_cases():
    kinds = [(0x40, "with incremental indexing"), (0x00, "without indexing"), (0x10, "never indexed")]
    values = [("", b"\x06h2spec"), (", Huffman coded", bytes.fromhex("849c48aca4"))]
    number = 1
    for kind, what in kinds:
        for coded, value in values:
            number += 1
            yield number, f"literal {what}, indexed name{coded}", INDEXED_NAME[kind] + value
        for coded, field in [("", TEST), (", Huffman coded", TEST_CODED)]:
            number += 1
            yield number, f"literal {what}, new name{coded}", bytes([kind]) + field


CASES = [
    Case("generic/1", 1, "a connection preface", preface, is_raw=True),
    case("generic/2", 1, "PRIORITY on an idle stream", priority(), pings),
    case("generic/2", 2, "WINDOW_UPDATE on a half-closed stream", no_window(), sends_data),
    case("generic/2", 3, "PRIORITY on a half-closed stream", no_window(priority()), sends_data),
    Case("generic/2", 4, "RST_STREAM on a half-closed stream", reset_when_half_closed),
    Case("generic/2", 5, "PRIORITY on a closed stream", priority_on_closed),
    case("generic/3.1", 1, "DATA", [headers(fields=POST, flags=OPEN), data()], answers),
    case("generic/3.1", 2, "several DATA", [headers(fields=POST, flags=OPEN), data(flags=0), data()], answers),
    case(
        "generic/3.1", 3, "DATA with padding",
        [headers(fields=POST, flags=OPEN), data(payload=b"\x06test" + bytes(6), flags=END_STREAM | PADDED)], answers,
    ),
    case("generic/3.2", 1, "HEADERS", headers(), answers),
    case(
        "generic/3.2", 2, "HEADERS with padding",
        headers(flags=END_STREAM | END_HEADERS | PADDED, before=b"\x06", after=bytes(6)), answers,
    ),
    case(
        "generic/3.2", 3, "HEADERS with priority",
        headers(flags=END_STREAM | END_HEADERS | WITH_PRIORITY, before=priority_fields()), answers,
    ),
    case("generic/3.3", 1, "PRIORITY of weight 1", [priority(weight=0), headers()], answers),
    case("generic/3.3", 2, "PRIORITY of weight 256", [priority(weight=255), headers()], answers),
    case("generic/3.3", 3, "PRIORITY with a dependency", [priority(3, 1), headers()], answers),
    case("generic/3.3", 4, "PRIORITY, exclusive", [priority(3, 1, exclusive=True), headers()], answers),
    case("generic/3.3", 5, "PRIORITY for an idle stream, then a lower stream", [priority(5), headers(3)],
         lambda connection: connection.answers(3)),
    case("generic/3.4", 1, "RST_STREAM", [headers(fields=POST, flags=OPEN), reset()], pings),
    case("generic/3.5", 1, "SETTINGS", settings((MAX_FRAME_SIZE, 20_000)), acknowledges),
    case("generic/3.7", 1, "PING", b"", pings),
    Case("generic/3.8", 1, "GOAWAY", goes_away),
    case("generic/3.9", 1, "WINDOW_UPDATE of the connection", [window_update(0, 1), headers()], answers),
    case("generic/3.9", 2, "WINDOW_UPDATE of a stream", [headers(fields=POST, flags=OPEN), window_update(1, 1), data()],
         answers),
    case("generic/3.10", 1, "CONTINUATION",
         [headers(flags=END_STREAM), continuation(fields=[("x-dummy", "a")])], answers),
    case("generic/3.10", 2, "several CONTINUATION",
         [headers(flags=END_STREAM), continuation(fields=[("x-dummy", "a")], flags=0),
          continuation(fields=[("x-other", "b")])], answers),
    case("generic/4", 1, "GET", headers(), answers),
    case("generic/4", 2, "HEAD", headers(fields=[(":method", "HEAD")] + REQUEST[1:]), answers),
    case("generic/4", 3, "POST", [headers(fields=POST, flags=OPEN), data()], answers),
    case("generic/4", 4, "POST with trailers",
         [headers(fields=POST + [("trailer", "x-test")], flags=OPEN), data(flags=0),
          headers(fields=[("x-test", "ok")])], answers),
    case("generic/5", 1, "an indexed field", headers(extra=b"\xba"), answers),
    *[case("generic/5", number, title, headers(extra=extra), answers) for number, title, extra in hpack_cases()],
    case("generic/5", 14, "a size update",
         frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x20" + block(*REQUEST)), answers),
    case("generic/5", 15, "two size updates",
         frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x20\x3f\xe1\x1f" + block(*REQUEST)), answers),
]
