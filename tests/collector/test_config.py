from ipaddress import ip_network

import pytest

from agent.strict import ConfigError
from collector.config import Keep, Listen, read_collector_file

MINIMAL = "province: mau\nstate_directory: state\n"


@pytest.fixture
def home(tmp_path):
    """Return a folder with what a collector.yml may point to."""
    (tmp_path / "mau").mkdir()
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    (tmp_path / "bridge.secret").write_text("0123456789abcdef\n")
    (tmp_path / "remote.token").write_text("a-token\n")
    return tmp_path


def read(home, text: str):
    """Read a collector.yml with this text."""
    file = home / "collector.yml"
    file.write_text(text, "utf-8")
    return read_collector_file(file)


def test_nothing_is_open_by_default(home):
    """Two lines are enough; then only this machine may connect, look and scrape."""
    config = read(home, MINIMAL)
    assert config.listen == Listen(host="127.0.0.1", port=8443)
    loopback = (ip_network("127.0.0.0/8"), ip_network("::1"))
    assert (config.scrape_from, config.watch_from, config.proxies) == (loopback, loopback, ())
    assert (config.province, config.state_directory) == (home / "mau", home / "state")
    assert (config.tls, config.keep, config.url) == (None, Keep(), "")
    assert config.language == "vi"
    assert config.bridge_secret == b""


def test_everything_can_be_said(home):
    """Paths are relative to the file."""
    config = read(
        home,
        MINIMAL
        + "url: https://tss.example/\n"
        + "language: en\n"
        + "listen: {host: 0.0.0.0, port: 443}\n"
        + "tls: {certificate: cert.pem, key: key.pem}\n"
        + "proxies: [10.0.0.1]\n"
        + "scrape_from: [10.0.0.0/24]\n"
        + "watch_from: ['2001:db8::/32', 10.0.1.7]\n"
        + "keep: {days: 90, gigabytes: 200}\n"
        + "bridge: {secret_file: bridge.secret}\n"
        + "alertmanagers: [http://127.0.0.1:9093/]\n",
    )
    assert config.alertmanagers == ("http://127.0.0.1:9093",)
    assert config.url == "https://tss.example"
    assert config.language == "en"
    assert config.tls is not None
    assert (config.tls.certificate, config.tls.key) == (home / "cert.pem", home / "key.pem")
    assert config.watch_from == (ip_network("2001:db8::/32"), ip_network("10.0.1.7"))
    assert config.keep == Keep(days=90, gigabytes=200)
    assert config.bridge_secret == b"0123456789abcdef"


def test_receivers_are_taken_as_written(home):
    """Paths are relative to the file; backlog has a rate of its own."""
    config = read(
        home,
        MINIMAL
        + "remote_write:\n"
        + "  - {name: a, url: 'https://a.example/api/v1/write', window_hours: 72,"
        + " bearer_file: remote.token}\n"
        + "  - {name: b, url: 'http://127.0.0.1:8428/api/v1/write', window_hours: 720,"
        + " samples_per_second: 1000, basic: {user: u, password_file: remote.token}}\n",
    )
    assert [
        (one.name, one.window_seconds, one.samples_per_second, one.authorization())
        for one in config.remote_write
    ] == [
        ("a", 72 * 3600, 30_000, {"Authorization": "Bearer a-token"}),
        ("b", 720 * 3600, 1_000, {"Authorization": "Basic dTphLXRva2Vu"}),
    ]
    assert read(home, MINIMAL).remote_write == ()


RECEIVERS = """\
province: mau
state_directory: state
remote_write:
  - {name: A b, url: 'ftp://a.example', window_hours: 0.5, samples_per_second: 1}
  - name: a
    url: http://prometheus.example:9090/api/v1/write
    window_hours: 72
    bearer_file: remote.token
    basic: {user: u, password_file: nowhere}
    ca_file: remote.token
  - {name: a, url: 'https://u:p@[::1]:9/', window_hours: 1}
"""
RECEIVERS_TOLD = """\
collector.yml line 4, remote_write[1].name: found 'A b', expected small letters, digits, - and _
collector.yml line 4, remote_write[1].url: found 'ftp://a.example', expected https://HOST/api/v1/write
collector.yml line 4, remote_write[1].window_hours: found 0.5, expected 1 or more: what the receiver takes out of order
collector.yml line 4, remote_write[1].samples_per_second: found 1, expected 100 or more
collector.yml line 6, remote_write[2].url: 'http://prometheus.example:9090/api/v1/write' would carry the credential in the clear: expected https
collector.yml line 9, remote_write[2].basic: expected one of bearer_file and basic
collector.yml line 9, remote_write[2].basic.password_file: HOME/nowhere cannot be read: No such file or directory
collector.yml line 10, remote_write[2].ca_file: HOME/remote.token holds no certificate
collector.yml line 11, remote_write[3].url: holds a credential: expected bearer_file or basic
collector.yml line 11, remote_write[3].name: 'a' is used twice"""


TYPOS = """\
province: mau
listne: {}
"""
TYPOS_TOLD = """\
collector.yml line 2, listne: unknown key; did you mean 'listen'?
collector.yml line 1, state_directory: is missing"""
WRONG = """\
province: nowhere
state_directory: state
url: tss.example
listen: {host: 0.0.0.0, port: 99999}
scrape_from: [10.0.0.1/24, office, 0.0.0.0/0]
keep: {days: 1, gigabytes: 0.5}
alertmanagers: [am.example:9093]
"""
WRONG_TOLD = """\
collector.yml line 1, province: HOME/nowhere is no folder
collector.yml line 3, url: found 'tss.example', expected https://…
collector.yml line 4, listen.port: found 99999, expected 0 to 65535
collector.yml line 6, keep.days: found 1, expected 8 or more
collector.yml line 6, keep.gigabytes: found 0.5, expected 1 or more
collector.yml line 5, scrape_from[1]: found '10.0.0.1/24', which is an address with a network's length; did you mean '10.0.0.0/24'?
collector.yml line 5, scrape_from[2]: found 'office', expected an address or a network such as 10.1.2.0/24
collector.yml line 5, scrape_from[3]: '0.0.0.0/0' lets the whole world in; name the networks
collector.yml line 7, alertmanagers[1]: found 'am.example:9093', expected http://… or https://…
collector.yml line 4, listen.host: '0.0.0.0' is reached from other machines, and tokens would pass in the clear: expected tls, or the proxies that end TLS before us, or a loopback address"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TYPOS, TYPOS_TOLD),
        (WRONG, WRONG_TOLD),
        (RECEIVERS, RECEIVERS_TOLD),
        (
            MINIMAL + "tls: {certificate: nothing.pem, key: key.pem}\n",
            "collector.yml line 3, tls.certificate: HOME/nothing.pem is no file",
        ),
        (
            MINIMAL + "bridge: {secret_file: nothing}\n",
            "collector.yml line 3, bridge.secret_file: HOME/nothing cannot be read: No such file or directory",
        ),
        (
            MINIMAL + "bridge: {secret_file: cert.pem}\n",
            "collector.yml line 3, bridge.secret_file: HOME/cert.pem holds 0 bytes, expected 16 or more: make one with openssl rand -hex 32",
        ),
        ("[]\n", "collector.yml line 1: found a list, expected keys and values"),
    ],
)
def test_all_mistakes_are_told_at_once(home, text, told):
    """Each with its line, its key and what was expected."""
    with pytest.raises(ConfigError) as caught:
        read(home, text)
    assert str(caught.value) == told.replace("HOME", str(home))


def test_a_file_that_is_not_there_is_named(tmp_path):
    """The first thing that goes wrong is the path."""
    with pytest.raises(ConfigError) as caught:
        read_collector_file(tmp_path / "collector.yml")
    assert caught.value.problems == ["collector.yml: cannot be read: No such file or directory"]
