"""
The vocabulary: the frozen values that every room of the house speaks in.

Nothing here computes; the rules live beside it (:mod:`~pypinger.domain.report`, :mod:`~pypinger.domain.schedule`,
:mod:`~pypinger.domain.judge`, :mod:`~pypinger.domain.incidents`).

Units, everywhere in the program: an `Instant` is seconds since the epoch in UTC (what :func:`time.time` gives), a
`Seconds` is a length of time. Only :class:`Report` keeps ``frequency`` in minutes, as tasks publish it.

The values are :class:`msgspec.Struct`, so that a store can keep them as JSON and read them back typed. They hold texts,
numbers and one another, never a cycle; so the garbage collector need not look at them (``gc=False``), which with tens
of thousands of tasks would stop the reactor for a second at a time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from pypinger.domain.kinds import Kind, Status, status_of

Instant: TypeAlias = float
Seconds: TypeAlias = float


class Event(StrEnum):
    """
    Why an alert is sent (contract, section 4).

    ``BLIND`` and ``SIGHTED`` are about Py Pinger itself (section 3); ``TEST`` is the alert of ``pypinger notify-test``.
    """

    PROBLEM = "problem"
    CHANGED = "changed"
    REMINDER = "reminder"
    RECOVERED = "recovered"
    STARTED = "started"
    STOPPED = "stopped"
    BLIND = "blind"
    SIGHTED = "sighted"
    TEST = "test"


class Task(msgspec.Struct, frozen=True, gc=False):
    """
    One scheduled task as it is configured (contract, section 6).

    :ivar url: where its report is fetched, whole with its query but without userinfo; the task's identity.
    :ivar id: short stable text made from ``url`` (see :func:`pypinger.domain.url.task_id`).
    :ivar name: what people call it; never holds a query string unless the operator put it there.
    :ivar label: ``url`` as it may be logged and sent: without userinfo, its query replaced by ``…``.
    :ivar origin: ``scheme://host:port`` of ``url``, the port always given.
    :ivar credentials: ``user:password`` from the URL's userinfo, sent as HTTP Basic; secret.
    :ivar page: where people reach the task's page, or None without ``[web] public_url``.
    :ivar interval: seconds between two checks.
    :ivar error_interval: seconds between two reminders; 0 for none.
    :ivar timeout: seconds that one whole exchange may take.
    :ivar grace: seconds after the due time before the task is late.
    :ivar failures: how many error verdicts in a row open an incident.
    :ivar token_auth: whether the token of ``[token_auth]`` goes to this task.
    """

    url: str
    id: str
    name: str
    label: str
    origin: str = ""
    credentials: str | None = None
    page: str | None = None
    interval: Seconds = 60.0
    error_interval: Seconds = 480.0
    timeout: Seconds = 20.0
    grace: Seconds = 60.0
    failures: int = 1
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None
    token_auth: bool = True


class Window(msgspec.Struct, frozen=True, gc=False):
    """
    A daily sleep window, as reported.

    :ivar start: seconds after midnight UTC, 0 <= start < 86,400; included.
    :ivar duration: seconds, 0 < duration <= 86,400; the end is excluded.
    """

    start: int
    duration: Seconds


class Report(msgspec.Struct, frozen=True, gc=False):
    """
    A valid task report (contract, section 1); its texts are cut at 500 characters.

    :ivar ok: whether ``status`` is ``ok``; the other valid status is ``error``.
    :ivar lastrun: when the task last ran.
    :ivar frequency: minutes between two runs, 0 < frequency <= 527,040.
    :ivar sleep: the daily sleep windows, in the order of the report.
    """

    ok: bool
    lastrun: Instant
    frequency: float = 10.0
    reason: str | None = None
    sleep: tuple[Window, ...] = ()
    process: str | None = None
    server: str | None = None


class Contact(msgspec.Struct, frozen=True, gc=False):
    """
    What one exchange told about the host that it went to (contract, section 3, "Whose fault" and "Whose clock").

    :ivar host: the host that was asked last: that of the URL, or the forward proxy.
    :ivar address: the IP address that was reached there; None if none was.
    :ivar silent: whether nothing came back: no connection was made, or a kept one stayed mute.
    :ivar date: the ``Date`` of the answer; None without one, or with an ``Age``.
    """

    host: str
    address: str | None = None
    silent: bool = False
    date: Instant | None = None


class Answer(msgspec.Struct, frozen=True, tag="answer", gc=False):
    """
    An HTTP answer whose body was read to its end within the limits.

    :ivar code: the HTTP status code of the last answer, after redirects.
    :ivar body: the decoded body.
    :ivar latency: seconds from the start of the exchange to the end of the body.
    :ivar url: the URL that answered, as it may be shown, where redirects led away from the task's; else None.
    :ivar foreign: whether that URL has another origin than the task's.
    """

    code: int
    body: bytes
    latency: Seconds
    contact: Contact | None = None
    url: str | None = None
    foreign: bool = False


class Fault(StrEnum):
    """Why there was no HTTP answer: the classes an operator acts on differently."""

    URL = "url"
    DNS = "dns"
    REFUSED = "refused"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    REDIRECTS = "redirects"
    TOO_LARGE = "too_large"
    BROKEN = "broken"
    TOKEN = "token"
    OWN = "own"


class NoAnswer(msgspec.Struct, frozen=True, tag="no_answer", gc=False, omit_defaults=True):
    """
    A check that got no usable HTTP answer.

    :ivar words: what went wrong, in words that help and that hold no secret; no full stop at the end.
    :ivar latency: seconds until that was known.
    :ivar contact: is not stored.
    """

    fault: Fault
    words: str
    latency: Seconds
    contact: Contact | None = None


class Reported(msgspec.Struct, frozen=True, tag="reported", gc=False):
    """An answer that carried a valid report."""

    code: int
    report: Report


class Invalid(msgspec.Struct, frozen=True, tag="invalid", gc=False):
    """
    An answer that is no valid report.

    :ivar problem: names the member and what is wrong with it.
    """

    code: int
    problem: str


#: What the fetcher gives for one check.
Observation: TypeAlias = Answer | NoAnswer

#: What was read from an observation, and what the judge judges.
Finding: TypeAlias = Reported | Invalid | NoAnswer


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """
    What the judge says of one finding at one moment (contract, section 2).

    :ivar explanation: one line of plain English with the figures it rests on.
    :ivar due: when the task is due; None when that is not known or it sleeps all day.
    :ivar next_change: the next moment at which the verdict would change by itself; None if there is none.
    :ivar sleep_start: start of the sleep that the judged moment lies in, else None.
    :ivar sleep_end: its end (excluded), else None; None too for a task that sleeps all day.
    """

    kind: Kind
    explanation: str
    due: Instant | None = None
    next_change: Instant | None = None
    sleep_start: Instant | None = None
    sleep_end: Instant | None = None

    @property
    def status(self) -> Status:
        """The coarse state of this kind."""
        return status_of(self.kind)


class Check(msgspec.Struct, frozen=True, gc=False):
    """
    One finished check: what was found, when, and what the judge said of it.

    :ivar at: when it was judged.
    :ivar latency: seconds that the exchange took.
    """

    at: Instant
    latency: Seconds
    finding: Finding
    verdict: Verdict


class Incident(msgspec.Struct, frozen=True, gc=False):
    """
    An open incident (contract, section 4).

    :ivar started: the first error verdict of the row that opened it.
    :ivar kind: the kind of its latest error verdict.
    :ivar reminded: when people were last told that it lasts: the problem alert or the latest reminder.
    :ivar alerts: how many alerts it has caused so far; numbers them, so that their ids are stable.
    """

    started: Instant
    kind: Kind
    reminded: Instant
    alerts: int


class TaskState(msgspec.Struct, frozen=True, gc=False):
    """
    Everything that is remembered of a task between two checks; the fresh value is ``TaskState()``.

    :ivar verdict: the latest verdict, None before the first check.
    :ivar report: the latest valid report, kept while the endpoint is unreachable.
    :ivar pings: checks made.
    :ivar errors: checks with an error verdict.
    :ivar checked: when the latest check was judged.
    :ivar seen: when the latest answer of any kind came, None before the first.
    :ivar since: since when the task has had its present status.
    :ivar latency: seconds of the latest check.
    :ivar row: error verdicts in a row; sleep neither counts in nor resets it.
    :ivar row_started: when that row began.
    """

    verdict: Verdict | None = None
    report: Report | None = None
    pings: int = 0
    errors: int = 0
    checked: Instant | None = None
    since: Instant | None = None
    latency: Seconds | None = None
    row: int = 0
    row_started: Instant | None = None
    incident: Incident | None = None
    seen: Instant | None = None

    @property
    def kind(self) -> Kind:
        """The kind of the latest verdict, ``new`` before the first."""
        return Kind.NEW if self.verdict is None else self.verdict.kind

    @property
    def status(self) -> Status:
        """The status of the latest verdict, empty before the first."""
        return status_of(self.kind)


class Alert(msgspec.Struct, frozen=True, gc=False):
    """
    Something people are told (contract, section 4). It holds no secret and says all that a channel needs.

    :ivar id: stable over retries and restarts; every message carries it.
    :ivar at: when its cause was recorded.
    :ivar task: the task's id; empty for an alert of the daemon itself.
    :ivar name: the task's name, or ``Py Pinger``.
    :ivar label: the task's URL as it may be shown; empty for the daemon.
    :ivar origin: ``scheme://host:port`` of the task; empty for the daemon.
    :ivar page: the link to the task's page, if people can reach one.
    :ivar kind: the verdict's kind, None for the daemon.
    :ivar before: the kind that the incident had before, where the alert tells of its change or its end.
    :ivar explanation: the verdict's explanation, or the daemon's own line.
    :ivar started: when the incident started, None for the daemon.
    """

    id: str
    event: Event
    at: Instant
    explanation: str
    task: str = ""
    name: str = "Py Pinger"
    label: str = ""
    origin: str = ""
    page: str | None = None
    kind: Kind | None = None
    process: str | None = None
    server: str | None = None
    started: Instant | None = None
    before: Kind | None = None


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """
    One alert on its way to one channel: a row of the outbox.

    :ivar channel: the channel's name, ``slack`` say.
    :ivar attempts: how often it has been tried.
    :ivar not_before: the earliest moment for the next attempt.
    :ivar words: what the service answered last; empty before the first attempt.
    """

    alert: Alert
    channel: str
    attempts: int = 0
    not_before: Instant = 0.0
    words: str = ""


class Outcome(StrEnum):
    """How a delivery stands after an attempt, or without one."""

    SENT = "sent"
    RETRY = "retry"
    DEAD = "dead"
    REPLACED = "replaced"
