"""A small province without mistakes, to be spoilt one cell or key at a time."""

from functools import cache
from pathlib import Path

from collector.inventory.load import FolderError, load
from collector.inventory.model import Inventory

PROVINCE = """\
name: {vi: Tỉnh Mẫu, en: Sample}
time_zone: Asia/Ho_Chi_Minh
carriers:
  vnpt:
    name: VNPT
    anchors: [203.0.113.1]
  viettel:
    name: Viettel
    anchors: [203.0.113.129, 203.0.113.130]
systems:
  lan:
    name: {vi: Mạng LAN, en: LAN}
    owner: UBND cấp xã
    scope: site
    route: commune
  internet:
    name: {vi: Internet, en: Internet}
    owner: Nhà mạng
    scope: site
  web:
    name: {vi: Trang xã, en: Websites}
    owner: Sở KH&CN
    scope: central
  dvcqg:
    name: {vi: Cổng quốc gia, en: National portal}
    owner: Trung ương
    scope: external
phases:
  rehearsal:
    name: {vi: Diễn tập, en: Rehearsal}
    begins: 2025-06-29 06:00
    ends: 2025-06-29 12:00
    profile: fast
  cutover:
    name: {vi: Chính thức, en: Cutover}
    begins: 2025-07-01 00:00
    ends: 2025-07-02 00:00
    profile: fast
profiles:
  fast: {batch_seconds: 1, silent_after_seconds: 3.5}
  calm: {batch_seconds: 10, silent_after_seconds: 35, interval_factor: 3}
default_profile: calm
office_hours:
  days: [mon, fri]
  spans: ["07:30-11:30", "13:30-17:00"]
on_call:
  commune:
    name: {vi: Tổ phản ứng nhanh, en: Quick-response team}
    escalate_to: department
    escalate_after_seconds: 300
  department:
    name: {vi: Trực Sở, en: Department on duty}
"""
SITES = """\
id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone
04792,Phường Tân Hòa,phường,Hòa Bình,20.87292,105.31924,tan-hoa.mau.example,,Tổ phản ứng nhanh,
07900,Phường Việt Trì,phường,Phú Thọ,21.32001,105.39418,viet-tri.mau.example,07900 07900-ttpv,,
08209,Xã Đông Thành,xã,Phú Thọ,,,,,,
dc,Trung tâm dữ liệu,trung tâm dữ liệu,Phú Thọ,,,,,,
"""
LINES = """\
site,agent,line,carrier,kind,contracted_mbit_s,select,source,interface,anchor
04792,,vnpt,vnpt,ftth,300,source,192.0.2.7,,203.0.113.1
04792,,viettel,viettel,ftth,200.5,interface,,eth1,203.0.113.129
04792,,tslcd,viettel,tslcd,,anchor,,,198.51.100.1
07900,07900,vnpt,vnpt,ftth,,none,,,
07900,07900-ttpv,ttpv-vnpt,vnpt,ftth,,source,192.0.2.9,,203.0.113.1
08209,,viettel,viettel,4g,,none,,,
"""
DEVICES = """\
site,agent,device,kind,address
04792,,gateway,gateway,192.0.2.1
04792,,printer-1,printer,192.0.2.21
04792,,printer-2,printer,192.0.2.22
07900,07900,gateway,gateway,192.0.2.1
07900,07900-ttpv,ttpv-gateway,gateway,192.0.2.1
"""
CHECKS = """\
checks:
- id: gateway
  name: {vi: Bộ định tuyến, en: Router}
  system: lan
  layer: gateway
  kind: icmp
  devices: {kind: [gateway]}
  targets: ["{device.address}"]
  interval_seconds: 5
  timeout_seconds: 2
- id: line
  name: {vi: Từng đường, en: Each line}
  system: internet
  layer: line
  kind: icmp
  agents: {site: ["04792"]}
  line: each
  targets: ["{line.anchor}"]
  interval_seconds: 5
- id: own-web
  name: {vi: Trang của xã, en: Own website}
  system: web
  layer: service
  kind: http
  agents: {kind: [xã, phường]}
  targets: ["https://{site.web}/"]
  params: {body_contains: ["{site.name}"]}
  interval_seconds: 60
- id: web
  name: {vi: Các trang, en: All websites}
  system: web
  layer: service
  kind: http
  agents: {site: [dc]}
  for_each: sites
  targets: ["https://{site.web}/"]
  interval_seconds: 300
- id: portal
  name: {vi: Cổng quốc gia, en: National portal}
  system: dvcqg
  layer: service
  kind: http
  agents: {suffix: [""]}
  targets: [https://cong.example/]
  interval_seconds: 300
"""
FILES = {
    "province.yml": PROVINCE,
    "sites.csv": SITES,
    "lines.csv": LINES,
    "devices.csv": DEVICES,
    "checks.yml": CHECKS,
}


def write(parent: Path, files: dict[str, str] = FILES) -> Path:
    """Write a folder called `mau` and return it."""
    folder = parent / "mau"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


@cache
def shipped(name: str) -> Inventory:
    """Return one of configs/provinces, loaded once."""
    return load(Path("configs/provinces") / name)


def spoilt(file: str, old: str, new: str) -> dict[str, str]:
    """Return the files with one place of one of them changed."""
    assert FILES[file].count(old) >= 1, f"{old!r} is not in {file}"
    return {**FILES, file: FILES[file].replace(old, new, 1)}


def problems(folder: Path) -> list[str]:
    """Return what is wrong with a folder; none if it loads."""
    try:
        load(folder)
    except FolderError as exc:
        return exc.problems
    return []
