"""Processes are killed in the middle of their work; nothing may be lost, doubled or left hanging."""

import json
import os
import random
import threading
import time
import urllib.error
import urllib.request

import grpc
import pages
from buddy.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from buddy.investment.v1 import investment_pb2, investment_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc
from installation import Installation, pages_of, wait_until

MISSIONS = 20


class Watcher(threading.Thread):
    """Watches one mission to its end, coming back with the last sequence it has seen whenever it is cut off."""

    def __init__(self, installation, mission_id):
        super().__init__(daemon=True)
        self.installation = installation
        self.mission_id = mission_id
        self.sequences = []
        self.final_state = None
        self.interruptions = 0
        self.start()

    @property
    def last(self):
        return self.sequences[-1] if self.sequences else 0

    def run(self):
        while self.final_state is None:
            try:
                self.follow()
            except (grpc.RpcError, OSError, urllib.error.URLError):
                self.interruptions += 1
                time.sleep(0.05)

    def take(self, sequence, state, is_last):
        self.sequences.append(sequence)
        if is_last:
            self.final_state = state


class GRPCWatcher(Watcher):
    def follow(self):
        with grpc.insecure_channel(self.installation.address("progress")) as channel:
            request = progress_pb2.WatchEventsRequest(mission_id=self.mission_id, after_sequence=self.last)
            for event in progress_pb2_grpc.ProgressStub(channel).Watch(request, timeout=120):
                state = mission_pb2.MissionState.Name(event.state)
                ended = event.type == progress_pb2.EVENT_TYPE_STATE_CHANGED and event.state in (4, 5, 6, 7)
                self.take(event.sequence, state, ended)


class SSEWatcher(Watcher):
    def follow(self):
        request = urllib.request.Request(
            self.installation.url(f"/api/v1/missions/{self.mission_id}/events"),
            headers={"Accept": "text/event-stream", "Last-Event-ID": str(self.last)},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            name = data = None
            for line in response:
                line = line.decode().rstrip("\n")
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data = line[5:].strip()
                elif not line and name == "end":
                    return
                elif not line and data:
                    event = json.loads(data)
                    state = event["state"]
                    ended = event["type"] == "EVENT_TYPE_STATE_CHANGED" and state.split("_")[-1] in (
                        "SUCCEEDED", "FAILED", "CANCELLED", "REJECTED",
                    )
                    self.take(int(event["sequence"]), state, ended)
                    name = data = None


class PollingWatcher(Watcher):
    def follow(self):
        path = f"/api/v1/missions/{self.mission_id}/events?after_sequence={self.last}&wait=5"
        with urllib.request.urlopen(self.installation.url(path), timeout=60) as response:
            answer = json.load(response)
        for event in answer.get("events", []):
            is_last = answer.get("complete", False) and event is answer["events"][-1]
            self.take(int(event["sequence"]), event["state"], is_last)


def test_kill_9_of_execution_progress_and_gateway_loses_and_doubles_nothing():
    flags = {"execution": ["--allow-private-fetch"]}
    with pages.serve() as site, Installation(flags=flags) as installation:
        channel = grpc.insecure_channel(installation.address("execution"))
        missions = mission_pb2_grpc.MissionsStub(channel)
        ids = [
            missions.Submit(
                mission_pb2.SubmitMissionRequest(objective=f"Get the title of {site.url(f'slow-{number}')}"), timeout=30
            ).id
            for number in range(MISSIONS)
        ]
        watchers = [kind(installation, id) for id in ids for kind in (GRPCWatcher, SSEWatcher, PollingWatcher)]
        wait_until(lambda: len(set(site.asked)) == MISSIONS, "all missions are in the middle of their tool")
        wait_until(lambda: all(watcher.sequences for watcher in watchers), "every watcher has seen something")

        installation.kill("execution")
        installation.kill("progress")
        installation.kill("gateway")
        installation.restart("execution")
        installation.restart("gateway")
        installation.restart("progress")
        wait_until(lambda: len(site.asked) == 2 * MISSIONS, "the missions went on with the step that was cut short")
        installation.kill("gateway")
        installation.kill("progress")
        installation.restart("progress")
        installation.restart("gateway")
        site.release.set()

        for watcher in watchers:
            watcher.join(timeout=120)
            assert watcher.final_state is not None, f"{type(watcher).__name__} hangs after {watcher.last}"
        for watcher in watchers:
            assert watcher.sequences == list(range(1, watcher.last + 1)), type(watcher).__name__
            assert watcher.final_state == "MISSION_STATE_SUCCEEDED"
        by_mission = {id: {w.last for w in watchers if w.mission_id == id} for id in ids}
        assert all(len(lengths) == 1 for lengths in by_mission.values()), by_mission

        stub = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(installation.address("execution")))
        for id in ids:
            mission = stub.Get(mission_pb2.GetMissionRequest(id=id), timeout=30)
            assert [step.step for step in mission.steps] == [1, 2, 3, 4, 5, 6], "a finished step ran again"
            assert mission.percent == 100
        interruptions = sum(watcher.interruptions for watcher in watchers)
        print(f"\n{MISSIONS} missions, {len(watchers)} watchers cut off {interruptions} times, 5 kills: "
              "0 lost, 0 doubled")
        assert interruptions >= len(watchers)


def test_kills_at_random_moments_lose_no_mission_and_no_money():
    """Fast missions, so that kills fall between any two steps, reservations, uploads and commits."""
    seed = int(os.environ.get("BUDDY_TEST_SEED", random.randrange(2**32)))
    print(f"\nseed {seed} (repeat with BUDDY_TEST_SEED={seed})")
    chance = random.Random(seed)
    victims = ["execution", "progress", "investment", "artifact", "learning"]
    with Installation(services=["investment", "learning", "progress", "artifact", "execution"]) as installation:
        answered = {}
        stop = threading.Event()

        def submit(worker):
            number = 0
            while not stop.is_set():
                key = f"{worker}-{number}"
                request = mission_pb2.SubmitMissionRequest(
                    objective=f"What is {number} + {worker}?", idempotency_key=key)
                try:
                    with grpc.insecure_channel(installation.address("execution")) as channel:
                        mission = mission_pb2_grpc.MissionsStub(channel).Submit(request, timeout=10)
                except grpc.RpcError:
                    time.sleep(0.02)
                    continue  # The same key again: an answer may have been lost, a mission must not be doubled.
                answered[key] = mission.id
                number += 1

        workers = [threading.Thread(target=submit, args=[worker], daemon=True) for worker in range(4)]
        for worker in workers:
            worker.start()
        kills = 15
        for _ in range(kills):
            time.sleep(chance.uniform(0.05, 0.4))
            victim = chance.choice(victims)
            installation.kill(victim)
            installation.restart(victim)
        stop.set()
        for worker in workers:
            worker.join(timeout=60)

        missions = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(installation.address("execution")))
        investment = investment_pb2_grpc.InvestmentStub(grpc.insecure_channel(installation.address("investment")))
        artifacts = artifact_pb2_grpc.ArtifactsStub(grpc.insecure_channel(installation.address("artifact")))
        get = lambda id: missions.Get(mission_pb2.GetMissionRequest(id=id), timeout=30, wait_for_ready=True)
        wait_until(lambda: all(get(id).HasField("finished_at") for id in answered.values()), "all missions end", 120)
        ended = [get(id) for id in answered.values()]
        assert all(mission.state == mission_pb2.MISSION_STATE_SUCCEEDED for mission in ended)
        assert all([step.step for step in mission.steps] == [1, 2, 3, 4, 5, 6] for mission in ended)
        assert len(set(answered.values())) == len(answered)

        stored = [mission.id for mission in pages_of(missions.List, mission_pb2.ListMissionsRequest, "missions")]
        assert len(stored) == len(set(stored))
        # A submission that was cut off before its answer, and not repeated since, may have made one more each.
        assert set(answered.values()) <= set(stored) and len(stored) <= len(answered) + len(workers)

        budget = investment.GetBudget(investment_pb2.GetBudgetRequest(), timeout=30)
        entries = list(pages_of(investment.ListLedger, investment_pb2.ListLedgerRequest, "entries"))
        assert budget.reserved.micros == sum(entry.reserved_change.micros for entry in entries) == 0
        assert budget.spent.micros == sum(entry.spent_change.micros for entry in entries)
        assert budget.spent.micros == sum(get(id).cost.micros for id in stored)
        listed = pages_of(artifacts.List, artifact_pb2.ListArtifactsRequest, "artifacts")
        made = [(one.mission_id, one.name) for one in listed]
        assert len(made) == len(set(made)), "an artifact was stored twice"
        print(f"{kills} kills, {len(answered)} missions answered: 0 lost, 0 doubled, 0 micros astray")
