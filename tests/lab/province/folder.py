"""The province's folder, as a province would write it: what the collector is told, and no more."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.lab.box import TSLCD_ONLY, Office
from tests.lab.province.plan import CENTRE, TWELVE, Place
from tests.lab.province.services import anchor

PROVINCE = """\
name: {vi: Tỉnh Thử, en: Trial province}
time_zone: Asia/Ho_Chi_Minh
carriers:
  vnpt: {name: VNPT, anchors: [10.111.0.1], networks: [10.101.0.0/16], route: vnpt}
  viettel: {name: Viettel, anchors: [10.112.0.1], networks: [10.102.0.0/16], route: viettel}
  tslcd: {name: Đơn vị cung cấp TSLCD, route: so-khcn}
systems:
  lan: {name: {vi: Mạng nội bộ (LAN), en: Local network}, owner: UBND cấp xã, scope: site, route: commune}
  internet: {name: {vi: Đường truyền Internet, en: Internet line}, owner: Nhà mạng, scope: site, route: so-khcn}
  tslcd: {name: {vi: Mạng truyền số liệu chuyên dùng, en: Dedicated network}, owner: Sở thử, scope: site, route: so-khcn}
  dns: {name: {vi: Phân giải tên miền, en: Name resolution}, owner: Sở thử, scope: central, route: so-khcn}
  time: {name: {vi: Máy chủ thời gian, en: Time server}, owner: Sở thử, scope: central, route: so-khcn}
  test-page: {name: {vi: Trang thử mạng, en: Test page}, owner: Sở thử, scope: central, route: so-khcn}
  portal: {name: {vi: Cổng thông tin điện tử, en: Portal}, owner: Văn phòng thử, scope: central, route: so-khcn}
  tthc: {name: {vi: Hệ thống TTHC, en: Procedure system}, owner: Nhóm TTHC thử, scope: central, route: so-khcn}
  vc: {name: {vi: Điểm cầu trung tâm, en: Conference bridge}, owner: Sở thử, scope: central, route: so-khcn}
  mail: {name: {vi: Thư điện tử, en: E-mail}, owner: Sở thử, scope: central, route: so-khcn}
  dvcqg: {name: {vi: Cổng DVC quốc gia, en: National portal}, owner: Cơ quan khác, scope: external, route: so-khcn}
  data-centre: {name: {vi: Trung tâm dữ liệu, en: Data centre}, owner: Sở thử, scope: central, route: so-khcn}
trunks:
  bridge: {name: {vi: Đường vào điểm cầu, en: Line of the bridge}, mbit_s: 100, share: 0.2, hosts: [vc.test]}
phases: {}
on_call:
  commune: {name: {vi: Tổ phản ứng nhanh, en: Quick-response team}}
  vnpt: {name: {vi: Trực VNPT thử, en: VNPT on duty}}
  viettel: {name: {vi: Trực Viettel thử, en: Viettel on duty}}
  so-khcn: {name: {vi: Trực Sở thử, en: Department on duty}}
profiles:
  fast: {batch_seconds: 1, silent_after_seconds: 3.5, interval_factor: 1, load_tests: all}
default_profile: fast
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of checks.yml. `who` and what follows are YAML."""

    id: str
    system: str
    layer: str
    kind: str
    targets: str
    seconds: float
    timeout: float = 2
    params: str = ""
    who: str = ""
    more: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return it as YAML."""
        rows = {
            "id": self.id,
            "name": f"{{vi: Thử {self.id}, en: Trial {self.id}}}",
            "system": self.system,
            "layer": self.layer,
            "kind": self.kind,
            "targets": self.targets,
            "interval_seconds": f"{self.seconds:g}",
            "timeout_seconds": f"{self.timeout:g}",
            "params": self.params,
            "agents": self.who,
            **self.more,
        }
        told = [f"{key}: {value}" for key, value in rows.items() if value]
        return "- " + "\n  ".join(told) + "\n"


CHOOSERS = [place for place in TWELVE if place.chosen]
OFFICES = "{kind: [xã]}"
ONCE = "{count: 1}"
GATEWAY = Check(
    *("gateway", "lan", "gateway", "icmp", '["{device.address}"]', 1, 1, ONCE),
    more={"devices": "{kind: [gateway]}"},
)
LINE = Check(
    *("line", "internet", "line", "icmp", '["{line.anchor}"]', 1, 1, ONCE),
    who=OFFICES,
    more={"line": "each"},
)
"""For those who can choose their lines."""
ANCHOR = Check(
    *("anchor", "data-centre", "line", "icmp", '["{line.anchor}"]', 1, 1, ONCE),
    who=f"{{site: [{CENTRE}]}}",
    more={"line": "each"},
)
INTERNET = Check(
    *("internet", "internet", "internet", "icmp", '["{carrier.anchor}"]', 2, 1, ONCE),
    more={"for_each": "carriers"},
)
PORTAL = Check("portal", "portal", "service", "tcp", "['portal.test:443']", 2)
"""For provinces that need no more of a server than that it is there."""


def checks(ca_file: Path, ports: dict[str, int]) -> list[Check]:
    """Return what the twelve offices and the data centre measure; `ports` of the bridge and mail."""
    trusted = f"{{ca_file: '{ca_file}'}}"
    on_tslcd = {"who": OFFICES[:-1] + ", line: [tslcd]}", "more": {"line": "tslcd"}}
    return [
        GATEWAY,
        Check("nic", "lan", "nic", "nic", "[lan]", 2, who=OFFICES),
        replace(LINE, who=f"{{site: [{', '.join(repr(place.site) for place in CHOOSERS)}]}}"),
        ANCHOR,
        INTERNET,
        Check("tslcd", "tslcd", "tslcd", "icmp", '["{line.anchor}"]', 1, 1, ONCE, **on_tslcd),
        Check("tslcd-tcp", "tslcd", "service", "tcp", f"['{TSLCD_ONLY}:443']", 3, **on_tslcd),
        Check(
            *("dns-system", "internet", "dns", "dns", "[system]", 1, 1),
            params="{query_name: stable.test, expect_addresses: [10.0.1.20]}",
            who=OFFICES,
        ),
        Check(
            *("dns-honest", "internet", "service", "dns", "[system]", 2, 1),
            params="{query_name: no-such-name.test, expect_rcodes: [NXDOMAIN]}",
            who=OFFICES,
        ),
        Check("dns", "dns", "dns", "dns", "[10.0.1.53]", 2, 1, "{query_name: portal.test}"),
        Check(
            *("test-page", "test-page", "service", "http", "['http://page.test/204']", 2),
            params="{status_codes: [204], max_redirects: 0}",
        ),
        Check(
            *("mtu", "internet", "service", "mtu", '["{carrier.anchor}"]', 3, 9),
            params="{wait_seconds: 0.3}",
            who="{site: ['00002', '00006', '00007']}",
            more={"for_each": "carriers"},
        ),
        Check("clock", "time", "service", "ntp", "[time.test]", 2),
        Check("portal", "portal", "service", "http", "['https://portal.test/']", 2, params=trusted),
        Check("tthc", "tthc", "service", "http", "['https://tthc.test/']", 2, params=trusted),
        Check("vc", "vc", "service", "icmp", "[vc.test]", 2, 1, ONCE),
        Check(
            *("vc-sound", "vc", "service", "media", "['vc.test:20000']", 6, 11),
            params="{stream: g711, seconds: 1}",
            who="{site: ['00004', '00010']}",
        ),
        Check("vc-sip", "vc", "service", "sip", f"['vc.test:{ports['sip']}']", 3),
        Check("vc-stun", "vc", "service", "stun", f"['vc.test:{ports['stun']}']", 3),
        Check(
            *("mail-imaps", "mail", "service", "mail", f"['mail.test:{ports['imaps']}']", 3, 2),
            params=f"{{protocol: imaps, ca_file: '{ca_file}'}}",
            who="{site: ['00001', '00006', '00010', ttdl]}",
        ),
        Check(
            *("dvcqg", "dvcqg", "service", "http", "['https://national.test/']", 5),
            params=f"{{method: HEAD, ca_file: '{ca_file}'}}",
        ),
    ]


def write_folder(
    folder: Path,
    places: Sequence[Place],
    offices: Sequence[Office],
    asked: Sequence[Check],
    province: str = PROVINCE,
) -> None:
    """Write all files of the province; `province`: instead of PROVINCE."""
    folder.mkdir(parents=True)
    (folder / "province.yml").write_text(province, "utf-8")
    (folder / "sites.csv").write_text(
        "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone\n"
        + "".join(f"{place.site},{place.name},xã,{place.area},,,,,,\n" for place in places)
        + f"{CENTRE},Trung tâm dữ liệu thử,trung tâm dữ liệu,{places[0].area},,,,,,\n",
        "utf-8",
    )
    lines = [
        f"{place.site},,{line.name},{line.name},"
        f"{'tslcd' if line.name == 'tslcd' else '4g' if line.interface else 'ftth'},,"
        f"{line.select},{line.source},{line.interface},{anchor(line.name)}\n"
        for place, office in zip(places, offices, strict=True)
        for line in place.rows(office)
    ]
    lines += [
        f"{CENTRE},,{carrier},{carrier},ftth,,anchor,,,{anchor(carrier)}\n"
        for carrier in ("vnpt", "viettel")
    ]
    (folder / "lines.csv").write_text(
        "site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor\n"
        + "".join(lines)
    )
    (folder / "devices.csv").write_text(
        "site,agent,device,kind,address\n"
        + "".join(
            f"{place.site},,gateway,gateway,10.8.{office.number}.1\n"
            for place, office in zip(places, offices, strict=True)
        )
        + f"{CENTRE},,gateway,gateway,10.0.1.1\n"
    )
    (folder / "checks.yml").write_text("checks:\n" + "".join(c.text() for c in asked), "utf-8")
