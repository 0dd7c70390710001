"""What the tests of several probes share."""

import pytest

from agent.probes.base import Env
from agent.probes.net import SystemResolver
from tests.agent.probes.namespaces import three
from tests.agent.probes.servers import nginx as run_nginx
from tests.lab.namespaces import inside, sysctl
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


@pytest.fixture(scope="session")
def places():
    """Make a site, its router and what lies behind, as namespaces."""
    with three() as made:
        yield made


@pytest.fixture
def site(places):
    """Put the test into the site, where every group may ping."""
    with inside(places.site):
        sysctl("ipv4/ping_group_range", "0 2147483647")
        yield places.site


@pytest.fixture(params=["dgram", "raw"])
def way(request, site):
    """Do it once over a datagram socket and once, where no group may ping, over a raw one."""
    if request.param == "raw":
        sysctl("ipv4/ping_group_range", "1 0")
    return request.param
