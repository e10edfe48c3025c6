"""Small messages that are large when they are unpacked."""

import gzip
import threading
import time

from arena import MIB
from frames import OK, message

BOMB = message(gzip.compress(bytes(4 * MIB - 64), 9), flag=1)


def test_bombs_in_client_streams(arena):
    """Six connections with a hundred streams each, of which each gets two messages of 4 KB that are 4 MiB: 4.7 GiB of
    work. A handler that reads gives way to others, and so does every connection to the rest of its thread's."""
    with arena.attacked(memory=96 * MIB, worst=1_500) as server:
        peers = [server.peer() for _ in range(6)]
        attackers = [threading.Thread(target=_bomb, args=(peer,)) for peer in peers]
        for attacker in attackers:
            attacker.start()
        time.sleep(0.5)  # the attack is under way
        began = time.monotonic()
        late = server.peer()
        assert late.call() == OK
        took = time.monotonic() - began
        for attacker in attackers:
            attacker.join()
        assert took < 1.5, f"a new connection's first call took {took:.1f} s"


def _bomb(peer):
    streams = []
    for _ in range(100):
        stream, request = peer.request("Collect", end=False, extra=[("grpc-encoding", "gzip")])
        peer.send(request)
        streams.append(stream)
    for _ in range(2):
        for stream in streams:
            peer.send_data(stream, BOMB)
