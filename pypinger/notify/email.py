"""
The ``[email]`` channel: one mail a recipient, handed in at a mail server (contract, section 5).

Each recipient is answered for separately: those who were reached are not written to again when the others are retried.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.policy import SMTP
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError

from pypinger.domain.model import Alert, Seconds
from pypinger.domain.redaction import SHORTEST_SECRET, Secrets
from pypinger.domain.routing import DEFAULT_EVENTS
from pypinger.domain.texts import cut, one_line
from pypinger.notify.audience import Audience, Sending
from pypinger.notify.mail import mail
from pypinger.notify.post import WORDS_LIMIT
from pypinger.notify.smtp.sender import MailSender
from pypinger.notify.smtp.server import Login, Mail, MailServer, SessionFailed, SmtpAnswer, parse_server
from pypinger.ports.notifying import ChannelContext, DeliveryError, OptionSpec

#: The time limit of an attempt, in seconds: a little less than the outbox's, so that the words are ours.
LIMIT: Seconds = 19.0

_ADDRESS = re.compile(r"[!#$%&'*+/=?^_`{|}~A-Za-z0-9.-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


class Email:
    """A :class:`pypinger.ports.notifying.PartialNotifier` for the recipients of one section."""

    spacing: Seconds = 0.0
    groups = True

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        self.name = context.name
        self._reactor = context.reactor
        self._now = context.now
        self._secrets = Secrets(_login_secrets(values["user"], values["password"]))
        (self._sender,) = addresses(values["from"])
        self._recipients = {each.addr_spec: each for each in addresses(values["to"])}
        self._audience = Audience(self.name, {address: address for address in self._recipients})
        server = parse_server(values["server"])
        login = Login(values["user"], values["password"], self._sender.addr_spec)
        # How many sessions have failed: each begins with another recipient, so that one cannot hold up the others.
        self._failures = 0
        required = values["tls"] == "true"
        self._mails = MailSender(context.reactor, server, login, required, context.ca_file, context.proxies)

    async def send(self, alerts: Sequence[Alert]) -> str:
        attempt = Sending(self._audience, alerts)
        now = self._now()
        mails = [
            Mail(name, mail(missing, self._sender, self._recipients[name], now)) for name, missing in attempt.missing()
        ]
        if mails:
            await self._deliver(mails, attempt)
        return attempt.conclude()

    def progress(self, alert: Alert) -> str | None:
        return self._audience.progress(alert)

    def begin(self, alert: Alert, progress: str | None) -> None:
        self._audience.begin(alert, progress)

    async def _deliver(self, mails: Sequence[Mail], attempt: Sending) -> None:
        """
        Hand the mails in.

        :raises DeliveryError: the server refuses us permanently.
        """
        unanswered = {each.recipient for each in mails}
        first = self._failures % len(mails)

        def answered(one: Mail, answer: SmtpAnswer) -> None:
            unanswered.discard(one.recipient)
            words = self._words(answer)
            if answer.accepted:
                attempt.reached(one.recipient, words)
            elif answer.permanent:
                attempt.refused(one.recipient, words)
            else:
                attempt.failed(one.recipient, words)

        self._failures += 1
        running: Deferred[None] = Deferred.fromCoroutine(self._mails.send([*mails[first:], *mails[:first]], answered))
        try:
            await running.addTimeout(LIMIT, self._reactor)
        except TimeoutError:
            problem = SmtpAnswer(-1, f"no answer within {LIMIT:g} s")
        except SessionFailed as failed:
            problem = failed.answer
        else:
            self._failures = 0
            return
        words = self._words(problem)
        if problem.permanent:
            raise DeliveryError(words, permanent=True)
        for recipient in sorted(unanswered):
            attempt.failed(recipient, words)

    def _words(self, answer: SmtpAnswer) -> str:
        words = one_line(self._secrets.scrub(answer.words))
        return cut(f"{answer.code} {words}".strip() if answer.code >= 0 else words, WORDS_LIMIT)


class EmailChannel:
    """The sections ``[email]`` and ``[email NAME]``."""

    name = "email"
    events = DEFAULT_EVENTS
    resolves = False
    options = (
        OptionSpec("server"),
        OptionSpec("tls", form="flag", default="true"),
        OptionSpec("user"),
        OptionSpec("password", secret=True),
        OptionSpec("from"),
        OptionSpec("to", form="lines"),
    )

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("server", "from", "to")

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        problems: dict[str, str] = {}
        for option in ("from", "to"):
            try:
                found = addresses(values[option])
            except ValueError as error:
                problems[option] = str(error)
            else:
                if option == "from" and len(found) != 1:
                    problems[option] = "must be one address"
        if bool(values["user"]) != bool(values["password"]):
            missing = "password" if values["user"] else "user"
            problems[missing] = "missing; a login needs user and password"
        try:
            server = parse_server(values["server"])
        except ValueError as error:
            problems["server"] = str(error)
        else:
            if values["user"] and values["tls"] == "false" and not _protected(server):
                problems["tls"] = "must not be off with user and password: they are sent over TLS or the loopback only"
        return problems

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> Email:
        return Email(values, context)


def addresses(text: str) -> tuple[Address, ...]:
    """
    Parse mail addresses, with or without names, separated by commas and line feeds; each is returned once.

    :raises ValueError: one is not valid.
    """
    header: Any = SMTP.header_factory("To", ", ".join(filter(None, (line.strip(" ,\t") for line in text.split("\n")))))
    found: dict[str, Address] = {}
    for each in header.addresses:
        if not _ADDRESS.fullmatch(each.addr_spec):
            shown = one_line(each.addr_spec or each.display_name)
            raise ValueError(f"{cut(shown, 60) or 'a part'} is no mail address in ASCII, such as ops@example.com")
        name = one_line(each.display_name)
        found.setdefault(each.addr_spec, Address(name, each.username, each.domain))
    if header.defects or not found:
        raise ValueError("must be mail addresses such as ops@example.com, separated by commas")
    return tuple(found.values())


def _protected(server: MailServer) -> bool:
    return server.implicit_tls or server.local


def _login_secrets(user: str, password: str) -> set[str]:
    """Return the login in all forms in which a server might repeat it."""
    pairs = (user, password, f"\0{user}\0{password}", f"{user}\0{user}\0{password}")
    encoded = {b64encode(text.encode()).decode().rstrip("=") for text in pairs if text.strip("\0")}
    return {text for text in (user, password, *encoded) if len(text) >= SHORTEST_SECRET}


CHANNEL = EmailChannel()
