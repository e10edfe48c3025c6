import pytest
from arena import Arena, Neighbourhood


@pytest.fixture(scope="session")
def neighbourhood():
    running = Neighbourhood()
    yield running
    running.close()


@pytest.fixture(scope="session")
def arena(neighbourhood):
    return Arena(neighbourhood)
