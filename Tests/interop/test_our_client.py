"""Our RPC client, inside the running execution service, against servers written with grpcio."""

import concurrent.futures
import threading

import grpc
import pytest
from buddy.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from buddy.common.v1 import common_pb2
from buddy.delivery.v1 import delivery_pb2, delivery_pb2_grpc
from buddy.investment.v1 import investment_pb2, investment_pb2_grpc
from buddy.learning.v1 import learning_pb2, learning_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2
from installation import Installation, wait_until

CSV = b"region,price\n" + b"".join(b"North,%d\n" % number for number in range(100_000))


class Peers(
    artifact_pb2_grpc.ArtifactsServicer,
    delivery_pb2_grpc.InboxServicer,
    investment_pb2_grpc.InvestmentServicer,
    learning_pb2_grpc.LearningServicer,
):
    """What execution calls, as simple as can be, and remembering what it was asked."""

    def __init__(self):
        self.events = []
        self.outcomes = []
        self.taken = set()
        self.stored = {}
        self.remaining = []
        self.user_agents = set()
        self.refusals = 2
        self.hang = threading.Event()
        self.lock = threading.Lock()

    def Deliver(self, deliveries, context):
        """Fails before the first delivery, or after one that it has taken without a receipt."""
        for delivery in deliveries:
            with self.lock:
                self.refusals = max(0, self.refusals - 1)
                if self.refusals % 2 == 1:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "not yet; é%")
                if delivery.id not in self.taken:
                    self.taken.add(delivery.id)
                    if delivery.topic == "events":
                        self.events += progress_pb2.RecordEventsRequest.FromString(delivery.payload).events
                    if delivery.topic == "learning":
                        self.outcomes.append(learning_pb2.RecordOutcomeRequest.FromString(delivery.payload))
                if self.refusals > 0:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "taken, and not a word about it")
            yield delivery_pb2.DeliveryReceipt(id=delivery.id, outcome=delivery_pb2.DELIVERY_OUTCOME_TAKEN)

    def Describe(self, request, context):
        if request.id != "source":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such artifact")
        return artifact_pb2.Artifact(id="source", name="sales.csv", media_type="text/csv", size=len(CSV))

    def Get(self, request, context):
        yield artifact_pb2.GetArtifactResponse(artifact=self.Describe(request, context))
        for start in range(0, len(CSV), 50_000):
            yield artifact_pb2.GetArtifactResponse(chunk=CSV[start : start + 50_000])

    def Put(self, requests, context):
        header = next(requests).header
        content = b"".join(request.chunk for request in requests)
        with self.lock:
            self.stored[header.name] = content
        return artifact_pb2.Artifact(id=header.name, name=header.name, media_type=header.media_type, size=len(content))

    def Estimate(self, request, context):
        self.remaining.append(context.time_remaining())
        self.user_agents.add(dict(context.invocation_metadata())["user-agent"])
        amount = common_pb2.Money(micros=10, currency="USD")
        return investment_pb2.EstimateResponse(estimates=[
            investment_pb2.Estimate(tool=use.tool, expected=amount, worst_case=amount) for use in request.uses
        ])

    def Reserve(self, request, context):
        return investment_pb2.Reservation(id=request.id, state=investment_pb2.RESERVATION_STATE_HELD)

    def GetMultipliers(self, request, context):
        multipliers = [learning_pb2.Multiplier(tool=tool, value=1.1) for tool in request.tools]
        return learning_pb2.GetMultipliersResponse(multipliers=multipliers)


@pytest.fixture(scope="module")
def setting():
    peers = Peers()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    artifact_pb2_grpc.add_ArtifactsServicer_to_server(peers, server)
    investment_pb2_grpc.add_InvestmentServicer_to_server(peers, server)
    learning_pb2_grpc.add_LearningServicer_to_server(peers, server)
    delivery_pb2_grpc.add_InboxServicer_to_server(peers, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    overrides = dict.fromkeys(["artifact", "investment", "learning", "progress"], address)
    with Installation(services=["execution"], overrides=overrides) as installation:
        stub = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(installation.address("execution")))
        yield peers, stub
    server.stop(None)


def run(stub, objective, **fields):
    mission = stub.Submit(mission_pb2.SubmitMissionRequest(objective=objective, **fields), timeout=30)

    def ended():
        return stub.Get(mission_pb2.GetMissionRequest(id=mission.id), timeout=30).HasField("finished_at")

    wait_until(ended, "the mission ends")
    return stub.Get(mission_pb2.GetMissionRequest(id=mission.id), timeout=30)


def test_all_kinds_of_calls_against_a_grpcio_server(setting):
    peers, stub = setting
    source = mission_pb2.MissionInput(name="sales.csv", artifact_id="source")
    mission = run(stub, "Average price by region", inputs=[source])
    assert mission.state == mission_pb2.MISSION_STATE_SUCCEEDED, mission.error
    # Unary: what the server answered is what counts.
    assert mission.cost.micros == 10 and mission.choice.candidates[0].multiplier == 1.1
    # Server streaming in, client streaming out: 1.1 MB of input, and what was stored is what was made of it.
    assert "49999.5" in mission.result.text.replace(",", "")
    assert any(b"49999.5" in content for content in peers.stored.values())
    # The deadline travelled, and so did the client's name.
    assert all(0 < remaining <= 30.5 for remaining in peers.remaining) and peers.remaining
    assert all(agent.startswith("grpc-swift-buddy") or "buddy" in agent for agent in peers.user_agents)


def test_events_come_in_order_through_failures_of_the_server(setting):
    peers, stub = setting
    peers.refusals = 4
    mission = run(stub, "What is 2 + 2?")

    def mine():
        return [event for event in peers.events if event.mission_id == mission.id]

    wait_until(lambda: mine() and mine()[-1].state == mission.state, "all events were delivered")
    assert [event.sequence for event in mine()] == list(range(1, len(mine()) + 1))
    wait_until(lambda: any(outcome.mission_id == mission.id for outcome in peers.outcomes), "the outcome is delivered")


def test_a_status_of_the_server_reaches_the_mission(setting):
    _, stub = setting
    mission = run(stub, "Sum price", inputs=[mission_pb2.MissionInput(name="x", artifact_id="other")])
    assert mission.error.code == "INPUT_NOT_FOUND"
