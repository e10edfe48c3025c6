"""The cases of grpc/doc/interop-test-descriptions.md: our client against the servers of grpcio and gRPC C++, and their
clients against our server."""

import contextlib
import os
import pathlib
import signal
import subprocess

import grpc
import interop_cpp
import interop_peers
import pytest

BIN = pathlib.Path(os.environ.get("BUDDY_BIN", ".build/debug"))
CORE = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
]
MORE = ["half_duplex"]
SERVER_COMPRESSION = ["server_compressed_unary", "server_compressed_streaming"]
CLIENT_COMPRESSION = ["client_compressed_unary", "client_compressed_streaming"]
SOAK = ["pick_first_unary", "rpc_soak", "channel_soak"]


@contextlib.contextmanager
def process(*command):
    """A server that says on which port it listens, which is what this gives."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            line = running.stdout.readline()
            assert line.startswith("listening on "), line
            yield int(line.split()[-1])
        finally:
            running.send_signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def grpcio_server():
    with interop_peers.serve() as port:
        yield port


@pytest.fixture(scope="module")
def cpp():
    return interop_cpp.build()


@pytest.fixture(scope="module")
def cpp_server(cpp):
    with process(cpp / "interop_server") as port:
        yield port


@pytest.fixture(scope="module")
def our_server():
    with process(BIN / "rpc-interop-server") as port:
        yield port


def our_client(port, case):
    run([BIN / "rpc-interop-client", f"--server_host=127.0.0.1", f"--server_port={port}", f"--test_case={case}"])


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CORE + MORE + SERVER_COMPRESSION + SOAK)
def test_our_client_with_grpcio(grpcio_server, case):
    our_client(grpcio_server, case)


@pytest.mark.parametrize("case", CORE + MORE + SERVER_COMPRESSION + CLIENT_COMPRESSION + SOAK)
def test_our_client_with_cpp(cpp_server, case):
    our_client(cpp_server, case)


@pytest.mark.parametrize("case", CORE + MORE + SERVER_COMPRESSION + CLIENT_COMPRESSION)
def test_grpcio_with_our_server(our_server, case):
    with grpc.insecure_channel(f"127.0.0.1:{our_server}") as channel:
        getattr(interop_peers.Cases(channel), case)()


@pytest.mark.parametrize("case", CORE + MORE + SERVER_COMPRESSION + CLIENT_COMPRESSION)
def test_cpp_with_our_server(cpp, our_server, case):
    run([cpp / "interop_client", str(our_server), case])


@pytest.mark.parametrize("case", ["cacheable_unary", "jwt_token_creds", "orca_oob"])
def test_our_client_says_why_it_refuses_a_case(case):
    command = [BIN / "rpc-interop-client", "--server_port=1", f"--test_case={case}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 64 and f"{case} is refused: " in done.stderr


def test_a_case_that_fails_says_so(grpcio_server):
    """grpcio's server does not know how a request came, so the probe for compressed requests must fail."""
    command = [BIN / "rpc-interop-client", f"--server_port={grpcio_server}", "--test_case=client_compressed_unary"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "client_compressed_unary: the probe succeeded instead of ending with INVALID_ARGUMENT" in done.stdout
