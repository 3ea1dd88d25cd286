"""A task as it is configured, and what it reports."""

from __future__ import annotations

import msgspec

from pypinger.domain.model.units import Instant, Seconds


class Task(msgspec.Struct, frozen=True, gc=False):
    """
    One scheduled task as it is configured (contract, section 6).

    :ivar url: where its report is fetched, with its query and without userinfo; the task's identity.
    :ivar id: short stable text made from ``url`` (see :func:`pypinger.domain.url.task_id`).
    :ivar name: the configured name, else ``label`` without its scheme. What people are shown is
        :func:`pypinger.domain.naming.shown_name`.
    :ivar named: whether the name is a configured one.
    :ivar label: ``url`` as it may be logged and sent: without userinfo, its query replaced by ``…``.
    :ivar origin: ``scheme://host:port`` of ``url``, the port always given.
    :ivar credentials: ``user:password`` from the URL's userinfo, sent as HTTP Basic; secret.
    :ivar page: the link to the task's page, or None without ``[web] public_url``.
    :ivar interval: seconds between two checks.
    :ivar error_interval: seconds between two reminders; 0 for none.
    :ivar timeout: seconds that one whole exchange may take.
    :ivar grace: seconds after the due time before the task is late.
    :ivar failures: how many error verdicts in a row open an incident.
    :ivar error_interval_max: the longest time between two reminders, in seconds.
    :ivar unreachable_for: seconds that the task must be unreachable or invalid before an incident opens.
    :ivar flap_incidents: how many incidents within an hour are flapping; 0: never.
    :ivar group: what the operator files it under; empty for nothing.
    :ivar runbook: the link to the instructions for this task; None without one.
    :ivar note: a line for the task's page.
    :ivar token_auth: whether the token of ``[token_auth]`` is sent to this task.
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
    error_interval_max: Seconds = 21_600.0
    unreachable_for: Seconds = 0.0
    flap_incidents: int = 4
    group: str = ""
    runbook: str | None = None
    note: str = ""
    named: bool = True


class Window(msgspec.Struct, frozen=True, gc=False):
    """
    A daily sleep window.

    :ivar start: seconds after midnight UTC, 0 <= start < 86,400; included.
    :ivar duration: seconds, 0 < duration <= 86,400; the end is excluded.
    """

    start: int
    duration: Seconds


class Report(msgspec.Struct, frozen=True, gc=False):
    """
    A valid task report (contract, section 1); its texts are cut at 500 characters.

    :ivar ok: whether ``status`` is ``ok``; the other valid status is ``error``.
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
