"""agent.yml and the centre's configuration: every mistake at once, in exact words."""

import msgspec
import pytest

from agent.config import AgentConfig, Check, Line, decode_agent_config, read_agent_file
from agent.probes import PROBES
from agent.remote_config import LastGood
from agent.strict import ConfigError

GOOD = """
agent: "04792"
collector: {url: https://centre.example, token_file: token}
state_directory: state
lines:
  - {name: vnpt, select: source, source: 192.0.2.7}
  - {name: tslcd, select: none}
checks:
  - {id: portal, kind: tcp, targets: ["portal.example:443"], interval_seconds: 5, lines: [vnpt]}
"""


def written(tmp_path, text):
    """Return the path of an agent.yml with this text."""
    path = tmp_path / "agent.yml"
    path.write_text(text, "utf-8")
    return path


def refusal(tmp_path, text) -> list[str]:
    """Return what is said of a bad file."""
    with pytest.raises(ConfigError) as caught:
        read_agent_file(written(tmp_path, text))
    return caught.value.problems


def test_good_file(tmp_path):
    """A good file is read whole; its paths are relative to it."""
    read = read_agent_file(written(tmp_path, GOOD))

    assert "04792" == read.agent
    assert tmp_path / "token" == read.collector.token_file
    assert tmp_path / "state" == read.state_directory
    assert read.collector.ca_file is None
    assert ("vnpt",) == read.checks[0].lines


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'agent: "04792"',
            "agent: 04711",  # YAML reads an octal number
            "agent.yml: agent: expected text (in quotes, if it looks like a number), found 2505",
        ),
        ("state_directory: state", "", "agent.yml: key 'state_directory' is missing"),
        (
            "state_directory: state",
            "state_dir: state\nstate_directory: state",
            "agent.yml: unknown key 'state_dir'; did you mean 'state_directory'?",
        ),
        (
            "state_directory: state",
            "state_directory: state\nagent: x",
            "agent.yml line 5: key 'agent' is there twice",
        ),
        (
            "https://centre.example",
            "http://centre.example",
            "agent.yml: collector.url: expected https://… (plain http only on this machine)",
        ),
        (
            "kind: tcp",
            "kind: tpc",
            f"agent.yml: check portal: kind is 'tpc', expected one of {', '.join(PROBES)}",
        ),
        (
            "portal.example:443",
            "portal.example",
            "agent.yml: check portal: target 'portal.example': expected host:port, or [address]:port for IPv6",
        ),
        (
            "interval_seconds: 5",
            "interval_seconds: 0.5",
            "agent.yml: check portal: interval_seconds is 0.5, expected 1 or more",
        ),
        (
            "interval_seconds: 5",
            "interval_seconds: 5s",
            "agent.yml: checks[0]: interval_seconds: expected a number, found '5s'",
        ),
        (
            "lines: [vnpt]",
            "lines: [tslcd]",
            "agent.yml: check portal: line 'tslcd' cannot be chosen here; lines that can: vnpt",
        ),
        (
            '["portal.example:443"]',
            '["portal.example:443", "portal.example:443"]',
            "agent.yml: check portal: target 'portal.example:443' is there twice",
        ),
        (
            "lines: [vnpt]",
            "lines: [vnpt], params: {port: 4}",
            "agent.yml: check portal: params: unknown key 'port'; expected ip_version",
        ),
        (
            "select: source, source: 192.0.2.7",
            "select: source",
            "agent.yml: line vnpt: select is 'source', so 'source' is needed",
        ),
        (
            "  - {name: tslcd, select: none}",
            "  - {name: vnpt, select: none}",
            "agent.yml: lines: name 'vnpt' is used twice",
        ),
    ],
)
def test_one_mistake(tmp_path, old, new, expected):
    """One mistake gives one line that says what, where and what was expected."""
    assert old in GOOD

    assert [expected] == refusal(tmp_path, GOOD.replace(old, new))


def test_one_check_may_ask_each_target_its_own_way(tmp_path):
    """Entries of one id differ in params or lines, and are refused where a run would be double."""
    check = GOOD.splitlines()[-1]
    other = check.replace("portal.", "other.").replace("lines:", "params: {ip_version: 4}, lines:")
    again = check.replace("interval_seconds: 5, lines: [vnpt]", "interval_seconds: 9")
    read = read_agent_file(written(tmp_path, f"{GOOD.rstrip()}\n{other}\n{again}"))

    assert [one.id for one in read.checks] == ["portal"] * 3
    assert [
        "agent.yml: check portal: target 'other.example:443' is there twice",
    ] == refusal(tmp_path, f"{GOOD.rstrip()}\n{other}\n{again}\n{other}")


def test_all_mistakes_at_once(tmp_path):
    """A file with several mistakes names them all in one go."""
    text = GOOD.replace('"04792"', "4").replace("token_file: token", "tokenfile: t")

    assert [
        "agent.yml: agent: expected text (in quotes, if it looks like a number), found 4",
        "agent.yml: collector: unknown key 'tokenfile'; did you mean 'token_file'?",
        "agent.yml: collector: key 'token_file' is missing",
    ] == refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "agent.yml: expected keys and values, found nothing"),
        ("- a", "agent.yml: expected keys and values, found a list"),
        ("a: [", "agent.yml line 1: expected the node content, but found '<stream end>'"),
    ],
)
def test_no_file_of_ours(tmp_path, text, expected):
    """Something else than an agent.yml is refused without a traceback."""
    assert [expected] == refusal(tmp_path, text)


def test_missing_file(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(ConfigError) as caught:
        read_agent_file(tmp_path / "agent.yml")

    assert ["agent.yml: cannot be read: No such file or directory"] == caught.value.problems


CONFIG = AgentConfig(
    version=7,
    agent="04792",
    lines=[Line(name="vnpt", select="interface", interface="eth0")],
    checks=[Check(id="portal", kind="tcp", targets=["portal.example:443"], interval_seconds=5)],
)
BODY = msgspec.json.encode(CONFIG)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<html>", "configuration from the centre: JSON is malformed: invalid character (byte 0)"),
        (
            BODY.replace(b'"version":7', b'"version":7,"shell":"x"'),
            "configuration from the centre: Object contains unknown field `shell`",
        ),
        (BODY.replace(b"04792", b"04795"), "configuration 7: agent is '04795', expected '04792'"),
        (
            BODY.replace(b'"interval_seconds":5', b'"interval_seconds":0.001'),
            "configuration 7: check portal: interval_seconds is 0.001, expected 1 or more",
        ),
    ],
)
def test_centre_is_held_against_our_limits(body, expected):
    """What the centre sends is refused where it breaks the agent's own limits."""
    with pytest.raises(ConfigError) as caught:
        decode_agent_config(body, "04792")

    assert expected in caught.value.problems


def test_too_much_work_is_refused():
    """No configuration can make the agent send without measure."""
    many = [f"portal.example:{port}" for port in range(1, 302)]
    check = Check(id="flood", kind="tcp", targets=many, interval_seconds=1.0)
    body = msgspec.json.encode(msgspec.structs.replace(CONFIG, checks=[check]))

    with pytest.raises(ConfigError) as caught:
        decode_agent_config(body, "04792")

    assert ["configuration 7: checks: 301 runs a second, at most 100 are allowed"] == (
        caught.value.problems
    )


def test_last_good_survives(tmp_path):
    """A configuration that was accepted is there at the next start, with its ETag."""
    path = tmp_path / "config.json"
    LastGood(path, "04792").accept(BODY, '"7-abc"', current=0)

    again = LastGood(path, "04792")

    assert CONFIG == again.read()
    assert '"7-abc"' == again.etag


@pytest.mark.parametrize("kept", [b"", b"rubbish", b'"1"\n{', b"\xff\xfe\n" + BODY[:40]])
def test_damaged_last_good_is_none(tmp_path, kept):
    """A kept file that is damaged is as good as none: the agent starts and asks the centre."""
    path = tmp_path / "config.json"
    path.write_bytes(kept)

    assert LastGood(path, "04792").read() is None


def test_version_never_goes_back(tmp_path):
    """An older configuration than the one in force is refused and the kept one stays."""
    path = tmp_path / "config.json"
    last = LastGood(path, "04792")
    last.accept(BODY, '"7"', current=0)

    with pytest.raises(ConfigError) as caught:
        last.accept(BODY.replace(b'"version":7', b'"version":6'), '"6"', current=7)

    assert ["configuration 6 is older than 7, which is in force"] == caught.value.problems
    assert CONFIG == LastGood(path, "04792").read()
