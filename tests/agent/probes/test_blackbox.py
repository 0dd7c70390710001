"""The same target, asked by blackbox_exporter and by us, gives the same values."""

import asyncio
import json
import urllib.parse
import urllib.request
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.probes import PROBES
from tests.agent.probes.attempts import attempt
from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync

pytestmark = pytest.mark.real

VALUES = {
    "tcp": ["ip_protocol"],
    "tls": ["ip_protocol", "ssl_earliest_cert_expiry"],
    "http": [
        "ip_protocol",
        "http_status_code",
        "http_version",
        "http_redirects",
        "http_content_length",
        "http_uncompressed_body_length",
        "http_ssl",
        "failed_due_to_regex",
        "ssl_earliest_cert_expiry",
    ],
    "dns": ["ip_protocol", "dns_answer_rrs", "dns_authority_rrs", "dns_additional_rrs"],
}
# What it shows where there is nothing to show, and we leave out
NOTHING = (None, 0, -1)
CA, TRUST = "/CA", {"tls_config": {"ca_file": "/CA"}}


@dataclass(frozen=True, slots=True)
class Case:
    """One question, in blackbox_exporter's words and in ours; ports are filled in by name."""

    name: str
    kind: str
    target: str
    module: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    prober: str = ""
    apart: tuple[str, ...] = ()
    """What we say otherwise, and mean to."""

    def config(self) -> dict[str, Any]:
        """Return blackbox_exporter's module."""
        prober = self.prober or self.kind
        version = {"preferred_ip_protocol": "ip6" if "[::1]" in self.target else "ip4"}
        return {"prober": prober, "timeout": "5s", prober: {**version, **self.module}}


def http(name: str, path: str, module: dict[str, Any], **params: Any) -> Case:
    """Return a case over plain HTTP."""
    return Case(name, "http", f"http://127.0.0.1:{{http}}{path}", module, params)


def dns(name: str, query: str, kind: str = "A", **module: Any) -> Case:
    """Return a case of DNS."""
    module |= {"query_name": query, "query_type": kind}
    return Case(name, "dns", "127.0.0.1:{dns}", module, {"query_name": query, "query_type": kind})


def shown(certificate: str, *apart: str) -> list[Case]:
    """Return the cases of one certificate: HTTP and TLS, verified and not."""
    at = f"127.0.0.1:{{{certificate}}}"
    ca, careless = {"ca_file": CA}, {"verify": False}
    lax = {"tls_config": {"insecure_skip_verify": True}}
    tls = {"tls": True}
    return [
        Case(f"https {certificate}", "http", f"https://{at}/", TRUST, ca, apart=apart),
        Case(f"https {certificate} unverified", "http", f"https://{at}/", lax, careless),
        Case(f"tls {certificate}", "tls", at, TRUST | tls, ca, "tcp", apart),
        Case(f"tls {certificate} unverified", "tls", at, lax | tls, careless, "tcp"),
    ]


# Theirs forgets when a certificate expires once it has refused it
FORGOTTEN = "ssl_earliest_cert_expiry"
CASES = [
    Case("tcp", "tcp", "127.0.0.1:{http}"),
    Case("tcp over v6", "tcp", "[::1]:{http}"),
    Case("tcp refused", "tcp", "127.0.0.1:{nobody}"),
    http("page", "/", {}),
    Case("page over v6", "http", "http://[::1]:{http}/"),
    Case("page by name", "http", "http://localhost:{http}/", {}, {"ip_version": 4}),
    http("refused status", "/broken", {}),
    http("accepted status", "/broken", {"valid_status_codes": [503]}, status_codes=[503]),
    http("redirects", "/moved", {}),
    replace(
        http("redirect as the answer", "/moved", {"follow_redirects": False}, max_redirects=0),
        # Theirs counts the redirect that it did not follow, and does not read its page
        apart=("http_redirects", "http_uncompressed_body_length"),
    ),
    http("head", "/large.bin", {"method": "HEAD"}, method="HEAD"),
    http("large", "/large.bin", {}, max_body_bytes=2 << 20),
    http(
        "zipped",
        "/zipped/",
        {"compression": "gzip", "headers": {"Accept-Encoding": "gzip"}},
        headers={"Accept-Encoding": "gzip"},
    ),
    http(
        "text found",
        "/",
        {"fail_if_body_not_matches_regexp": ["dịch vụ"]},
        body_contains=["dịch vụ"],
    ),
    http(
        "text missing",
        "/",
        {"fail_if_body_not_matches_regexp": ["bảo trì"]},
        body_contains=["bảo trì"],
    ),
    http("text forbidden", "/", {"fail_if_body_matches_regexp": ["Cổng"]}, body_lacks=["Cổng"]),
    Case("https over v6", "http", "https://[::1]:{good}/", TRUST, {"ca_file": CA}),
    Case("https redirects", "http", "https://127.0.0.1:{good}/moved", TRUST, {"ca_file": CA}),
    *shown("good"),
    *shown("rsa"),
    *shown("chain"),
    *shown("expired", FORGOTTEN),
    *shown("future", FORGOTTEN),
    *shown("wrong_name", FORGOTTEN),
    *shown("untrusted", FORGOTTEN),
    dns("dns address", "portal.test"),
    dns("dns two addresses", "two.test"),
    dns("dns v6 address", "portal.test", "AAAA"),
    dns("dns mail", "portal.test", "MX"),
    replace(
        dns("dns without such a record", "portal.test", "TXT"),
        apart=("success",),  # an empty answer is none to who asked for something
    ),
    dns("dns unknown name", "nowhere.test"),
]


@pytest.fixture(scope="module")
def ports(tmp_path_factory, nginx):
    """Run unbound beside nginx; return where everything listens, by name."""
    folder, dns_port = tmp_path_factory.mktemp("unbound"), free_port()
    (folder / "unbound.conf").write_text(
        f"""server:
  interface: 127.0.0.1@{dns_port}
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  local-zone: "test." static
  local-data: "test. 60 IN SOA ns.test. admin.test. 1 60 60 60 60"
  local-data: "portal.test. 60 IN A 192.0.2.1"
  local-data: "portal.test. 60 IN AAAA 2001:db8::1"
  local-data: "portal.test. 60 IN MX 10 mail.test."
  local-data: "two.test. 60 IN A 192.0.2.1"
  local-data: "two.test. 60 IN A 192.0.2.2"
"""
    )
    command = [program("unbound"), "-d", "-c", str(folder / "unbound.conf")]
    with running(command, log=folder / "log"):
        until_sync(lambda: listening("127.0.0.1", dns_port), what="unbound listens")
        yield {"http": nginx.http, "dns": dns_port, "nobody": free_port(), **nginx.https}


@pytest.fixture(scope="module")
def blackbox(tmp_path_factory, pki):
    """Run blackbox_exporter with a module for each case; return its address."""
    folder, port = tmp_path_factory.mktemp("blackbox"), free_port()
    modules = {"modules": {case.name: case.config() for case in CASES}}
    text = json.dumps(modules).replace(f'"{CA}"', json.dumps(str(pki.ca_file)))
    (folder / "blackbox.yml").write_text(text)  # JSON is YAML
    command = [
        program("prometheus-blackbox-exporter"),
        f"--config.file={folder / 'blackbox.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, log=folder / "log"):
        until_sync(lambda: listening("127.0.0.1", port), what="blackbox_exporter listens")
        yield f"http://127.0.0.1:{port}/probe"


def ask(address: str, module: str, target: str) -> dict[str, float]:
    """Return what blackbox_exporter says of a target, without what has labels."""
    query = urllib.parse.urlencode({"module": module, "target": target})
    with urllib.request.urlopen(f"{address}?{query}", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        sample.name.removeprefix("probe_"): sample.value
        for family in families
        for sample in family.samples
        if not sample.labels
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_same_values(env, blackbox, ports, pki, case):
    """Success and every value that both know are equal; what we leave out says nothing there."""
    target = case.target.format(**ports)
    params = {
        name: str(pki.ca_file) if value == CA else value for name, value in case.params.items()
    }

    theirs = await asyncio.to_thread(ask, blackbox, case.name, target)
    ours = await attempt(PROBES[case.kind], env, target, **params)

    said = {"success": int(ours.failure is None), **ours.values}
    for name in ("success", *VALUES[case.kind]):
        mine, other = said.get(name), theirs.get(name)
        same = mine == other if mine is not None else other in NOTHING
        assert same is (name not in case.apart), f"{name}: {mine}, theirs {other} ({ours.detail})"
