"""A channel says what it is told, hears what is said, and says goodbye, in TLS and without."""

import asyncio
import socket
import ssl
import subprocess

import pytest

from agent.probes.base import Target
from agent.probes.channel import Channel
from agent.probes.net import connect
from tests.agent.probes.servers import server_context
from tests.programs import free_port, program, running
from tests.waiting import until


@pytest.fixture
def pair():
    """Return both ends of a connection: one for a channel, one as a blocking server has it."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(5)
    yield near, far
    near.close()
    far.close()


def client_context(pki) -> ssl.SSLContext:
    """Return a context that trusts the test's authority."""
    return ssl.create_default_context(cafile=pki.ca_file)


def secured(far: socket.socket, pki) -> ssl.SSLSocket:
    """Shake hands as a server; a connection cut off without a goodbye is an error."""
    return server_context(pki.good).wrap_socket(far, server_side=True, suppress_ragged_eofs=False)


async def both(near: socket.socket, far: socket.socket, pki) -> tuple[Channel, ssl.SSLSocket]:
    """Return both ends after the handshake."""
    channel = Channel(near)
    served = asyncio.create_task(asyncio.to_thread(secured, far, pki))
    await channel.secure(client_context(pki), "portal.test")
    return channel, await served


async def test_plain(pair):
    """Without TLS the bytes pass as they are, and there is no session and no certificate."""
    near, far = pair
    channel = Channel(near)
    await channel.send(b"hello")
    far.sendall(b"good day")

    assert far.recv(100) == b"hello"
    assert await channel.receive() == b"good day"
    assert channel.agreed() == ("", "")
    assert channel.chain() == []
    channel.close()
    assert far.recv(100) == b""


async def test_secure(pair, pki):
    """With TLS both sides understand each other, and an orderly end is told as one."""
    channel, server = await both(*pair, pki)
    await channel.send(b"hello")
    server.sendall(b"good day")

    assert server.recv(100) == b"hello"
    assert await channel.receive() == b"good day"
    assert channel.agreed() == (server.version(), server.cipher()[0])
    assert channel.chain() == [ssl.PEM_cert_to_DER_cert(pki.good.cert.read_text())]
    channel.close()
    assert server.recv(100) == b""  # an end without a goodbye would raise here
    server.close()


async def test_large(pair, pki):
    """What is larger than the kernel takes at once is sent and received whole."""
    channel, server = await both(*pair, pki)
    text = bytes(range(256)) * 8192

    def echo():
        heard = b""
        while len(heard) < len(text):
            heard += server.recv(1 << 16)
        server.sendall(heard)

    echoed = asyncio.create_task(asyncio.to_thread(echo))
    await channel.send(text)
    heard = b""
    while len(heard) < len(text):
        heard += await channel.receive()
    await echoed

    assert heard == text
    channel.close()
    server.close()


async def test_end_with_a_goodbye(pair, pki):
    """The other side's goodbye is its end."""
    channel, server = await both(*pair, pki)
    server.sendall(b"bye")
    left = asyncio.create_task(asyncio.to_thread(server.unwrap))  # waits for our goodbye

    assert await channel.receive() == b"bye"
    assert await channel.receive() == b""
    channel.close()
    (await left).close()


async def test_end_without_a_goodbye(pair, pki):
    """A connection that just ends is an end too."""
    channel, server = await both(*pair, pki)
    server.sendall(b"bye")
    server.close()

    assert await channel.receive() == b"bye"
    assert await channel.receive() == b""
    channel.close()


@pytest.mark.real
async def test_renegotiation(tmp_path, pki):
    """A server that shakes hands anew in mid-session, as some do to see a certificate, is obeyed."""
    log, port = tmp_path / "log", free_port()

    async def logged(words: str) -> None:
        await until(lambda: words in log.read_text("utf-8", "replace"), what=f"s_server: {words}")

    def type_in(words: bytes) -> None:
        server.stdin.write(words)
        server.stdin.flush()

    command = [program("openssl"), "s_server", "-tls1_2", "-accept", f"127.0.0.1:{port}"]
    command += ["-cert", str(pki.good.cert), "-key", str(pki.good.key)]
    with running(command, log=log, stdin=subprocess.PIPE) as server:
        await logged("ACCEPT")
        channel = Channel(await connect("127.0.0.1", port, Target("")))
        try:
            await channel.secure(client_context(pki), "127.0.0.1")
            await logged("Secure Renegotiation IS supported")
            receiving = asyncio.create_task(channel.receive())
            type_in(b"r\n")  # s_server's command for it
            await logged("SSL_do_handshake -> 1")
            type_in(b"hello\n")
            async with asyncio.timeout(5):
                assert await receiving == b"hello\n"
        finally:
            channel.close()
            server.stdin.close()
