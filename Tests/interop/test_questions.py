"""Missions that ask: questions of a tool, and what became of a call that a crash has cut off. Answered over gRPC, over
HTTP, by the `buddy` command, and at a terminal."""

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import time

import grpc
import pytest
from buddy.mission.v1 import mission_pb2
from buddy.progress.v1 import progress_pb2
from installation import BIN, Installation, wait_until
from test_commands import Buddy, OverGRPC, OverHTTP, code_of

# Notes every call, asks what it was not told, and takes as long as there is a file `hold`.
TOOL = """
import json, os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
call = json.loads(sys.stdin.readline())
with open(folder + "/calls", "a") as calls:
    calls.write(call["parameters"].get("to", "nobody") + "\\n")
ask = call["parameters"].get("ask")
if ask and ask not in call["answers"]:
    question = {"id": ask, "prompt": "Shall it be?", "kind": ask}
    if ask == "CHOICE":
        question["options"] = ["left", "right"]
    print(json.dumps({"ask": question}))
    sys.exit()
while os.path.exists(folder + "/hold"):
    time.sleep(0.01)
print(json.dumps({"text": "sent to %s: %s" % (call["parameters"].get("to"), json.dumps(call["answers"]))}))
"""


class Courier:
    """An installation with a tool that has side effects and must not be called twice."""

    def __init__(self, folder, installation):
        self.folder = folder
        self.installation = installation
        self.buddy = Buddy(installation)

    def submit(self, **parameters):
        mission = self.buddy.submit("Deliver the parcel", requested_tool="courier", parameters=parameters)
        if mission.state == mission_pb2.MISSION_STATE_PENDING_APPROVAL:
            self.buddy.missions.Approve(mission_pb2.ApproveMissionRequest(id=mission.id, actor="eva"), timeout=30)
        return mission.id

    def asked(self, id):
        wait_until(lambda: self.buddy.state(id) == "AWAITING_INPUT", "the mission asks")
        return self.buddy.get(id).question

    def calls(self, to):
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "calls").read_text().split().count(to)
        return 0

    def succeeded(self, id):
        last = self.buddy.events(id)[-1]
        assert last.state == mission_pb2.MISSION_STATE_SUCCEEDED, last
        return self.buddy.get(id)

    def command(self, *arguments):
        """The command line's exit code, output and errors."""
        environment = {**os.environ, "BUDDY_ADDRESS": self.installation.url("")}
        done = subprocess.run(
            [f"{BIN}/buddy", *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def courier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools")
    (folder / "courier.py").write_text(TOOL)
    declared = {
        "name": "courier", "description": "Delivers parcels.", "command": [sys.executable, "./courier.py"],
        "intents": {"delivery": 0.9}, "hasSideEffects": True, "idempotent": False, "risk": "low",
        "examples": {"delivery": ["Deliver the parcel", "deliver a parcel", "deliver parcels to people"]},
    }
    (folder / "tools.json").write_text(json.dumps({"tools": [declared]}))
    with Installation(flags={"execution": ["--tools", str(folder / "tools.json")]}) as installation:
        yield Courier(folder, installation)


@pytest.fixture(params=[OverGRPC, OverHTTP], ids=["gRPC", "HTTP"])
def way(request, courier):
    return request.param(courier.installation)


ANSWERS = {
    "YES_NO": ({"yes": False}, "false"), "CHOICE": ({"choice": "right"}, '"right"'),
    "TEXT": ({"text": "by \"noon\""}, '"by \\"noon\\""'), "NUMBER": ({"number": 2.5}, "2.5"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_tool_asks_and_is_called_again_with_the_answer(courier, way, kind):
    value, told = ANSWERS[kind]
    to = f"{kind}-{type(way).__name__}"
    id = courier.submit(to=to, ask=kind)
    question = courier.asked(id)
    assert (mission_pb2.AnswerKind.Name(question.kind), question.prompt) == (f"ANSWER_KIND_{kind}", "Shall it be?")
    snapshot = progress_pb2.SnapshotRequest(mission_id=id)
    wait_until(
        lambda: courier.buddy.progress.Snapshot(snapshot, timeout=30).question.id == question.id, "the log has it too")

    def answer(question_id=question.id, **value):
        return way.say("Answer", id, question_id=question_id, answer=mission_pb2.Answer(**value))

    wrong = {"number": 1.0} if kind != "NUMBER" else {"text": "x"}
    assert code_of(lambda: answer(**wrong)) == "INVALID_ARGUMENT"
    if kind == "CHOICE":
        assert code_of(lambda: answer(choice="up")) == "INVALID_ARGUMENT"
    assert code_of(lambda: answer("another", **value)) == "FAILED_PRECONDITION"
    assert courier.buddy.state(id) == "AWAITING_INPUT" and courier.calls(to) == 1
    assert answer(**value).changes[-1].command == mission_pb2.MISSION_COMMAND_ANSWER
    done = courier.succeeded(id)
    assert told in done.result.text and courier.calls(to) == 2
    assert [answered.actor for answered in done.answers] == ["eva"]
    assert code_of(lambda: answer(**value)) == "FAILED_PRECONDITION"


@pytest.mark.parametrize(
    "choice, calls, state",
    [
        ("run it again", 2, "SUCCEEDED"),
        ("it took effect; go on without its output", 1, "SUCCEEDED"),
        ("fail", 1, "FAILED"),
    ],
)
def test_a_call_that_a_crash_has_cut_off_is_asked_about(courier, choice, calls, state):
    to = choice.split()[0] + "-after-a-crash"
    (courier.folder / "hold").touch()
    try:
        id = courier.submit(to=to)
        wait_until(lambda: courier.calls(to) == 1, "the tool is called")
        courier.installation.kill("execution")
    finally:
        (courier.folder / "hold").unlink()
    courier.installation.restart("execution")
    question = courier.asked(id)
    assert choice in question.options and courier.calls(to) == 1
    code, output, errors = courier.command("mission", "answer", id, choice)
    assert code == 0 and output.startswith(f"{id} RUNNING: answered"), errors
    assert courier.buddy.events(id)[-1].state == mission_pb2.MissionState.Value(f"MISSION_STATE_{state}")
    assert courier.calls(to) == calls


def test_the_command_line_says_how_to_answer_where_nobody_sits_at_it(courier):
    id = courier.submit(to="ann", ask="CHOICE")
    courier.asked(id)
    code, _, errors = courier.command("mission", "answer", id)
    assert code == 64 and "Shall it be?\n  1  left\n  2  right\n" in errors
    assert f"buddy mission answer {id} CHOICE" in errors
    code, _, errors = courier.command("mission", "answer", id, "3")
    assert code == 64 and "one of: left, right" in errors
    assert courier.command("mission", "answer", id, "2", "--request-id", "r")[0] == 0
    # The answer got lost, say: the same again is no error.
    assert courier.command("mission", "answer", id, "2", "--request-id", "r")[0] == 0
    assert "right" in courier.succeeded(id).result.text


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, command, environment):
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, environment)
        self.seen = ""

    def read_until(self, text):
        wait_until(lambda: self.read() and text in self.seen, f"{text!r} is shown")

    def read(self):
        if select.select([self.descriptor], [], [], 0)[0]:
            try:
                self.seen += os.read(self.descriptor, 65536).decode()
            except OSError:
                pass  # It has ended.
        return True

    def type(self, line):
        os.write(self.descriptor, line.encode() + b"\n")

    def end(self):
        """The exit code."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.descriptor)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(self.pid, 9)
        raise AssertionError(f"it did not end: {self.seen}")


def test_a_run_at_a_terminal_asks_and_goes_on_with_the_answer(courier):
    environment = {**os.environ, "BUDDY_ADDRESS": courier.installation.url(""), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    command = [f"{BIN}/buddy", "run", "Deliver the parcel", "--tool", "courier"]
    terminal = Terminal([*command, "--param", "to=tess", "--param", "ask=NUMBER"], environment)
    terminal.read_until("Shall it be?")
    terminal.read_until("a number: ")
    terminal.type("many")
    terminal.read_until("the answer is a number")
    terminal.type("17")
    assert terminal.end() == 0
    assert 'sent to tess: {"NUMBER": 17' in terminal.seen and courier.calls("tess") == 2


def test_a_question_that_somebody_else_answers_is_taken_back(courier):
    id = courier.submit(to="uma", ask="YES_NO")
    question = courier.asked(id)
    environment = {**os.environ, "BUDDY_ADDRESS": courier.installation.url(""), "TERM": "xterm"}
    terminal = Terminal([f"{BIN}/buddy", "mission", "watch", id], environment)
    terminal.read_until("yes or no: ")
    OverGRPC(courier.installation).say("Answer", id, question_id=question.id, answer=mission_pb2.Answer(yes=True))
    assert terminal.end() == 0 and "sent to uma" in terminal.seen
