"""Kills clients, gateway, progress and execution at random moments while missions run that are watched in four ways at
once: gRPC, server-sent events, WebSocket and polling. All four must have seen the same. By itself it is a part of
`make chaos`:

    WATCH_KILLS=100 MISSIONS=200 SEED=1 LIMIT=600 BUDDY_BIN=.build/release python watch_chaos.py
"""

import collections
import http.client
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

import grpc
import pages
import watchers
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from google.protobuf import json_format, wrappers_pb2
from installation import Installation

OWNER = "watch-chaos"
VICTIMS = ["client", "gateway", "progress", "execution"]
FINAL = tuple(mission_pb2.MissionState.Value(name) for name in watchers.FINAL)
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
# How a command that does not fit the mission's state is refused.
NOT_NOW = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED)
# What is done to a mission while it runs.
STORIES = ["plain", "plain", "approved", "paused", "paused twice", "modified", "reprioritized", "cancelled"]


class Commands:
    """Says a command by gRPC or by HTTP until it is answered, with one request id, so that it takes effect once."""

    def __init__(self, chaos, chance):
        self.chaos = chaos
        self.chance = chance
        address = chaos.installation.address("execution")
        self.stub = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(address, options=watchers.CHANNEL))

    def submit(self, request):
        return self.until_answered(lambda: self.stub.Submit(request, timeout=10))

    def get(self, id):
        return self.until_answered(lambda: self.stub.Get(mission_pb2.GetMissionRequest(id=id), timeout=10))

    def say(self, name, id, **fields):
        """None where the mission's state does not allow it."""
        request_type = getattr(mission_pb2, f"{name}MissionRequest")
        request_id = str(uuid.UUID(int=self.chance.getrandbits(128)))
        request = request_type(id=id, actor=OWNER, request_id=request_id, **fields)
        method = getattr(self.stub, name)

        def once():
            if self.chance.random() < 0.5:
                return method(request, timeout=10)
            return self.over_http(name, id, request)

        try:
            return self.until_answered(once)
        except watchers.Refused:
            self.chaos.refused += 1
            return None

    def over_http(self, name, id, request):
        url = self.chaos.installation.url(f"/api/v1/missions/{id}/{name.lower()}")
        headers = {"Content-Type": "application/json", "X-Buddy-User": OWNER}
        body = json_format.MessageToJson(request).encode()
        try:
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as response:
                    return json_format.ParseDict(json.load(response), mission_pb2.Mission())
            except urllib.error.HTTPError as error:
                status, answer = error.code, json.load(error)
        except (OSError, http.client.HTTPException, ValueError):
            return None  # Cut short.
        if status in (502, 503, 504):
            return None
        if answer["error"]["code"] in [code.name for code in NOT_NOW]:
            raise watchers.Refused(answer["error"]["message"])
        raise Violation(f"{name} of {id}: HTTP {status}: {answer}")

    def until_answered(self, call):
        while True:
            try:
                answer = call()
                if answer is not None:
                    return answer
            except grpc.RpcError as error:
                if error.code() in NOT_NOW:
                    raise watchers.Refused(error.details()) from None
                if error.code() not in PASSING:
                    raise Violation(f"gRPC {error.code().name}: {error.details()}") from None
            if time.monotonic() > self.chaos.end:
                raise Violation("no answer until the end of the time")
            time.sleep(self.chance.uniform(0.02, 0.1))


class Violation(Exception):
    pass


class Worker(threading.Thread):
    """Has one mission after another run, watched in four ways, and compares what was seen."""

    def __init__(self, chaos):
        super().__init__(daemon=True)
        self.chaos = chaos
        self.start()

    def run(self):
        while (number := self.chaos.next_mission()) is not None:
            chance = random.Random(f"{self.chaos.seed}-{number}")
            story = chance.choice(STORIES)
            try:
                self.one(Commands(self.chaos, chance), chance, number, story)
            except Exception as error:  # A worker that ends would watch nothing and find nothing wrong.
                self.chaos.violation(f"mission {number} ({story}): {error!r}")
            with self.chaos.lock:
                self.chaos.ended += 1

    def one(self, commands, chance, number, story):
        id = commands.submit(self.request(chance, number, story)).id
        mine = {
            kind: watcher(self.chaos.installation, id, self.chaos.end) for kind, watcher in watchers.KINDS.items()
        }
        self.chaos.watched[id] = mine
        self.play(commands, chance, number, story, id)
        for watcher in mine.values():
            watcher.join(timeout=max(1, self.chaos.end - time.monotonic()))
        del self.chaos.watched[id]
        wrong = watchers.differences(mine)
        final = commands.get(id)
        if not wrong and mine["gRPC"].events[-1][2].state != final.state:
            wrong.append(f"the log ends otherwise than the mission, which is {final.state}")
        for text in wrong:
            self.chaos.violation(f"mission {number} ({story}, {id}): {text}")
        self.chaos.count(story, final, mine)

    def request(self, chance, number, story):
        delay = chance.choice([0, 0.1, 0.3, 0.8, 1.5])
        kinds = [
            f"What is {chance.randrange(1000)} + {chance.randrange(1000)}?",
            f"Get the title of {self.chaos.site.url(f'delay-{delay}-{number}')}",
        ]
        return mission_pb2.SubmitMissionRequest(
            objective=kinds[0] if story == "plain" and chance.random() < 0.3 else kinds[1], owner=OWNER,
            idempotency_key=f"{self.chaos.seed}-{number}", require_approval=story == "approved",
            labels={"story": story.replace(" ", "-")})

    def play(self, commands, chance, number, story, id):
        def moment():
            time.sleep(chance.uniform(0, 0.4))

        if story == "approved":
            moment()
            commands.say("Approve", id)
        elif story.startswith("paused"):
            for _ in range(2 if story == "paused twice" else 1):
                moment()
                commands.say("Pause", id, reason="a pause")
                moment()
                self.resume(commands, id)
        elif story == "modified":
            moment()
            url = self.chaos.site.url(f"delay-0.2-{number}-anew")
            changed = commands.say("Modify", id, objective=wrappers_pb2.StringValue(value=f"Get the title of {url}"))
            if changed and changed.state == mission_pb2.MISSION_STATE_PENDING_APPROVAL:
                commands.say("Approve", id)
        elif story == "reprioritized":
            moment()
            commands.say("Modify", id, priority=wrappers_pb2.Int32Value(value=chance.randrange(-100, 101)))
        elif story == "cancelled":
            moment()
            commands.say("Cancel", id, reason="enough")

    def resume(self, commands, id):
        """A pause that had to wait for a step's end is taken back, too; nothing stays held."""
        while True:
            commands.say("Resume", id)
            mission = commands.get(id)
            waits = any(not change.applied for change in mission.changes[-1:])
            if mission.state != mission_pb2.MISSION_STATE_PAUSED and not waits:
                return
            if time.monotonic() > self.chaos.end:
                raise Violation("it stays paused")
            time.sleep(0.05)


class WatchChaos:
    """`kills` are spread over `missions`, of which at most `workers` run at a time."""

    def __init__(self, kills, missions, seed, workers=16, limit=600):
        self.kills, self.missions, self.seed = kills, missions, seed
        self.worker_count = workers
        self.end = time.monotonic() + limit
        self.lock = threading.Condition()
        self.begun = self.ended = self.killed_count = self.refused = 0
        self.killed, self.stories, self.states, self.types = (collections.Counter() for _ in range(4))
        self.connections, self.gaps = collections.Counter(), collections.Counter()
        self.watched = {}
        self.violations = []

    def violation(self, text):
        self.violations.append(text)
        print(f"VIOLATION: {text}", flush=True)

    def run(self):
        """Returns the violations; none if all is well."""
        flags = {"execution": ["--allow-private-fetch"]}
        with pages.serve() as self.site, Installation(flags=flags) as self.installation:
            workers = [Worker(self) for _ in range(self.worker_count)]
            self.kill()
            for worker in workers:
                worker.join(timeout=max(1, self.end - time.monotonic() + 30))
            hanging = sum(worker.is_alive() for worker in workers)
            if hanging:
                self.violation(f"{hanging} workers still wait for their mission's end")
            if sum(self.stories.values()) < self.missions:
                self.violation(f"only {sum(self.stories.values())} of {self.missions} missions were compared")
            self.check_ends()
        self.report()
        return self.violations

    def next_mission(self):
        """The number of the next mission, as soon as as many kills have been as go before it; None after the last."""
        with self.lock:
            if self.begun == self.missions:
                return None
            number = self.begun
            self.begun += 1
            self.lock.notify_all()
            early = (number - 2 * self.worker_count) * self.kills / self.missions
            self.lock.wait_for(lambda: self.killed_count >= early or time.monotonic() > self.end, timeout=600)
            return number

    def kill(self):
        """Kills one after another, each of the four in its turn once a round, as the missions go on."""
        chance = random.Random(self.seed)
        for number in range(self.kills):
            if number % len(VICTIMS) == 0:
                victims = chance.sample(VICTIMS, len(VICTIMS))
            with self.lock:
                due = min(self.missions, number * self.missions // self.kills + 1)
                self.lock.wait_for(lambda: self.begun >= due or time.monotonic() > self.end, timeout=600)
            time.sleep(chance.uniform(0.05, 0.4))
            if time.monotonic() > self.end:
                self.violation(f"only {number} kills in the time given")
                break
            self.check_ends()
            victim = victims[number % len(VICTIMS)]
            if victim == "client":
                self.drop_clients(chance)
            else:
                self.installation.kill(victim)
                self.installation.start(victim)
            with self.lock:
                self.killed[victim] += 1
                self.killed_count += 1
                self.lock.notify_all()
        for name in VICTIMS[1:]:
            self.installation.wait_ready(name)

    def drop_clients(self, chance):
        """Ends the connections of some of a mission's watchers as if their process had died."""
        living = [list(mine.values()) for mine in list(self.watched.values())]
        living = [[one for one in mine if one.is_alive()] for mine in living]
        living = [mine for mine in living if mine]
        if living:
            mine = chance.choice(living)
            for watcher in chance.sample(mine, chance.randrange(1, len(mine) + 1)):
                watcher.drop()

    def check_ends(self):
        """A service that ended by itself is a bug, whatever was done to its peers."""
        for name, process in self.installation.processes.items():
            if process.poll() is not None:
                self.violation(f"{name} ended by itself ({process.returncode}): {self.installation.log(name)[-1000:]}")
                self.installation.start(name)

    def count(self, story, mission, mine):
        with self.lock:
            self.stories[story] += 1
            self.states[mission_pb2.MissionState.Name(mission.state).removeprefix("MISSION_STATE_").lower()] += 1
            for _, _, event in mine["gRPC"].events:
                self.types[event.type] += 1
            for kind, watcher in mine.items():
                self.connections[kind] += watcher.connections
                self.gaps[kind] += watcher.gaps

    def report(self):
        def listed(counter):
            return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"

        print(f"kills {sum(self.killed.values())} ({listed(self.killed)})")
        print(f"missions {self.ended}: {listed(self.states)}; stories: {listed(self.stories)}; "
              f"commands refused by state {self.refused}")
        print(f"events {sum(self.types.values())}, each seen in four ways; connections: {listed(self.connections)}; "
              f"gaps: {listed(+self.gaps)}")


def main():
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    kills = int(os.environ.get("WATCH_KILLS") or 100)
    missions = int(os.environ.get("MISSIONS") or 200)
    limit = float(os.environ.get("LIMIT") or 600)
    print(f"seed {seed} (repeat with SEED={seed}), {kills} kills during {missions} missions within {limit:g} s",
          flush=True)
    begin = time.monotonic()
    violations = WatchChaos(kills, missions, seed, limit=limit).run()
    print(f"{time.monotonic() - begin:.0f} s, {len(violations)} violations"
          + ("" if violations else ": the four transcripts of every mission are identical, 1 to N"))
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
