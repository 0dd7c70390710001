"""A commune's media test from end to end: slot, lease, reflector, sample, metrics, and the way to stop."""

import sys

import pytest

from tests.e2e.province import More, Program, province
from tests.programs import free_port
from tests.waiting import until

pytestmark = pytest.mark.slow
CHECKS = """\
  - id: vc-sound
    name: {{vi: Âm thanh thử, en: Trial sound}}
    system: portal
    layer: service
    kind: media
    params: {{stream: g711, seconds: 1}}
    targets: ["127.0.0.1:{port}"]
    interval_seconds: 10
    timeout_seconds: 15
"""
TRUNKS = """\
trunks:
  bridge: {name: {vi: Cầu thử, en: Trial bridge}, mbit_s: 100, share: 0.2, hosts: [127.0.0.1]}
"""


@pytest.fixture
def reflector(tmp_path):
    """Return a reflector that is not started yet, and its port."""
    port = free_port()
    (tmp_path / "bridge.secret").write_text("0123456789abcdef" * 4)
    (tmp_path / "reflector.yml").write_text(
        f"secret_file: bridge.secret\nlisten: {{host: 127.0.0.1, port: {port}}}\n"
    )
    command = [sys.executable, "-m", "collector", "reflector", "-c", f"{tmp_path}/reflector.yml"]
    return Program(command, tmp_path / "reflector.log"), port


async def test_media_in_slots(tmp_path, reflector):
    """Two communes speak in their slots; when the reflector falls silent it is a failure, not a loss."""
    program, port = reflector
    more = More(
        province=TRUNKS,
        checks=CHECKS.format(port=port),
        collector="bridge: {secret_file: bridge.secret}\n",
    )
    program.start()
    try:
        with province(tmp_path, agents=("04792", "04813"), more=more) as here:
            await here.ready()

            def measured(name, **labels):
                return here.series(name, "/metrics", check="vc-sound", **labels)

            await until(
                lambda: measured("probe_success") == [1, 1], seconds=60, what="both have spoken"
            )
            assert measured("probe_media_loss_ratio", direction="forward") == [0, 0]
            assert measured("probe_media_loss_ratio", direction="backward") == [0, 0]
            assert measured("probe_media_dscp_received", direction="forward") == [46, 46]
            assert all(mos > 3.5 for mos in measured("probe_media_mos", codec="g711"))
            assert set(measured("probe_media_sent_packets_total")) <= {50, 100, 150, 200, 250}

            program.stop()
            await until(
                lambda: measured("probe_success") == [0, 0], seconds=60, what="nobody is answered"
            )
            assert measured("probe_media_loss_ratio") == []
    finally:
        program.end()
