"""What must be true of every service's records once the killing is over."""

import collections
import hashlib
import time

import grpc
from buddy.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from buddy.investment.v1 import investment_pb2, investment_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc
from installation import SERVICES, pages_of

STEPS = [1, 2, 3, 4, 5, 6]
DRAIN_LIMIT = 10
# How a mission of each kind may end.
EXPECTED = {
    "calculate": {"SUCCEEDED"},
    "chart": {"SUCCEEDED"},
    "average": {"SUCCEEDED"},
    "impossible": {"FAILED"},
    "cancelled": {"CANCELLED", "SUCCEEDED"},
}


def state_of(mission):
    return mission_pb2.MissionState.Name(mission.state).removeprefix("MISSION_STATE_")


class Audit:
    def __init__(self, chaos):
        self.chaos = chaos
        self.installation = chaos.installation
        address = self.installation.address
        channels = {name: grpc.insecure_channel(address(name)) for name in SERVICES if name != "gateway"}
        self.missions = mission_pb2_grpc.MissionsStub(channels["execution"])
        self.progress = progress_pb2_grpc.ProgressStub(channels["progress"])
        self.investment = investment_pb2_grpc.InvestmentStub(channels["investment"])
        self.artifacts = artifact_pb2_grpc.ArtifactsStub(channels["artifact"])

    def violation(self, text):
        self.chaos.violation(text)

    def check_outboxes(self, since, what):
        """Everything that waits to be delivered is delivered soon."""
        if not self.installation.metrics("execution", "buddy_outbox_waiting"):
            self.violation("the execution service tells nothing of its outbox")
        while (waiting := self.waiting_messages()) and time.monotonic() < since + 3 * DRAIN_LIMIT:
            time.sleep(0.05)
        took = time.monotonic() - since
        print(f"outboxes empty {took:.1f} s after {what}" if not waiting else f"outboxes hold {waiting}")
        if waiting or took > DRAIN_LIMIT:
            self.violation(f"outboxes not empty within {DRAIN_LIMIT} s of {what}: {took:.1f} s, {waiting}")

    def waiting_messages(self):
        """What waits in all outboxes, by service and topic, as the services' metrics tell."""
        waiting = {}
        for name in SERVICES:
            try:
                values = self.installation.metrics(name, "buddy_outbox_waiting")
            except OSError as error:
                return {name: str(error)}
            waiting.update({f"{name}{labels}": value for labels, value in values.items() if value})
        return waiting

    def check(self):
        ids = [one.id for one in pages_of(self.missions.List, mission_pb2.ListMissionsRequest, "missions")]
        requests = [mission_pb2.GetMissionRequest(id=id) for id in ids]
        missions = [self.missions.Get(request, timeout=30, wait_for_ready=True) for request in requests]
        states = collections.Counter(state_of(mission) for mission in missions)
        print(f"submitted {len(self.chaos.attempted)}, answered {len(self.chaos.answered)}, sent again "
              f"{self.chaos.unanswered} times: {', '.join(f'{s.lower()} {n}' for s, n in sorted(states.items()))}")
        before = len(self.chaos.violations)
        lost = self.check_missions(missions)
        doubled = self.check_keys(missions) + sum(self.check_events(mission) for mission in missions)
        doubled += self.check_artifacts(missions)
        self.check_money(missions)
        print(f"lost {lost}, doubled {doubled}, otherwise wrong {len(self.chaos.violations) - before - lost - doubled}")

    def check_missions(self, missions):
        """Answered missions are there and ended as their kind must. Returns how many are lost."""
        stored = {mission.id: mission for mission in missions}
        lost = 0
        for key, id in self.chaos.answered.items():
            kind = self.chaos.attempted[key]
            mission = stored.get(id)
            if mission is None or not mission.HasField("finished_at"):
                lost += 1
                self.violation(f"lost: {key} ({kind}, {id}) is {mission and state_of(mission)}")
                continue
            if state_of(mission) not in EXPECTED[kind]:
                self.violation(
                    f"{key} ({kind}, {id}) ended {state_of(mission)}: {mission.error.code} {mission.error.message}")
            if kind == "calculate" and str(self.chaos.sums[key]) not in mission.result.text.replace(",", ""):
                self.violation(f"{key} ({id}): {mission.objective} came to {mission.result.text!r}")
            if mission.state == mission_pb2.MISSION_STATE_SUCCEEDED and [step.step for step in mission.steps] != STEPS:
                self.violation(f"{key} ({id}) has the steps {[step.step for step in mission.steps]}")
        return lost

    def check_keys(self, missions):
        """One mission a key, and none that nobody asked for. Returns how many are doubled."""
        keys = collections.Counter(mission.idempotency_key for mission in missions)
        doubled = [key for key, count in keys.items() if count > 1 or key not in self.chaos.attempted]
        for key in doubled:
            self.violation(f"doubled: {keys[key]} missions of the key {key!r}")
        for mission in missions:
            answered = self.chaos.answered.get(mission.idempotency_key)
            if answered not in (None, mission.id):
                self.violation(f"{mission.idempotency_key} was answered {answered}, stored is {mission.id}")
        return len(doubled)

    def check_events(self, mission):
        """The log has the numbers 1…N, each step completed once, and the mission's own end. Returns 1 if not."""
        try:
            request = progress_pb2.WatchEventsRequest(mission_id=mission.id)
            watch = self.progress.Watch(request, timeout=30, wait_for_ready=True)
            events = list(watch)
        except grpc.RpcError as error:
            self.violation(f"{mission.id}: no events: {error.code().name} {error.details()}")
            return 1
        completed = [event.step for event in events if event.type == progress_pb2.EVENT_TYPE_STEP_COMPLETED]
        is_well = (
            [event.sequence for event in events] == list(range(1, len(events) + 1))
            and len(completed) == len(set(completed))
            and (mission.state != mission_pb2.MISSION_STATE_SUCCEEDED or sorted(completed) == STEPS)
            and events[-1].state == mission.state
            and sum(event.type == progress_pb2.EVENT_TYPE_STATE_CHANGED for event in events) == len(
                {event.state for event in events if event.type == progress_pb2.EVENT_TYPE_STATE_CHANGED})
        )
        if not is_well:
            log = [(event.sequence, event.type, event.step, event.state) for event in events]
            self.violation(f"{mission.id} ({state_of(mission)}) has the events {log}")
        return 0 if is_well else 1

    def check_artifacts(self, missions):
        """Each result is stored once, with the digest of what it holds. Returns how many are doubled."""
        stored = list(pages_of(self.artifacts.List, artifact_pb2.ListArtifactsRequest, "artifacts"))
        names = collections.Counter((one.mission_id, one.name) for one in stored if one.mission_id)
        doubled = [name for name, count in names.items() if count > 1]
        for name in doubled:
            self.violation(f"doubled: the artifact {name}")
        by_id = {one.id: one for one in stored}
        for mission in missions:
            for result in mission.result.artifacts:
                if result.artifact_id not in by_id or by_id[result.artifact_id].mission_id != mission.id:
                    self.violation(f"{mission.id}: its result {result.name} is not stored")
        for one in stored:
            parts = self.artifacts.Get(artifact_pb2.GetArtifactRequest(id=one.id), timeout=60, wait_for_ready=True)
            content = b"".join(part.chunk for part in parts)
            if hashlib.sha256(content).hexdigest() != one.sha256 or len(content) != one.size:
                self.violation(f"the artifact {one.id} is not what was stored")
        print(f"artifacts {len(stored)}, each read back")
        return len(doubled)

    def check_money(self, missions):
        """Each reservation is made once and ended once, and the ledger adds up to what the missions cost."""
        entries = list(pages_of(self.investment.ListLedger, investment_pb2.ListLedgerRequest, "entries"))
        kinds = collections.defaultdict(list)
        spent_for = collections.Counter()
        for entry in entries:
            spent_for[entry.mission_id] += entry.spent_change.micros
            if entry.reservation_id:
                kind = investment_pb2.LedgerKind.Name(entry.kind)
                kinds[entry.reservation_id].append(kind.removeprefix("LEDGER_KIND_"))
        for id, found in kinds.items():
            if sorted(found) not in (["RELEASE", "RESERVE"], ["RESERVE", "SETTLE"]):
                self.violation(f"the reservation {id} has the entries {found}")
        for mission in missions:
            if spent_for[mission.id] != mission.cost.micros:
                self.violation(
                    f"{mission.id} ({state_of(mission)}) cost {mission.cost.micros} micros, "
                    f"{spent_for[mission.id]} were spent for it: {kinds[mission.id]}, error {mission.error.code}")
        budget = self.investment.GetBudget(investment_pb2.GetBudgetRequest(), timeout=30, wait_for_ready=True)
        spent = sum(entry.spent_change.micros for entry in entries)
        reserved = sum(entry.reserved_change.micros for entry in entries)
        cost = sum(mission.cost.micros for mission in missions)
        if not (budget.reserved.micros == reserved == 0 and budget.spent.micros == spent == cost):
            self.violation(
                f"reserved {budget.reserved.micros}, in the ledger {reserved}; "
                f"spent {budget.spent.micros}, in the ledger {spent}, by the missions {cost}")
        print(f"reservations {len(kinds)}, spent {spent} micros")
