"""Connections: too many, from one peer and in all, and gone as soon as they are there."""

import socket
import struct

from arena import MIB, wait_until
from frames import OK, PREFACE, Peer, settings


def _refused(server, number):
    """Opens that many connections; those that the server keeps, once the others are closed."""
    peers = [server.peer() for _ in range(number)]
    kept = []
    for peer in peers:
        try:
            peer.pong()
            kept.append(peer)
        except AssertionError:
            assert peer.is_closed
    return kept


def test_connections_per_peer(arena):
    """One address takes all connections that it can get. `maximumConnectionsPerPeer`."""
    with arena.attacked(maximumConnectionsPerPeer=20) as server:
        kept = _refused(server, 50)
        assert len(kept) == 19  # and the neighbour's, which has the same address here
        kept[0].close()
        wait_until(lambda: len(_refused(server, 1)) == 1, "there is room again")


def test_connections_in_all(arena):
    """Many addresses take all connections that there are. `maximumConnections`."""
    with arena.attacked(maximumConnections=20) as server:
        kept = _refused(server, 50)
        assert len(kept) == 19
        kept[0].close()
        wait_until(lambda: len(_refused(server, 1)) == 1, "there is room again")


def test_connection_churn(arena):
    """Connections opened and closed, 1,500 of them: after the preface, without a word, and by RST. Nothing is left of
    them, and whoever comes then is served."""
    with arena.attacked(memory=24 * MIB) as server:
        files = server.descriptors()
        for number in range(1_500):
            peer = socket.create_connection(("127.0.0.1", server.port))
            if number % 3 == 0:
                peer.sendall(PREFACE + settings())
            if number % 3 == 1:
                # A close with RST instead of FIN: often before the server has accepted the connection.
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        wait_until(lambda: server.descriptors() <= files, "all of them are gone")
        peer = Peer(server.port)
        assert peer.call() == OK
        peer.close()


def test_calls_abandoned_by_their_connection(arena):
    """Connections with a hundred calls each, cut off in the middle of them: the handlers are cancelled and end."""
    with arena.attacked(memory=24 * MIB) as server:
        files = server.descriptors()
        for _ in range(20):
            peer = Peer(server.port)
            peer.send(b"".join(peer.request("Collect", b"\0\0", end=False)[1] for _ in range(100)))
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        wait_until(lambda: server.descriptors() <= files, "all of them are gone")
