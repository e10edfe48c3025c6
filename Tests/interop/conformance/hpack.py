"""Header blocks that are not HPACK (h2spec: hpack; RFC 7541)."""

from conformance.wire import *

INVALID = fails(COMPRESSION_ERROR)
# A literal with a name of Huffman code, then its value: "x-test" is 85 f2 b2 4a 84 ff.
NAME = b"\x00\x85\xf2\xb2\x4a\x84\xff"

CASES = [
    case("hpack/2.3.3", 1, "an index that does not exist", headers(extra=b"\xc6"), INVALID),
    case("hpack/2.3.3", 2, "a literal with such an index as name", headers(extra=b"\x7f\x07\x05empty"), INVALID),
    case("hpack/4.2", 1, "a size update at the end of a block", headers(extra=b"\x20"), INVALID),
    case("hpack/5.2", 1, "Huffman padding of more than 7 bits",
         headers(extra=NAME + b"\x85\x9c\x48\xac\xa4\xff"), INVALID),
    case("hpack/5.2", 2, "Huffman padding of zeros", headers(extra=b"\x00\x85\xf2\xb2\x4a\x87\x00\x01a"), INVALID),
    case("hpack/5.2", 3, "Huffman code with EOS", headers(extra=NAME + b"\x84\xff\xff\xff\xff"), INVALID),
    case("hpack/6.1", 1, "index 0", headers(extra=b"\x80"), INVALID),
    case("hpack/6.3", 1, "a size update over the limit",
         frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x3f\xe1\xff\x3f" + block(*REQUEST)), INVALID),
]
