"""A server that can say anything, to whoever connects."""

import contextlib
import socket
import threading

import hpack
from frames import PATIENCE, HeadersFrame, Peer


class BadServer:
    """Listens, and does to each connection what `behave(peer)` says; `peer` sends as a server would."""

    def __init__(self, behave):
        self.behave = behave
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        peer = Peer.__new__(Peer)
        peer.socket, peer.buffer, peer.seen, peer.fields = connection, bytearray(), [], {}
        peer.encoder, peer.decoder, peer.is_closed, peer.windows = hpack.Encoder(), hpack.Decoder(), False, {}
        peer.resets = set()
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError, AssertionError):
            while len(peer.buffer) < 24 and peer._fill():
                pass
            del peer.buffer[:24]
            self.behave(peer)
        connection.close()

    def close(self):
        self.listener.close()


def first_request(peer):
    """The stream of the first request that a client sends, once its headers are there."""
    return peer.until(lambda f: isinstance(f, HeadersFrame), "a request").stream_id
