"""A service's disk is full for a while: callers are told so, nothing is lost, and work goes on when there is space."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.request

import grpc
import pages
import pytest
from buddy.mission.v1 import mission_pb2, mission_pb2_grpc
from buddy.progress.v1 import progress_pb2, progress_pb2_grpc
from installation import Installation, wait_until

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory):
    """The library that makes disks full."""
    library = tmp_path_factory.mktemp("full-disk") / "full_disk.so"
    compiler = shutil.which("clang") or shutil.which("cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "full_disk.c", "-ldl"], check=True)
    return library


class Setting:
    def __init__(self, installation, switch, site):
        self.installation, self.switch, self.site = installation, switch, site
        self.missions = mission_pb2_grpc.MissionsStub(grpc.insecure_channel(installation.address("execution")))
        self.progress = progress_pb2_grpc.ProgressStub(grpc.insecure_channel(installation.address("progress")))

    def fill(self, name):
        """No space left for the service's database."""
        self.switch.write_text(os.path.realpath(f"{self.installation.folder.name}/{name}.sqlite3"))

    def free(self):
        self.switch.unlink()

    def submit(self, objective):
        return self.missions.Submit(mission_pb2.SubmitMissionRequest(objective=objective), timeout=30).id

    def get(self, id):
        return self.missions.Get(mission_pb2.GetMissionRequest(id=id), timeout=30)

    def check_success(self, ids):
        wait_until(lambda: all(self.get(id).HasField("finished_at") for id in ids), "all missions end", 120)
        for id in ids:
            mission = self.get(id)
            assert mission.state == mission_pb2.MISSION_STATE_SUCCEEDED, mission.error
            assert [step.step for step in mission.steps] == [1, 2, 3, 4, 5, 6]
            events = list(self.progress.Watch(progress_pb2.WatchEventsRequest(mission_id=id), timeout=60))
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))
            assert events[-1].state == mission_pb2.MISSION_STATE_SUCCEEDED


@pytest.fixture
def setting(preloaded, tmp_path):
    switch = tmp_path / "full"
    environment = {"LD_PRELOAD": str(preloaded), "FULL_DISK": str(switch)}
    with pages.serve() as site:
        with Installation(flags={"execution": ["--allow-private-fetch"]}, environment=environment) as installation:
            yield Setting(installation, switch, site)
            with contextlib.suppress(FileNotFoundError):
                switch.unlink()


def test_executions_disk_is_full(setting):
    before = setting.submit("What is 6 * 7?")
    setting.check_success([before])
    running = [setting.submit(f"Get the title of {setting.site.url(f'slow-{number}')}") for number in range(5)]
    wait_until(lambda: len(set(setting.site.asked)) == 5, "all missions are in the middle of their tool")

    setting.fill("execution")
    with pytest.raises(grpc.RpcError) as refused:
        setting.submit("What is 1 + 1?")
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.details() == "the service has no space left to store this"
    body = json.dumps({"objective": "What is 2 + 2?"}).encode()
    request = urllib.request.Request(
        setting.installation.url("/api/v1/missions"), body, {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    answer = json.load(refused.value)
    assert refused.value.code == 429 and "no space left" in json.dumps(answer), answer

    # Their tools end, and nothing of it can be stored: they wait, and what is known can still be read.
    setting.site.release.set()
    log = setting.installation.log
    wait_until(lambda: log("execution").count("the disk is full") >= 5, "the log says why they wait")
    assert all(setting.get(id).state == mission_pb2.MISSION_STATE_RUNNING for id in running)
    assert setting.get(before).result.text

    setting.free()
    setting.check_success(running)
    setting.check_success([setting.submit("What is 3 + 3?")])
    listed = setting.missions.List(mission_pb2.ListMissionsRequest(), timeout=30).missions
    assert len(listed) == 7, "a refused submission made a mission"


@pytest.mark.parametrize("name", ["progress", "investment", "learning", "artifact"])
def test_anothers_disk_is_full(setting, name):
    """Missions wait for it or go on without it; none fails, and none is told that its budget is the reason."""
    setting.fill(name)
    ids = [setting.submit(f"What is {number} + 1?") for number in range(3)]
    wait_until(lambda: all(len(setting.get(id).steps) >= 3 for id in ids), "the missions have come to their budget")
    if name == "investment":
        wait_until(lambda: "the disk is full" in setting.installation.log(name), "the reservation was refused")
        assert all(setting.get(id).state == mission_pb2.MISSION_STATE_RUNNING for id in ids)
    setting.free()
    setting.check_success(ids)
