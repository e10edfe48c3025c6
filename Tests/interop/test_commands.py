"""Commands on missions that run, over gRPC and over HTTP, against the running binaries."""

import base64
import hashlib
import json
import time
import urllib.error
import urllib.request
import uuid

import grpc
import pages
import pytest
from buddy.audit.v1 import audit_pb2, audit_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc
from google.protobuf import json_format, timestamp_pb2, wrappers_pb2
from installation import Installation, pages_of, wait_until

STEP = {name.removeprefix("STEP_").lower(): value for name, value in mission_pb2.Step.items()}
BEFORE_EXECUTION = [STEP["intent"], STEP["budget"], STEP["selection"]]


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class OverGRPC:
    def __init__(self, installation):
        self.stub = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(installation.address("execution")))

    def say(self, name, id, actor="eva", **fields):
        request = getattr(mission_pb2, f"{name}MissionRequest")(id=id, actor=actor, **fields)
        try:
            return getattr(self.stub, name)(request, timeout=30)
        except grpc.RpcError as error:
            raise Refused(error.code().name, error.details()) from None

    def queue(self, owner=""):
        return self.stub.ListQueue(mission_pb2.ListQueueRequest(owner=owner), timeout=30)


class OverHTTP:
    def __init__(self, installation):
        self.installation = installation

    def say(self, name, id, actor="eva", **fields):
        request = getattr(mission_pb2, f"{name}MissionRequest")(**fields)
        path = f"/api/v1/missions/{id}/{name.lower()}"
        answer = self.call(path, json_format.MessageToJson(request).encode(), actor)
        return json_format.Parse(answer, mission_pb2.Mission())

    def queue(self, owner=""):
        return json_format.Parse(self.call(f"/api/v1/queue?owner={owner}"), mission_pb2.ListQueueResponse())

    def call(self, path, body=None, actor="eva"):
        headers = {"Content-Type": "application/json", "X-Buddy-User": actor}
        try:
            request = urllib.request.Request(self.installation.url(path), body, headers)
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            answer = json.load(error)["error"]
            raise Refused(answer["code"], answer["message"]) from None


class Buddy:
    """What does not depend on the way in which commands are said."""

    def __init__(self, installation):
        self.installation = installation
        self.missions = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(installation.address("execution")))
        progress = grpc.insecure_channel(installation.address("progress"))
        self.progress = progress_pb2_grpc.ProgressStub(progress)
        self.audit = audit_pb2_grpc.AuditStub(progress)

    def submit(self, objective, **fields):
        return self.missions.Submit(mission_pb2.SubmitMissionRequest(objective=objective, **fields), timeout=30)

    def get(self, id):
        return self.missions.Get(mission_pb2.GetMissionRequest(id=id), timeout=30)

    def events(self, id):
        return list(self.progress.Watch(progress_pb2.WatchEventsRequest(mission_id=id), timeout=60))

    def state(self, id):
        return mission_pb2.MissionState.Name(self.get(id).state).removeprefix("MISSION_STATE_")

    def started(self, site, name="slow", **fields):
        """A mission in the middle of its tool, whose page `name` has been asked for."""
        mission = self.submit(f"Get the title of {site.url(name)}", **fields)
        wait_until(lambda: f"/{name}" in site.asked, "the tool fetches the page")
        return mission.id


@pytest.fixture(scope="module")
def buddy(installation):
    return Buddy(installation)


@pytest.fixture(params=[OverGRPC, OverHTTP], ids=["gRPC", "HTTP"])
def way(request, installation):
    return request.param(installation)


def code_of(call):
    with pytest.raises(Refused) as raised:
        call()
    return raised.value.code


def outcomes(mission):
    name = mission_pb2.StepOutcome.Name
    return [(record.step, name(record.outcome).removeprefix("STEP_OUTCOME_")) for record in mission.steps]


def in_seconds(seconds):
    time_stamp = timestamp_pb2.Timestamp()
    time_stamp.FromMilliseconds(int((time.time() + seconds) * 1000))
    return time_stamp


def completed(events):
    return [event.step for event in events if event.type == progress_pb2.EVENT_TYPE_STEP_COMPLETED]


def test_a_paused_mission_stands_still_and_begins_its_step_anew(buddy, way):
    with pages.serve() as site:
        id = buddy.started(site)
        paused = way.say("Pause", id, reason="lunch")
        assert paused.state == mission_pb2.MISSION_STATE_PAUSED
        change = paused.changes[-1]
        assert change.command == mission_pb2.MISSION_COMMAND_PAUSE and change.applied
        assert (change.actor, change.reason, change.step) == ("eva", "lunch", STEP["execution"])
        assert list(change.stale_steps) == [STEP["execution"]]
        assert outcomes(paused)[-1] == (STEP["execution"], "INTERRUPTED")
        assert way.say("Pause", id).version == paused.version
        snapshot = buddy.progress.Snapshot
        wait_until(
            lambda: snapshot(progress_pb2.SnapshotRequest(mission_id=id), timeout=30).state == paused.state,
            "the log knows of the pause")
        assert not snapshot(progress_pb2.SnapshotRequest(mission_id=id), timeout=30).HasField("eta")

        site.release.set()
        assert buddy.get(id).version == paused.version and len(site.asked) == 1
        resumed = way.say("Resume", id)
        assert resumed.changes[-1].step == STEP["execution"]
        events = buddy.events(id)
        assert events[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED
        assert completed(events) == list(STEP.values())[1:] and len(site.asked) == 2
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        percents = [event.percent for event in events]
        assert percents == sorted(percents)
        held = [(event.state, event.actor) for event in events if event.HasField("change") and event.actor == "eva"]
        assert held == [(mission_pb2.MISSION_STATE_PAUSED, "eva"), (mission_pb2.MISSION_STATE_RUNNING, "eva")]
        assert outcomes(buddy.get(id))[-3:] == [
            (STEP["execution"], "INTERRUPTED"), (STEP["execution"], "COMPLETED"), (STEP["finalize"], "COMPLETED")]


def test_another_objective_makes_the_steps_that_rest_on_it_run_anew(buddy, way):
    with pages.serve() as site:
        id = buddy.started(site)
        objective = wrappers_pb2.StringValue(value=f"Get the title of {site.url('quick')}")
        changed = way.say("Modify", id, objective=objective)
        change = changed.changes[-1]
        assert (list(change.fields), change.step) == (["objective"], STEP["execution"])
        assert list(change.stale_steps) == [*BEFORE_EXECUTION, STEP["execution"]]
        events = buddy.events(id)
        assert events[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED
        done = buddy.get(id)
        assert "/quick" in done.result.text and "/slow" not in done.result.text
        assert [step for step, outcome in outcomes(done) if outcome == "STALE"] == BEFORE_EXECUTION
        assert [step for step, outcome in outcomes(done) if outcome == "COMPLETED"] == list(STEP.values())[1:]
        assert [event.facts.objective for event in events if event.HasField("facts")][-1] == objective.value


def test_other_parameters_make_only_the_tool_run_anew(buddy, way):
    with pages.serve() as site:
        id = buddy.started(site)
        changed = way.say("Modify", id, set_parameters={"url": site.url("quick")}, reason="the other page")
        assert list(changed.changes[-1].stale_steps) == [STEP["execution"]]
        assert changed.parameters["url"] == site.url("quick")
        assert buddy.events(id)[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED
        done = buddy.get(id)
        assert "/quick" in done.result.text and not [1 for _, outcome in outcomes(done) if outcome == "STALE"]


def test_another_priority_stops_nothing(buddy, way):
    with pages.serve() as site:
        id = buddy.started(site)
        changed = way.say("Modify", id, priority=wrappers_pb2.Int32Value(value=7))
        assert changed.priority == 7 and list(changed.changes[-1].stale_steps) == []
        site.release.set()
        assert buddy.events(id)[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED
        assert len(site.asked) == 1


def test_a_deadline_can_be_shortened_lengthened_and_taken_away(buddy, way):
    with pages.serve() as site:
        shortened = buddy.started(site, "slow-shortened", deadline=in_seconds(600))
        way.say("Modify", shortened, deadline=in_seconds(0.5))
        last = buddy.events(shortened)[-1]
        assert (last.state, last.error.code) == (mission_pb2.MISSION_STATE_FAILED, "DEADLINE_EXCEEDED")

        near = in_seconds(3)
        lengthened = buddy.started(site, "slow-lengthened", deadline=near)
        removed = buddy.started(site, "slow-removed", deadline=near)
        way.say("Modify", lengthened, deadline=in_seconds(600))
        assert not way.say("Modify", removed, remove_deadline=True).HasField("deadline")
        wait_until(lambda: time.time() > near.ToSeconds() + 2, "the first deadline is over")
        assert buddy.state(lengthened) == buddy.state(removed) == "RUNNING"
        site.release.set()
        for id in (lengthened, removed):
            assert buddy.events(id)[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED


def test_a_deadline_passes_while_a_mission_is_paused(buddy, way):
    with pages.serve() as site:
        id = buddy.started(site, deadline=in_seconds(2))
        way.say("Pause", id)
        last = buddy.events(id)[-1]
        assert (last.state, last.error.code) == (mission_pb2.MISSION_STATE_FAILED, "DEADLINE_EXCEEDED")
        assert code_of(lambda: way.say("Resume", id)) == "FAILED_PRECONDITION"


def test_cancel_is_final(buddy, way):
    with pages.serve() as site:
        id = buddy.started(site)
        cancelled = way.say("Cancel", id, reason="enough")
        assert cancelled.state == mission_pb2.MISSION_STATE_CANCELLED
        assert cancelled.changes[-1].step == STEP["execution"]
        site.release.set()
        assert buddy.events(id)[-1].state == mission_pb2.MISSION_STATE_CANCELLED
        modification = {"set_parameters": {"a": "b"}}
        for name, fields in {"Pause": {}, "Resume": {}, "Modify": modification, "Approve": {}}.items():
            assert code_of(lambda: way.say(name, id, **fields)) == "FAILED_PRECONDITION", name
        after = buddy.get(id)
        assert after.state == mission_pb2.MISSION_STATE_CANCELLED and after.version == cancelled.version


def test_one_request_id_takes_effect_once(buddy, way):
    with pages.serve() as site:
        id = buddy.started(site)
        request_id = str(uuid.uuid4())
        first = way.say("Pause", id, request_id=request_id)
        way.say("Resume", id, request_id=str(uuid.uuid4()))
        # Late, after the resume: it is the first answer again, and holds nothing.
        again = way.say("Pause", id, request_id=request_id)
        assert (again.version, again.state) == (first.version, first.state)
        assert code_of(lambda: way.say("Cancel", id, request_id=request_id)) == "ALREADY_EXISTS"
        assert code_of(lambda: way.say("Pause", id, request_id=request_id, reason="x")) == "ALREADY_EXISTS"
        site.release.set()
        assert buddy.events(id)[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED
        commands = [change.command for change in buddy.get(id).changes if change.actor == "eva"]
        assert commands == [mission_pb2.MISSION_COMMAND_PAUSE, mission_pb2.MISSION_COMMAND_RESUME]


def test_a_command_for_another_version_is_refused(buddy, way):
    mission = buddy.submit("What is 1 + 1?", require_approval=True)
    assert code_of(lambda: way.say("Approve", mission.id, expected_version=mission.version + 1)) == "ABORTED"
    changed = way.say("Modify", mission.id, expected_version=mission.version, priority=wrappers_pb2.Int32Value(value=1))
    assert code_of(lambda: way.say("Cancel", mission.id, expected_version=mission.version)) == "ABORTED"
    assert way.say("Approve", mission.id, expected_version=changed.version).version > changed.version
    assert buddy.events(mission.id)[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED


@pytest.mark.parametrize(
    "name, fields, code",
    [
        ("Modify", {}, "INVALID_ARGUMENT"),
        ("Modify", {"objective": wrappers_pb2.StringValue(value="")}, "INVALID_ARGUMENT"),
        ("Modify", {"objective": wrappers_pb2.StringValue(value="x" * 10_001)}, "INVALID_ARGUMENT"),
        ("Modify", {"deadline": timestamp_pb2.Timestamp(seconds=1)}, "INVALID_ARGUMENT"),
        ("Modify", {"deadline": timestamp_pb2.Timestamp(seconds=2**33), "remove_deadline": True}, "INVALID_ARGUMENT"),
        ("Modify", {"priority": wrappers_pb2.Int32Value(value=101)}, "INVALID_ARGUMENT"),
        ("Modify", {"requested_tool": wrappers_pb2.StringValue(value="crystal_ball")}, "INVALID_ARGUMENT"),
        ("Pause", {}, "FAILED_PRECONDITION"),
        ("Resume", {}, "FAILED_PRECONDITION"),
        ("Answer", {"question_id": "q", "answer": mission_pb2.Answer(yes=True)}, "FAILED_PRECONDITION"),
        ("Answer", {}, "INVALID_ARGUMENT"),
        ("Pause", {"request_id": "r" * 201}, "INVALID_ARGUMENT"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(buddy, way, name, fields, code):
    mission = buddy.submit("What is 1 + 1?", require_approval=True)
    assert code_of(lambda: way.say(name, mission.id, **fields)) == code
    assert buddy.get(mission.id).version == mission.version
    assert code_of(lambda: way.say(name, "nobody", **fields)) in ("NOT_FOUND", "INVALID_ARGUMENT")


def test_the_queue_shows_what_waits_and_what_runs():
    flags = {"execution": ["--allow-private-fetch", "--maximum-running", "1"]}
    with pages.serve() as site, Installation(flags=flags) as installation:
        buddy, ways = Buddy(installation), [OverGRPC(installation), OverHTTP(installation)]
        first = buddy.started(site, "slow-first", owner="ann")
        ids = [
            buddy.submit(f"Get the title of {site.url(f'slow-{n}')}", owner=owner, priority=priority).id
            for n, (owner, priority) in enumerate([("ann", 0), ("bob", -50), ("cid", 50)])
        ]
        for way in ways:
            wait_until(lambda: way.queue().waiting == 3, "three missions wait")
            queue = way.queue()
            assert (queue.running, queue.running_limit) == (1, 1)
            assert [entry.mission_id for entry in queue.entries] == [ids[2], ids[0], ids[1]]
            assert [entry.position for entry in queue.entries] == [1, 2, 3]
            assert all(entry.waiting_for and entry.HasField("waiting_since") for entry in queue.entries)
            assert [(entry.owner, entry.position) for entry in way.queue("bob").entries] == [("bob", 3)]
        ways[0].say("Modify", ids[1], priority=wrappers_pb2.Int32Value(value=100))
        wait_until(lambda: ways[1].queue().entries[0].mission_id == ids[1], "the priority counts at once")
        site.release.set()
        for id in [first, *ids]:
            assert buddy.events(id)[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED
        fetched = list(dict.fromkeys(site.asked))
        assert fetched == ["/slow-first", "/slow-1", "/slow-2", "/slow-0"]


def test_the_audit_log_names_who_did_what_and_its_chain_holds(buddy, installation):
    way = OverHTTP(installation)
    mission = buddy.submit("What is 40 + 2?", require_approval=True)
    way.say("Modify", mission.id, actor="zoe", priority=wrappers_pb2.Int32Value(value=3), reason="urgent")
    way.say("Approve", mission.id, actor="yan")
    events = buddy.events(mission.id)

    def entries():
        request = lambda page: audit_pb2.ListAuditRequest(page=page, mission_id=mission.id)
        return list(pages_of(buddy.audit.List, request, "entries"))

    wait_until(lambda: len(entries()) == len(events), "every event is in the audit log")
    found = entries()
    assert [progress_pb2.ProgressEvent.FromString(entry.event) for entry in found] == events
    assert [entry.actor for entry in found if entry.actor in ("zoe", "yan")] == ["zoe", "yan"]
    assert [entry.action for entry in found if entry.actor == "zoe"] == ["MODIFY"]

    listed = json.loads(way.call(f"/api/v1/audit?mission={mission.id}&actor=yan"))["entries"]
    assert [entry["action"] for entry in listed] == ["APPROVE"]

    export = list(buddy.audit.Export(audit_pb2.ExportAuditRequest(), timeout=60))
    head = bytes(32)
    for number, entry in enumerate(export, 1):
        assert (entry.number, entry.previous_hash) == (number, head)
        head = hashlib.sha256(head + number.to_bytes(8, "big") + entry.event).digest()
        assert entry.hash == head
    verdict = buddy.audit.Verify(audit_pb2.VerifyAuditRequest(), timeout=60)
    assert verdict.broken_at == 0 and verdict.entries >= len(export)

    lines = way.call(f"/api/v1/audit/export?after_number={len(export) - 3}").splitlines()[:3]
    assert [base64.b64decode(json.loads(line)["hash"]) for line in lines] == [entry.hash for entry in export[-3:]]
    assert int(json.loads(way.call("/api/v1/audit/verify"))["entries"]) >= verdict.entries
