"""A task as it is configured, and what it reports."""

from __future__ import annotations

import msgspec

from pypinger.domain.model.units import Instant, Seconds

#: What the key of a push task begins with; a URL never does.
PUSH = "push:"


class Window(msgspec.Struct, frozen=True, gc=False):
    """
    A daily sleep window.

    :ivar start: seconds after midnight, 0 <= start < 86,400; included. It is UTC in a report, and local time of
        ``timezone`` in the ini file.
    :ivar duration: seconds, 0 < duration <= 86,400; the end is excluded.
    """

    start: int
    duration: Seconds


class Task(msgspec.Struct, frozen=True, gc=False):
    """
    One scheduled task as it is configured (contract, section 6).

    :ivar url: where its report is fetched, with its query and without userinfo; None for a push task, which sends its
        reports itself (section 9).
    :ivar id: short stable text made from ``key`` (see :func:`pypinger.domain.url.task_id`).
    :ivar name: the configured name, else ``label`` without its scheme. What people are shown is
        :func:`pypinger.domain.naming.shown_name`.
    :ivar named: whether the name is a configured one.
    :ivar label: ``url`` as it may be logged and sent: without userinfo, its query replaced by ``…``; empty for a push
        task.
    :ivar origin: ``scheme://host:port`` of ``url``, the port always given; empty for a push task.
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
    :ivar frequency: minutes between two runs; wins over the report's ``frequency`` and ``schedule``.
    :ivar schedule: a cron expression or name; wins over both of the report, and over `frequency`.
    :ivar timezone: the IANA zone of `sleep`, and of the schedule, be that the report's; None: UTC and the report's.
    :ivar max_runtime: minutes that a run may take; wins over the report's.
    :ivar sleep: the daily windows in local time of `timezone`; win over the report's, also if there are none.
    :ivar push_key: what a push task names itself by in the path of its requests; secret.
    """

    url: str | None
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
    frequency: float | None = None
    schedule: str | None = None
    timezone: str | None = None
    max_runtime: float | None = None
    sleep: tuple[Window, ...] | None = None
    push_key: str | None = None

    @property
    def key(self) -> str:
        """The task's identity: its URL, or of a push task ``push:`` and its name."""
        return f"{PUSH}{self.name}" if self.url is None else self.url


class Report(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """
    A valid task report (contract, section 1); its texts are cut at 500 characters.

    :ivar ok: whether ``status`` is ``ok``; the other valid status is ``error``.
    :ivar lastrun: the end of the last run; None before the first, then there is `started`.
    :ivar frequency: minutes between two runs, 0 < frequency <= 527,040; does not count beside a `schedule`.
    :ivar sleep: the daily sleep windows, in the order of the report.
    :ivar schedule: a cron expression or name, one space between its fields.
    :ivar timezone: the IANA zone of `schedule`; None: UTC.
    :ivar started: when the latest run began; see :attr:`running`.
    :ivar max_runtime: minutes that a run may take, 0 < max_runtime <= 527,040.
    :ivar overlapped: whether the run that began at `started` is under way although another one ended at `lastrun`, by
        the pings of a push task.
    """

    ok: bool
    lastrun: Instant | None
    frequency: float = 10.0
    reason: str | None = None
    sleep: tuple[Window, ...] = ()
    process: str | None = None
    server: str | None = None
    schedule: str | None = None
    timezone: str | None = None
    started: Instant | None = None
    max_runtime: float | None = None
    overlapped: bool = False

    @property
    def latest(self) -> Instant:
        """The latest moment that it tells: when a run ended, or when the one under way began."""
        return max(moment for moment in (self.lastrun, self.started) if moment is not None)

    @property
    def running(self) -> bool:
        """Whether a run is under way: one that began after the last end, or no run has ended yet."""
        if self.started is None or self.lastrun is None:
            return self.started is not None
        return self.overlapped or self.started > self.lastrun
