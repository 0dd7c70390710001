import pytest

from tests.collector.inventory.folders import problems, spoilt, write

CASES = [
    (
        "time_zone:",
        "time_zon:",
        (
            "province.yml line 2, time_zon: unknown key; did you mean 'time_zone'?\n"
            "province.yml line 1, time_zone: is missing"
        ),
    ),
    (
        "Asia/Ho_Chi_Minh",
        "Asia/Hanoi",
        "province.yml line 2, time_zone: found 'Asia/Hanoi', expected one such as Asia/Ho_Chi_Minh",
    ),
    (
        "  vnpt:\n",
        "  viettel:\n",
        (
            "province.yml line 7, carriers: key 'viettel' is used twice, first in line 5\n"
            "lines.csv line 2, column carrier: found 'vnpt', expected a carrier of province.yml; expected one of: viettel\n"
            "lines.csv line 5, column carrier: found 'vnpt', expected a carrier of province.yml; expected one of: viettel\n"
            "lines.csv line 6, column carrier: found 'vnpt', expected a carrier of province.yml; expected one of: viettel"
        ),
    ),
    (
        "203.0.113.1]",
        "203.0.113.256]",
        "province.yml line 6, carriers.vnpt.anchors: found '203.0.113.256', expected IP addresses",
    ),
    (
        "    anchors: [203.0.113.1]\n",
        "    anchors: [203.0.113.1]\n    networks: [203.0.113.1/25]\n",
        "province.yml line 7, carriers.vnpt.networks: found '203.0.113.1/25', expected networks such as 203.0.113.0/24",
    ),
    (
        "    name: Viettel\n",
        "    name: Viettel\n    networks: [2001:db8::/32, 203.0.112.0/23]\n  fpt:\n    name: FPT\n    networks: [203.0.113.0/24]\n",
        "province.yml line 12, carriers.fpt.networks: '203.0.113.0/24' overlaps '203.0.112.0/23' of viettel",
    ),
    (
        "scope: site",
        "scope: sites",
        "province.yml line 14, systems.lan.scope: found 'sites', expected one of: 'site', 'central', 'external'",
    ),
    (
        "owner: Nhà mạng",
        "owner: no",
        "province.yml line 18, systems.internet.owner: found the yes-or-no no, expected text: write 'no' in quotes",
    ),
    ("    owner: Nhà mạng\n", "", "province.yml line 17, systems.internet.owner: is missing"),
    (
        "    owner: Nhà mạng\n",
        "    owner: Nhà mạng\n    ower: x\n",
        "province.yml line 19, systems.internet.ower: unknown key; did you mean 'owner'?",
    ),
    (
        "route: commune",
        "route: comune",
        "province.yml line 15, systems.lan.route: found 'comune'; did you mean 'commune'?",
    ),
    (
        "ends: 2025-06-29 12:00",
        "ends: 2025-06-29 05:00",
        "province.yml line 32, phases.rehearsal.ends: 2025-06-29 05:00:00+07:00 is not after begins, 2025-06-29 06:00:00+07:00",
    ),
    (
        "begins: 2025-07-01 00:00",
        "begins: 2025-06-29 11:00",
        "province.yml line 36, phases.cutover.begins: 2025-06-29 11:00:00+07:00 is before phase rehearsal ends, 2025-06-29 12:00:00+07:00",
    ),
    (
        "begins: 2025-07-01 00:00",
        "begins: 1/7/2025",
        "province.yml line 36, phases.cutover.begins: found '1/7/2025', expected a date and time such as 2025-06-30 07:30",
    ),
    (
        "profile: fast",
        "profile: quick",
        "province.yml line 33, phases.rehearsal.profile: found 'quick'; expected one of: fast, calm",
    ),
    (
        "default_profile: calm",
        "default_profile: slow",
        "province.yml line 42, default_profile: found 'slow'; expected one of: fast, calm",
    ),
    (
        "batch_seconds: 10",
        "batch_seconds: 0.1",
        "province.yml line 41, profiles.calm.batch_seconds: found 0.1, expected 0.5 to 60",
    ),
    (
        "silent_after_seconds: 3.5",
        "silent_after_seconds: 1.5",
        "province.yml line 40, profiles.fast.silent_after_seconds: found 1.5, expected 2 or more, so that one late push is no alarm",
    ),
    (
        "interval_factor: 3",
        "interval_factor: 0",
        "province.yml line 41, profiles.calm.interval_factor: found 0, expected 0.1 to 100",
    ),
    (
        "interval_factor: 3",
        "interval_factor: 3, limits: {internet: {loss: 3}}",
        "province.yml line 41, profiles.calm.limits.internet.loss: found 3, expected a share: more than 0, at most 1",
    ),
    (
        "interval_factor: 3",
        "interval_factor: 3, limits: {tslcd: {delay_seconds: 0}}",
        "province.yml line 41, profiles.calm.limits.tslcd.delay_seconds: found 0, expected more than 0, at most 60",
    ),
    (
        "interval_factor: 3",
        "interval_factor: 3, limits: {web: {delay_from_seconds: 9}}",
        "province.yml line 41, profiles.calm.limits.web.delay_from_seconds: found 9, expected 0 to the delay_seconds, 8",
    ),
    (
        "interval_factor: 3",
        "interval_factor: 3, limits: {lan: {delay_factor: 1}}",
        "province.yml line 41, profiles.calm.limits.lan.delay_factor: found 1, expected more than 1, at most 100",
    ),
    (
        "interval_factor: 3",
        "interval_factor: 3, limits: {conference: {jitter_seconds: 30}}",
        "province.yml line 41, profiles.calm.limits.conference.jitter_seconds: found 30, expected more than 0, at most 10",
    ),
    (
        "interval_factor: 3",
        "interval_factor: 3, limits: {conference: {mos: 5}}",
        "province.yml line 41, profiles.calm.limits.conference.mos: found 5, expected 1 to 4.5",
    ),
    (
        "interval_factor: 3",
        "interval_factor: 3, limits: {web: {loss: 0.1}}",
        "province.yml line 41, profiles.calm.limits.web.loss: unknown key; expected one of: delay_from_seconds, delay_factor, delay_seconds",
    ),
    (
        "interval_factor: 3",
        "interval_factor: .inf",
        "province.yml line 41, profiles.calm.interval_factor: found the number .inf, expected a number",
    ),
    (
        "interval_factor: 3",
        "interval_factor: yes",
        "province.yml line 41, profiles.calm.interval_factor: found the yes-or-no yes, expected a number",
    ),
    (
        '"13:30-17:00"',
        '"17:00-13:30"',
        "province.yml line 45, office_hours.spans: found '17:00-13:30', expected such as '07:30-11:30'",
    ),
    (
        '"13:30-17:00"',
        "13:30",
        "province.yml line 45, office_hours.spans[2]: found the number 13:30, expected text: write '13:30' in quotes",
    ),
    (
        "days: [mon, fri]",
        "days: [mon, thứ sáu]",
        "province.yml line 44, office_hours.days[2]: found 'thứ sáu', expected one of: 'mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'",
    ),
    (
        "    escalate_after_seconds: 300\n",
        "",
        "province.yml line 48, on_call.commune: escalate_to and escalate_after_seconds belong together",
    ),
    (
        "escalate_after_seconds: 300",
        "escalate_after_seconds: -1",
        "province.yml line 50, on_call.commune.escalate_after_seconds: found -1, expected more than 0",
    ),
    (
        "escalate_to: department",
        "escalate_to: commune",
        "province.yml line 49, on_call.commune.escalate_to: goes in a circle: commune > commune",
    ),
    (
        "escalate_to: department",
        "escalate_to: departments",
        "province.yml line 49, on_call.commune.escalate_to: found 'departments'; did you mean 'department'?",
    ),
    (
        "name: {vi: Trực Sở, en: Department on duty}",
        "name: {vi: Trực Sở, en: Department on duty",
        "province.yml line 53: is not YAML: expected ',' or '}', but got '<stream end>'",
    ),
    (
        "  vnpt:",
        "  VNPT:",
        (
            "province.yml line 5, carriers.VNPT: the key is 'VNPT', expected small letters, digits, '.', '_' or '-', at most 64\n"
            "lines.csv line 2, column carrier: found 'vnpt', expected a carrier of province.yml; expected one of: VNPT, viettel\n"
            "lines.csv line 5, column carrier: found 'vnpt', expected a carrier of province.yml; expected one of: VNPT, viettel\n"
            "lines.csv line 6, column carrier: found 'vnpt', expected a carrier of province.yml; expected one of: VNPT, viettel"
        ),
    ),
    (
        "anchors: [203.0.113.1]",
        "anchors: *a",
        "province.yml line 6: the alias *a is not allowed; write it out",
    ),
    (
        "name: VNPT",
        'name: "V\\nNPT"',
        "province.yml line 5, carriers.vnpt.name: found text with line breaks or control characters",
    ),
    (
        "ends: 2025-06-29 12:00",
        "ends: 2025-06-29 06:00",
        "province.yml line 32, phases.rehearsal.ends: 2025-06-29 06:00:00+07:00 is not after begins, 2025-06-29 06:00:00+07:00",
    ),
    (
        "name: {vi: Tỉnh Mẫu, en: Sample}",
        'name: {vi: "", en: Sample}',
        "province.yml line 1, name: expected text in both languages",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_a_mistake_is_told_with_its_place(tmp_path, old, new, expected):
    """Each mistake in province.yml is refused with file, line, key and what was expected."""
    assert expected.split("\n") == problems(write(tmp_path, spoilt("province.yml", old, new)))
