"""Kills services at random moments under a load of missions, and counts what was lost or doubled. By itself it is
`make chaos`:

    KILLS=200 SEED=1 LIMIT=600 BUDDY_BIN=.build/release python chaos.py
"""

import collections
import http.client
import json
import os
import random
import sys
import threading
import time

import protos  # noqa: F401  Makes `buddy` importable.
import grpc
from buddy.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from buddy.common.v1 import common_pb2
from buddy.investment.v1 import investment_pb2, investment_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from installation import SERVICES, Installation, wait_until

CSV = b"region,price\n" + b"".join(b"%s,%d\n" % (b"North South East West".split()[i % 4], i) for i in range(200))
OWNER = "chaos"
FINAL = (
    mission_pb2.MISSION_STATE_SUCCEEDED,
    mission_pb2.MISSION_STATE_FAILED,
    mission_pb2.MISSION_STATE_CANCELLED,
    mission_pb2.MISSION_STATE_REJECTED,
)
# What a client of a service that was killed a moment ago may be told; the same request is then sent again.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class Refused(Exception):
    """An answer that no kill excuses."""


class OverGRPC:
    """A client of the execution service. Gives None where there was no answer."""

    def __init__(self, installation):
        self.stub = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(installation.address("execution")))

    def submit(self, request):
        return self._call(self.stub.Submit, request)

    def get(self, id):
        return self._call(self.stub.Get, mission_pb2.GetMissionRequest(id=id))

    def cancel(self, id):
        return self._call(self.stub.Cancel, mission_pb2.CancelMissionRequest(id=id))

    def _call(self, method, request):
        try:
            mission = method(request, timeout=10)
            return mission.id, mission.state
        except grpc.RpcError as error:
            if error.code() in PASSING:
                return None
            raise Refused(f"gRPC {error.code().name}: {error.details()}") from None


class OverHTTP:
    """A client of the gateway."""

    def __init__(self, installation):
        self.port = installation.ports["gateway"]

    def submit(self, request):
        inputs = [{"name": one.name, "artifactId": one.artifact_id} for one in request.inputs]
        body = {"objective": request.objective, "inputs": inputs}
        return self._call("POST", "/api/v1/missions", body, {"Idempotency-Key": request.idempotency_key})

    def get(self, id):
        return self._call("GET", f"/api/v1/missions/{id}")

    def cancel(self, id):
        return self._call("POST", f"/api/v1/missions/{id}/cancel", {})

    def _call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers = {"Content-Type": "application/json", "X-Buddy-User": OWNER, **(headers or {})}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        if response.status in (502, 503, 504):
            return None
        if response.status not in (200, 201):
            raise Refused(f"HTTP {response.status}: {answer}")
        return answer["id"], mission_pb2.MissionState.Value(answer["state"])


class Submitter(threading.Thread):
    """Submits one mission after another and waits for the end of each. What was not answered is sent again under the
    same key, by either way."""

    KINDS = ["calculate", "calculate", "chart", "average", "impossible", "cancelled"]

    def __init__(self, chaos, number):
        super().__init__(daemon=True)
        self.chaos = chaos
        self.number = number
        self.chance = random.Random(f"{chaos.seed}-{number}")
        self.clients = [OverGRPC(chaos.installation), OverHTTP(chaos.installation)]

    def run(self):
        count = 0
        while not self.chaos.is_over.is_set():
            count += 1
            self.one(f"{self.number}-{count}", self.chance.choice(self.KINDS))
            time.sleep(self.chance.uniform(0, 0.3))

    def one(self, key, kind):
        request = self.request(key, kind)
        try:
            self.chaos.attempted[key] = kind
            id, state = self.until_answered(lambda client: client.submit(request))
            self.chaos.answered[key] = id
            if kind == "cancelled":
                time.sleep(self.chance.uniform(0, 0.05))
                self.cancel(id)
            while state not in FINAL:
                time.sleep(0.1)
                _, state = self.until_answered(lambda client: client.get(id))
        except Refused as error:
            self.chaos.violation(f"{key} ({kind}): {error}")

    def cancel(self, id):
        try:
            self.chance.choice(self.clients).cancel(id)
        except Refused:
            pass  # It ended before.

    def until_answered(self, call):
        while True:
            answer = call(self.chance.choice(self.clients))
            if answer is not None:
                return answer
            self.chaos.unanswered += 1
            if time.monotonic() > self.chaos.end:
                raise Refused("no answer until the end of the time")
            time.sleep(self.chance.uniform(0.02, 0.2))

    def request(self, key, kind):
        a, b = self.chance.randrange(1000), self.chance.randrange(1000)
        self.chaos.sums[key] = a + b
        objectives = {
            "calculate": f"What is {a} + {b}?",
            "cancelled": f"What is {a} + {b}?",
            "chart": "Chart the average price by region",
            "average": "What is the average price by region?",
            "impossible": f"What is {a} / 0?",
        }
        inputs = [mission_pb2.MissionInput(name="prices.csv", artifact_id=self.chaos.artifact)]
        return mission_pb2.SubmitMissionRequest(
            objective=objectives[kind],
            owner=OWNER,
            idempotency_key=key,
            inputs=inputs if kind in ("chart", "average") else [],
        )


class Chaos:
    def __init__(self, kills, seed, submitters=50, limit=600, pause=(0.05, 0.5)):
        self.kills = kills
        self.seed = seed
        self.pause = pause
        self.submitters = submitters
        self.end = time.monotonic() + limit
        self.is_over = threading.Event()
        self.attempted, self.answered, self.sums = {}, {}, {}
        self.unanswered = 0
        self.killed = collections.Counter()
        self.violations = []

    def violation(self, text):
        self.violations.append(text)
        print(f"VIOLATION: {text}", flush=True)

    def run(self):
        """Returns the violations; none if all is well."""
        from chaos_audit import Audit

        with Installation() as self.installation:
            self.prepare()
            submitters = [Submitter(self, number) for number in range(self.submitters)]
            for submitter in submitters:
                submitter.start()
            restarted = self.kill_services()
            killed = ", ".join(f"{name} {count}" for name, count in sorted(self.killed.items()))
            print(f"kills: {sum(self.killed.values())} ({killed})")
            audit = Audit(self)
            audit.check_outboxes(restarted, "the last restart")
            for submitter in submitters:
                submitter.join(timeout=max(1, self.end - time.monotonic()))
            hanging = sum(submitter.is_alive() for submitter in submitters)
            if hanging:
                self.violation(f"{hanging} submitters still wait for their mission's end")
            audit.check_outboxes(time.monotonic(), "the last mission")
            audit.check()
            self.check_ends()
        return self.violations

    def prepare(self):
        investment = investment_pb2_grpc.InvestmentStub(grpc.insecure_channel(self.installation.address("investment")))
        limit = common_pb2.Money(micros=10**15, currency="USD")
        investment.SetBudget(investment_pb2.SetBudgetRequest(limit=limit), timeout=30, wait_for_ready=True)
        artifacts = artifact_pb2_grpc.ArtifactsStub(grpc.insecure_channel(self.installation.address("artifact")))
        header = artifact_pb2.PutArtifactHeader(name="prices.csv", media_type="text/csv")
        parts = [artifact_pb2.PutArtifactRequest(header=header), artifact_pb2.PutArtifactRequest(chunk=CSV)]
        self.artifact = artifacts.Put(iter(parts), timeout=30, wait_for_ready=True).id

    def kill_services(self):
        """Kills one service after another, each in its turn once a round, and starts it again at once: the next one may
        go while this one is not up yet. Returns when the last one accepts again, after which nothing new is
        submitted."""
        chance = random.Random(self.seed)
        for number in range(self.kills):
            if number % len(SERVICES) == 0:
                victims = chance.sample(SERVICES, len(SERVICES))
            time.sleep(chance.uniform(*self.pause))
            if time.monotonic() > self.end:
                self.violation(f"only {number} kills in the time given")
                break
            self.check_ends()
            victim = victims[number % len(SERVICES)]
            if number == self.kills - 1:
                self.is_over.set()
            self.installation.kill(victim)
            self.killed[victim] += 1
            self.installation.start(victim)
            if (number + 1) % 50 == 0:
                print(f"{number + 1} kills, {len(self.answered)} missions answered", flush=True)
        self.is_over.set()
        for name in SERVICES:
            self.installation.wait_ready(name)
        return time.monotonic()

    def check_ends(self):
        """A service that ended by itself is a bug, whatever was done to its peers."""
        for name, process in self.installation.processes.items():
            if process.poll() is not None:
                self.violation(f"{name} ended by itself ({process.returncode}): {self.installation.log(name)[-1000:]}")
                self.installation.start(name)


def main():
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    kills = int(os.environ.get("KILLS") or 200)
    limit = float(os.environ.get("LIMIT") or 600)
    print(f"seed {seed} (repeat with SEED={seed}), {kills} kills within {limit:g} s", flush=True)
    begin = time.monotonic()
    violations = Chaos(kills, seed, limit=limit).run()
    print(f"{time.monotonic() - begin:.0f} s, {len(violations)} violations")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
