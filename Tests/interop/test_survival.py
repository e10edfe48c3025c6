"""Processes are killed in the middle of their work; nothing may be lost, doubled or left hanging."""

import json
import threading
import time
import urllib.error
import urllib.request

import grpc
import pages
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc
from installation import Installation, wait_until

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
        print(f"\n{MISSIONS} missions, {len(watchers)} watchers cut off {interruptions} times, 5 kills: 0 lost, 0 doubled")
        assert interruptions >= len(watchers)
