"""The dialogues of SMTP, IMAP and POP3 with nobody's mail: greeting, capabilities, goodbye."""

from contextlib import suppress

from agent.probes.base import Recorder
from agent.probes.channel import Channel
from agent.probes.mail_reply import (
    Lines,
    imap_capabilities,
    imap_greeting,
    imap_is_last,
    malformed,
    pop3_says_yes,
    require_starttls,
    shown,
    smtp_line,
    status,
)


class Talk:
    """Lines to and from a mail server over a channel, which stays the caller's."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lines = Lines()

    async def say(self, line: str) -> None:
        """Send one command."""
        await self._channel.send(f"{line}\r\n".encode("ascii"))

    async def line(self) -> str:
        """Return the next line. EOFError when the server ends before it."""
        while (line := self._lines.take()) is None:
            data = await self._channel.receive()
            if not data:
                raise EOFError("the server closed the connection before it had answered")
            self._lines.feed(data)
        return line

    def refuse_more(self) -> None:
        """Raise TargetError where more has come than was taken."""
        self._lines.refuse_more()


class Smtp:
    """The client's side of RFC 5321 as far as EHLO, and of STARTTLS (RFC 3207)."""

    def __init__(self, channel: Channel, address: str, rec: Recorder) -> None:
        self._talk = Talk(channel)
        self._rec = rec
        # No name of a commune's PC means anything outside: the address stands for it (4.1.4)
        self._name = f"[IPv6:{address.partition('%')[0]}]" if ":" in address else f"[{address}]"

    async def greet(self) -> None:
        """Wait for the server to open the session."""
        with self._rec.phase("banner"):
            self._rec.fact("banner", shown((await self._reply(220))[0]))

    async def ehlo(self) -> list[str]:
        """Return the texts of the reply to EHLO, the server's name first."""
        with self._rec.phase("capability"):
            return await self._ask(f"EHLO {self._name}", 250)

    async def start_tls(self) -> None:
        """Go as far as the server waits for a handshake."""
        texts = await self.ehlo()
        with self._rec.phase("starttls"):
            require_starttls(texts)
            await self._ask("STARTTLS", 220)
            self._talk.refuse_more()  # whoever wrote it there would be believed once TLS is on

    async def quit(self) -> None:
        """Take leave. A server that hangs up instead of answering has done its work all the same."""
        with suppress(EOFError, ConnectionError), self._rec.phase("quit"):
            await self._ask("QUIT", 221)

    async def _ask(self, command: str, expected: int) -> list[str]:
        self._talk.refuse_more()
        await self._talk.say(command)
        return await self._reply(expected)

    async def _reply(self, expected: int) -> list[str]:
        line = await self._talk.line()
        code, text, more = smtp_line(line)
        texts = [text]
        while more:
            next_line = await self._talk.line()
            next_code, text, more = smtp_line(next_line)
            if next_code != code:
                raise malformed(next_line, f"another line of {code}")
            texts.append(text)
        self._rec.value("mail_response_code", code)
        if code != expected:
            raise status(line, str(expected))
        return texts


async def imap(channel: Channel, rec: Recorder) -> None:
    """Be greeted, ask for the capabilities and log out."""
    talk = Talk(channel)
    with rec.phase("banner"):
        line = await talk.line()
        imap_greeting(line)
        rec.fact("banner", shown(line))
    with rec.phase("capability"):
        await talk.say("a1 CAPABILITY")
        imap_capabilities(await _until_tagged(talk, "a1"))
    with suppress(EOFError, ConnectionError), rec.phase("quit"):
        await talk.say("a2 LOGOUT")
        await _until_tagged(talk, "a2", leaving=True)


async def _until_tagged(talk: Talk, tag: str, *, leaving: bool = False) -> list[str]:
    lines = []
    while not imap_is_last(line := await talk.line(), tag, leaving=leaving):
        lines.append(line)
    return lines


async def pop3(channel: Channel, rec: Recorder) -> None:
    """Be greeted, ask for the capabilities, which not every server knows, and quit."""
    talk = Talk(channel)
    with rec.phase("banner"):
        line = await talk.line()
        if not pop3_says_yes(line):
            raise status(line, "+OK")
        rec.fact("banner", shown(line))
    with rec.phase("capability"):
        await talk.say("CAPA")
        if pop3_says_yes(await talk.line()):
            while await talk.line() != ".":
                pass
    with suppress(EOFError, ConnectionError), rec.phase("quit"):
        await talk.say("QUIT")
        line = await talk.line()
        if not pop3_says_yes(line):
            raise status(line, "+OK")
