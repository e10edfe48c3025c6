"""The cases of grpc/doc/interop-test-descriptions.md: our client against the servers of grpcio and gRPC C++, and their
clients against our server."""

import contextlib
import os
import pathlib
import signal
import socket
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
def certificates(tmp_path_factory):
    """A CA, and a certificate of it for localhost: the folder that holds ca.pem, server.pem and server.key."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    ca = [*new, "-x509", "-days", "2", "-subj", "/CN=A test's CA", "-keyout", "ca.key", "-out", "ca.pem"]
    request = [*new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"]
    sign = ["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    for command in [ca, request, [*sign, "-days", "2", "-extfile", "names", "-out", "server.pem"]]:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module", params=["plain", "tls"])
def security(request, certificates):
    """The folder of the certificates, or None for plain text."""
    return certificates if request.param == "tls" else None


@pytest.fixture(scope="module")
def grpcio_server(security):
    credentials = None
    if security:
        pair = ((security / "server.key").read_bytes(), (security / "server.pem").read_bytes())
        credentials = grpc.ssl_server_credentials([pair])
    with interop_peers.serve(credentials) as port:
        yield port


@pytest.fixture(scope="module")
def cpp():
    return interop_cpp.build()


@pytest.fixture(scope="module")
def cpp_server(cpp, security):
    files = [security / "server.pem", security / "server.key"] if security else []
    with process(cpp / "interop_server", *files) as port:
        yield port


@pytest.fixture(scope="module")
def our_server(security):
    files = ["--certificate", security / "server.pem", "--key", security / "server.key"] if security else []
    with process(BIN / "rpc-interop-server", *(["--tls", *files] if security else [])) as port:
        yield port


def our_client(port, case, security):
    tls = ["--use-tls", "--ca", security / "ca.pem"] if security else []
    where = ["--server_host=localhost" if security else "--server_host=127.0.0.1", f"--server_port={port}"]
    # However slow the machine is: closing a client waits up to a second for the server's end of TLS.
    soak = ["--soak_iterations=3", "--soak_overall_timeout_seconds=90",
            "--soak_per_iteration_max_acceptable_latency_ms=60000"]
    run([BIN / "rpc-interop-client", *where, f"--test_case={case}", *tls, *soak])


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CORE + MORE + SERVER_COMPRESSION + SOAK)
def test_our_client_with_grpcio(grpcio_server, security, case):
    our_client(grpcio_server, case, security)


@pytest.mark.parametrize("case", CORE + MORE + SERVER_COMPRESSION + CLIENT_COMPRESSION + SOAK)
def test_our_client_with_cpp(cpp_server, security, case):
    our_client(cpp_server, case, security)


@pytest.mark.parametrize("case", CORE + MORE + SERVER_COMPRESSION + CLIENT_COMPRESSION)
def test_grpcio_with_our_server(our_server, security, case):
    if security:
        roots = (security / "ca.pem").read_bytes()
        channel = grpc.secure_channel(f"localhost:{our_server}", grpc.ssl_channel_credentials(roots))
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{our_server}")
    with channel:
        getattr(interop_peers.Cases(channel), case)()


@pytest.mark.parametrize("case", CORE + MORE + SERVER_COMPRESSION + CLIENT_COMPRESSION)
def test_cpp_with_our_server(cpp, our_server, security, case):
    run([cpp / "interop_client", str(our_server), case, *([security / "ca.pem"] if security else [])])


@pytest.mark.parametrize("case", ["cacheable_unary", "jwt_token_creds", "orca_oob"])
def test_our_client_says_why_it_refuses_a_case(case):
    command = [BIN / "rpc-interop-client", "--server_port=1", f"--test_case={case}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 64 and f"{case} is refused: " in done.stderr


def test_a_case_that_fails_says_so():
    """grpcio's server does not know how a request came, so the probe for compressed requests must fail."""
    with interop_peers.serve() as port:
        command = [BIN / "rpc-interop-client", f"--server_port={port}", "--test_case=client_compressed_unary"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "client_compressed_unary: the probe succeeded instead of ending with INVALID_ARGUMENT" in done.stdout


def test_a_server_that_nobody_vouches_for_is_not_used(certificates):
    files = ["--certificate", certificates / "server.pem", "--key", certificates / "server.key"]
    with process(BIN / "rpc-interop-server", "--tls", *files) as port:
        where = ["--server_host=localhost", f"--server_port={port}", "--use_tls=true"]
        command = [BIN / "rpc-interop-client", *where, "--test_case=empty_unary"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "empty_unary: UNAVAILABLE" in done.stdout


def test_our_client_gives_up_on_a_server_that_does_not_answer():
    """It takes connections and says nothing of gRPC."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for options in [
            ["--test_case=empty_unary", "--call-timeout-seconds=1"],
            ["--test_case=rpc_soak", "--soak_iterations=100", "--soak_overall_timeout_seconds=1"],
        ]:
            command = [BIN / "rpc-interop-client", f"--server_port={port}", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=25)
            assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.parametrize("iterations", [0, -1])
def test_a_soak_needs_iterations(iterations):
    command = [BIN / "rpc-interop-client", "--server_port=1", "--test_case=rpc_soak", f"--soak_iterations={iterations}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 64 and "soak-iterations" in done.stderr


@pytest.mark.parametrize(
    "command, status",
    [
        (["rpc-echo-server", "--port", "99999"], 69),
        (["rpc-echo-server", "--port", "x"], 64),
        (["rpc-echo-server", "--prot", "1"], 64),
        (["rpc-echo-server", "--key", "key.pem"], 64),
        (["rpc-test-peer"], 64),
        (["rpc-test-peer", "server", "x=y"], 64),
    ],
)
def test_our_servers_say_what_they_cannot_do(command, status):
    done = subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert done.stderr.startswith(f"{command[0]}: ") and done.stderr.count("\n") == 1
