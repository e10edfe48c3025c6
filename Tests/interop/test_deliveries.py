"""A delivery that its receiver can never take: it is shown to people and holds up nobody."""

import glob
import json
import os
import subprocess
import urllib.error
import urllib.request

import grpc
from buddy.admin.v1 import admin_pb2, admin_pb2_grpc
from buddy.delivery.v1 import delivery_pb2, delivery_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc
from installation import BIN, Installation, wait_until

PATH = "/api/v1/deliveries/refused"


def call(installation, method, path):
    request = urllib.request.Request(installation.url(path), method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def cli(installation, *arguments):
    address = f"http://127.0.0.1:{installation.ports['gateway']}"
    return subprocess.run(
        [f"{BIN}/buddy", "delivery", *arguments, "--address", address], capture_output=True, text=True, timeout=60)


def refused(installation):
    status, answer = call(installation, "GET", PATH)
    assert status == 200
    [service] = answer["services"]
    assert service["service"] == "execution"
    return service["deliveries"]


def events(installation, mission_id):
    with grpc.insecure_channel(installation.address("progress")) as channel:
        request = progress_pb2.WatchEventsRequest(mission_id=mission_id)
        return [event.sequence for event in progress_pb2_grpc.ProgressStub(channel).Watch(request, timeout=60)]


def test_events_behind_a_gap_are_set_aside_and_others_go_on():
    with Installation() as installation:
        missions = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(installation.address("execution")))
        submit = lambda number, **more: missions.Submit(
            mission_pb2.SubmitMissionRequest(objective=f"What is {number} + 1?", **more), timeout=30).id
        poisoned = [submit(1, require_approval=True) for _ in range(3)]
        waiting = lambda: sum(installation.metrics("execution", "buddy_outbox_waiting").values())
        # What is still on its way would come again, and leave no gap.
        wait_until(lambda: waiting() == 0, "progress knows of them, and execution that it does")

        # The progress service loses all it knows.
        installation.kill("progress")
        for file in glob.glob(f"{installation.folder.name}/progress.sqlite3*"):
            os.remove(file)
        installation.restart("progress")
        for mission in poisoned:
            missions.Approve(mission_pb2.ApproveMissionRequest(id=mission), timeout=30)
        healthy = [submit(number) for number in range(2, 7)]
        for mission in healthy:
            sequences = events(installation, mission)
            assert sequences == list(range(1, len(sequences) + 1)) and len(sequences) > 10

        get = lambda id: missions.Get(mission_pb2.GetMissionRequest(id=id), timeout=30)
        for mission in poisoned:
            wait_until(lambda: get(mission).HasField("finished_at"), "the mission itself is not held up")
            assert get(mission).state == mission_pb2.MISSION_STATE_SUCCEEDED
        wait_until(lambda: waiting() == 0, "their events are set aside")
        first, second, *_ = listed = refused(installation)
        # For each of them at least its approval, its claim and its end.
        assert len(listed) >= 9 and {one["key"] for one in listed} == set(poisoned)
        assert all(one["topic"] == "events" for one in listed)
        assert all("would leave a gap after 0" in one["reason"] for one in listed)
        log = installation.log("execution")
        assert log.count("was refused and set aside") == len(listed)

        assert call(installation, "POST", f"{PATH}/execution/{first['id']}/retry")[1]["id"] == first["id"]
        ids = lambda: [one["id"] for one in refused(installation)]
        wait_until(lambda: ids()[-1:] == [first["id"]], "it is refused once more, and is now the last")
        assert call(installation, "DELETE", f"{PATH}/execution/{first['id']}")[0] == 200
        assert call(installation, "DELETE", f"{PATH}/execution/{first['id']}")[0] == 404
        assert first["id"] not in ids() and len(ids()) == len(listed) - 1

        table = cli(installation, "list")
        assert table.returncode == 0 and second["id"] in table.stdout and "would leave a gap" in table.stdout
        assert cli(installation, "drop", "execution", second["id"]).returncode == 0
        assert second["id"] not in ids()
        shown = json.loads(cli(installation, "list", "--json", "--limit", "3").stdout)["services"][0]
        assert len(shown["deliveries"]) == 3 and shown["nextPageToken"]
        further = call(installation, "GET", f"{PATH}?service=execution&page_token={shown['nextPageToken']}")[1]
        assert [one["id"] for one in shown["deliveries"] + further["services"][0]["deliveries"]] == ids()

        installation.kill("execution")
        status, answer = call(installation, "GET", PATH)
        assert status == 200 and answer["services"][0]["error"]["code"] == "UNAVAILABLE"
        assert cli(installation, "list").returncode == 69


def test_a_foreign_sender_is_taken_once_and_in_order(installation):
    """The wire by grpcio: repetitions, unknown topics and garbled payloads each get their receipt, in order."""
    event = lambda sequence: progress_pb2.ProgressEvent(mission_id="foreign", sequence=sequence).SerializeToString()
    deliver = lambda id, payload, topic="progress": delivery_pb2.Delivery(
        id=f"foreign-{id}", topic=topic, key="foreign", payload=payload)
    sent = [deliver(number, event(number)) for number in range(1, 301)]
    sent += [deliver(7, event(7)), deliver("garbled", b"\xff"), deliver("topic", b"", "nobody's")]
    sent += [deliver(301, event(301))]
    with grpc.insecure_channel(installation.address("progress")) as channel:
        inbox = delivery_pb2_grpc.InboxStub(channel)
        receipts = list(inbox.Deliver(iter(sent), timeout=60))
        again = list(inbox.Deliver(iter(sent), timeout=60))
    taken, repeated, refused = map(
        delivery_pb2.DeliveryOutcome.Value,
        ["DELIVERY_OUTCOME_TAKEN", "DELIVERY_OUTCOME_REPEATED", "DELIVERY_OUTCOME_REFUSED"])
    assert [receipt.id for receipt in receipts] == [one.id for one in sent] == [receipt.id for receipt in again]
    assert [receipt.outcome for receipt in receipts] == [taken] * 300 + [repeated, refused, refused, taken]
    assert [receipt.outcome for receipt in again] == [repeated] * 301 + [refused, refused, repeated]
    with grpc.insecure_channel(installation.address("progress")) as channel:
        request = progress_pb2.ListEventsRequest(mission_id="foreign")
        stored = progress_pb2_grpc.ProgressStub(channel).List(request, timeout=30).events
        assert [one.sequence for one in stored] == list(range(1, 302))


def test_the_admin_service_knows_no_foreign_id(installation):
    with grpc.insecure_channel(installation.address("execution")) as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        for attempt in (
            lambda: admin.RetryRefused(admin_pb2.RetryRefusedRequest(id="nobody"), timeout=30),
            lambda: admin.DropRefused(admin_pb2.DropRefusedRequest(id="nobody"), timeout=30),
        ):
            try:
                attempt()
                assert False, "it was found"
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND
