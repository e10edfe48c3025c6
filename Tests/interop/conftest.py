import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import protos  # noqa: E402, F401  Done when the tests are collected, since they import what it makes.


@pytest.fixture(scope="session")
def installation():
    from installation import Installation

    with Installation(flags={"execution": ["--allow-private-fetch"]}) as running:
        yield running
