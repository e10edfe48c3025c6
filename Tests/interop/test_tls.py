"""TLS with other people's TLS: grpcio (BoringSSL) on both sides of our services, and openssl."""

import concurrent.futures
import os
import pathlib
import subprocess
import tempfile

import grpc
import pytest
from buddy.learning.v1 import learning_pb2, learning_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from installation import BIN, Installation, wait_until


def run(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, **options)


@pytest.fixture(scope="module")
def certificates():
    with tempfile.TemporaryDirectory(prefix="buddy-tls-") as folder:
        made = run(f"{BIN}/buddy", "certs", "init", "--folder", folder)
        assert made.returncode == 0, made.stderr
        # A certificate with all the right names, from an authority that nobody here knows, made by openssl.
        subject = ["-subj", "/CN=other", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        names = "subjectAltName=URI:spiffe://buddy/gateway,DNS:localhost,IP:127.0.0.1"
        other = ["-keyout", f"{folder}/other.key", "-out", f"{folder}/other.crt", "-addext", names]
        assert run("openssl", "req", "-x509", *subject, *other).returncode == 0
        yield pathlib.Path(folder)


class Learning(learning_pb2_grpc.LearningServicer):
    """Written with grpcio; remembers who called, as its TLS knows them."""

    def __init__(self):
        self.callers = set()

    def GetMultipliers(self, request, context):
        self.callers.update(context.auth_context().get("x509_subject_alternative_name", []))
        multipliers = [learning_pb2.Multiplier(tool=tool, value=1.1) for tool in request.tools]
        return learning_pb2.GetMultipliersResponse(multipliers=multipliers)


class TLSPeer:
    """A learning service on grpcio that shows this certificate and asks for ours."""

    def __init__(self, folder, name):
        self.learning = Learning()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        learning_pb2_grpc.add_LearningServicer_to_server(self.learning, self.server)
        pair = ((folder / f"{name}.key").read_bytes(), (folder / f"{name}.crt").read_bytes())
        authority = (folder / "ca.crt").read_bytes()
        credentials = grpc.ssl_server_credentials([pair], authority, require_client_auth=True)
        self.address = f"127.0.0.1:{self.server.add_secure_port('127.0.0.1:0', credentials)}"
        self.server.start()


@pytest.fixture(scope="module")
def setting(certificates):
    peer = TLSPeer(certificates, "learning")
    environment = {"BUDDY_TLS_FOLDER": str(certificates)}
    with Installation(overrides={"learning": peer.address}, environment=environment) as installation:
        yield installation, peer.learning
    peer.server.stop(None)


def channel(folder, address, name):
    """As the service of that name."""
    key, chain = (folder / f"{name}.key").read_bytes(), (folder / f"{name}.crt").read_bytes()
    return grpc.secure_channel(address, grpc.ssl_channel_credentials((folder / "ca.crt").read_bytes(), key, chain))


def code_of(call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code()


def submit(stub, objective):
    mission = stub.Submit(mission_pb2.SubmitMissionRequest(objective=objective), timeout=30)

    def ended():
        return stub.Get(mission_pb2.GetMissionRequest(id=mission.id), timeout=30).HasField("finished_at")

    wait_until(ended, "the mission ends")
    return stub.Get(mission_pb2.GetMissionRequest(id=mission.id), timeout=30)


def test_a_grpcio_client_and_a_grpcio_server(certificates, setting):
    installation, learning = setting
    with channel(certificates, installation.address("execution"), "gateway") as gateway:
        mission = submit(mission_pb2_grpc.MissionsStub(gateway), "What is 6 * 7?")
    assert mission.state == mission_pb2.MISSION_STATE_SUCCEEDED, mission.error
    # Execution asked learning's server, over mutual TLS, and got its answer.
    assert mission.choice.candidates[0].multiplier == 1.1
    assert b"spiffe://buddy/execution" in learning.callers


def test_what_a_caller_may_not_call(certificates, setting):
    installation, _ = setting
    address = installation.address("execution")
    with channel(certificates, address, "learning") as learning:
        stub = mission_pb2_grpc.MissionsStub(learning)
        listing = mission_pb2.ListMissionsRequest()
        assert code_of(lambda: stub.List(listing, timeout=30)) == grpc.StatusCode.PERMISSION_DENIED
        health = health_pb2_grpc.HealthStub(learning)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_grpcio_clients_that_are_refused(certificates, setting):
    installation, _ = setting
    address = installation.address("execution")
    authority = (certificates / "ca.crt").read_bytes()
    unknown = (certificates / "other.key").read_bytes(), (certificates / "other.crt").read_bytes()
    request = health_pb2.HealthCheckRequest()
    for credentials in (
        grpc.ssl_channel_credentials(authority),
        grpc.ssl_channel_credentials(authority, *unknown),
        grpc.ssl_channel_credentials(unknown[1]),
    ):
        with grpc.secure_channel(address, credentials) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            assert code_of(lambda stub=stub: stub.Check(request, timeout=10)) == grpc.StatusCode.UNAVAILABLE
    with grpc.insecure_channel(address) as plain:
        stub = health_pb2_grpc.HealthStub(plain)
        assert code_of(lambda: stub.Check(request, timeout=10)) == grpc.StatusCode.UNAVAILABLE
    log = installation.log("execution")
    assert "the client showed no certificate, and one is required" in log
    assert "unknown CA" in log
    assert "the client does not speak TLS" in log


def test_a_grpcio_server_that_is_somebody_else_is_not_used(certificates):
    """It has a certificate of our authority, but artifact's."""
    peer = TLSPeer(certificates, "artifact")
    environment = {"BUDDY_TLS_FOLDER": str(certificates)}
    with Installation(overrides={"learning": peer.address}, environment=environment) as installation:
        with channel(certificates, installation.address("execution"), "gateway") as gateway:
            mission = submit(mission_pb2_grpc.MissionsStub(gateway), "What is 6 * 7?")
            assert mission.state == mission_pb2.MISSION_STATE_SUCCEEDED, mission.error
        assert not peer.learning.callers
        assert "is spiffe://buddy/artifact, not spiffe://buddy/learning" in installation.log("execution")
    peer.server.stop(None)


def s_client(folder, address, *flags, name="gateway"):
    own = ["-cert", f"{folder}/{name}.crt", "-key", f"{folder}/{name}.key"]
    trust = ["-CAfile", f"{folder}/ca.crt", "-verify_return_error", "-verify_ip", "127.0.0.1"]
    return run("openssl", "s_client", "-connect", address, *own, *trust, *flags, stdin=subprocess.DEVNULL)


def resumed(folder, address, session, flag):
    """Whether openssl went on with a session that it had kept, or not; with -sess_out it keeps one."""
    own = ["-cert", f"{folder}/gateway.crt", "-key", f"{folder}/gateway.key", "-CAfile", f"{folder}/ca.crt"]
    command = ["openssl", "s_client", "-connect", address, *own, "-alpn", "h2", flag, session]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = b""
    while b"New, TLS" not in output and b"Reused, TLS" not in output:
        piece = os.read(client.stdout.fileno(), 4096)
        assert piece, output
        output += piece
    if flag == "-sess_out":
        wait_until(lambda: os.path.exists(session) and os.path.getsize(session) > 0, "a ticket")
    client.stdin.close()
    client.kill()
    client.wait()
    client.stdout.close()
    return b"Reused, TLS" in output


def test_openssl(certificates, setting):
    installation, _ = setting
    address = installation.address("execution")
    good = s_client(certificates, address, "-alpn", "h2")
    assert "ALPN protocol: h2" in good.stdout and "Verification: OK" in good.stdout, good.stdout + good.stderr
    assert "TLSv1.3" in good.stdout
    # The authority is named, so that a client with several certificates knows which to show.
    assert "Acceptable client certificate CA names" in good.stdout

    old = s_client(certificates, address, "-alpn", "h2", "-tls1_2")
    assert old.returncode != 0 and "protocol version" in old.stderr, old.stderr
    wait_until(lambda: "offers no version of TLS that is allowed here" in installation.log("execution"), "a line")

    before = installation.log("execution").count("did not agree to HTTP/2")
    none = s_client(certificates, address)
    assert "No ALPN negotiated" in none.stdout
    other = s_client(certificates, address, "-alpn", "http/1.1")
    assert "No ALPN negotiated" in other.stdout
    wait_until(
        lambda: installation.log("execution").count("did not agree to HTTP/2") == before + 2, "a line for each")


def test_a_renewed_certificate_is_shown_without_a_restart(certificates, setting):
    installation, _ = setting
    address = installation.address("artifact")

    def serial():
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(s_client(certificates, address, "-alpn", "h2").stdout)
            file.flush()
            return run("openssl", "x509", "-in", file.name, "-noout", "-serial").stdout.strip()

    session = str(certificates / "session.pem")
    assert not resumed(certificates, address, session, "-sess_out")
    assert resumed(certificates, address, session, "-sess_in")
    old = serial()
    assert old.startswith("serial=")
    renewed = run(f"{BIN}/buddy", "certs", "renew", "--folder", str(certificates), "--service", "artifact")
    assert renewed.returncode == 0, renewed.stderr
    new = run("openssl", "x509", "-in", str(certificates / "artifact.crt"), "-noout", "-serial").stdout.strip()
    assert new != old
    wait_until(lambda: serial() == new, "the new certificate is shown")
    # Who was known by the old ones has to show who it is again.
    assert not resumed(certificates, address, session, "-sess_in")
    assert "new certificates are used from now on" in installation.log("artifact")


def test_rules_of_ones_own(certificates):
    rules = certificates / "rules"
    rules.write_text("# the command may ask\nspiffe://buddy/cli  buddy.learning.v1.Learning/ListFeedback\n")
    environment = {"BUDDY_TLS_FOLDER": str(certificates), "BUDDY_ACCESS_LIST": str(rules)}
    with Installation(services=["learning"], environment=environment) as installation:
        address = installation.address("learning")
        with channel(certificates, address, "cli") as cli:
            stub = learning_pb2_grpc.LearningStub(cli)
            stub.ListFeedback(learning_pb2.ListFeedbackRequest(mission_id="m"), timeout=30)
            asks = learning_pb2.GetMultipliersRequest()
            assert code_of(lambda: stub.GetMultipliers(asks, timeout=30)) == grpc.StatusCode.PERMISSION_DENIED
        # The built-in rules do not count beside it.
        with channel(certificates, address, "gateway") as gateway:
            stub = learning_pb2_grpc.LearningStub(gateway)
            listing = learning_pb2.ListFeedbackRequest(mission_id="m")
            assert code_of(lambda: stub.ListFeedback(listing, timeout=30)) == grpc.StatusCode.PERMISSION_DENIED
    rules.write_text("spiffe://buddy/cli\n")
    with tempfile.TemporaryDirectory() as data:
        started = run(f"{BIN}/buddy-learning", "--data", data, env={**os.environ, **environment})
    assert started.returncode == 64
    assert "rules: line 1: spiffe://buddy/cli may call nothing" in started.stderr
