"""An honest grpcio client in a process of its own, so that the attacker's Python does not slow it down. Reads a command
a line: `begin PORT` makes calls without a pause, `end` stops and prints {"calls", "failed", "p50", "worst"}
(the two in milliseconds)."""

import json
import statistics
import sys
import threading
import time

import grpc

LEAST_CALLS = 30


class Neighbour:
    def __init__(self):
        self.channels = {}
        self.thread = None

    def begin(self, port):
        if port not in self.channels:
            for channel in self.channels.values():
                channel.close()
            self.channels = {port: grpc.insecure_channel(f"127.0.0.1:{port}")}
        self.call = self.channels[port].unary_unary("/test.Target/Say")
        self.times, self.failed, self.is_over = [], [], False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.is_over or len(self.times) + len(self.failed) < LEAST_CALLS:
            start = time.perf_counter()
            try:
                assert self.call(b"neighbour", timeout=20) == b"neighbour"
                self.times.append((time.perf_counter() - start) * 1000)
            except grpc.RpcError as error:
                self.failed.append(f"{error.code()}: {error.details()}")
            time.sleep(0.001)

    def end(self):
        self.is_over = True
        self.thread.join()
        calls = len(self.times) + len(self.failed)
        p50 = statistics.median(self.times) if self.times else None
        worst = max(self.times, default=None)
        print(json.dumps({"calls": calls, "failed": self.failed[:3], "p50": p50, "worst": worst}), flush=True)


if __name__ == "__main__":
    neighbour = Neighbour()
    for line in sys.stdin:
        command, *arguments = line.split()
        getattr(neighbour, command)(*arguments)
