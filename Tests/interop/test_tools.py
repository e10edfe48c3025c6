"""What the programs of the tests say to what they cannot do: a sentence and a code, never a trap, and never plain text
where TLS was meant."""

import contextlib
import subprocess

import grpc
import pytest
from buddy.testing.v1 import testing_pb2, testing_pb2_grpc
from installation import BIN
from message_peer import our_server
from rpc_server import Program, running

USAGE = 64
CLIENT = ["rpc-interop-client", "--server-port=1"]


def run(name, *arguments):
    done = subprocess.run([f"{BIN}/{name}", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["rpc-interop-server", "--certificate=a.crt", "--key=a.key"],
        ["rpc-interop-server", "--client-ca=ca.crt"],
        ["rpc-interop-server", "--tls", "--certificate=a.crt"],
        [*CLIENT, "--certificate=a.crt", "--key=a.key"],
        [*CLIENT, "--ca=ca.crt"],
        [*CLIENT, "--server_host_override=example"],
        [*CLIENT, "--use-tls", "--certificate=a.crt"],
    ],
    ids=" ".join,
)
def test_tls_is_not_left_out(arguments):
    code, text = run(*arguments)
    assert code == USAGE and ("TLS" in text or "go together" in text), text


@pytest.mark.parametrize("seconds", [0, -1, 31_536_001, 2**63 - 1])
def test_a_soak_test_that_never_ends(seconds):
    code, text = run(*CLIENT, "--test-case=rpc_soak", f"--soak-overall-timeout-seconds={seconds}")
    assert code == USAGE and "--soak-overall-timeout-seconds must be 1 to 31536000" in text, text


def test_the_longest_times():
    options = ["--soak-overall-timeout-seconds=31536000", "--soak-iterations=1",
               f"--soak-per-iteration-max-acceptable-latency-ms={2**63 - 1}", f"--call-timeout-seconds={2**63 - 1}"]
    code, text = run(*CLIENT, "--test-case=rpc_soak", *options)
    assert code == 1 and "UNAVAILABLE" in text, text


def test_a_certificate_that_is_an_authoritys(tmp_path):
    """The server names the files, and what is wrong with them."""
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
    for name, usage in [("ca", "keyCertSign"), ("gateway", "digitalSignature")]:
        files = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
        subprocess.run([*new, *files, "-addext", f"keyUsage=critical,{usage}"], cwd=tmp_path, check=True)
    for chain, key, reason in [
        ("ca.crt", "gateway.key", "{chain} is no certificate to show in TLS: its key may not sign (key usage)"),
        ("gateway.crt", "ca.key", "the key {key} does not belong to the certificate {chain}"),
        ("none.crt", "ca.key", "cannot read {chain}: no such file or directory"),
    ]:
        chain, key = tmp_path / chain, tmp_path / key
        code, text = run("rpc-interop-server", "--tls", f"--certificate={chain}", f"--key={key}")
        assert code == 1 and reason.format(chain=chain, key=key) in text, text


def test_an_address_of_another_machine():
    code, text = run("rpc-interop-server", "--host=192.0.2.1")
    assert code == 1 and "cannot listen on 192.0.2.1:0: the address is none of this machine's" in text, text


def test_nobody_is_there():
    code, text = run("rpc-message-peer", "call", 1)
    assert code == 1 and "rpc-message-peer: UNAVAILABLE" in text, text


@pytest.mark.parametrize("option", ["calls=-1", "timeout=-1"])
def test_less_than_nothing(option):
    code, text = run("rpc-test-peer", "client", "127.0.0.1:1", "Say", option)
    assert code == USAGE and "calls and timeout that are not negative" in text, text


@contextlib.contextmanager
def target():
    program = Program("rpc-test-peer", "server")
    try:
        yield program.address
    finally:
        program.process.kill()
        program.process.wait()


@pytest.mark.parametrize("request_", [b"-1 1", b"1 -1", b"1 9223372036854775807", b"1", b""])
def test_a_target_lives_on(request_):
    with target() as address, grpc.insecure_channel(address) as channel:
        expand = channel.unary_stream("/test.Target/Expand")
        with pytest.raises(grpc.RpcError) as error:
            list(expand(request_, timeout=30))
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert list(expand(b"2 1", timeout=30)) == [b"\1", b"\1"]


@pytest.mark.parametrize("server", [our_server, lambda: running("rpc-echo-server")], ids=["message-peer", "echo"])
def test_an_echo_lives_on(server):
    with server() as program, grpc.insecure_channel(getattr(program, "address", program)) as channel:
        stub = testing_pb2_grpc.EchoStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            list(stub.Expand(testing_pb2.ExpandRequest(text="a", count=-1), timeout=30))
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert len(list(stub.Expand(testing_pb2.ExpandRequest(text="a", count=2), timeout=30))) == 2
