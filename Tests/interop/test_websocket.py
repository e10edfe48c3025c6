"""PyPI's websockets as a client of a running gateway's /ws."""

import json
import threading
import urllib.request

import pages
import pytest
import websockets.exceptions
from installation import wait_until
from test_services import Buddy
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def buddy(installation):
    return Buddy(installation)


@pytest.fixture
def socket(installation):
    with connect(address(installation)) as socket:
        yield socket


def address(installation):
    return f"ws://127.0.0.1:{installation.ports['gateway']}/ws"


def ask(socket, op, **fields):
    socket.send(json.dumps({"op": op, **fields}))


def messages(socket, until="end"):
    """What the server says up to the first message of this kind, itself included."""
    found = []
    while not found or found[-1]["op"] != until:
        found.append(json.loads(socket.recv(timeout=60)))
    return found


def server_sent_events(installation, mission_id):
    """The data of every event of the stream, as text."""
    request = urllib.request.Request(
        installation.url(f"/api/v1/missions/{mission_id}/events"), headers={"Accept": "text/event-stream"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        blocks = response.read().decode().split("\n\n")
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks if "data: " in block]
    return [event["data"] for event in events if event["event"] != "end"]


def test_a_mission_is_followed_from_submission_to_its_end(buddy, installation, socket):
    mission = buddy.submit("What is 6 * 7?")
    ask(socket, "subscribe", id="it", missionId=mission.id)
    texts = []
    while not texts or json.loads(texts[-1])["op"] != "end":
        texts.append(socket.recv(timeout=60))
    told = [json.loads(text) for text in texts]
    assert told[0] == {"op": "subscribed", "id": "it"}
    events = told[1:-1]
    assert all(message["op"] == "event" and message["id"] == "it" for message in events)
    assert [message["event"]["sequence"] for message in events] == [str(n + 1) for n in range(len(events))]
    assert told[-1] == {"op": "end", "id": "it", "lastSequence": str(len(events))}
    # The same, byte for byte, as server-sent events.
    head = '{"op":"event","id":"it","event":'
    assert [text.removeprefix(head)[:-1] for text in texts[1:-1]] == server_sent_events(installation, mission.id)

    ask(socket, "subscribe", id="rest", missionId=mission.id, afterSequence=str(len(events) - 2))
    rest = messages(socket)
    assert [message["event"] for message in rest[1:-1]] == [message["event"] for message in events[-2:]]


def test_events_come_live_and_survive_a_restart_of_progress(buddy, installation, socket):
    with pages.serve() as site:
        mission = buddy.submit(f"Get the title of {site.url('slow')}")
        ask(socket, "subscribe", id="it", missionId=mission.id)
        wait_until(lambda: site.asked, "the tool runs")
        first = messages(socket, until="event")
        installation.kill("progress")
        installation.restart("progress")
        site.release.set()
        rest = messages(socket)
    sequences = [int(message["event"]["sequence"]) for message in first + rest if message["op"] == "event"]
    assert sequences == list(range(1, len(sequences) + 1))
    assert rest[-1]["lastSequence"] == str(len(sequences))


def test_many_missions_over_one_connection(buddy, socket):
    missions = [buddy.submit(f"What is {number} + 1?").id for number in range(20)]
    for id in missions:
        ask(socket, "subscribe", id=id, missionId=id)
    sequences = {id: [] for id in missions}
    ended = set()
    while ended != set(missions):
        message = json.loads(socket.recv(timeout=60))
        if message["op"] == "event":
            assert message["event"]["missionId"] == message["id"]
            sequences[message["id"]].append(int(message["event"]["sequence"]))
        elif message["op"] == "end":
            ended.add(message["id"])
    assert all(found == list(range(1, len(found) + 1)) and found for found in sequences.values())


def test_errors_leave_the_connection_open(socket):
    ask(socket, "subscribe", id="it", missionId="never submitted")
    error = messages(socket, until="error")[-1]
    assert error["id"] == "it" and error["error"]["code"] == "NOT_FOUND"
    socket.send("{}")
    assert messages(socket, until="error")[-1]["error"]["code"] == "INVALID_ARGUMENT"
    ask(socket, "ping")
    assert json.loads(socket.recv(timeout=60)) == {"op": "pong"}
    assert socket.ping("are you there").wait(timeout=60)


def test_messages_in_fragments(socket):
    socket.send(iter(['{"op":', '"ping"', "}"]))
    assert json.loads(socket.recv(timeout=60)) == {"op": "pong"}


def test_only_text_of_reasonable_size(installation):
    for message, code in [(b"binary", 1003), (" " * 70_000, 1009)]:
        with connect(address(installation)) as socket:
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                socket.send(message)
                socket.recv(timeout=60)
            assert closed.value.rcvd.code == code


def test_pages_of_other_sites_may_not_watch(installation):
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        connect(address(installation), origin="https://evil.example")
    assert refused.value.response.status_code == 403
    with connect(address(installation), origin=f"http://127.0.0.1:{installation.ports['gateway']}"):
        pass


def test_a_stopping_gateway_says_goodbye(installation):
    with connect(address(installation)) as socket:
        threading.Thread(target=installation.processes["gateway"].terminate).start()
        with pytest.raises(websockets.exceptions.ConnectionClosedOK) as closed:
            socket.recv(timeout=60)
        assert closed.value.rcvd.code == 1001
    installation.processes["gateway"].wait(timeout=60)
    installation.restart("gateway")
