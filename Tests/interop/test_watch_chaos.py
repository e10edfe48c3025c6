"""A short run of what `make chaos` does at length."""

import os
import random
import types

import pytest
import watchers
from buddy.progress.v1 import progress_pb2
from google.protobuf import json_format
from watch_chaos import WatchChaos


def transcripts():
    """Four that are one: two steps and the end."""
    last = {"type": progress_pb2.EVENT_TYPE_STATE_CHANGED, "state": "MISSION_STATE_SUCCEEDED", "percent": 100}
    fields = [{"type": progress_pb2.EVENT_TYPE_STEP_STARTED}, {"type": progress_pb2.EVENT_TYPE_STEP_COMPLETED}, last]
    events = [progress_pb2.ProgressEvent(mission_id="m", sequence=n, **one) for n, one in enumerate(fields, 1)]

    def seen(kind):
        lines = [None if kind == "gRPC" else json_format.MessageToJson(event, indent=None) for event in events]
        seen = [(event.sequence, line, progress_pb2.ProgressEvent.FromString(event.SerializeToString()))
                for line, event in zip(lines, events)]
        return types.SimpleNamespace(events=seen, is_done=True, problem=None)

    return {kind: seen(kind) for kind in watchers.KINDS}


def changed(event, **fields):
    for name, value in fields.items():
        setattr(event[2], name, value)
    return event


def test_transcripts_that_are_one_have_no_difference():
    assert watchers.differences(transcripts()) == []


@pytest.mark.parametrize("kind", watchers.KINDS)
@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.events.pop(1),
        lambda one: one.events.pop(),
        lambda one: one.events.append(one.events[-1]),
        lambda one: one.events.reverse(),
        lambda one: changed(one.events[1], message="x"),
        lambda one: changed(one.events[0], percent=1),
        lambda one: setattr(one, "is_done", False),
        lambda one: setattr(one, "problem", "HTTP 500"),
    ],
)
def test_any_difference_is_noticed(kind, change):
    seen = transcripts()
    change(seen[kind])
    assert watchers.differences(seen)


@pytest.mark.parametrize("kind", [kind for kind in watchers.KINDS if kind != "gRPC"])
def test_other_bytes_of_the_same_content_are_noticed(kind):
    seen = transcripts()
    sequence, line, event = seen[kind].events[1]
    seen[kind].events[1] = (sequence, line + " ", event)
    assert watchers.differences(seen)


def test_four_transcripts_of_each_mission_are_one_whatever_is_killed():
    seed = int(os.environ.get("BUDDY_TEST_SEED", random.randrange(2**32)))
    print(f"\nseed {seed} (repeat with BUDDY_TEST_SEED={seed})")
    chaos = WatchChaos(kills=12, missions=30, seed=seed, workers=8, limit=120)
    assert chaos.run() == []
    assert chaos.ended == 30 and sum(chaos.killed.values()) == 12
