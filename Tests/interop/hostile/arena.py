"""A server to attack, with an honest neighbour beside the attacker and an eye on the server's memory."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from frames import PATIENCE, Peer

TOOL = pathlib.Path(os.environ["BUDDY_BIN"]) / "rpc-test-peer"
MIB = 1024 * 1024
WORST = 2_000
"""Milliseconds that no call of the neighbour may take: a loop that stands still spoils few calls, and no median."""


def wait_until(condition, what, patience=PATIENCE):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not in {patience} s: {what}"
        time.sleep(0.01)


class Server:
    """`rpc-test-peer server` with these options. What it logs is in `log`."""

    def __init__(self, **options):
        arguments = [str(TOOL), "server", *(f"{name}={value}" for name, value in options.items())]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[-1])
        self.log = []
        threading.Thread(target=lambda: self.log.extend(self.process.stdout), daemon=True).start()
        self.peers = []

    def peer(self, **arguments):
        peer = Peer(self.port, **arguments)
        self.peers.append(peer)
        return peer

    def rss(self):
        """Bytes of the process that are in memory."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self):
        """Seconds of processor time that it has used."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self):
        for peer in self.peers:
            peer.close()
        self.process.kill()
        self.process.wait()


class Neighbourhood:
    """The one process of the honest client."""

    def __init__(self):
        script = pathlib.Path(__file__).parent / "neighbour.py"
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, port):
        self._say(f"begin {port}")

    def end(self):
        self._say("end")
        return json.loads(self.process.stdout.readline())

    def _say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Arena:
    def __init__(self, neighbourhood):
        self.neighbourhood = neighbourhood

    @contextlib.contextmanager
    def attacked(self, memory=16 * MIB, worst=None, **options):
        """A server for the attack in the body. Afterwards: the neighbour lost no call, its median latency stayed within
        ten times what it was, plus 20 ms, none of its calls took 2 s, and the server's memory grew by no more than
        `memory`.

        The factor is what two other processes at work on two cores and one loop turn of an attacker's bytes may cost;
        20 ms is a few time slices of the scheduler. A server that an attack reaches stands still for seconds.

        `worst`, in milliseconds, bounds each call of the neighbour instead of their median: for attacks that are work
        for the server, which shares it out.
        """
        server = Server(**options)
        try:
            self.neighbourhood.begin(server.port)
            before = self.neighbourhood.end()
            base = peak = server.rss()
            is_over = threading.Event()

            def watch():
                nonlocal peak
                while not is_over.wait(0.005):
                    peak = max(peak, server.rss())

            watcher = threading.Thread(target=watch)
            watcher.start()
            self.neighbourhood.begin(server.port)
            try:
                yield server
            finally:
                during = self.neighbourhood.end()
                is_over.set()
                watcher.join()
                peak = max(peak, server.rss())
            assert server.process.poll() is None, "the server died"
            assert during["failed"] == [], during
            bound = 10 * before["p50"] + 20
            if worst is not None:
                print(f"[worst {during['worst']:.0f} ms]", end=" ")
                assert during["worst"] <= worst, f"a call took {during['worst']:.0f} ms beside the attack"
                bound = worst
            assert during["p50"] <= bound, f"p50 {during['p50']:.1f} ms beside the attack, {before['p50']:.1f} before"
            assert during["worst"] < WORST, f"the neighbour's slowest call took {during['worst']:.0f} ms"
            growth = peak - base
            print(f"[neighbour {before['p50']:.2f} -> {during['p50']:.2f} ms, memory +{growth / MIB:.1f} MiB]", end=" ")
            assert growth <= memory, f"memory grew by {growth / MIB:.1f} MiB"
        finally:
            server.close()
