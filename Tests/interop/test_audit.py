"""The audit log, checked by a program that knows of it only what proto/buddy/audit/v1/audit.proto says."""

import base64
import hashlib
import json
import urllib.request

import grpc
import pytest
from buddy.audit.v1 import audit_pb2, audit_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc


def verified(entries):
    """Checks a whole chain, given as dictionaries of ProtoJSON, and returns its head."""
    head, number = bytes(32), 0
    for entry in entries:
        number += 1
        event = base64.b64decode(entry["event"])
        assert int(entry["number"]) == number
        assert base64.b64decode(entry["previousHash"]) == head
        head = hashlib.sha256(head + number.to_bytes(8, "big") + event).digest()
        assert base64.b64decode(entry["hash"]) == head
        decoded = progress_pb2.ProgressEvent.FromString(event)
        assert entry["missionId"] == decoded.mission_id
        assert entry["actor"] == (decoded.actor or decoded.change.actor or "buddy")
    return head


def as_json(entry):
    return {
        "number": str(entry.number),
        "event": base64.b64encode(entry.event).decode(),
        "previousHash": base64.b64encode(entry.previous_hash).decode(),
        "hash": base64.b64encode(entry.hash).decode(),
        "missionId": entry.mission_id,
        "actor": entry.actor,
    }


@pytest.fixture(scope="module")
def channels(installation):
    return {name: grpc.insecure_channel(installation.address(name)) for name in ["execution", "progress"]}


@pytest.fixture(scope="module")
def audit(channels):
    return audit_pb2_grpc.AuditStub(channels["progress"])


@pytest.fixture(scope="module")
def missions_that_ended(channels):
    """Their events, by mission."""
    missions = mission_pb2_grpc.MissionsStub(channels["execution"])
    progress = progress_pb2_grpc.ProgressStub(channels["progress"])
    ids = [
        missions.Submit(mission_pb2.SubmitMissionRequest(objective=f"What is {n} * 7?"), timeout=30).id
        for n in range(20)
    ]
    return {id: list(progress.Watch(progress_pb2.WatchEventsRequest(mission_id=id), timeout=60)) for id in ids}


def test_an_export_is_one_chain_with_every_event_of_every_mission(audit, missions_that_ended):
    entries = list(audit.Export(audit_pb2.ExportAuditRequest(), timeout=60))
    head = verified(map(as_json, entries))
    for mission, events in missions_that_ended.items():
        audited = [entry.event for entry in entries if entry.mission_id == mission]
        assert [progress_pb2.ProgressEvent.FromString(event) for event in audited] == events
    answer = audit.Verify(audit_pb2.VerifyAuditRequest(), timeout=60)
    assert (answer.broken_at, answer.problem) == (0, "")
    assert answer.entries > len(entries) or answer.head == head


def test_an_export_goes_on_after_a_number(audit, missions_that_ended):
    entries = list(audit.Export(audit_pb2.ExportAuditRequest(), timeout=60))
    rest = list(audit.Export(audit_pb2.ExportAuditRequest(after_number=17), timeout=60))
    assert rest[: len(entries) - 17] == entries[17:]


def test_a_mission_has_a_list_of_its_own(audit, missions_that_ended):
    mission, events = next(iter(missions_that_ended.items()))
    answer = audit.List(audit_pb2.ListAuditRequest(mission_id=mission), timeout=30)
    assert [progress_pb2.ProgressEvent.FromString(entry.event) for entry in answer.entries] == events
    assert [entry.action for entry in answer.entries].count("STEP_COMPLETED") == 6


def test_the_gateways_export_is_the_same_chain(installation, missions_that_ended):
    with urllib.request.urlopen(installation.url("/api/v1/audit/export"), timeout=60) as answer:
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        entries = [json.loads(line) for line in answer]
    verified(entries)
    assert {entry["missionId"] for entry in entries} >= set(missions_that_ended)
