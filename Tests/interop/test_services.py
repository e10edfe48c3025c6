"""Python's grpcio, with protos compiled by grpcio-tools, as a client of the running binaries."""

import time
import uuid

import grpc
import pages
import pytest
from buddy.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from buddy.investment.v1 import investment_pb2, investment_pb2_grpc
from buddy.learning.v1 import learning_pb2, learning_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc
from google.protobuf import duration_pb2, timestamp_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from installation import wait_until

CSV = b"region,price\nNorth,10\nSouth,20\nNorth,30\nSouth,50\n"


class Buddy:
    def __init__(self, installation):
        self.channels = {
            name: grpc.insecure_channel(installation.address(name))
            for name in ["execution", "progress", "artifact", "learning", "investment"]
        }
        self.missions = mission_pb2_grpc.MissionsStub(self.channels["execution"])
        self.progress = progress_pb2_grpc.ProgressStub(self.channels["progress"])
        self.artifacts = artifact_pb2_grpc.ArtifactsStub(self.channels["artifact"])
        self.learning = learning_pb2_grpc.LearningStub(self.channels["learning"])
        self.investment = investment_pb2_grpc.InvestmentStub(self.channels["investment"])

    def submit(self, objective, **fields):
        return self.missions.Submit(mission_pb2.SubmitMissionRequest(objective=objective, **fields), timeout=30)

    def watch(self, mission_id, after=0):
        request = progress_pb2.WatchEventsRequest(mission_id=mission_id, after_sequence=after)
        return self.progress.Watch(request, timeout=60)

    def get(self, mission_id):
        return self.missions.Get(mission_pb2.GetMissionRequest(id=mission_id), timeout=30)

    def upload(self, name, media_type, content):
        header = artifact_pb2.PutArtifactHeader(name=name, media_type=media_type)

        def parts():
            yield artifact_pb2.PutArtifactRequest(header=header)
            for start in range(0, len(content), 100_000):
                yield artifact_pb2.PutArtifactRequest(chunk=content[start : start + 100_000])

        return self.artifacts.Put(parts(), timeout=60)

    def download(self, artifact_id, offset=0):
        parts = list(self.artifacts.Get(artifact_pb2.GetArtifactRequest(id=artifact_id, offset=offset), timeout=60))
        assert parts[0].WhichOneof("part") == "artifact"
        return b"".join(part.chunk for part in parts[1:])


@pytest.fixture(scope="module")
def buddy(installation):
    return Buddy(installation)


def code_of(call):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code()


def test_a_mission_is_submitted_watched_and_finished(buddy):
    source = buddy.upload("sales.csv", "text/csv", CSV)
    mission = buddy.submit(
        "Chart the average price by region",
        inputs=[mission_pb2.MissionInput(name="sales.csv", artifact_id=source.id)],
        owner="grpcio",
    )
    events = list(buddy.watch(mission.id))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    percents = [event.percent for event in events]
    assert percents == sorted(percents) and percents[-1] == 100
    started = [event.step for event in events if event.type == progress_pb2.EVENT_TYPE_STEP_STARTED]
    completed = [event.step for event in events if event.type == progress_pb2.EVENT_TYPE_STEP_COMPLETED]
    assert started == completed == [1, 2, 3, 4, 5, 6]
    assert any(event.type == progress_pb2.EVENT_TYPE_STEP_PROGRESS for event in events)
    assert events[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED

    done = buddy.get(mission.id)
    assert done.state == mission_pb2.MISSION_STATE_SUCCEEDED
    assert done.choice.tool == "data_analyze" and done.choice.candidates and done.choice.reason
    assert 0.2 <= done.intent.confidence <= 0.95
    assert "North" in done.result.text and "20" in done.result.text
    assert 0 < done.cost.micros <= done.budget.micros
    table = next(artifact for artifact in done.result.artifacts if artifact.media_type.startswith("text/csv"))
    rows = buddy.download(table.artifact_id).decode().splitlines()
    assert len(rows) == 3 and any(row.startswith("North,20") for row in rows) and any("South,35" in row for row in rows)
    assert any("vegalite" in artifact.media_type for artifact in done.result.artifacts)

    snapshot = buddy.progress.Snapshot(progress_pb2.SnapshotRequest(mission_id=mission.id), timeout=30)
    assert snapshot.percent == 100 and len(snapshot.steps) == 6 and not snapshot.HasField("eta")
    assert snapshot.elapsed.ToTimedelta().total_seconds() > 0


def test_watching_resumes_after_a_sequence(buddy):
    mission = buddy.submit("What is 6 * 7?")
    everything = list(buddy.watch(mission.id))
    assert list(buddy.watch(mission.id, after=5)) == everything[5:]
    assert list(buddy.watch(mission.id, after=everything[-1].sequence)) == []
    request = progress_pb2.ListEventsRequest(mission_id=mission.id, after_sequence=3, limit=4)
    polled = buddy.progress.List(request, timeout=30)
    assert list(polled.events) == everything[3:7] and not polled.complete
    assert "42" in buddy.get(mission.id).result.text


def test_a_long_poll_waits_for_news(buddy):
    mission = buddy.submit("What is 1 + 1?", require_approval=True)
    first = buddy.progress.List(
        progress_pb2.ListEventsRequest(mission_id=mission.id, wait=duration_pb2.Duration(seconds=5)), timeout=30
    )
    assert [event.state for event in first.events] == [mission_pb2.MISSION_STATE_PENDING_APPROVAL]
    waiting = buddy.progress.List.future(
        progress_pb2.ListEventsRequest(
            mission_id=mission.id, after_sequence=1, wait=duration_pb2.Duration(seconds=60)
        ),
        timeout=90,
    )
    approved = buddy.missions.Approve(mission_pb2.ApproveMissionRequest(id=mission.id, actor="eva"), timeout=30)
    assert approved.state == mission_pb2.MISSION_STATE_APPROVED
    assert waiting.result().events[0].sequence == 2
    buddy.missions.Approve(mission_pb2.ApproveMissionRequest(id=mission.id, actor="eva"), timeout=30)


def test_deadline_of_a_call(buddy):
    mission = buddy.submit("What is 1 + 1?", require_approval=True)
    list_request = progress_pb2.WatchEventsRequest(mission_id=mission.id, after_sequence=1)
    with pytest.raises(grpc.RpcError) as raised:
        list(buddy.progress.Watch(list_request, timeout=0.3))
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_deadline_of_a_mission(buddy):
    with pages.serve() as site:
        deadline = timestamp_pb2.Timestamp()
        deadline.FromMilliseconds(int((time.time() + 1) * 1000))
        mission = buddy.submit(f"Get the title of {site.url('slow')}", deadline=deadline)
        events = list(buddy.watch(mission.id))
        assert events[-1].state == mission_pb2.MISSION_STATE_FAILED
        assert events[-1].error.code == "DEADLINE_EXCEEDED"
    past = timestamp_pb2.Timestamp(seconds=1)
    assert code_of(lambda: buddy.submit("What is 1 + 1?", deadline=past)) == grpc.StatusCode.INVALID_ARGUMENT


def test_cancelling_a_call(buddy):
    mission = buddy.submit("What is 1 + 1?", require_approval=True)
    call = buddy.progress.Watch(progress_pb2.WatchEventsRequest(mission_id=mission.id))
    assert next(call).sequence == 1
    call.cancel()
    assert code_of(lambda: next(call)) == grpc.StatusCode.CANCELLED
    # The connection goes on.
    assert buddy.progress.Snapshot(progress_pb2.SnapshotRequest(mission_id=mission.id), timeout=30).percent == 0


def test_cancelling_a_mission_stops_its_tool(buddy):
    before = buddy.investment.GetBudget(investment_pb2.GetBudgetRequest(), timeout=30)
    with pages.serve() as site:
        mission = buddy.submit(f"Get the title of {site.url('slow')}")
        wait_until(lambda: site.asked, "the tool fetches the page")
        cancel = mission_pb2.CancelMissionRequest(id=mission.id, actor="eva", reason="enough")
        cancelled = buddy.missions.Cancel(cancel, timeout=30)
        assert cancelled.state == mission_pb2.MISSION_STATE_CANCELLED
        assert buddy.missions.Cancel(cancel, timeout=30).version == cancelled.version
        events = list(buddy.watch(mission.id))
        assert events[-1].state == mission_pb2.MISSION_STATE_CANCELLED and "enough" in events[-1].message

    def is_released():
        return buddy.investment.GetBudget(investment_pb2.GetBudgetRequest(), timeout=30) == before

    wait_until(is_released, "the reservation is released")


@pytest.mark.parametrize(
    "call",
    [
        lambda buddy: buddy.get("nobody"),
        lambda buddy: buddy.missions.Cancel(mission_pb2.CancelMissionRequest(id="nobody"), timeout=30),
        lambda buddy: list(buddy.watch("nobody")),
        lambda buddy: buddy.progress.Snapshot(progress_pb2.SnapshotRequest(mission_id="nobody"), timeout=30),
        lambda buddy: buddy.artifacts.Describe(artifact_pb2.DescribeArtifactRequest(id="nobody"), timeout=30),
        lambda buddy: buddy.download("nobody"),
        lambda buddy: buddy.learning.GiveFeedback(
            learning_pb2.GiveFeedbackRequest(mission_id="nobody", score=1), timeout=30
        ),
    ],
)
def test_a_wrong_id_is_not_found(buddy, call):
    assert code_of(lambda: call(buddy)) == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "objective, content, code",
    [
        ("Chart the average price by regoin", CSV, "UNKNOWN_COLUMN"),
        ("Chart the average price by region", b"", "EMPTY_INPUT"),
        ("Chart the average price by region", b'region,price\n"North,1\n', "MALFORMED_CSV"),
        ("Chart the average price by region", None, "MISSING_INPUT"),
        ("Write a sad poem about the moon", None, "NO_TOOL_FITS"),
        ("Get the title of http://127.0.0.1:1/", None, "UNREACHABLE"),
        ("What is 1 / 0?", None, "DIVISION_BY_ZERO"),
    ],
)
def test_bad_input_fails_the_mission_with_one_clear_code(buddy, objective, content, code):
    inputs = []
    if content is not None:
        source = buddy.upload("sales.csv", "text/csv", content)
        inputs = [mission_pb2.MissionInput(name="sales.csv", artifact_id=source.id)]
    mission = buddy.submit(objective, inputs=inputs)
    last = list(buddy.watch(mission.id))[-1]
    assert last.state == mission_pb2.MISSION_STATE_FAILED
    assert last.error.code == code, last.error
    assert last.error.message
    assert buddy.get(mission.id).error == last.error


def test_an_input_that_does_not_exist(buddy):
    mission = buddy.submit("Sum price", inputs=[mission_pb2.MissionInput(name="x.csv", artifact_id="nothing")])
    assert list(buddy.watch(mission.id))[-1].error.code == "INPUT_NOT_FOUND"


def test_malformed_requests(buddy):
    assert code_of(lambda: buddy.submit("")) == grpc.StatusCode.INVALID_ARGUMENT
    assert code_of(lambda: buddy.submit("x", priority=1000)) == grpc.StatusCode.INVALID_ARGUMENT
    raw = buddy.channels["execution"].unary_unary("/buddy.mission.v1.Missions/Submit")
    assert code_of(lambda: raw(b"\x0a\xff\xff\xff", timeout=30)) == grpc.StatusCode.INVALID_ARGUMENT
    nowhere = buddy.channels["execution"].unary_unary("/buddy.mission.v1.Missions/Nope")
    assert code_of(lambda: nowhere(b"", timeout=30)) == grpc.StatusCode.UNIMPLEMENTED


def test_one_idempotency_key_makes_one_mission(buddy):
    key = str(uuid.uuid4())
    first = buddy.submit("What is 2 + 2?", idempotency_key=key, owner="eva")
    assert buddy.submit("What is 2 + 2?", idempotency_key=key, owner="eva").id == first.id
    other = lambda: buddy.submit("What is 2 + 3?", idempotency_key=key, owner="eva")
    assert code_of(other) == grpc.StatusCode.ALREADY_EXISTS


def test_large_artifacts_stream_both_ways(buddy):
    content = bytes(range(256)) * 20_000
    artifact = buddy.upload("large.bin", "application/octet-stream", content)
    assert artifact.size == len(content)
    assert buddy.download(artifact.id) == content
    assert buddy.download(artifact.id, offset=5_000_000) == content[5_000_000:]
    assert code_of(lambda: buddy.download(artifact.id, offset=len(content) + 1)) == grpc.StatusCode.OUT_OF_RANGE


def test_feedback_moves_the_multiplier(buddy):
    mission = buddy.submit("What is 2 + 5?")
    list(buddy.watch(mission.id))

    def give():
        request = learning_pb2.GiveFeedbackRequest(mission_id=mission.id, author="eva", score=1)
        try:
            return buddy.learning.GiveFeedback(request, timeout=30)
        except grpc.RpcError as error:
            # The outcome is still on its way to the learning service.
            assert error.code() == grpc.StatusCode.NOT_FOUND
            return None

    given = []
    wait_until(lambda: given.append(give()) or given[-1], "the outcome is known")
    assert given[-1].tool == "calculate" and 1 < given[-1].multiplier.value <= 1.2


def test_health_of_every_service(buddy, installation):
    for name, channel in buddy.channels.items():
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, name
        unknown = lambda: health.Check(health_pb2.HealthCheckRequest(service="nope"), timeout=30)
        assert code_of(unknown) == grpc.StatusCode.NOT_FOUND


def test_a_hundred_calls_share_one_connection(buddy):
    request = mission_pb2.SubmitMissionRequest(objective="What is 3 * 3?")
    calls = [buddy.missions.Submit.future(request, timeout=60) for _ in range(100)]
    ids = {call.result().id for call in calls}
    assert len(ids) == 100
    for mission_id in ids:
        assert list(buddy.watch(mission_id))[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED
