import pytest

from agent.probes import PROBES
from tests.collector.inventory.folders import problems, spoilt, write

CASES = [
    (
        "interval_seconds: 5\n  timeout",
        "intervall_seconds: 5\n  timeout",
        (
            "checks.yml line 9, checks[gateway].intervall_seconds: unknown key; did you mean 'interval_seconds'?\n"
            "checks.yml line 2, checks[gateway].interval_seconds: is missing"
        ),
    ),
    ("- id: web", "- id: gateway", "checks.yml line 29, checks[gateway].id: is used twice"),
    (
        "- id: web",
        "- id: Web",
        "checks.yml line 29, checks[Web].id: found 'Web', expected small letters, digits, '.', '_' or '-', at most 64",
    ),
    (
        "kind: icmp\n  devices",
        "kind: ping\n  devices",
        f"checks.yml line 6, checks[gateway].kind: is 'ping', expected one of {', '.join(PROBES)}",
    ),
    (
        "layer: gateway",
        "layer: lan",
        "checks.yml line 5, checks[gateway].layer: found 'lan', expected one of: 'nic', 'gateway', 'line', 'internet', 'tslcd', 'dns', 'service'",
    ),
    (
        "system: lan",
        "system: mang-lan",
        "checks.yml line 4, checks[gateway].system: found 'mang-lan'; expected one of: lan, internet, web, dvcqg",
    ),
    (
        "timeout_seconds: 2",
        "timeout_seconds: 121",
        "checks.yml line 10, checks[gateway].timeout_seconds: is 121, expected more than 0, at most 120",
    ),
    (
        "interval_seconds: 5\n  timeout",
        "interval_seconds: 0.5\n  timeout",
        "checks.yml line 9, checks[gateway].interval_seconds: is 0.5 by profile fast (factor 1), expected 1 to 86400",
    ),
    (
        "{device.address}",
        "{device.ip}",
        "checks.yml line 8, checks[gateway].targets: unknown field {device.ip} in '{device.ip}'; expected one of: site.id, site.name, site.web, line.name, line.anchor, device.address, carrier.anchor",
    ),
    (
        "{device.address}",
        "{device.address",
        "checks.yml line 8, checks[gateway].targets: a single '{' in '{device.address'; write it twice to mean the letter",
    ),
    (
        "{device.address}",
        "{device.address.__class__}",
        "checks.yml line 8, checks[gateway].targets: unknown field {device.address.__class__} in '{device.address.__class__}'; expected one of: site.id, site.name, site.web, line.name, line.anchor, device.address, carrier.anchor",
    ),
    (
        "{device.address}",
        "192.0.2.1",
        "checks.yml line 8, checks[gateway].targets: '192.0.2.1' would be the same each time, expected a {device.…} in it",
    ),
    (
        "devices: {kind: [gateway]}",
        "devices: {kind: [router]}",
        "checks.yml line 7, checks[gateway].devices.kind: found 'router', which nothing in this folder has; expected one of: gateway, tslcd-gateway, switch, printer, scanner, counter-pc, conference-endpoint, server",
    ),
    (
        "devices: {kind: [gateway]}",
        "devices: {kind: [switch]}",
        "checks.yml line 8, checks[gateway].targets: selects nothing: no such device stands with the selected agents (devices.csv)",
    ),
    (
        "  devices: {kind: [gateway]}\n",
        "",
        "checks.yml line 7, checks[gateway].targets: '{device.address}' needs devices: {kind: [...]}",
    ),
    (
        'site: ["04792"]',
        "site: [14797]",
        "checks.yml line 16, checks[line].agents.site[1]: found the number 14797, expected text: write '14797' in quotes",
    ),
    (
        'site: ["04792"]',
        "site: [04371]",
        "checks.yml line 16, checks[line].agents.site[1]: found the number 04371, expected text: write '04371' in quotes",
    ),
    (
        'site: ["04792"]',
        'site: ["04793"]',
        "checks.yml line 16, checks[line].agents.site: found '04793', which nothing in this folder has; did you mean '04792'?",
    ),
    (
        'site: ["04792"]',
        'site: ["08209"]',
        "checks.yml line 17, checks[line].line: is each, but no line can be chosen (by lines.csv, column select)",
    ),
    (
        'site: ["04792"]',
        'sites: ["04792"]',
        "checks.yml line 16, checks[line].agents.sites: unknown key; did you mean 'site'?",
    ),
    (
        'site: ["04792"]',
        'site: ["04792"], suffix: [ttpv]',
        "checks.yml line 16, checks[line].agents: selects no agent",
    ),
    (
        "line: each",
        "line: any",
        "checks.yml line 18, checks[line].targets: '{line.anchor}' needs line: each, or a line's name",
    ),
    (
        "line: each",
        "line: vnpt2",
        "checks.yml line 17, checks[line].line: there is no line 'vnpt2'; agents: {line: [...]} selects who has one",
    ),
    (
        '["{line.anchor}"]',
        '["192.0.2.200"]\n  params: {count: 0}',
        "checks.yml line 19, checks[line].params: count: Expected `int` >= 1",
    ),
    (
        'site: ["04792"]}\n  line: each',
        "line: [vnpt]}\n  line: vnpt",
        "checks.yml line 17, checks[line].line: line 'vnpt' has select 'none': it cannot be chosen, use line: any (at 07900)",
    ),
    (
        '  line: each\n  targets: ["{line.anchor}"]',
        "  line: tslcd\n  targets: [192.0.2.200]",
        "checks.yml line 17, checks[line].line: line 'tslcd' has select 'anchor': its targets must be made of {line.anchor}",
    ),
    (
        '["{site.name}"]',
        '["{line.name}"]',
        "checks.yml line 27, checks[own-web].params: {line.name} can stand in targets only",
    ),
    (
        "body_contains:",
        "body_contain:",
        "checks.yml line 27, checks[own-web].params: unknown key 'body_contain'; did you mean 'body_contains'?",
    ),
    (
        'for_each: sites\n  targets: ["https://{site.web}/"]',
        'for_each: sites\n  targets: ["https://web.example/"]',
        "checks.yml line 36, checks[web].targets: 'https://web.example/' would be the same each time, expected a {site.…} in it",
    ),
    (
        "for_each: sites\n",
        'for_each: sites\n  params: {server_name: "{site.name}"}\n',
        (
            "checks.yml line 36, checks[web].params: server_name 'Phường Tân Hòa': expected a host name of letters, digits, '-' and '_'\n"
            "checks.yml line 36, checks[web].params: server_name 'Phường Việt Trì': expected a host name of letters, digits, '-' and '_'"
        ),
    ),
    (
        'for_each: sites\n  targets: ["https://{site.web}/"]',
        'for_each: sites\n  params: {body_contains: ["{site.name}"]}\n  targets: ["https://{site.web}/", "https://{site.web}/"]',
        (
            "checks.yml line 37, checks[web].targets: 'https://tan-hoa.mau.example/' is made twice\n"
            "checks.yml line 37, checks[web].targets: 'https://viet-tri.mau.example/' is made twice"
        ),
    ),
    (
        "for_each: sites\n",
        "for_each: carriers\n",
        "checks.yml line 36, checks[web].targets: 'https://{site.web}/' would be the same each time, expected a {carrier.…} in it",
    ),
    (
        "for_each: sites\n",
        "for_each: sites\n  devices: {kind: [gateway]}\n",
        (
            "checks.yml line 35, checks[web].for_each: devices are those of the agent's own office: leave one of them out\n"
            "checks.yml line 37, checks[web].targets: 'https://{site.web}/' would be the same each time, expected a {device.…} in it"
        ),
    ),
    (
        "[https://cong.example/]",
        "[https://cong.example/, https://cong.example/a]",
        "checks.yml line 45, checks[portal].interval_seconds: system 'dvcqg' is external and would be asked 2 times in 300 s (checks portal; sites 04792, 07900, 08209 and 1 more), expected at most once by each site",
    ),
    (
        "[https://cong.example/]",
        "[https://cong.example/, https://cong.example/]",
        "checks.yml line 44, checks[portal].targets: 'https://cong.example/' is made twice",
    ),
    (
        "[https://cong.example/]",
        "[cong.example]",
        "checks.yml line 44, checks[portal].targets: 'cong.example': expected http://host/… or https://host/…",
    ),
    (
        "[https://cong.example/]",
        "https://cong.example/",
        "checks.yml line 44, checks[portal].targets: found 'https://cong.example/', expected a list",
    ),
    (
        "[https://cong.example/]",
        "[]",
        "checks.yml line 44, checks[portal].targets: found none, expected at least one",
    ),
    (
        'suffix: [""]',
        'suffix: ["", ttpv]',
        "checks.yml line 45, checks[portal].interval_seconds: system 'dvcqg' is external and would be asked 2 times in 300 s (checks portal; sites 07900), expected at most once by each site",
    ),
    (
        "interval_seconds: 60",
        "interval_seconds: 1 phút",
        "checks.yml line 28, checks[own-web].interval_seconds: found '1 phút', expected a number",
    ),
    (
        "checks:\n",
        "check:\n",
        (
            "checks.yml line 2, check: unknown key; did you mean 'checks'?\n"
            "checks.yml line 1, checks: is missing"
        ),
    ),
    (
        "name: {vi: Bộ định tuyến, en: Router}",
        'name: {vi: Bộ định tuyến, en: ""}',
        "checks.yml line 3, checks[gateway].name: expected text in both languages",
    ),
    (
        "[https://cong.example/]\n  interval_seconds: 300",
        "[https://cong.example/]\n  interval_seconds: 100000",
        (
            "checks.yml line 45, checks[portal].interval_seconds: is 100000 by profile fast (factor 1), expected 1 to 86400\n"
            "checks.yml line 45, checks[portal].interval_seconds: is 300000 by profile calm (factor 3), expected 1 to 86400"
        ),
    ),
    (
        "site: [dc]",
        "site: dc",
        "checks.yml line 34, checks[web].agents.site: found 'dc', expected a list",
    ),
    (
        "kind: [gateway]}\n",
        "kind: [gateway]}\n  devices: {kind: [printer]}\n",
        "checks.yml line 8, checks[gateway]: key 'devices' is used twice, first in line 7",
    ),
    (
        '["{line.anchor}"]',
        '["{line.anchor}"]\n  params: {count: yes}',
        "checks.yml line 19, checks[line].params: count: expected a whole number, found true",
    ),
    (
        '["{line.anchor}"]',
        '["{line.anchor}"]\n  params: [count]',
        "checks.yml line 19, checks[line].params: found a list, expected keys and values",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_a_mistake_is_told_with_its_place(tmp_path, old, new, expected):
    """Each mistake in checks.yml is refused with file, line, key and what was expected."""
    assert expected.split("\n") == problems(write(tmp_path, spoilt("checks.yml", old, new)))
