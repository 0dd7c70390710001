"""TLS to the centre: whom the uplink trusts, and what a wrong clock changes about that."""

import ssl

import pytest

from tests.agent.centre import running_centre
from tests.agent.uplinks import quicken, running_agent
from tests.pki import Issued, make_pki
from tests.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Return certificates for each way to be wrong."""
    return make_pki(tmp_path_factory.mktemp("pki"))


def shown(issued: Issued) -> ssl.SSLContext:
    """Return what a server needs to show a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.cert, issued.key)
    return context


async def test_speaks_tls_with_the_configured_issuer(tmp_path, pki):
    """ca_file is the one that is trusted."""
    async with (
        running_centre(context=shown(pki.good)) as centre,
        running_agent(tmp_path, centre, ca_file=pki.ca_file) as agent,
    ):
        agent.seal(3)
        await until(lambda: len(centre.stored) == 3)


@pytest.mark.parametrize(
    ("name", "why"), [("untrusted", "tls_untrusted: "), ("wrong_name", "tls_wrong_name: ")]
)
async def test_gives_its_token_to_no_stranger(tmp_path, pki, name, why):
    """Another issuer, another name: nothing is sent, and it is told why."""
    async with (
        running_centre(context=shown(getattr(pki, name))) as centre,
        running_agent(tmp_path, centre, ca_file=pki.ca_file) as agent,
    ):
        agent.seal()
        await until(lambda: agent.failing().startswith(why))

        assert centre.seen == []
        assert agent.spool.state.pending_batches == 1


@pytest.mark.parametrize(
    ("name", "why"), [("expired", "tls_expired: "), ("future", "tls_not_yet_valid: ")]
)
async def test_a_pc_with_a_wrong_clock_gets_through_to_say_so(tmp_path, pki, name, why):
    """To this PC the certificate is of another time: a report without samples, and no more."""
    async with (
        running_centre(context=shown(getattr(pki, name))) as centre,
        running_agent(tmp_path, centre, ca_file=pki.ca_file) as agent,
    ):
        agent.seal()
        await until(lambda: len(centre.seen) >= 3)

        assert all(not seen.keys for seen in centre.seen)
        assert centre.seen[-1].push.anchor is not None, "the centre's time is learned"
        assert agent.failing().startswith(why)
        assert agent.spool.state.pending_batches == 1


async def test_the_date_is_not_overlooked_without_an_issuer_of_our_own(tmp_path, pki, monkeypatch):
    """Where the system's many issuers are trusted, an expired certificate says nothing."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca_file))
    async with (
        running_centre(context=shown(pki.expired)) as centre,
        running_agent(tmp_path, centre) as agent,
    ):
        agent.seal()
        await until(lambda: agent.failing().startswith("tls_expired: "))

        assert centre.seen == []


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), (b"no certificate", "NO_CERTIFICATE")]
)
async def test_a_wrong_ca_file_stops_nothing(tmp_path, pki, content, why):
    """It is told with its path, and taken up once it is there."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    async with (
        running_centre(context=shown(pki.good)) as centre,
        running_agent(tmp_path, centre, ca_file=ca_file) as agent,
    ):
        agent.seal()
        await until(lambda: agent.failing().startswith(f"ca_file {ca_file} cannot be used: "))
        assert why in agent.failing()
        ca_file.write_bytes(pki.ca_file.read_bytes())
        await until(lambda: centre.stored)


async def test_a_plain_server_is_no_way_out_of_tls(tmp_path, pki):
    """An https address never degrades."""
    async with running_centre() as centre:
        url = centre.url.replace("http:", "https:")
        async with running_agent(tmp_path, url, ca_file=pki.ca_file) as agent:
            agent.seal()
            await until(lambda: agent.failing().startswith("tls_handshake: "))

            assert centre.seen == []
