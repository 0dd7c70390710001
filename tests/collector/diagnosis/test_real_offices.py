"""What the real offices of the lab said in each trouble, and what has to be found of it."""

from pathlib import Path

import pytest

from agent.wire import Push, Sample, Stamp
from collector.diagnosis.diagnose import Diagnosis
from collector.inventory import compile as compiling
from collector.inventory.load import load
from collector.state.fleet import Fleet
from tests.lab.box import Office
from tests.lab.province.folder import checks, write_folder
from tests.lab.province.plan import CENTRE, TWELVE

NOW = 1_751_338_800.0
VNPT, VIETTEL, TSLCD = "10.111.0.1", "10.112.0.1", "10.113.0.1"


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    """Load the folder of the lab's twelve offices."""
    folder = tmp_path_factory.mktemp("folder") / "province"
    offices = [Office(p.number, "", "", dict.fromkeys(p.lines, "")) for p in TWELVE]
    ports = {"sip": 5060, "stun": 3478, "imaps": 993}
    write_folder(folder, TWELVE, offices, checks(Path("/ca.pem"), ports))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "EXTERNAL_SECONDS", 1.0)
        return load(folder)


class Said:
    """A fleet that was well a moment ago; then what fails is said by who is still heard."""

    def __init__(self, inventory) -> None:
        self.fleet = Fleet(inventory, started_at=NOW - 60)
        self.diagnosis = Diagnosis()
        self._round(NOW - 20, {}, ())
        self._round(NOW - 10, {}, ())

    def then(self, failing, *, silent=()):
        """Say twice what fails, and return what is found: cause, key, sites."""
        for at in (NOW - 4, NOW - 3, NOW - 1):
            self._round(at, failing, silent)
        found = self.diagnosis.findings(self.fleet, NOW)
        return sorted((one.cause, one.key, one.sites) for one in found)

    def _round(self, at, failing, silent) -> None:
        for agent, state in self.fleet.agents.items():
            if agent in silent:
                continue
            lines = [line.name for line in self.fleet.inventory.lines[agent] if line.source]
            dead = {line for (_, line), _ in failing.get(agent, {}).items()}
            via = next((line for line in lines if line not in dead), "")
            push = Push(
                v=1,
                agent=agent,
                boot="0" * 32,
                machine_boot="1" * 32,
                sent=Stamp(wall_ms=int(at * 1e3), mono_ns=int(at * 1e9)),
                anchor=0.0,
                anchor_error=0.01,
                synchronised=True,
                via=via,
            )
            carrier = "10.102.1.1" if "viettel" in self._carriers(state.site) else "10.101.1.1"
            self.fleet.heard(agent, push, at, carrier)
            for series in self.fleet.inventory.series_of_agent[agent]:
                wrong = failing.get(agent, {}).get((series.check, series.line or series.target))
                wrong = wrong or failing.get(agent, {}).get((series.check, series.line))
                self.fleet.apply(agent, _sample(series, at, wrong), at, trusted=True, now=at)
        self.fleet.tick(at)

    def _carriers(self, site):
        return {line.carrier for line in self.fleet.inventory.lines[site]} - {"tslcd"}


def _sample(series, at, failure) -> Sample:
    return Sample(
        check=series.check,
        target=series.target,
        line=series.line,
        kind="icmp",
        version=1,
        start=Stamp(wall_ms=int(at * 1e3), mono_ns=1),
        duration=0.1,
        failure=failure,
    )


def test_a_line_that_the_office_had_chosen_is_one_cause(inventory):
    """Names, pages and anchors over the office's own choice fail with the line it had chosen."""
    chosen = ("internet", "dns-system", "dns-honest", "dns", "portal", "tthc", "clock")
    failing = {("line", "vnpt"): "timeout"} | {(check, ""): "timeout" for check in chosen}

    found = Said(inventory).then({"00001": failing})

    assert [("line_down", "00001/vnpt", ("00001",))] == found


def test_tslcd_explains_nothing_that_goes_over_the_internet(inventory):
    """A resolver that is dead beside a dead TSLCD line is a cause of its own."""
    failing = {
        ("line", "tslcd"): "timeout",
        ("tslcd", "tslcd"): "timeout",
        ("tslcd-tcp", "tslcd"): "timeout",
        ("dns-system", ""): "timeout",
        ("dns-honest", ""): "timeout",
    }

    found = Said(inventory).then({"00001": failing})

    assert [
        ("dns_broken", "00001", ("00001",)),
        ("line_down", "00001/tslcd", ("00001",)),
    ] == found


def test_a_resolver_that_refuses_explains_every_question_to_it(inventory):
    """The check that a made-up name is refused asks the same resolver: no second cause."""
    failing = {("dns-system", ""): "refused", ("dns-honest", ""): "refused"}

    found = Said(inventory).then({"00007": failing})

    assert [("dns_broken", "00007", ("00007",))] == found


def test_a_lan_without_link_is_down_though_a_4g_stick_carries_on(inventory):
    """What goes out by the stick acquits no LAN."""
    failing = {
        ("nic", ""): "no_link",
        ("line", "vnpt"): "timeout",
        ("line", "tslcd"): "timeout",
        ("tslcd", "tslcd"): "timeout",
        ("tslcd-tcp", "tslcd"): "timeout",
    }

    found = Said(inventory).then({"00003": failing})

    assert [("lan_down", "00003", ("00003",))] == found


def test_a_gateway_that_is_silent_is_not_acquitted_by_the_card(inventory):
    """The PC's own card is up, which shows nothing of what is beyond it."""
    agent = inventory.series_of_agent["00003"]
    failing = {
        (series.check, series.line): "timeout"
        for series in agent
        if series.check != "nic" and series.line != "viettel"
    }

    found = Said(inventory).then({"00003": failing})

    assert [("lan_down", "00003", ("00003",))] == found


def test_few_lines_and_few_silent_sites_of_a_carrier_are_one_outage(inventory):
    """Four lines down and three sites silent: neither alone is many, together they are."""
    dual = ("00001", "00002", "00003", "00004")
    failing = {site: {("line", "viettel"): "timeout"} for site in dual}
    failing[CENTRE] = {("anchor", "viettel"): "timeout"}
    silent = ("00010", "00011", "00012")

    found = Said(inventory).then(failing, silent=silent)

    assert [("carrier_outage", "viettel", (*dual, *silent, CENTRE))] == found
