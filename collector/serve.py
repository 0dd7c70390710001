"""Serve: one collector process, from its sockets to its signals."""

import asyncio
import gc
import logging
import signal
import sqlite3
import ssl

from aiohttp import web

from collector import control
from collector.app import make_app, make_runner
from collector.centre import Centre
from collector.config import CollectorConfig
from collector.inventory.model import Inventory
from collector.inventory.problems import FolderError
from collector.lock import alone

_ALLOCATIONS_PER_ROUND = 50_000
log = logging.getLogger(__name__)


class StartError(Exception):
    """The collector cannot start here and now; the message is for people."""


async def serve(config: CollectorConfig, inventory: Inventory) -> None:
    """Take pushes and show the province until SIGTERM or SIGINT; SIGHUP reads the files again."""
    with alone(config.state_directory):
        tls = _tls(config)
        try:
            centre = Centre(config, inventory)
        except sqlite3.Error as exc:
            raise StartError(f"{config.state_directory}: cannot be used: {exc}") from exc
        runner = make_runner(make_app(centre, config))
        await runner.setup()
        _spare_the_garbage_collector()
        try:
            site = web.TCPSite(
                runner, config.listen.host, config.listen.port, ssl_context=tls, backlog=1_024
            )
            await site.start()
            log.info("listening url=%s province=%s", _url(runner, tls), inventory.id)
            async with control.opened(centre, config.state_directory):
                await _until_told(centre, config, tls)
            log.info("stopping")
        finally:
            await runner.cleanup()


async def _until_told(centre: Centre, config: CollectorConfig, tls: ssl.SSLContext | None) -> None:
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    stopped = loop.create_task(stop.wait())
    while not stop.is_set():
        asked = loop.create_task(again.wait())
        await asyncio.wait([stopped, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if again.is_set():
            again.clear()
            await _reload(centre, config, tls)


async def _reload(centre: Centre, config: CollectorConfig, tls: ssl.SSLContext | None) -> None:
    """Take the province's folder and the certificate anew; what is wrong stays as it was."""
    try:
        await centre.reload()
    except FolderError as exc:
        for problem in exc.problems:
            log.error("province refused, the one before stays problem=%s", problem)  # noqa: TRY400 - for people
    else:
        log.info("province read again folder=%s", config.province)
    if tls is not None and config.tls is not None:
        try:
            tls.load_cert_chain(config.tls.certificate, config.tls.key)
        except (OSError, ssl.SSLError) as exc:
            log.error("certificate refused, the one before stays problem=%s", exc)  # noqa: TRY400 - as above


def _spare_the_garbage_collector() -> None:
    """Leave the inventory out of its rounds, and let it come seldom: pushes make no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_ROUND, 20, 50)


def _tls(config: CollectorConfig) -> ssl.SSLContext | None:
    if config.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls.certificate, config.tls.key)
    except (OSError, ssl.SSLError) as exc:
        raise StartError(f"tls: {config.tls.certificate} cannot be used: {exc}") from exc
    return context


def _url(runner: web.AppRunner, tls: ssl.SSLContext | None) -> str:
    host, port = runner.addresses[0][:2]
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"
