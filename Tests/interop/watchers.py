"""The four ways to watch a mission, each of which keeps what it has seen and comes back where it was cut off."""

import http.client
import json
import random
import socket
import threading
import time

import protos  # noqa: F401  Makes `buddy` importable.
import grpc
from buddy.progress.v1 import progress_pb2
from google.protobuf import json_format
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

FINAL = {"MISSION_STATE_SUCCEEDED", "MISSION_STATE_FAILED", "MISSION_STATE_CANCELLED", "MISSION_STATE_REJECTED"}
# Channels of their own, which try again soon: one that waits for long would be no watcher while it does.
CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
# What another attempt cannot change.
FOR_GOOD = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNIMPLEMENTED)


class CutOff(Exception):
    """The connection is gone, or has told that something was left out."""


class Refused(Exception):
    """An answer that no kill excuses."""


def value_at(text, start):
    """The JSON value that begins there, as the bytes that were sent."""
    _, end = json.JSONDecoder().raw_decode(text, start)
    return text[start:end]


def event_of(text):
    """The event of its JSON. Unknown fields are errors."""
    return json_format.Parse(text, progress_pb2.ProgressEvent())


class Watcher(threading.Thread):
    """Follows one mission to its end. `events` are (sequence, JSON text or None, event)."""

    def __init__(self, installation, mission_id, until):
        super().__init__(daemon=True)
        self.installation = installation
        self.mission_id = mission_id
        self.until = until
        self.events = []
        self.is_done = False
        self.problem = None
        self.connections = 0
        self.gaps = 0
        self.lock = threading.Lock()
        self.start()

    @property
    def last(self):
        return self.events[-1][0] if self.events else 0

    def run(self):
        chance = random.Random(self.mission_id)
        while not self.is_done:
            self.connections += 1
            try:
                self.follow()
            except Refused as error:
                self.problem = str(error)
                return
            except (CutOff, OSError, http.client.HTTPException, ValueError, grpc.RpcError, WebSocketException) as error:
                if time.monotonic() > self.until:
                    self.problem = f"not at the end in time, but at {self.last}: {error!r}"
                    return
                time.sleep(chance.uniform(0.01, 0.1))

    def take(self, text, event):
        """Keeps the next event. One that was seen before is as much an error as one that is missing."""
        if event.type == progress_pb2.EVENT_TYPE_GAP:
            self.gap()
        if event.mission_id != self.mission_id or event.sequence != self.last + 1:
            raise Refused(f"event {event.sequence} of {event.mission_id} follows {self.last} of {self.mission_id}")
        self.events.append((event.sequence, text, event))

    def gap(self):
        """Too slow: what was left out is fetched by coming back."""
        self.gaps += 1
        raise CutOff("a gap")

    def end(self):
        self.is_done = True


class GRPCWatcher(Watcher):
    """Server streaming from the progress service."""

    call = None

    def follow(self):
        with grpc.insecure_channel(self.installation.address("progress"), options=CHANNEL) as channel:
            # As bytes: what is compared later is what was sent.
            watch = channel.unary_stream(
                "/buddy.progress.v1.Progress/Watch",
                request_serializer=progress_pb2.WatchEventsRequest.SerializeToString,
                response_deserializer=progress_pb2.ProgressEvent.FromString,
            )
            request = progress_pb2.WatchEventsRequest(mission_id=self.mission_id, after_sequence=self.last)
            self.call = watch(request, timeout=60)
            try:
                for event in self.call:
                    self.take(None, event)
            except grpc.RpcError as error:
                if error.code() in FOR_GOOD:
                    raise Refused(f"{error.code().name}: {error.details()}") from None
                raise
            self.end()

    def drop(self):
        if self.call is not None:
            self.call.cancel()


class HTTPWatcher(Watcher):
    connection = None

    def get(self, path, headers):
        """The answer's head. What the gateway cannot say now is asked again."""
        self.connection = http.client.HTTPConnection("127.0.0.1", self.installation.ports["gateway"], timeout=60)
        self.connection.request("GET", path, headers=headers)
        response = self.connection.getresponse()
        if response.status in (502, 503, 504):
            raise CutOff(f"HTTP {response.status}")
        if response.status != 200:
            raise Refused(f"HTTP {response.status}: {response.read().decode()}")
        return response

    def drop(self):
        abort(self.connection and self.connection.sock)


def abort(sock):
    """Ends a connection as a killed process would."""
    try:
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is gone already.


class SSEWatcher(HTTPWatcher):
    """text/event-stream from the gateway."""

    def follow(self):
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self.last)}
        response = self.get(f"/api/v1/missions/{self.mission_id}/events", headers)
        fields = {}
        while line := response.readline().decode():
            line = line.rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            kind, data = fields.get("event"), fields.get("data")
            if kind == "end":
                return self.end()
            if kind == "gap":
                self.gap()
            if kind == "error":
                raise CutOff(data)
            if data:
                event = event_of(data)
                if fields.get("id") != str(event.sequence):
                    raise Refused(f"event {event.sequence} has the id {fields.get('id')}")
                self.take(data, event)
            fields = {}
        raise CutOff("the stream ended without its end")


class PollWatcher(HTTPWatcher):
    """Long polls of the gateway."""

    def follow(self):
        response = self.get(f"/api/v1/missions/{self.mission_id}/events?after_sequence={self.last}&wait=5", {})
        text = response.read().decode()
        answer = json.loads(text)
        position = text.index('"events":') + len('"events":')
        for _ in answer["events"]:
            position = text.index("{", position)
            data = value_at(text, position)
            self.take(data, event_of(data))
            position += len(data)
        if answer["complete"]:
            return self.end()
        if time.monotonic() > self.until:
            raise CutOff("it goes on")


class WebSocketWatcher(Watcher):
    """A subscription at the gateway's /ws."""

    socket = None

    def follow(self):
        url = f"ws://127.0.0.1:{self.installation.ports['gateway']}/ws"
        with connect(url, open_timeout=10, close_timeout=1, max_size=None) as connection:
            self.socket = connection.socket
            subscription = {"op": "subscribe", "id": "a", "missionId": self.mission_id, "afterSequence": str(self.last)}
            connection.send(json.dumps(subscription))
            while not self.is_done:
                self.heed(connection.recv(timeout=60))

    def heed(self, text):
        message = json.loads(text)
        if message["op"] == "event":
            data = value_at(text, text.index('"event":{') + len('"event":'))
            self.take(data, event_of(data))
        elif message["op"] == "gap":
            self.gap()
        elif message["op"] == "end":
            if int(message["lastSequence"]) != self.last:
                raise Refused(f"the end is after {message['lastSequence']}, the last event was {self.last}")
            self.end()
        elif message["op"] == "error":
            raise CutOff(text)

    def drop(self):
        abort(self.socket)


KINDS = {"gRPC": GRPCWatcher, "SSE": SSEWatcher, "WebSocket": WebSocketWatcher, "polling": PollWatcher}


def differences(watchers):
    """What is wrong with the transcripts of one mission, by kind; none if they are one and the same."""
    wrong = []
    for kind, watcher in watchers.items():
        if watcher.problem or not watcher.is_done:
            wrong.append(f"{kind}: {watcher.problem or 'not at the end'}")
    if wrong:
        return wrong
    transcripts = {
        kind: [event.SerializeToString(deterministic=True) for _, _, event in watcher.events]
        for kind, watcher in watchers.items()
    }
    first = next(iter(watchers))
    events = [event for _, _, event in watchers[first].events]
    for kind, transcript in transcripts.items():
        if transcript != transcripts[first]:
            seen, other = shown(watchers[kind]), shown(watchers[first])
            wrong.append(f"{kind} has seen something else than {first}: {seen} and {other}")
    # Those that send JSON send the same bytes.
    texts = {kind: [text for _, text, _ in watcher.events] for kind, watcher in watchers.items() if kind != "gRPC"}
    for kind, lines in texts.items():
        for sequence, (line, other) in enumerate(zip(lines, next(iter(texts.values()))), 1):
            if line != other:
                wrong.append(f"{kind}: event {sequence} is written {line}, elsewhere {other}")
    if [event.sequence for event in events] != list(range(1, len(events) + 1)):
        wrong.append(f"the numbers are {[event.sequence for event in events]}")
    percents = [event.percent for event in events]
    if percents != sorted(percents):
        wrong.append(f"percent falls: {percents}")
    ends = [event.sequence for event in events if is_end(event)]
    if ends != [len(events)]:
        wrong.append(f"ends at {ends} of {len(events)} events")
    return wrong


def is_end(event):
    state = progress_pb2.ProgressEvent.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[event.state].name
    return event.type == progress_pb2.EVENT_TYPE_STATE_CHANGED and state in FINAL


def shown(watcher):
    return [(event.sequence, event.type, event.step, event.state) for _, _, event in watcher.events]
