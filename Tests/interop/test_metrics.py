"""Every service's admin port under `buddy up`, and our metrics text against Prometheus' own parser.

BUDDY_BIN is the folder of the built binaries (for example .build/debug). BUDDY_TEST_SEED repeats a run.
"""

import json
import os
import random
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest
from installation import BIN, SERVICES, wait_until
from prometheus_client.parser import text_string_to_metric_families

SEED = int(os.environ.get("BUDDY_TEST_SEED", random.randrange(1 << 32)))

# What every process has, what every one with a database has, and what each service adds.
COMMON = {
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "buddy_event_loop_lag_seconds",
    "buddy_rpc_client_duration_seconds",
    "buddy_metrics_collector_failures_total",
    "buddy_metrics_refused_total",
}
STORAGE = {
    "buddy_rpc_server_duration_seconds",
    "buddy_storage_commits_total",
    "buddy_storage_writes_total",
    "buddy_storage_batch_size",
    "buddy_storage_waiting_writes",
}
OWN = {
    "gateway": {"buddy_http_server_duration_seconds", "buddy_http_event_streams"},
    "execution": STORAGE
    | {"buddy_missions", "buddy_missions_queued", "buddy_missions_running"}
    | {"buddy_tool_calls_running", "buddy_tool_calls_limit"}
    | {"buddy_outbox_waiting", "buddy_outbox_lag_seconds", "buddy_outbox_refused"},
    "progress": STORAGE | {"buddy_progress_subscribers"},
    "learning": STORAGE | {"buddy_learning_signals"},
    "investment": STORAGE
    | {"buddy_budget_limit_micros", "buddy_budget_reserved_micros", "buddy_budget_spent_micros"},
    "artifact": STORAGE | {"buddy_artifacts", "buddy_artifact_bytes"},
}


def fetch(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


class Up:
    """A `buddy up` on free ports, found through the file that it writes."""

    def __init__(self, folder):
        self.data = f"{folder}/data"
        self.output = open(f"{folder}/up.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [f"{BIN}/buddy", "up", "--port", "0", "--data", self.data],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
        )
        wait_until(lambda: "ready at" in self.log() or self.process.poll() is not None, "buddy up is ready")
        assert self.process.poll() is None, self.log()
        with open(self.file, encoding="utf-8") as file:
            self.services = json.load(file)["services"]

    @property
    def file(self):
        return f"{self.data}/installation.json"

    def log(self):
        with open(self.output.name, encoding="utf-8") as file:
            return file.read()

    def admin(self, service, path):
        return fetch(f"http://{self.services[service]['admin']}{path}")

    def gateway(self, path):
        return f"http://{self.services['gateway']['address']}{path}"

    def run(self, objective, **fields):
        """Submits a mission; its id."""
        body = json.dumps({"objective": objective, **fields}).encode()
        status, _, text = fetch(
            self.gateway("/api/v1/missions"), "POST", body, {"Content-Type": "application/json"})
        assert status in (200, 201, 202), text
        return json.loads(text)["id"]

    def state(self, mission):
        return json.loads(fetch(self.gateway(f"/api/v1/missions/{mission}"))[2])["state"]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Metrics:
    """One scrape, read by Prometheus' own parser."""

    def __init__(self, text):
        self.samples = {}
        self.names = set()
        for family in text_string_to_metric_families(text):
            name = family.name
            self.names.add(f"{name}_total" if family.type == "counter" else name)
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in self.samples, f"{key} twice"
                self.samples[key] = sample.value

    def value(self, name, **labels):
        """The sum over all series that have these labels."""
        found = [
            value
            for (sample, own), value in self.samples.items()
            if sample == name and labels.items() <= dict(own).items()
        ]
        assert found, f"no {name} {labels}"
        return sum(found)

    def check_histograms(self):
        """Buckets rise up to +Inf, which is the count."""
        for (name, labels), count in self.samples.items():
            if not name.endswith("_count"):
                continue
            buckets = {}
            for (other, own), value in self.samples.items():
                own = dict(own)
                bound = own.pop("le", None)
                if other == name.removesuffix("_count") + "_bucket" and tuple(sorted(own.items())) == labels:
                    buckets[float(bound)] = value
            values = [buckets[bound] for bound in sorted(buckets)]
            assert values == sorted(values) and buckets[float("inf")] == count, (name, labels)
            assert count == 0 or self.samples[(name.removesuffix("_count") + "_sum", labels)] >= 0


@pytest.fixture(scope="module")
def up():
    with tempfile.TemporaryDirectory(prefix="buddy-metrics-") as folder:
        running = Up(folder)
        try:
            yield running
        finally:
            running.stop()


def scrape(up, service):
    status, headers, text = up.admin(service, "/metrics")
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(text)


def test_all_named_series_are_there_and_plausible(up):
    mission = up.run("What is 6 * 7?")
    wait_until(lambda: up.state(mission) == "MISSION_STATE_SUCCEEDED", "the mission succeeds")
    waiting = up.run("What is 7 * 8?", requireApproval=True)
    wait_until(lambda: up.state(waiting) == "MISSION_STATE_PENDING_APPROVAL", "the mission waits")
    wait_until(lambda: scrape(up, "execution").value("buddy_outbox_waiting") == 0, "all is delivered")

    now = time.time()
    scrapes = {name: scrape(up, name) for name in SERVICES}
    for name, metrics in scrapes.items():
        missing = (COMMON | OWN[name]) - metrics.names
        assert not missing, f"{name} lacks {missing}"
        metrics.check_histograms()
        assert now - 600 < metrics.value("process_start_time_seconds") <= now + 1
        assert metrics.value("process_resident_memory_bytes") > 1 << 20
        assert metrics.value("process_cpu_seconds_total") > 0
        assert 3 <= metrics.value("process_open_fds") <= metrics.value("process_max_fds")
        assert metrics.value("buddy_metrics_refused_total") == 0
        if STORAGE <= OWN[name]:
            commits, writes = (metrics.value(f"buddy_storage_{what}_total") for what in ["commits", "writes"])
            assert 0 < commits <= writes
            assert metrics.value("buddy_storage_batch_size_count") == commits
            assert metrics.value("buddy_storage_batch_size_sum") == writes
            assert metrics.value("buddy_storage_waiting_writes") == 0

    execution = scrapes["execution"]
    assert execution.value("buddy_missions", state="succeeded") == 1
    assert execution.value("buddy_missions", state="pending_approval") == 1
    assert execution.value("buddy_missions") == 2
    assert execution.value("buddy_missions_queued") == execution.value("buddy_missions_running") == 0
    assert execution.value("buddy_outbox_lag_seconds") == execution.value("buddy_outbox_refused") == 0
    submitted = {"service": "buddy.mission.v1.Missions", "method": "Submit", "code": "OK"}
    assert execution.value("buddy_rpc_server_duration_seconds_count", **submitted) == 2
    assert execution.value("buddy_rpc_client_duration_seconds_count", peer="investment", code="OK") >= 1
    gateway = scrapes["gateway"]
    assert gateway.value("buddy_rpc_client_duration_seconds_count", peer="execution", method="Submit", code="OK") == 2
    route = {"method": "POST", "route": "/api/v1/missions"}
    assert gateway.value("buddy_http_server_duration_seconds_count", **route) == 2
    assert scrapes["learning"].value("buddy_learning_signals") == 1
    assert scrapes["artifact"].value("buddy_artifacts") >= 0
    budget = scrapes["investment"]
    limit, reserved, spent = (budget.value(f"buddy_budget_{what}_micros") for what in ["limit", "reserved", "spent"])
    assert limit == 100_000_000 and reserved == 0 and 0 < spent < limit


def test_who_watches_is_counted(up):
    mission = up.run("What is 1 + 2?", requireApproval=True)
    request = urllib.request.Request(
        up.gateway(f"/api/v1/missions/{mission}/events"), headers={"Accept": "text/event-stream"})
    def counts():
        return (
            scrape(up, "gateway").value("buddy_http_event_streams"),
            scrape(up, "progress").value("buddy_progress_subscribers"),
        )

    with urllib.request.urlopen(request, timeout=30) as stream:
        assert stream.readline() == b"retry: 1000\n"
        wait_until(lambda: counts() == (1, 1), "the watcher is counted")
    wait_until(lambda: counts() == (0, 0), "the watcher is gone")
    labels = {"method": "GET", "code": "200", "route": "/api/v1/missions/{id}/events"}
    assert scrape(up, "gateway").value("buddy_http_server_duration_seconds_count", **labels) == 1


def test_paths_that_are_invented_make_no_series(up):
    for number in range(20):
        assert fetch(up.gateway(f"/invented/{number}"))[0] == 404
        # Methods that nobody knows do not get past the parser; these do.
        assert fetch(up.gateway(f"/invented/{number}"), method="PROPFIND")[0] == 404
        assert fetch(up.gateway(f"/invented/{number}"), method=f"ODD{number}")[0] == 400
    metrics = scrape(up, "gateway")
    assert metrics.value("buddy_http_server_duration_seconds_count", route="unknown", method="GET") >= 20
    assert metrics.value("buddy_http_server_duration_seconds_count", route="unknown", method="unknown") >= 20
    assert not any("invented" in str(key) or "ODD" in str(key) or "PROPFIND" in str(key) for key in metrics.samples)


def test_healthz_and_readyz(up):
    for name in SERVICES:
        assert up.admin(name, "/healthz")[0] == 200
        status, headers, text = up.admin(name, "/readyz")
        assert status == 200 and headers["Content-Type"] == "application/json"
        assert json.loads(text) == {"status": "READY", "phase": "serving", "problems": {}}
        assert fetch(f"http://{up.services[name]['admin']}/metrics", method="HEAD")[2] == ""
        assert fetch(f"http://{up.services[name]['admin']}/metrics", method="POST", body=b"x")[0] == 405
        assert up.admin(name, "/other")[0] == 404


def test_the_installation_is_described_while_it_is_up():
    with tempfile.TemporaryDirectory(prefix="buddy-metrics-") as folder:
        first = Up(folder)
        assert set(first.services) == set(SERVICES)
        addresses = [address for service in first.services.values() for address in service.values()]
        assert len(set(addresses)) == 2 * len(SERVICES)
        assert first.stop() == 0
        assert not os.path.exists(first.file)
        # What a killed one leaves behind is replaced.
        with open(first.file, "w", encoding="utf-8") as file:
            file.write("{")
        second = Up(folder)
        assert all(second.admin(name, "/healthz")[0] == 200 for name in SERVICES)
        assert second.stop() == 0


HOSTILE = ['"', "\\", "\n", "\\n", "{", "}", ",", "=", " ", "#", "ä", "🙂", "\t", "x", "0"]


def hostile(rng, longest=8):
    return "".join(rng.choice(HOSTILE) for _ in range(rng.randrange(longest)))


def test_prometheus_reads_what_we_write():
    print(f"seed {SEED} (repeat with BUDDY_TEST_SEED={SEED})")
    rng = random.Random(SEED)
    kinds = ["counter", "gauge", "timer", "recorder"]
    instructions = {}
    for number in range(200):
        kind = rng.choice(kinds)
        name = f"test_{kind}_{rng.randrange(4)}" + ("_total" if kind == "counter" else "")
        labels = {key: hostile(rng) for key in rng.sample(["a", "b_2", "_c", "code"], rng.randrange(4))}
        choices = [0, 1, 2.5, 1e9, 1e-6, rng.random(), rng.randrange(10**6)]
        values = [rng.choice(choices) for _ in range(rng.randrange(1, 6))]
        instructions[(name, tuple(sorted(labels.items())))] = {
            "kind": kind, "name": name, "help": f"Means {hostile(rng)}.", "labels": labels, "values": values,
        }
    program, records = f"{BIN}/metrics-text", json.dumps(list(instructions.values())).encode()
    text = subprocess.run([program], input=records, capture_output=True, check=True).stdout.decode()
    metrics = Metrics(text)
    metrics.check_histograms()
    for (name, labels), instruction in instructions.items():
        values = instruction["values"]
        if instruction["kind"] == "counter":
            assert metrics.samples[(name, labels)] == pytest.approx(sum(values))
        elif instruction["kind"] == "gauge":
            assert metrics.samples[(name, labels)] == values[-1]
        else:
            assert metrics.samples[(f"{name}_count", labels)] == len(values)
            assert metrics.samples[(f"{name}_sum", labels)] == pytest.approx(sum(values), abs=1e-8)
            for bound in [0.001, 0.1, 1, 10]:
                key = (f"{name}_bucket", tuple(sorted([*labels, ("le", "%g" % bound)])))
                assert metrics.samples[key] == sum(value <= bound for value in values)
