import pytest

from collector.inventory.load import FolderError, load
from collector.inventory.report import report
from tests.collector.inventory.folders import shipped, spoilt, write


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    """Return the small province, loaded."""
    return load(write(tmp_path_factory.mktemp("report")))


def test_the_whole_province_is_told(inventory):
    """Rates, phases, each kind of site, one example, and the load of every target."""
    assert (
        report(inventory)
        == """\
Tỉnh Mẫu (mau): nothing to mend
4 sites, 5 agents, 5 checks, 15 series
profile fast: a push each 1 s, silent after 3.5 s, intervals x 1
profile calm: a push each 10 s, silent after 35 s, intervals x 3, unless a phase says otherwise
phase rehearsal: 29/06/2025 06:00 to 29/06/2025 12:00, fast
phase cutover: 01/07/2025 00:00 to 02/07/2025 00:00, fast

What each kind of site runs (requests a minute of one agent, fast / calm)
  xã: sites 1, agents 1, checks 1, targets 1, requests at most 0.2 / 0.1
  phường: sites 2, agents 3, checks 2 to 4, targets 2 to 6, requests at most 145.2 / 48.4
  trung tâm dữ liệu: sites 1, agents 1, checks 2, targets 3, requests at most 0.6 / 0.2

Agent 04792, Phường Tân Hòa (Hòa Bình), in full
  line vnpt: source 192.0.2.7
  line viettel: interface eth1
  line tslcd: anchor 198.51.100.1
  gateway (icmp, lan/gateway): every 5 s fast, 15 s calm
    192.0.2.1
  line (icmp, internet/line): every 5 s fast, 15 s calm over vnpt
    203.0.113.1
  line (icmp, internet/line): every 5 s fast, 15 s calm over viettel
    203.0.113.129
  line (icmp, internet/line): every 5 s fast, 15 s calm over tslcd
    198.51.100.1
  own-web (http, web/service): every 60 s fast, 180 s calm
    {"body_contains":["Phường Tân Hòa"]}
    https://tan-hoa.mau.example/
  portal (http, dvcqg/service): every 300 s fast, 900 s calm
    https://cong.example/

What all agents together send, requests a minute (fast / calm)
An icmp run counts as the packets of its burst. A run whose outcome changed is repeated
at once, and http follows redirects: both come on top.
External systems, asked by the whole country:
  dvcqg (Cổng quốc gia)
    together 0.8 / 0.3; sites that ask: 4, the busiest 0.2 / 0.1
    https://cong.example/: 0.8 / 0.3
Central systems of the province:
  web (Trang xã)
    together 3.4 / 1.1; sites that ask: 3, the busiest 2.0 / 0.7
    https://viet-tri.mau.example/: 2.2 / 0.7
    https://tan-hoa.mau.example/: 1.2 / 0.4
Systems of each site:
  lan (Mạng LAN)
    within each office: at most 72.0 / 24.0
  internet (Internet)
    together 108.0 / 36.0; sites that ask: 1, the busiest 108.0 / 36.0
    203.0.113.1: 36.0 / 12.0
    203.0.113.129: 36.0 / 12.0
    198.51.100.1: 36.0 / 12.0
"""
    )


def test_one_agent_is_told_in_full(inventory):
    """Lines and how they are chosen, checks, params and targets."""
    assert (
        report(inventory, "07900-ttpv")
        == """\
Agent 07900-ttpv, Phường Việt Trì (Phú Thọ), in full
  line ttpv-vnpt: source 192.0.2.9
  gateway (icmp, lan/gateway): every 5 s fast, 15 s calm
    192.0.2.1
  own-web (http, web/service): every 60 s fast, 180 s calm
    {"body_contains":["Phường Việt Trì"]}
    https://viet-tri.mau.example/
"""
    )


def test_params_of_many_sites_are_told_by_the_first(tmp_path):
    """A check with params for each site is one entry, and how many more there are."""
    files = spoilt(
        "checks.yml",
        "for_each: sites\n",
        'for_each: sites\n  params: {body_contains: ["{site.name}"]}\n',
    )
    text = report(load(write(tmp_path, files)), "dc")

    assert (
        """\
  web (http, web/service): every 300 s fast, 900 s calm
    {"body_contains":["Phường Tân Hòa"]}
    https://tan-hoa.mau.example/
    and 1 more, with params of their own
"""
        in text
    )


def test_an_agent_that_is_not_there_is_refused(inventory):
    """The nearest known one is named."""
    with pytest.raises(FolderError) as caught:
        report(inventory, "7900")

    assert caught.value.problems == ["agent '7900': did you mean '07900'?"]


LOADS = [
    ("https://dich-vu-cong-quoc-gia.example/", "30.4 / 10.1"),  # 152 sites, one request in 300 s
    ("ocsp.chung-thu-so.example:80", "10.1 / 3.4"),  # 151 sites: the data centre asks by OCSP
    ("https://tthc.phu-tho.example/", "306.0 / 102.0"),
    ("https://qlvb.phu-tho.example/", "153.0 / 51.0"),
    ("https://tthc-cu-vinh-phuc.phu-tho.example/", "7.4 / 2.5"),  # 37 agents
    ("cau-trung-tam.phu-tho.example", "2,769.3 / 923.1"),  # 153 agents, 3 echoes in 10 s, mtu
    ("198.51.100.1", "5,487.2 / 1,829.1"),
    ("203.0.113.129", "2,769.3 / 923.1"),
]


@pytest.fixture(scope="module")
def phu_tho():
    """Return the report on Phú Thọ."""
    return report(shipped("phu-tho"))


@pytest.mark.parametrize(("target", "rates"), LOADS)
def test_loads_add_up_over_all_agents(phu_tho, target, rates):
    """What 153 agents send to one target in a minute, by the fast and the calm profile."""
    assert f"    {target}: {rates}\n" in phu_tho


def test_external_systems_come_first(phu_tho):
    """Those that the whole country asks, then the province's own, then those of each site."""
    headings = [line for line in phu_tho.splitlines() if line.endswith(":")]

    assert headings == [
        "External systems, asked by the whole country:",
        "Central systems of the province:",
        "Systems of each site:",
    ]


def test_many_targets_of_one_system_are_summed_up(phu_tho):
    """148 websites and 14 of departments are twelve lines and one."""
    assert "    and 150 more, each at most 0.4 / 0.1\n" in phu_tho
