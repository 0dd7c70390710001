"""SIP OPTIONS against real servers: kamailio, and sipp for what answers oddly, late or not at all."""

import time

import pytest

from agent.probes.base import Source
from agent.probes.sip import Sip
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import stopped
from tests.lab.servers.kamailio import kamailio as run_kamailio
from tests.lab.servers.sipp import HEARD, says, says_raw, sipp, waits

ANSWERED = {
    "ip_protocol",
    "sip_response_code",
    "sip_attempts",
    "sip_auth_required",
    "sip_alg_detected",
}
TIMED = ANSWERED | {"sip_rtt_seconds"}


@pytest.fixture(scope="module")
def kamailio(tmp_path_factory, pki):
    """Run one kamailio for all tests."""
    with run_kamailio(tmp_path_factory.mktemp("kamailio") / "home", pki.good) as running:
        yield running


@pytest.fixture(scope="module")
def kamailio6(tmp_path_factory, pki):
    """Run one on IPv6."""
    folder = tmp_path_factory.mktemp("kamailio6") / "home"
    with run_kamailio(folder, pki.good, address="::1") as running:
        yield running


@pytest.mark.real
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("version", [4, 6])
async def test_kamailio(env, request, pki, transport, version):
    """A real proxy answers over each transport and IP version, and tells where we came from."""
    proxy = request.getfixturevalue("kamailio" if version == 4 else "kamailio6")
    port = proxy.tls_port if transport == "tls" else proxy.port
    params = {"ca_file": str(pki.ca_file)} if transport == "tls" else {}
    before = open_files()
    rec = await attempt(Sip, env, f"{proxy.address}:{port}", transport=transport, **params)

    assert (rec.failure, rec.detail) == (None, "")
    expected = {"udp": [], "tcp": ["connect"], "tls": ["connect", "tls"]}[transport]
    assert list(rec.phases) == ["resolve", *expected, "request"]
    secure = {"ssl_earliest_cert_expiry"} if transport == "tls" else set()
    assert rec.values.keys() == TIMED | secure | {"sip_mapped_port_preserved"}
    assert rec.values["ip_protocol"] == version
    assert rec.values["sip_response_code"] == 200
    assert rec.values["sip_attempts"] == 1
    assert 0 < rec.values["sip_rtt_seconds"] <= rec.phases["request"]
    assert rec.values["sip_mapped_port_preserved"] == 1
    assert rec.values["sip_alg_detected"] == rec.values["sip_auth_required"] == 0
    assert rec.facts["mapped_address"] == proxy.address.strip("[]")
    assert rec.facts["server"].startswith("kamailio")
    assert open_files() == before


@pytest.mark.real
async def test_over_its_line(env, kamailio):
    """A target's line decides the address that the proxy sees, over UDP as over TCP."""
    for transport in ("udp", "tcp"):
        rec = await attempt(
            Sip,
            env,
            f"127.0.0.1:{kamailio.port}",
            source=Source(address="127.0.0.2"),
            transport=transport,
        )
        assert rec.facts["mapped_address"] == "127.0.0.2"
        assert rec.values["sip_alg_detected"] == 0


@pytest.mark.real
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_hung_kamailio(env, kamailio, pki, transport):
    """A stopped proxy times out, in the phase where it is awaited, and no code is reported."""
    port = kamailio.tls_port if transport == "tls" else kamailio.port
    before = open_files()
    with stopped(kamailio.master):
        rec = await attempt(
            Sip,
            env,
            f"127.0.0.1:{port}",
            seconds=0.3,
            transport=transport,
            ca_file=str(pki.ca_file),
        )

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == ("tls" if transport == "tls" else "request")
    assert "sip_response_code" not in rec.values
    assert "sip_rtt_seconds" not in rec.values
    assert open_files() == before


@pytest.mark.real
@pytest.mark.parametrize(
    ("status", "failure"),
    [
        ("301 Moved Permanently", None),
        ("400 Bad Request", None),
        ("401 Unauthorized", None),
        ("405 Method Not Allowed", None),
        ("407 Proxy Authentication Required", None),
        ("481 Call/Transaction Does Not Exist", None),
        ("486 Busy Here", None),
        ("403 Forbidden", Failure.STATUS),
        ("404 Not Found", Failure.STATUS),
        ("480 Temporarily Unavailable", Failure.STATUS),
        ("500 Server Internal Error", Failure.STATUS),
        ("603 Decline", Failure.STATUS),
    ],
)
async def test_codes(env, tmp_path, status, failure):
    """A bridge that asks who we are or is busy is alive; one that says no fails with its code."""
    with sipp(tmp_path / "sipp", HEARD, says(status)) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}")

    assert (rec.failure, rec.detail) == (failure, status if failure else "")
    assert rec.values.keys() == TIMED
    assert rec.values["sip_response_code"] == int(status[:3])
    assert rec.values["sip_auth_required"] == (status[:3] in {"401", "407"})


@pytest.mark.real
async def test_retry_after(env, tmp_path):
    """A bridge under maintenance says for how long, and that is told."""
    answers = says("503 Service Unavailable", headers=("Retry-After: 120 (bảo trì)",))
    with sipp(tmp_path / "sipp", HEARD, answers) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}")

    assert (rec.failure, rec.detail) == (Failure.STATUS, "503 Service Unavailable")
    assert rec.values["sip_retry_after_seconds"] == 120


@pytest.mark.real
async def test_second_request_is_answered(env, tmp_path):
    """A lost request is sent again after 0.5 s; whose answer came is not known, so no time is told."""
    with sipp(tmp_path / "sipp", HEARD, HEARD, says("200 OK"), hear_again=True) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}")

    assert rec.failure is None
    assert rec.values.keys() == ANSWERED
    assert rec.values["sip_attempts"] == 2
    assert 0.5 <= rec.phases["request"] < 1.4


@pytest.mark.real
async def test_late_answer(env, tmp_path):
    """An answer to the first request that comes after the second was sent is an answer."""
    with sipp(tmp_path / "sipp", HEARD, waits(700), says("200 OK")) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}")

    assert rec.failure is None
    assert rec.values["sip_attempts"] == 2
    assert "sip_rtt_seconds" not in rec.values


@pytest.mark.real
async def test_provisional_answer(env, tmp_path):
    """A 1xx is not the end, but the time to it is that of the way."""
    with sipp(tmp_path / "sipp", HEARD, says("100 Trying"), waits(300), says("200 OK")) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}")

    assert rec.failure is None
    assert rec.values["sip_response_code"] == 200
    assert rec.values["sip_rtt_seconds"] < 0.3 <= rec.phases["request"]
    assert rec.facts["provisional"] == "100 Trying"


@pytest.mark.real
async def test_only_provisional(env, tmp_path):
    """A bridge that says it is at it is asked again seldom; never done, it has not answered."""
    with sipp(tmp_path / "sipp", HEARD, says("100 Trying"), waits(5000), says("200 OK")) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}", seconds=1.8)

    assert rec.failure is Failure.TIMEOUT
    assert rec.values["sip_attempts"] == 2  # at 0.5 s; the next would be 4 s later, not 1
    assert "sip_response_code" not in rec.values


@pytest.mark.real
async def test_silent(env, tmp_path):
    """Silence is asked again at 0.5 and 1.5 s, and ends by the check's deadline."""
    with sipp(tmp_path / "sipp", HEARD, waits(9000), says("200 OK")) as port:
        begun = time.monotonic()
        rec = await attempt(Sip, env, f"127.0.0.1:{port}", seconds=1.8)

    assert time.monotonic() - begun < 2.8
    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == "request"
    assert rec.values == {"ip_protocol": 4, "sip_attempts": 3}


@pytest.mark.real
async def test_malformed(env, tmp_path):
    """An answer to our request that breaks the protocol fails at once, with what was found."""
    broken = (
        "SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_CSeq:]\nContent-Length: 0"
    )
    with sipp(tmp_path / "sipp", HEARD, says_raw(broken)) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}")

    assert (rec.failure, rec.detail) == (Failure.MALFORMED, "found no call-id in the answer")
    assert "sip_response_code" not in rec.values


@pytest.mark.real
async def test_sipp_over_tcp(env, tmp_path):
    """A code that says no fails over TCP as over UDP."""
    with sipp(tmp_path / "sipp", HEARD, says("503 Service Unavailable"), transport="t1") as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}", transport="tcp")

    assert (rec.failure, rec.detail) == (Failure.STATUS, "503 Service Unavailable")
    assert rec.values["sip_attempts"] == 1
