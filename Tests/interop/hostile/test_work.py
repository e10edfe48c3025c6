"""Work without end, at a server of one thread: everybody else's calls go on beside it."""

import gzip
import threading
import time

from arena import MIB
from frames import message, settings, window_update

WIDE = settings(_4=2**31 - 1) + window_update(0, 2**31 - 1 - 65_535)
"""Windows that nothing here uses up."""

LONG = 4.0
"""Seconds that an attack lasts."""


def test_one_who_reads_as_fast_as_can_be_written(arena):
    """A stream without end whose reader never lets the socket's buffer get full: there is always more to write."""
    with arena.attacked(worst=1_000, threads=1) as server:
        peer = server.peer(opening=WIDE)
        _, request = peer.request("Expand", message(b"2000000000 100"))
        peer.send(request)
        taken, buffer, end = 0, bytearray(MIB), time.monotonic() + LONG
        while time.monotonic() < end:
            taken += peer.socket.recv_into(buffer)
        assert taken > 4 * MIB, "there was no attack"


def test_messages_of_no_length(arena):
    """Four connections of fifty streams that are full of messages of five bytes, all of which are prefix."""
    with arena.attacked(worst=1_000, memory=96 * MIB, threads=1) as server:
        _attack(server, message())


def test_compressed_messages_of_no_length(arena):
    """The same where each has to be unpacked."""
    with arena.attacked(worst=1_000, memory=96 * MIB, threads=1) as server:
        _attack(server, message(gzip.compress(b"", mtime=0), flag=1), extra=[("grpc-encoding", "gzip")])


def _attack(server, piece, **arguments):
    blob = piece * (16_380 // len(piece))
    end = time.monotonic() + LONG
    attackers = [threading.Thread(target=_fill, args=(server.peer(), blob, end, arguments)) for _ in range(4)]
    for attacker in attackers:
        attacker.start()
    for attacker in attackers:
        attacker.join()


def _fill(peer, blob, end, arguments):
    """Sends blobs on all streams, wherever the windows let it."""
    streams = []
    for _ in range(50):
        stream, request = peer.request("Collect", end=False, **arguments)
        peer.send(request)
        streams.append(stream)
    while time.monotonic() < end:
        assert not peer.is_closed
        for stream in streams:
            if min(peer.window(0), peer.window(stream)) >= len(blob):
                peer.send_data(stream, blob)
        peer.poll()
