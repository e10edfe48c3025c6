"""`buddy backup` of a running installation under load, and what `buddy restore` makes of it."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading

import grpc
import pages
import postgres
import pytest
from buddy.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from buddy.investment.v1 import investment_pb2, investment_pb2_grpc
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc
from installation import BIN, wait_until
from test_survival import pages_of

STATEFUL = ["execution", "progress", "learning", "investment", "artifact"]
# Over the limit up to which an artifact is a row of the database.
LARGE = bytes(range(256)) * 4096


class Up:
    """`buddy up` on free ports."""

    def __init__(self, data, environment=None):
        self.data = data
        pathlib.Path(data).mkdir(parents=True, exist_ok=True)
        self.log = open(f"{data}.log", "wb")
        variables = dict(os.environ, BUDDY_ALLOW_PRIVATE_FETCH="true", **(environment or {}))
        self.process = subprocess.Popen(
            [f"{BIN}/buddy", "up", "--port", "0", "--data", data],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env=variables,
        )
        wait_until(self.is_ready, "buddy up is ready")
        with open(f"{data}/installation.json", encoding="utf-8") as file:
            self.addresses = {name: entry["address"] for name, entry in json.load(file)["services"].items()}
        self.channels = {name: grpc.insecure_channel(self.addresses[name]) for name in STATEFUL}
        self.missions = mission_pb2_grpc.MissionsStub(self.channels["execution"])
        self.progress = progress_pb2_grpc.ProgressStub(self.channels["progress"])
        self.investment = investment_pb2_grpc.InvestmentStub(self.channels["investment"])
        self.artifacts = artifact_pb2_grpc.ArtifactsStub(self.channels["artifact"])

    def is_ready(self):
        text = pathlib.Path(self.log.name).read_text(encoding="utf-8", errors="replace")
        assert self.process.poll() is None, f"buddy up ended: {text[-3000:]}"
        return "ready at" in text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for channel in self.channels.values():
            channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)
        self.log.close()

    def submit(self, objective, key=""):
        request = mission_pb2.SubmitMissionRequest(objective=objective, idempotency_key=key)
        return self.missions.Submit(request, timeout=30)

    def all_missions(self):
        return list(pages_of(self.missions.List, mission_pb2.ListMissionsRequest, "missions"))

    def put(self, name, content):
        def parts():
            yield artifact_pb2.PutArtifactRequest(header=artifact_pb2.PutArtifactHeader(name=name))
            for start in range(0, len(content), 1 << 18):
                yield artifact_pb2.PutArtifactRequest(chunk=content[start : start + (1 << 18)])

        return self.artifacts.Put(parts(), timeout=60)


def buddy(*arguments, environment=None):
    """One run of `buddy` to its end: exit status, standard output, standard error."""
    run = subprocess.run(
        [f"{BIN}/buddy", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        env=dict(os.environ, **(environment or {})),
    )
    return run.returncode, run.stdout, run.stderr


class Load:
    """Missions submitted without a pause by a few threads, and which of them were answered."""

    def __init__(self, up, workers=4):
        self.up = up
        self.answered = {}
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.submit, args=[number], daemon=True) for number in range(workers)]
        for thread in self.threads:
            thread.start()

    def submit(self, worker):
        number = 0
        while not self.ended.is_set():
            mission = self.up.submit(f"What is {number} + {worker}?", f"{worker}-{number}")
            self.answered[mission.id] = (number + worker, f"{worker}-{number}", f"What is {number} + {worker}?")
            if number % 10 == 0:
                self.up.put(f"{worker}-{number}.bin", LARGE + f"{worker}-{number}".encode())
            number += 1

    def wait_for(self, count):
        goal = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= goal, f"{count} more missions are answered")

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=60)


def expect_a_cut(folder):
    """No service's copy knows of anything that another's has not sent: effects never come before their causes."""
    rows = {}
    for service, table in [("execution", "missions"), ("progress", "missions"), ("investment", "reservations")]:
        with sqlite3.connect(f"file:{folder}/{service}/database.sqlite3?mode=ro&immutable=1", uri=True) as database:
            database.row_factory = sqlite3.Row
            rows[service] = database.execute(f"SELECT * FROM {table}").fetchall()
            assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    known = {row["id"]: row["last_sequence"] for row in rows["execution"]}
    for row in rows["progress"]:
        assert row["last_sequence"] <= known[row["mission_id"]], "progress is ahead of execution"
    assert {row["mission_id"] for row in rows["investment"]} <= set(known)
    return known


def expect_everything(up, before, answered):
    """What was answered before the backup is there and comes to its end, and every account adds up."""
    stored = {mission.id for mission in up.all_missions()}
    assert before <= stored, f"{len(before - stored)} missions are lost"
    finished = lambda: all(mission.HasField("finished_at") for mission in up.all_missions())
    wait_until(finished, "all missions end", 120)
    missions = up.all_missions()
    for mission in missions:
        if mission.id in answered:
            assert mission.state == mission_pb2.MISSION_STATE_SUCCEEDED, mission
            assert str(answered[mission.id][0]) in up.missions.Get(
                mission_pb2.GetMissionRequest(id=mission.id), timeout=30
            ).result.text

    def complete(mission):
        return up.progress.List(progress_pb2.ListEventsRequest(mission_id=mission.id), timeout=30)

    wait_until(lambda: all(complete(mission).complete for mission in missions), "all events have arrived", 60)
    for mission in missions:
        numbers = [event.sequence for event in complete(mission).events]
        assert numbers == list(range(1, len(numbers) + 1)), f"mission {mission.id} has events {numbers}"

    budget = up.investment.GetBudget(investment_pb2.GetBudgetRequest(), timeout=30)
    entries = list(pages_of(up.investment.ListLedger, investment_pb2.ListLedgerRequest, "entries"))
    assert [entry.number for entry in entries] == sorted({entry.number for entry in entries}, reverse=True) or [
        entry.number for entry in entries
    ] == sorted({entry.number for entry in entries})
    assert budget.reserved.micros == sum(entry.reserved_change.micros for entry in entries) == 0
    assert budget.spent.micros == sum(entry.spent_change.micros for entry in entries)
    assert budget.limit.micros == sum(entry.limit_change.micros for entry in entries)
    whole = [up.missions.Get(mission_pb2.GetMissionRequest(id=id), timeout=30) for id in stored]
    assert budget.spent.micros == sum(mission.cost.micros for mission in whole)

    large = 0
    for artifact in pages_of(up.artifacts.List, artifact_pb2.ListArtifactsRequest, "artifacts"):
        parts = up.artifacts.Get(artifact_pb2.GetArtifactRequest(id=artifact.id), timeout=60)
        content = b"".join(part.chunk for part in parts if part.WhichOneof("part") == "chunk")
        assert hashlib.sha256(content).hexdigest() == artifact.sha256 and len(content) == artifact.size
        large += len(content) > len(LARGE)
    assert large > 0, "no artifact was large enough to be a file"
    return stored


def backup_under_load(up, folder):
    """Makes a backup while missions are submitted, run and written; what was answered before it and in all."""
    with pages.serve() as site:
        slow = [up.submit(f"Get the title of {site.url(f'slow-{number}')}").id for number in range(3)]
        wait_until(lambda: len(site.asked) == 3, "some missions are in the middle of their tool")
        load = Load(up)
        load.wait_for(40)
        before = set(load.answered) | set(slow)
        code, output, errors = buddy("backup", folder, "--data", up.data, "--json")
        assert code == 0, errors
        after = set(load.answered)
        load.wait_for(40)
        load.stop()
    made = json.loads(output)
    assert sorted(made["services"]) == sorted(STATEFUL) and made["bytes"] > 0
    assert not pathlib.Path(folder + ".partial").exists()
    assert buddy("backup", "--verify", folder)[0] == 0
    known = expect_a_cut(folder)
    assert before <= set(known), "a mission that was answered before the backup is not in it"
    assert set(load.answered) - after - set(known), "what came later must not be in it"
    return before, load.answered


@pytest.fixture(scope="module")
def server():
    with postgres.serve() as running:
        yield running


@pytest.mark.parametrize(("source", "target"), [("sqlite", "sqlite"), ("sqlite", "postgres"), ("postgres", "sqlite")])
def test_an_installation_is_backed_up_under_load_and_restored_elsewhere(source, target, server):
    """Also from one engine to the other: a backup of either moves to both."""
    with tempfile.TemporaryDirectory(prefix="buddy-backup-") as folder:
        saved = f"{folder}/saved"

        def place(engine, name):
            if engine == "sqlite":
                return {"BUDDY_DATABASE": ""}
            url = pathlib.Path(f"{folder}/{name}.url")
            url.write_text(server.make_database(f"{name}_{source}_{target}") + "\n")
            # Another way than the usual one: a restore must see what the services see.
            return {"BUDDY_DATABASE": "", "BUDDY_DATABASE_FILE": str(url)}

        there = place(target, "target")
        with Up(f"{folder}/first", place(source, "source")) as first:
            before, answered = backup_under_load(first, saved)
            code, _, errors = buddy("restore", saved, "--data", first.data, "--replace")
            assert code == 69 and "stop it" in errors, "what runs must not be restored into"
            code, _, errors = buddy("backup", saved, "--data", first.data)
            assert code == 73 and "exists" in errors

        code, output, errors = buddy("restore", saved, "--data", f"{folder}/second", environment=there)
        assert code == 0, errors
        with Up(f"{folder}/second", there) as second:
            stored = expect_everything(second, before, answered)
            # An answer that a client did not get before the crash is found again by its key.
            for id in list(before & set(answered))[:5]:
                _, key, objective = answered[id]
                assert second.submit(objective, key).id == id
            assert len(stored) < len(answered) + 3 + 1
            # A backup of what was restored is as good as the first.
            assert buddy("backup", f"{folder}/again", "--data", second.data)[0] == 0
            if target == "postgres":
                # From another machine, so to speak: only the server knows.
                code, _, errors = buddy("restore", saved, "--data", f"{folder}/far", "--replace", environment=there)
                assert code == 69 and errors.endswith("is in use by buddy-execution; stop it first\n"), errors
                assert errors.startswith("buddy: RESTORE_FAILED: buddy-execution did not take its state: the database")
                assert not pathlib.Path(f"{folder}/far/restoring").exists(), "nothing has changed"

        code, _, errors = buddy("restore", saved, "--data", f"{folder}/second", environment=there)
        assert code == 73 and "--replace" in errors
        code, _, errors = buddy("restore", saved, "--data", f"{folder}/third", environment=there)
        assert code == (0 if target == "sqlite" else 73), errors
        again = ["restore", f"{folder}/again", "--data", f"{folder}/second", "--replace"]
        for round in (1, 2):
            code, _, errors = buddy(*again, environment=there)
            assert code == 0, errors
            aside = list(pathlib.Path(f"{folder}/second").glob("before-restore-*"))
            assert len(aside) == round
            for place in aside:
                assert (place / "artifacts").is_dir()
                assert target == "postgres" or (place / "execution.sqlite3").stat().st_size > 0
        with Up(f"{folder}/second", there) as third:
            assert {mission.id for mission in third.all_missions()} >= stored
        print(f"\n{source} to {target}: {len(before)} missions answered before the backup, {len(answered)} in all: "
              "0 lost")


def test_damaged_and_incomplete_backups_are_refused_and_change_nothing():
    with tempfile.TemporaryDirectory(prefix="buddy-backup-") as folder:
        saved, target = f"{folder}/saved", f"{folder}/target"
        with Up(f"{folder}/data") as up:
            up.put("large.bin", LARGE)
            assert buddy("backup", saved, "--data", up.data)[0] == 0
        code, _, errors = buddy("backup", f"{folder}/other", "--data", f"{folder}/data")
        assert code == 69 and "buddy up" in errors, "nothing runs any more"

        def refused(change, says, status):
            copy = f"{folder}/copy"
            shutil.copytree(saved, copy)
            change(pathlib.Path(copy))
            code, _, errors = buddy("restore", copy, "--data", target)
            shutil.rmtree(copy)
            assert code == status and says in errors, errors
            left = [path.name for path in pathlib.Path(target).glob("*")] if pathlib.Path(target).exists() else []
            assert set(left) <= {"logs", "up.lock"}, left

        def flip(path):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)

        def manifest(edit):
            def change(copy):
                content = json.loads((copy / "manifest.json").read_text())
                edit(content)
                (copy / "manifest.json").write_text(json.dumps(content))

            return change

        def newer_schema(copy):
            """As a newer Buddy would have written it, digests and all."""
            path = copy / "learning" / "database.sqlite3"
            with sqlite3.connect(path) as database:
                database.execute("INSERT INTO schema_migrations VALUES (99, 'later', 'x', 0)")
            database.close()
            content = json.loads((copy / "manifest.json").read_text())
            entry = content["services"]["learning"]["files"][0]
            entry["size"], entry["sha256"] = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
            (copy / "manifest.json").write_text(json.dumps(content))

        large = next(pathlib.Path(saved).glob("artifact/artifacts/*/*")).relative_to(saved)
        refused(lambda copy: flip(copy / "progress" / "database.sqlite3"), "does not match its digest", 65)
        refused(lambda copy: flip(copy / large), "does not match its digest", 65)
        refused(lambda copy: os.truncate(copy / "progress" / "database.sqlite3", 100), "has 100 bytes", 65)
        refused(lambda copy: (copy / large).unlink(), "cannot open", 65)
        refused(lambda copy: (copy / "manifest.json").unlink(), "is no backup", 66)
        refused(manifest(lambda content: content["services"].pop("progress")), "has no progress", 65)
        refused(manifest(lambda content: content.update(format=2)), "use the newer one", 1)
        refused(newer_schema, "run the newer program", 1)

        code, _, errors = buddy("restore", saved, "--data", target)
        assert code == 0, errors

        # As a restore leaves it that was killed between two services' schemas on a server.
        restoring = pathlib.Path(target) / "restoring"
        restoring.mkdir()
        server = "postgres://eva@db.example/buddy"
        marker = {"backup": saved, "target": {name: server for name in STATEFUL}}
        (restoring / "loading").write_text(json.dumps(marker))
        code, _, errors = buddy("up", "--port", "0", "--data", target)
        assert code == 1 and "was interrupted" in errors and f"buddy restore {saved}" in errors, errors
        assert f"into {server}" in errors
        code, _, errors = buddy("restore", saved, "--data", target, "--replace")
        assert code == 1 and f"into {server} was interrupted" in errors, "into files, and the server would be forgotten"
        (restoring / "loading").write_text(json.dumps(dict(marker, target={})))
        code, _, errors = buddy("restore", saved, "--data", target, "--replace")
        assert code == 0 and not restoring.exists(), errors


def test_a_service_that_hangs_costs_a_clear_error_and_holds_nobody():
    with tempfile.TemporaryDirectory(prefix="buddy-backup-") as folder, Up(f"{folder}/data") as up:
        victim = service_process(up, "buddy-learning")
        os.kill(victim, signal.SIGSTOP)
        try:
            code, _, errors = buddy("backup", f"{folder}/saved", "--data", up.data, "--hold-limit", "2s")
            assert code == 75 and "learning" in errors, errors
            assert len(errors.strip().splitlines()) == 1
            # The others write on long before their own limit.
            up.put("small.txt", b"x")
            assert [path.name for path in pathlib.Path(folder).glob("saved*")] == []
        finally:
            os.kill(victim, signal.SIGCONT)
        assert buddy("backup", f"{folder}/saved", "--data", up.data)[0] == 0

        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            named = [f"--service={name}={up.addresses[name]}" for name in STATEFUL if name != "progress"]
            down = f"--service=progress=127.0.0.1:{nobody.getsockname()[1]}"
            code, _, errors = buddy("backup", f"{folder}/more", *named, down)
        assert code == 69 and "progress" in errors, errors
        wrong = f"--service=progress={up.addresses['learning']}"
        code, _, errors = buddy("backup", f"{folder}/more", *named, wrong)
        # Whichever is noticed first: that it is another service, or that learning is asked twice.
        assert code in (70, 75) and "learning" in errors, errors
        assert buddy("backup", f"{folder}/more", *named, f"--service=progress={up.addresses['progress']}")[0] == 0


def service_process(up, program):
    """The process id of a service of this `buddy up`."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "status").read_text()
            name = pathlib.Path((entry / "cmdline").read_bytes().split(b"\0")[0].decode()).name
        except OSError:
            continue
        if f"\nPPid:\t{up.process.pid}\n" in status and name == program:
            return int(entry.name)
    raise AssertionError(f"{program} does not run")
