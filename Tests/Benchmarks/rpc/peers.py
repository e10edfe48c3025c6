"""The programs that `make bench-rpc` starts, each pinned to a core, and the load that h2load puts on them."""
import os
import re
import statistics
import subprocess
import sys
import tempfile

SERVER_CORE, LOAD_CORE = "0", "1"


class Failed(Exception):
    """A peer did not do what it was asked: the figures would be worth nothing."""


# In front of everything else that the machine has to do, for both peers alike; where that is not allowed, as it comes.
REAL_TIME = ["chrt", "--fifo", "10"]
if subprocess.run([*REAL_TIME, "true"], capture_output=True).returncode != 0:
    REAL_TIME = []


def pinned(core, command):
    return [*REAL_TIME, "taskset", "-c", core, *map(str, command)]


class Server:
    """A server on its own core, that says its port once it listens."""

    def __init__(self, command, is_tls=False, environment=None):
        self.process = subprocess.Popen(
            pinned(SERVER_CORE, command), stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise Failed(f"{command[0]} did not say where it listens, but {line!r}")
        self.port = int(line.split()[-1])
        self.scheme = "https" if is_tls else "http"

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024

    def stop(self):
        self.process.kill()
        self.process.wait()


# MARK: gRPC frames, by hand

def varint(number):
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes(result) + bytes([number])


def frame(text, count=None):
    """A gRPC frame, not compressed, with the text as field 1 and the count as field 2."""
    message = b"\x0a" + varint(len(text)) + text
    if count is not None:
        message += b"\x10" + varint(count)
    return b"\x00" + len(message).to_bytes(4, "big") + message


class Load:
    """One request, sent by h2load again and again; its answer's size is known, so that a refusal does not pass."""

    def __init__(self, method, request, answer_bytes):
        self.method, self.answer_bytes = method, answer_bytes
        self.file = tempfile.NamedTemporaryFile()
        self.file.write(request)
        self.file.flush()

    def run(self, server, calls, connections=4, streams=50, log=None):
        """Calls a second. Raises Failed unless every call got its whole answer."""
        command = ["h2load", "-n", calls, "-c", connections, "-m", streams, "-d", self.file.name]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += ["--log-file", log] if log else []
        command += [f"{server.scheme}://127.0.0.1:{server.port}/buddy.testing.v1.Echo/{self.method}"]
        try:
            done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.method}: {server.process.args} did not answer {calls} calls within two minutes")
        said = done.stdout
        rate = re.search(r"finished in [^,]*, ([0-9.]+) req/s", said)
        bytes_of_data = re.search(r"\((\d+)\) data", said)
        if done.returncode != 0 or not rate or f"status codes: {calls} 2xx" not in said:
            raise Failed(f"{self.method}: not every call was answered with 200\n{said}{done.stderr}")
        if int(bytes_of_data.group(1)) != calls * self.answer_bytes:
            raise Failed(f"{self.method}: not every answer came back whole\n{said}")
        return float(rate.group(1))


def latency(load, server, calls):
    """The median time of one call alone, in microseconds."""
    with tempfile.NamedTemporaryFile("r") as log:
        load.run(server, calls, connections=1, streams=1, log=log.name)
        return statistics.median(int(line.split()[2]) for line in log)


def client_rate(command, server, *arguments):
    """Calls a second that a client says it made."""
    done = subprocess.run(
        pinned(LOAD_CORE, [*command, server.port, *arguments]), capture_output=True, text=True, timeout=120)
    if done.returncode != 0 or not done.stdout.endswith(" calls/s\n"):
        raise Failed(f"{command[0]}: {done.stdout}{done.stderr}")
    return float(done.stdout.split()[0])


def note(text):
    print(text, file=sys.stderr, flush=True)
