"""Requests that are not well formed (h2spec: http2/8)."""

from conformance.wire import *

OPEN = END_HEADERS
MALFORMED = fails_stream(PROTOCOL_ERROR)


def request(*fields):
    return headers(fields=list(fields))


def promise(connection):
    """A client cannot push."""
    promised = frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block(*REQUEST))
    connection.send(headers(fields=POST, flags=OPEN), promised)
    connection.fails(PROTOCOL_ERROR)


without = lambda name: request(*[field for field in REQUEST if field[0] != name])
twice = lambda name: request(*[field for field in REQUEST if field[0] == name], *REQUEST)
METHOD, SCHEME, PATH, AUTHORITY = REQUEST

CASES = [
    case("8.1", 1, "a second HEADERS without END_STREAM",
         [headers(fields=POST, flags=OPEN), data(flags=0), headers(fields=[("x-test", "ok")], flags=OPEN)], MALFORMED),
    case("8.1.2", 1, "a name in upper case", request(*REQUEST, ("X-TEST", "ok")), MALFORMED),
    case("8.1.2.1", 1, "an unknown pseudo-header", request(*REQUEST, (":test", "ok")), MALFORMED),
    case("8.1.2.1", 2, "a response's pseudo-header", request(*REQUEST, (":status", "200")), MALFORMED),
    case("8.1.2.1", 3, "a pseudo-header in trailers",
         [headers(fields=POST, flags=OPEN), data(flags=0), headers(fields=[(":method", "200")])], MALFORMED),
    case("8.1.2.1", 4, "a pseudo-header behind another header",
         request(METHOD, SCHEME, AUTHORITY, ("x-test", "ok"), PATH), MALFORMED),
    case("8.1.2.2", 1, "a header of the connection", request(*REQUEST, ("connection", "keep-alive")), MALFORMED),
    case("8.1.2.2", 2, "TE other than trailers", request(*REQUEST, ("trailers", "test"), ("te", "trailers, deflate")),
         MALFORMED),
    case("8.1.2.3", 1, "an empty :path", request(METHOD, SCHEME, (":path", ""), AUTHORITY), MALFORMED),
    case("8.1.2.3", 2, "no :method", without(":method"), MALFORMED),
    case("8.1.2.3", 3, "no :scheme", without(":scheme"), MALFORMED),
    case("8.1.2.3", 4, "no :path", without(":path"), MALFORMED),
    case("8.1.2.3", 5, ":method twice", twice(":method"), MALFORMED),
    case("8.1.2.3", 6, ":scheme twice", twice(":scheme"), MALFORMED),
    case("8.1.2.3", 7, ":path twice", twice(":path"), MALFORMED),
    case("8.1.2.6", 1, "content-length that one DATA does not have",
         [headers(fields=POST + [("content-length", "1")], flags=OPEN), data()], MALFORMED),
    case("8.1.2.6", 2, "content-length that several DATA do not have",
         [headers(fields=POST + [("content-length", "1")], flags=OPEN), data(flags=0), data()], MALFORMED),
    Case("8.2", 1, "PUSH_PROMISE from a client", promise),
]
