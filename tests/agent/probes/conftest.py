"""What the tests of several probes share."""

import pytest

from agent.probes.base import Env
from agent.probes.net import SystemResolver
from tests.agent.probes.servers import nginx as run_nginx
from tests.pki import make_pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """Return certificates for each way to be wrong."""
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def nginx(tmp_path_factory, pki):
    """Run one nginx for all tests."""
    with run_nginx(tmp_path_factory.mktemp("nginx") / "home", pki) as running:
        yield running


@pytest.fixture
def env():
    """Return what probes use of the world, with the system's resolver."""
    resolver = SystemResolver()
    env = Env(resolve=resolver)
    yield env
    env.close()
    resolver.close()
