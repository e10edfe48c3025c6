"""Every figure of the RPC runtime beside its goal, in one run: `make bench-rpc`.

Peers take turns, the server on core 0 and the load on core 1, both in front of everything else that the machine has to
do, where that is allowed (`peers.REAL_TIME`: without it rounds of one peer differed by half). Each figure is a median
over the rounds, after one round that warms up and does not count. Exits with 1 if a goal is missed (unless
--only-print), with 70 if a peer fails.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile

from peers import Failed, Load, Server, client_rate, frame, latency, note, pinned

# What a unary call may allocate: what it does today and a little more, so that it does not grow unseen.
SERVER_ALLOCATIONS = 18
CLIENT_ALLOCATIONS = 19

KIB = 1024


class Report:
    def __init__(self):
        self.missed = []

    def line(self, name, text, goal, is_met):
        print(f"{name:<34} {text}   goal {goal}: {'met' if is_met else 'MISSED'}", flush=True)
        if not is_met:
            self.missed.append(name)

    def ratio(self, name, unit, ours, theirs, peer, goal, scale=1.0):
        """Higher is better. `ours` and `theirs` are a figure a round."""
        a, b = statistics.median(ours) * scale, statistics.median(theirs) * scale
        spread = f"{min(x / y for x, y in zip(ours, theirs)):.2f}–{max(x / y for x, y in zip(ours, theirs)):.2f}"
        text = f"Buddy {a:,.0f}, {peer} {b:,.0f} {unit}, ratio {a / b:.2f} (rounds {spread})"
        self.line(name, text, f"≥ {goal:g} ×", a / b >= goal)


class Bench:
    def __init__(self, options):
        self.options, self.report = options, Report()
        self.rounds = options.rounds
        self.small = Load("Say", frame(b"hello"), 12)
        self.swift_client = [os.path.join(options.binaries, "rpc-bench-client"), "calls"]
        self.cpp_client = [os.path.join(options.peers, "echo_client")]

    def ours(self, *files, environment=None):
        command = [os.path.join(self.options.binaries, "rpc-echo-server"), "--threads", "1"]
        for flag, file in zip(("--certificate", "--key"), files):
            command += [flag, file]
        return Server(command, is_tls=bool(files), environment=environment)

    def theirs(self, *files):
        return Server([os.path.join(self.options.peers, "echo_server"), *files], is_tls=bool(files))

    def ceiling(self):
        return Server([os.path.join(self.options.peers, "ceiling")])

    def turns(self, servers, measure):
        """A list of figures for each server: round by round, so that a slow moment of the machine hits all alike."""
        figures = [[] for _ in servers]
        for round in range(self.rounds + 1):
            for index, server in enumerate(servers):
                figure = measure(server)
                if round > 0:
                    figures[index].append(figure)
        return figures

    # One method a figure

    def unary(self):
        servers = [self.ours(), self.theirs(), self.ceiling()]
        ours, theirs, ceiling = self.turns(servers, lambda server: self.small.run(server, self.options.calls))
        self.report.ratio("unary echo", "calls/s", ours, theirs, "gRPC C++", 3)
        self.report.ratio("unary echo, of the ceiling", "calls/s", ours, ceiling, "bare nghttp2", 0.5)
        ours, theirs, ceiling = self.turns(servers, lambda server: latency(self.small, server, 5000))
        a, b, c = (statistics.median(times) for times in (ours, theirs, ceiling))
        self.report.line(
            "one stream, latency", f"Buddy {a:.0f}, gRPC C++ {b:.0f}, bare nghttp2 {c:.0f} µs", "≤ gRPC C++", a <= b)
        stop(servers)

    def streaming(self):
        servers, count = [self.ours(), self.theirs()], 10_000
        load = Load("Expand", frame(b"x" * 98, count), count * 105)  # 98 bytes of text make a message of 100
        ours, theirs = self.turns(servers, lambda server: load.run(server, 40, 4, 10) * count)
        self.report.ratio("server streaming, 100 bytes", "messages/s", ours, theirs, "gRPC C++", 2)
        stop(servers)

    def large(self):
        servers = [self.ours(), self.theirs()]
        for name, size, calls in (("64 KiB", 64 * KIB, 4000), ("1 MiB", KIB * KIB, 300)):
            request = frame(b"y" * size)
            load = Load("Say", request, len(request))
            ours, theirs = self.turns(servers, lambda server: load.run(server, calls, 4, 2))
            self.report.ratio(f"unary echo, {name}", "MB/s each way", ours, theirs, "gRPC C++", 1, scale=size / 1e6)
        stop(servers)

    def client(self):
        server = self.ceiling()
        ours, theirs = self.turns(
            [self.swift_client, self.cpp_client], lambda client: client_rate(client, server, 4, 50, self.options.calls))
        self.report.ratio("client, unary echo", "calls/s", ours, theirs, "gRPC C++", 2)
        stop([server])

    def tls(self):
        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, name) for name in ("certificate.pem", "key.pem")]
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
            servers = [self.ours(*files), self.theirs(*files)]
            ours, theirs = self.turns(servers, lambda server: self.small.run(server, self.options.calls // 2))
            self.report.ratio("unary echo with TLS", "calls/s", ours, theirs, "gRPC C++", 1.5)
            stop(servers)

    def idle(self):
        server, connections, streams = self.ours(), 100, 100
        self.small.run(server, 1000)
        before = server.resident_bytes()
        command = [self.swift_client[0], "idle", server.port, connections, streams]
        client = subprocess.Popen(
            pinned("1", command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if client.stdout.readline() != f"holding {connections * streams} streams\n":
            raise Failed("the idle streams could not be opened")
        each = (server.resident_bytes() - before) / (connections * streams)
        client.communicate()
        stop([server])
        name = f"{connections * streams:,} idle streams"
        self.report.line(name, f"{each / KIB:.1f} KiB each, their connections included", "≤ 12 KiB", each <= 12 * KIB)

    def allocations(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "count")
            library = os.path.join(self.options.peers, "allocation_counter.so")
            counted = {"LD_PRELOAD": library, "ALLOCATION_COUNTER": path}

            def counter():
                with open(path, "rb") as file:
                    return int.from_bytes(file.read(8), "little")

            # Twice the calls and the same connections: the difference is what the calls alone allocate.
            calls, server = 20_000, self.ours(environment=counted)
            marks = [counter()]
            for number in (calls, calls, 2 * calls):
                self.small.run(server, number)
                marks.append(counter())
            first, second, third = (b - a for a, b in zip(marks, marks[1:]))
            stop([server])
            self.allocated("server", (third - second) / calls, SERVER_ALLOCATIONS)
            totals, server = [], self.ceiling()
            for number in (calls, 2 * calls):
                os.unlink(path)
                subprocess.run(
                    pinned("1", [*self.swift_client, server.port, 4, 50, number]), check=True, capture_output=True,
                    env={**os.environ, **counted})
                totals.append(counter())
            stop([server])
            self.allocated("client", (totals[1] - totals[0]) / calls, CLIENT_ALLOCATIONS)

    def allocated(self, side, each, limit):
        self.report.line(f"allocations a unary call, {side}", f"{each:.1f}", f"≤ {limit}", each <= limit)


def stop(servers):
    for server in servers:
        server.stop()


def main():
    figures = ["unary", "streaming", "large", "client", "tls", "idle", "allocations"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", required=True, help="folder of rpc-echo-server and rpc-bench-client")
    parser.add_argument("--peers", required=True, help="folder of the peers in C and C++")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200_000, help="in each round of the unary figures")
    parser.add_argument("--only-print", action="store_true", help="exit with 0 even if a goal is missed")
    parser.add_argument("figures", nargs="*", metavar="figure", help=f"of: {' '.join(figures)} (all unless given)")
    options = parser.parse_args()
    if unknown := set(options.figures) - set(figures):
        parser.error(f"no such figure: {' '.join(sorted(unknown))}")
    bench = Bench(options)
    try:
        for figure in options.figures or figures:
            getattr(bench, figure)()
    except Failed as failure:
        note(str(failure))
        sys.exit(70)
    missed = bench.report.missed
    print(f"missed: {', '.join(missed)}" if missed else "every goal is met")
    sys.exit(1 if missed and not options.only_print else 0)


if __name__ == "__main__":
    main()
