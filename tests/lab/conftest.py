"""What the tests of the lab share."""

import pytest

from agent.probes.base import Env
from agent.probes.net import SystemResolver
from tests.lab.box import box
from tests.lab.namespaces import inside
from tests.pki import make_pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """Return certificates for each way to be wrong."""
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def province():
    """Build a province of one office for all tests of a module."""
    with box() as made:
        yield made


@pytest.fixture
def office(province):
    """Put the test at the office's PC: every socket it opens is there."""
    with inside(province.offices[0].pc):
        yield province.offices[0]


@pytest.fixture
def env():
    """Return what probes use of the world, with the system's resolver."""
    resolver = SystemResolver()
    env = Env(resolve=resolver)
    yield env
    env.close()
    resolver.close()
