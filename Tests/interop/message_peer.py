"""The peer of test_compression.py and test_rich_errors.py: our library on one side, grpcio on the other."""

import concurrent.futures
import contextlib
import os
import pathlib
import socket
import subprocess
import threading

import grpc
from buddy.testing.v1 import testing_pb2, testing_pb2_grpc

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = pathlib.Path(os.environ.get("BUDDY_BIN", ROOT / ".build/debug")) / "rpc-message-peer"


@contextlib.contextmanager
def our_server():
    """Our server's address."""
    process = subprocess.Popen([TOOL, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        yield "127.0.0.1:" + process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.wait()


def our_client(port):
    """What our client says of its calls to the port: the text behind each name."""
    result = subprocess.run([TOOL, "call", str(port)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return dict(line.split(": ", 1) for line in result.stdout.splitlines())


class TheirEcho(testing_pb2_grpc.EchoServicer):
    """All but Say, which tests make theirs. Every other message of Expand is not compressed."""

    def Expand(self, request, context):
        for number in range(request.count):
            if number % 2 == 1:
                context.disable_next_message_compression()
            yield testing_pb2.EchoMessage(text=request.text)

    def Collect(self, requests, context):
        return testing_pb2.EchoMessage(text="".join(request.text for request in requests))

    def Chat(self, requests, context):
        yield from requests


@contextlib.contextmanager
def their_server(servicer, **options):
    """A server of grpcio with that servicer; yields its port."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), **options)
    testing_pb2_grpc.add_EchoServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)


class Wire:
    """Stands between a client and a server and counts bytes: grpcio does not say whether a message was compressed."""

    def __init__(self, address):
        host, port = address.split(":")
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.to_server = 0
        self.to_client = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            threading.Thread(target=self._carry, args=(near, far, "to_server"), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, "to_client"), daemon=True).start()

    def _carry(self, source, target, count):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                setattr(self, count, getattr(self, count) + len(data))
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def take(self):
        """Bytes to the server and to the client since the last time."""
        counts = (self.to_server, self.to_client)
        self.to_server = self.to_client = 0
        return counts

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def text(length):
    return testing_pb2.EchoMessage(text="compressible "[:13] * (length // 13))
