"""A mission's trace, as a real OpenTelemetry collector gets it from the running services."""

import contextlib
import json
import signal
import threading
import time
import urllib.error
import urllib.request

import grpc
import pages
import pytest
from collector import CLIENT, CONSUMER, INTERNAL, SERVER, collect
from installation import SERVICES, Installation, free_port, wait_until
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from test_services import CSV, Buddy

ENDED = ("MISSION_STATE_SUCCEEDED", "MISSION_STATE_FAILED", "MISSION_STATE_CANCELLED", "MISSION_STATE_REJECTED")


def tracing(address, **more):
    """Flags that make every service export to `address`."""
    flags = {name: ["--otlp-endpoint", address, "--log-format", "json"] + more.get(name, []) for name in SERVICES}
    return {"flags": flags}


@pytest.fixture(scope="module")
def traced():
    with collect() as collector:
        with Installation(**tracing(collector.address, execution=["--allow-private-fetch"])) as installation:
            yield installation, collector


def ask(installation, path, body=None, headers=None):
    """Gives the answer's JSON and the trace id it names."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        installation.url(path), data=data, headers={"Content-Type": "application/json", **(headers or {})}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        version, trace, _, _ = response.headers["traceparent"].split("-")
        assert version == "00"
        return json.load(response), trace


def submit(installation, objective, headers=None, **fields):
    mission, trace = ask(installation, "/api/v1/missions", {"objective": objective, **fields}, headers)
    return mission["id"], trace


def finish(installation, id):
    def state():
        return ask(installation, f"/api/v1/missions/{id}")[0].get("state")

    wait_until(lambda: state() in ENDED, "the mission ends")
    return state()


def run(installation, objective, headers=None, **fields):
    id, trace = submit(installation, objective, headers, **fields)
    assert finish(installation, id) == "MISSION_STATE_SUCCEEDED"
    return id, trace


def mission_trace(collector, trace):
    """Its spans, once the mission's own, whatever each is part of and both sides of each call have come."""

    def is_whole():
        spans = collector.trace(trace)
        ids, parents = {span.id for span in spans}, {span.parent for span in spans}
        has_mission = any(span.name == "mission" for span in spans)
        has_parents = all(span.parent in ids for span in spans if span.parent)
        return has_mission and has_parents and all(span.id in parents for span in spans if span.kind == CLIENT)

    wait_until(is_whole, "the trace is whole")
    return collector.trace(trace)


def log_lines(installation, name, trace):
    """The JSON log lines of a service that belong to a trace."""
    lines = [json.loads(line) for line in installation.log(name).splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("metadata", {}).get("trace_id") == trace]


def only(spans, **wanted):
    found = [span for span in spans if all(getattr(span, key) == value for key, value in wanted.items())]
    assert len(found) == 1, (wanted, [(span.service, span.name) for span in found])
    return found[0]


def test_a_mission_is_one_trace(traced):
    installation, collector = traced
    source = Buddy(installation).upload("sales.csv", "text/csv", CSV)
    id, trace = run(
        installation,
        "Chart the average price by region",
        inputs=[{"name": "sales.csv", "artifactId": source.id}],
    )
    spans = mission_trace(collector, trace)
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans)

    # One tree, whose root is the request at the gateway.
    root = only(spans, parent="")
    assert (root.service, root.kind, root.name) == ("buddy-gateway", SERVER, "POST /api/v1/missions")
    assert root.attributes["http.request.method"] == "POST"
    assert root.attributes["http.route"] == "/api/v1/missions"
    assert root.attributes["http.response.status_code"] == 201
    submitted = only(spans, name="buddy.mission.v1.Missions/Submit", kind=SERVER)
    assert by_id[by_id[submitted.parent].parent] == root

    # The mission goes on in it after the answer, with a span for each step.
    mission = only(spans, name="mission")
    assert (mission.kind, mission.service, mission.parent) == (INTERNAL, "buddy-execution", submitted.id)
    assert mission.attributes["mission.id"] == id
    assert mission.attributes["mission.outcome"] == "SUCCEEDED"
    steps = sorted((span for span in spans if span.name.startswith("step ")), key=lambda span: span.start)
    assert [step.name for step in steps] == [
        f"step {name}" for name in ["verification", "intent", "budget", "selection", "execution", "finalize"]
    ]
    assert all(step.parent == mission.id and step.attributes["mission.outcome"] == "COMPLETED" for step in steps)
    assert steps[-1].attributes["mission.tool"] == mission.attributes["mission.tool"] != ""

    # Each call has one span at either side, and they nest.
    calls = [span for span in spans if span.kind == CLIENT]
    for call in calls:
        served = only(spans, parent=call.id)
        assert (served.kind, served.name) == (SERVER, call.name)
        assert served.service == call.attributes["peer.service"] != call.service
        assert served.attributes["rpc.system"] == "grpc"
        assert f"{served.attributes['rpc.service']}/{served.attributes['rpc.method']}" == call.name
        assert served.attributes["rpc.grpc.status_code"] == call.attributes["rpc.grpc.status_code"]
        assert call.start <= served.start <= served.end <= call.end
        caller = by_id[call.parent]
        assert caller.start <= call.start <= call.end <= caller.end
    assert len([span for span in spans if span.kind == SERVER]) == len(calls) + 1
    for step in steps:
        assert mission.start <= step.start <= step.end <= mission.end
    assert {call.attributes["peer.service"] for call in calls} >= {
        f"buddy-{name}" for name in ["execution", "artifact", "investment", "learning"]
    }

    # The log lines of every hop can be found by the trace's id, and name the spans.
    for name, message in [("gateway", "request"), ("execution", "mission ended")]:
        line = only_line(log_lines(installation, name, trace), message)
        assert line["metadata"]["span_id"] in by_id
    assert only_line(log_lines(installation, "execution", trace), "mission ended")["metadata"]["span_id"] == mission.id


def test_what_a_mission_causes_elsewhere_belongs_to_its_trace(traced):
    installation, collector = traced
    id, trace = run(installation, "What is 7 * 6?")

    def taken(service, topic):
        return [
            span
            for span in collector.trace(trace)
            if (span.service, span.name, span.kind) == (f"buddy-{service}", f"take {topic}", CONSUMER)
        ]

    wait_until(lambda: taken("learning", "learning"), "learning has taken the outcome in")
    # The events of each transaction have a span: of the submission, of the claim and of what the run stored.
    list(Buddy(installation).watch(id))
    wait_until(lambda: len(taken("progress", "events")) >= 3, "progress has taken the events in")
    by_id = {span.id: span for span in mission_trace(collector, trace)}
    for span in taken("progress", "events") + taken("learning", "learning"):
        assert span.attributes["messaging.message.key"] == id
        assert span.attributes["messaging.outcome"] == "TAKEN"
        # Caused by the submission, or by the mission's run; what causes something begins before it.
        cause = by_id[span.parent]
        assert cause.name in ("buddy.mission.v1.Missions/Submit", "mission")
        assert cause.start <= span.start


def only_line(lines, message):
    found = [line for line in lines if line["message"] == message]
    assert len(found) == 1, (message, lines)
    return found[0]


def test_what_is_exported_is_counted(traced):
    installation, _ = traced
    before = metric(installation, "execution", "buddy_trace_exported_total")
    run(installation, "What is 8 + 8?")
    wait_until(
        lambda: metric(installation, "execution", "buddy_trace_exported_total") >= before + 8, "exports are counted"
    )
    assert metric(installation, "execution", "buddy_trace_dropped_total") == 0


def test_what_failed_says_so(traced):
    installation, collector = traced
    id, trace = submit(installation, "What is 1 / 0?")
    assert finish(installation, id) == "MISSION_STATE_FAILED"
    spans = mission_trace(collector, trace)
    mission, step = only(spans, name="mission"), only(spans, name="step execution")
    assert mission.status == step.status == 2
    assert mission.attributes["mission.outcome"] == "FAILED"
    assert step.attributes["mission.outcome"] == "FAILED"
    assert mission.attributes["error.type"] == step.attributes["error.type"] != ""
    assert step.events == ["exception"]

    with pytest.raises(urllib.error.HTTPError) as missing:
        ask(installation, "/api/v1/missions/nobody")
    trace = missing.value.headers["traceparent"].split("-")[1]
    wait_until(lambda: len(collector.trace(trace)) == 3, "the refusal's spans come")
    spans = collector.trace(trace)
    assert only(spans, service="buddy-gateway", kind=SERVER).attributes["http.response.status_code"] == 404
    assert only(spans, service="buddy-gateway", kind=CLIENT).attributes["rpc.grpc.status_code"] == 5
    # NOT_FOUND is an error of whoever asked, not of the service.
    assert only(spans, service="buddy-gateway", kind=CLIENT).status == 2
    assert only(spans, service="buddy-execution", kind=SERVER).status == 0


def test_a_clients_own_trace_goes_on(traced):
    installation, collector = traced
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"traceparent": f"00-{trace}-{caller}-01", "tracestate": "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"}
    _, answered = run(installation, "What is 2 + 2?", headers)
    assert answered == trace
    # Each service exports by itself, so which of them is first is open.
    names = {"mission", "POST /api/v1/missions", "buddy.mission.v1.Missions/Submit"}
    wait_until(lambda: names <= {span.name for span in collector.trace(trace)}, "the spans come")
    spans = collector.trace(trace)
    root = only(spans, name="POST /api/v1/missions")
    assert root.parent == caller
    submitted = only(spans, name="buddy.mission.v1.Missions/Submit", kind=SERVER)
    assert root.state == submitted.state == "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"


def test_a_trace_that_its_caller_does_not_record_is_not_exported(traced):
    installation, collector = traced
    trace = "1af7651916cd43dd8448eb211c80319c"
    _, answered = run(installation, "What is 3 + 3?", {"traceparent": f"00-{trace}-b7ad6b7169203331-00"})
    assert answered == trace
    # A later trace arrives whole, so this one would have too.
    _, later = run(installation, "What is 4 + 4?")
    mission_trace(collector, later)
    assert collector.trace(trace) == []
    assert log_lines(installation, "execution", trace) != []


@pytest.mark.parametrize(
    "traceparent",
    [
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-2af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-2AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "ff-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "nonsense",
    ],
)
def test_a_malformed_traceparent_is_ignored(traced, traceparent):
    installation, _ = traced
    _, trace = ask(installation, "/api/v1/tools", headers={"traceparent": traceparent})
    assert trace != "2af7651916cd43dd8448eb211c80319c"
    assert len(trace) == 32 and trace != "0" * 32


def test_a_stream_is_one_span_as_long_as_it_lasts(traced):
    installation, collector = traced
    with pages.serve() as site:
        id, _ = submit(installation, f"Get the title of {site.url('slow')}")
        wait_until(lambda: site.asked, "the tool runs")
        request = urllib.request.Request(
            installation.url(f"/api/v1/missions/{id}/events"), headers={"Accept": "text/event-stream"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            trace = response.headers["traceparent"].split("-")[1]
            response.readline()
            assert not any(span.name == "GET /api/v1/missions/{id}/events" for span in collector.trace(trace))
            released = time.time_ns()
            site.release.set()
            response.read()
    wait_until(lambda: any(not span.parent for span in collector.trace(trace)), "the stream's span comes")
    wait_until(lambda: len([s for s in collector.trace(trace) if "Watch" in s.name]) == 2, "the watch's spans come")
    spans = collector.trace(trace)
    root = only(spans, parent="")
    assert root.attributes["http.route"].endswith("/events")
    assert root.end > released
    watch = only(spans, name="buddy.progress.v1.Progress/Watch", kind=SERVER)
    assert watch.service == "buddy-progress" and watch.end > released


def test_a_mission_goes_on_in_its_trace_after_a_crash(traced):
    installation, collector = traced
    with pages.serve() as site:
        id, trace = submit(installation, f"Get the title of {site.url('slow')}")
        wait_until(lambda: site.asked, "the tool runs")
        installation.kill("execution")
        site.release.set()
        installation.restart("execution")
        assert finish(installation, id) == "MISSION_STATE_SUCCEEDED"
    wait_until(lambda: any(span.name == "mission" for span in collector.trace(trace)), "the mission's span comes")
    mission = only(collector.trace(trace), name="mission")
    assert mission.attributes["mission.outcome"] == "SUCCEEDED"
    assert only(collector.trace(trace), name="step finalize").parent == mission.id


def refuse(_, context):
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")


def reject_some(request, _):
    return trace_service_pb2.ExportTraceServiceResponse(
        partial_success=trace_service_pb2.ExportTracePartialSuccess(rejected_spans=1, error_message="one is too old")
    )


def metric(installation, service, name):
    """The value of a metric of a service, as its admin port tells it."""

    def addresses():
        lines = [json.loads(line) for line in installation.log(service).splitlines() if line.startswith("{")]
        return [line["metadata"]["address"] for line in lines if line["message"] == "admin listening"]

    wait_until(addresses, "the admin port listens")
    with urllib.request.urlopen(f"http://{addresses()[-1]}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def missions_succeed(installation, count=10):
    for number in range(count):
        run(installation, f"What is {number} + {number}?")


def test_a_collector_that_refuses_costs_only_spans():
    with collect(refuse) as collector, Installation(**tracing(collector.address)) as installation:
        missions_succeed(installation)
        wait_until(lambda: "spans were dropped" in installation.log("execution"), "the drop is logged")
        # Ten missions with seven spans each, at the least.
        wait_until(lambda: metric(installation, "execution", "buddy_trace_dropped_total") >= 70, "drops are counted")
        assert "PERMISSION_DENIED: not yours" in installation.log("execution")


def test_a_partial_success_is_logged():
    with collect(reject_some) as collector, Installation(**tracing(collector.address)) as installation:
        missions_succeed(installation, 1)
        wait_until(lambda: "one is too old" in installation.log("execution"), "the refusal is logged")


@contextlib.contextmanager
def stalled():
    """A collector that answers nothing until the end."""
    end = threading.Event()

    def stall(_, context):
        end.wait(120)
        context.abort(grpc.StatusCode.UNAVAILABLE, "at last")

    with collect(stall) as collector:
        try:
            yield collector.address
        finally:
            end.set()


@contextlib.contextmanager
def away():
    yield f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize("collector", [away, stalled])
def test_a_collector_that_is_away_or_slow_costs_only_spans(collector):
    with collector() as address, Installation(**tracing(address)) as installation:
        missions_succeed(installation)
        execution = installation.processes["execution"]
        execution.send_signal(signal.SIGTERM)
        # The last spans have a bounded time, and then the process ends as it should.
        assert execution.wait(timeout=60) == 0
        assert "spans were dropped" in installation.log("execution")
        installation.restart("execution")


def test_a_collector_that_comes_back_gets_what_waited():
    port = free_port()
    with Installation(**tracing(f"127.0.0.1:{port}")) as installation:
        _, trace = run(installation, "What is 5 + 5?")
        with collect(port=port) as collector:
            spans = mission_trace(collector, trace)
            assert only(spans, parent="").service == "buddy-gateway"
