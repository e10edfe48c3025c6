"""RFC 9113 at our server beside nghttpd, which runs the same library: no case may fail here that passes there."""

import concurrent.futures
import contextlib
import os
import pathlib
import socket
import subprocess

import pytest
from conformance import CASES
from conformance.wire import Connection, Unexpected
from installation import free_port, wait_until

BIN = pathlib.Path(os.environ.get("BUDDY_BIN", ".build/debug"))


@contextlib.contextmanager
def ours():
    with subprocess.Popen([BIN / "rpc-interop-server"], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield int(server.stdout.readline().split()[-1])
        finally:
            server.kill()


@contextlib.contextmanager
def nghttpd(folder):
    (folder / "index.html").write_text("A page of more than three bytes.\n")
    port = free_port()

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True

    with subprocess.Popen(["nghttpd", "--no-tls", "-d", folder, str(port)]) as server:
        try:
            wait_until(listens, "nghttpd listens")
            yield port
        finally:
            server.kill()


def failure(case, port):
    """What went wrong; None if nothing did."""
    try:
        with Connection(port) as connection:
            if not case.is_raw:
                connection.shake_hands()
            case.run(connection)
    except Unexpected as error:
        return str(error)


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """For each case: what went wrong at our server, and at nghttpd."""
    folder = tmp_path_factory.mktemp("pages")
    with ours() as here, nghttpd(folder) as there, concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = [(pool.submit(failure, case, here), pool.submit(failure, case, there)) for case in CASES]
        return {case.name: (a.result(), b.result()) for case, (a, b) in zip(CASES, results)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.title}")
def test_case(failures, case):
    here, there = failures[case.name]
    assert here is None or there is not None, here


def test_totals(failures, capsys):
    assert len(failures) == len(CASES)  # no name twice
    here = [name for name, (error, _) in failures.items() if error is None]
    there = [name for name, (_, error) in failures.items() if error is None]
    with capsys.disabled():
        print(f"\nRFC 9113: {len(CASES)} cases, ours passed {len(here)}, nghttpd passed {len(there)}")
        for name, (error, other) in failures.items():
            if error is not None or other is not None:
                print(f"  {name}: ours {error or 'passed'}; nghttpd {other or 'passed'}")
    assert len(here) >= len(there)
