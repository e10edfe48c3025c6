"""What the other tests rest on: that the neighbour notices."""

import pytest
from frames import message


def test_a_loop_that_stands_still_is_seen(arena):
    """Few of the neighbour's calls are hit, so the median does not tell."""
    with pytest.raises(AssertionError, match="slowest call"), arena.attacked() as server:
        peers = [server.peer() for _ in range(4)]  # on all loops
        for peer in peers:
            peer.call()
        streams = []
        for peer in peers:
            stream, request = peer.request("Block", message(b"1500"))
            peer.send(request)
            streams.append(stream)
        for peer, stream in zip(peers, streams, strict=True):
            peer.status(stream)
