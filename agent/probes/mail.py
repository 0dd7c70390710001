"""Mail: whether a mail server greets, speaks its protocol and offers good TLS. No login, no letter."""

from contextlib import closing
from typing import ClassVar, Literal

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.channel import Channel
from agent.probes.handshake import TlsPolicy, secure_channel, tls_context
from agent.probes.mail_talk import Smtp, imap, pop3
from agent.probes.net import connect, refuse_host_port, resolve, split_host_port


class MailParams(TlsPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a mail probe."""

    protocol: Literal["smtp", "submissions", "imaps", "pop3s"]
    """smtp begins in the clear (ports 25, 587); the others are TLS from the first byte
    (465, 993, 995)."""
    starttls: Literal["required", "none"] = "required"
    """Of smtp: whether the session must become TLS; with `none` it is not asked for."""
    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""

    def __post_init__(self) -> None:
        """Refuse a name that no certificate can have, and STARTTLS where it has no meaning."""
        super().__post_init__()
        if self.protocol != "smtp" and self.starttls == "none":
            raise ValueError(
                f"starttls: expected only with protocol smtp; {self.protocol} is always TLS"
            )


class Mail:
    """Speaks a mail protocol as far as one can without a mailbox, and takes leave."""

    kind: ClassVar[str] = "mail"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = MailParams
    phases: ClassVar[tuple[str, ...]] = (
        "resolve",
        "connect",
        "banner",
        "capability",
        "starttls",
        "tls",
        "quit",
    )
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("mail_response_code", "Code of the SMTP server's last reply."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
    )

    def __init__(self, params: MailParams, env: Env) -> None:
        self._params = params
        self._env = env
        self._tls_comes = params.starttls == "required"
        self._policy = params

    @classmethod
    def refuse_target(cls, name: str, params: MailParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Talk once; a second time, as far as TLS, only to read certificates that were refused."""
        params = self._params
        host, port = split_host_port(target.name)
        tls_context(self._env, self._policy)  # issuers that cannot be read are known first
        endpoint = await resolve(self._env, host, params.ip_version, rec), port

        async def again() -> Channel:
            return (await self._begin(endpoint, target, Recorder()))[0]

        channel, smtp = await self._begin(endpoint, target, rec)
        with closing(channel):
            if self._tls_comes and not await secure_channel(
                self._env, rec, channel, tls=self._policy, host=host, again=again
            ):
                return
            if params.protocol == "imaps":
                await imap(channel, rec)
            elif params.protocol == "pop3s":
                await pop3(channel, rec)
            else:
                if params.protocol == "submissions":
                    await smtp.greet()
                await smtp.ehlo()
                await smtp.quit()

    async def _begin(
        self, endpoint: tuple[str, int], target: Target, rec: Recorder
    ) -> tuple[Channel, Smtp]:
        """Connect, and say what is said in the clear before TLS or before the first EHLO."""
        with rec.phase("connect"):
            sock = await connect(*endpoint, target)
        channel = Channel(sock)
        smtp = Smtp(channel, sock.getsockname()[0], rec)
        try:
            if self._params.protocol == "smtp":
                await smtp.greet()
                if self._tls_comes:
                    await smtp.start_tls()
        except BaseException:
            channel.close()
            raise
        return channel, smtp
