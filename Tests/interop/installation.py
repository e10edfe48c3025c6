"""A running installation of the real binaries on loopback: each service a process to be killed and started again."""

import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

BIN = os.environ.get("BUDDY_BIN", ".build/debug")
SERVICES = ["investment", "learning", "progress", "artifact", "execution", "gateway"]


GIVEN = set()


def free_port():
    """Below the ports that the system gives to connections: one of those could take it while its service is down."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        # Free until whoever got it before listens on it.
        if port in GIVEN:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                GIVEN.add(port)
                return port
            except OSError:
                continue


def pages_of(call, request, field):
    """Every item of a list, page by page. A channel that still rests after its server was away waits for it."""
    from buddy.common.v1 import common_pb2

    token = ""
    while True:
        answer = call(request(page=common_pb2.PageRequest(size=500, token=token)), timeout=30, wait_for_ready=True)
        yield from getattr(answer, field)
        token = answer.next_page_token
        if not token:
            return


def wait_until(condition, what, seconds=60):
    """Looks until `condition()` is true; the limit is generous, for what would otherwise hang."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.01)


class Installation:
    """All services, or those named. `overrides` gives a service's address where something else stands in its place,
    `environment` what is added to the environment of all."""

    def __init__(self, services=SERVICES, overrides=None, flags=None, environment=None):
        self.folder = tempfile.TemporaryDirectory(prefix="buddy-interop-")
        self.ports = {name: free_port() for name in SERVICES}
        self.admin_ports = {name: free_port() for name in SERVICES}
        self.overrides = overrides or {}
        self.flags = flags or {}
        self.environment = {**os.environ, **(environment or {})}
        self.processes = {}
        for name in services:
            self.start(name)
        for name in services:
            self.wait_ready(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.folder.cleanup()

    def address(self, name):
        return self.overrides.get(name, f"127.0.0.1:{self.ports[name]}")

    def url(self, path):
        return f"http://127.0.0.1:{self.ports['gateway']}{path}"

    def metrics(self, name, metric):
        """The values of a metric by their labels, as text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_ports[name]}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        series = (line for line in lines if line.startswith((metric + "{", metric + " ")))
        values = (line.removeprefix(metric).rsplit(" ", 1) for line in series)
        return {labels: float(value) for labels, value in values}

    def log(self, name):
        with open(f"{self.folder.name}/{name}.log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def start(self, name):
        command = [f"{BIN}/buddy-{name}", "--port", str(self.ports[name]), "--data", self.folder.name]
        command += ["--admin-port", str(self.admin_ports[name])]
        for peer in SERVICES:
            if peer not in (name, "gateway"):
                command += [f"--{peer}-address", self.address(peer)]
        command += self.flags.get(name, [])
        with open(f"{self.folder.name}/{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment
            )

    def wait_ready(self, name):
        def accepts():
            assert self.processes[name].poll() is None, f"{name} ended: {self.log(name)[-2000:]}"
            try:
                socket.create_connection(("127.0.0.1", self.ports[name]), timeout=1).close()
                return True
            except OSError:
                return False

        wait_until(accepts, f"{name} listens")

    def kill(self, name):
        """kill -9."""
        self.processes[name].kill()
        self.processes[name].wait()

    def restart(self, name):
        self.start(name)
        self.wait_ready(name)
