"""Cases of RFC 9113 and RFC 7541 on raw frames, by the sections and numbers of h2spec (the sections are RFC 7540's)."""

from conformance import generic, hpack, streams, frames_received, messages

CASES = generic.CASES + streams.CASES + frames_received.CASES + messages.CASES + hpack.CASES
