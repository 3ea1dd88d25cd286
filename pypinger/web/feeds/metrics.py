"""
``/metrics`` for Prometheus, in its text format or as OpenMetrics.

There are a few series for Py Pinger as a whole, and a few for each task; their number does not depend on reports. The
series of tasks are written by hand, since :mod:`prometheus_client` takes 8 µs a sample. They are gauges, whose text is
the same in both formats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from twisted.internet.task import Cooperator

from pypinger import __version__
from pypinger.domain.kinds import Kind, Status, status_of
from pypinger.domain.model import Instant
from pypinger.domain.moments import due_of
from pypinger.ports.showing import DaemonState, Entry, TaskBoard
from pypinger.web.formatting import shown
from pypinger.web.instances import different
from pypinger.web.serving.slicing import Shared, in_slices
from pypinger.web.serving.stream import EventStream

_EOF = b"# EOF\n"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

#: The series of each task: name and help text.
_OF_TASKS = (
    ("pypinger_task_info", "The name and URL of the task with this id. Always 1."),
    ("pypinger_task_ok", "Whether the task is seen and not in trouble: 1 or 0. Absent before the first check."),
    ("pypinger_task_last_run_timestamp_seconds", "When the task last ran, by its report."),
    ("pypinger_task_due_timestamp_seconds", "When the task is due; it is late after its grace."),
    ("pypinger_task_check_duration_seconds", "How long the latest check of the task took."),
)


class Metrics(Collector):
    """
    Collects the metrics from a board.

    :param stream: counts its readers.
    :param cooperator: shares out the time while many lines are made.
    """

    def __init__(self, board: TaskBoard, stream: EventStream, cooperator: Cooperator) -> None:
        self._board = board
        self._stream = stream
        self._cooperator = cooperator
        self._shared: Shared[bytes] = Shared(cooperator)
        # Checks and errors of each task as last seen, and of all: a counter must not fall when a reload drops a task,
        # since Prometheus would take that for a restart.
        self._seen: dict[str, tuple[int, int]] = {}
        self._checks = self._errors = 0
        # Not the global registry, which may hold series of other libraries.
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    async def text(self, accept: str) -> tuple[str, bytes]:
        """
        The media type and the text.

        :param accept: the request's ``Accept``; clients that name OpenMetrics get it.
        """
        wants_openmetrics = any(
            part.partition(";")[0].strip() == "application/openmetrics-text" for part in accept.lower().split(",")
        )
        media_type = OPENMETRICS if wants_openmetrics else CONTENT_TYPE_PLAIN_0_0_4
        return media_type, await self._shared.get(wants_openmetrics, lambda: self._text(wants_openmetrics))

    async def _text(self, wants_openmetrics: bool) -> bytes:
        generate = openmetrics.generate_latest if wants_openmetrics else generate_latest
        own = generate(self._registry).removesuffix(_EOF)
        entries = self._board.entries()
        rows = await in_slices(_lines, entries, self._cooperator)
        return b"".join((own, *_families(rows), _EOF if wants_openmetrics else b""))

    def describe(self) -> list[Metric]:
        """No names in advance."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The series of Py Pinger as a whole."""
        kinds: Counter[Kind] = Counter()
        silenced = incidents = 0
        for entry in self._board.entries():
            kinds[entry.state.kind] += 1
            silenced += entry.muted is not None
            incidents += entry.state.incident is not None
            now = entry.state.pings, entry.state.errors
            checks, errors = self._seen.get(entry.task.id, (0, 0))
            self._checks += max(0, now[0] - checks)
            self._errors += max(0, now[1] - errors)
            self._seen[entry.task.id] = now
        daemon = self._board.daemon()
        yield InfoMetricFamily("pypinger_build", "The running version.", {"version": __version__})
        tasks = GaugeMetricFamily("pypinger_tasks", "Tasks by their latest verdict.", labels=("kind", "status"))
        for kind in Kind:
            tasks.add_metric((kind.value, status_of(kind).value or "new"), kinds[kind])
        yield tasks
        yield CounterMetricFamily("pypinger_checks", "Checks of all tasks, removed ones included.", self._checks)
        yield CounterMetricFamily("pypinger_check_errors", "Checks with an error verdict.", self._errors)
        for name, help_text, value in (
            (
                "pypinger_ok",
                "Whether Py Pinger itself is healthy: 1, or 0 if it is in trouble.",
                daemon.status is Status.OK,
            ),
            ("pypinger_ready", "Whether every task has been checked since the start.", daemon.ready),
            (
                "pypinger_blind",
                "Whether Py Pinger cannot see its tasks, for reasons on its own side.",
                daemon.blind is not None,
            ),
            ("pypinger_alerts_undelivered", "Pending alerts, counted per channel.", daemon.undelivered),
            ("pypinger_alerts_dead", "Alerts that were given up, counted per channel.", daemon.dead),
            ("pypinger_incidents_open", "Tasks with an open incident, silenced ones included.", incidents),
            ("pypinger_silenced_tasks", "Tasks whose alerts are muted by a silence or maintenance.", silenced),
            ("pypinger_last_check_timestamp_seconds", "When any task was checked last, or the start.", daemon.lastrun),
            ("pypinger_event_readers", "Readers of the stream of changes.", self._stream.readers),
        ):
            yield GaugeMetricFamily(name, help_text, float(value))
        words = "The latest delivery of this channel was given up. Always 1; absent for channels that work."
        dead = GaugeMetricFamily("pypinger_channel_dead", words, labels=("channel",))
        for channel in daemon.dead_channels:
            dead.add_metric((shown(channel),), 1.0)
        yield dead
        yield from _instances(daemon)


def _instances(daemon: DaemonState) -> Iterator[Metric]:
    """The instances that share the tasks; nothing on a single machine."""
    sharing = daemon.sharing
    if sharing is None:
        return
    # Prometheus has a label "instance" of its own.
    yield GaugeMetricFamily("pypinger_instances", "Instances that share the tasks.", len(sharing.members))
    others = {each.id for each in different(sharing)}
    for name, help_text, value in (
        ("pypinger_instance_tasks", "Tasks that this instance watches.", lambda each: each.tasks),
        ("pypinger_instance_blind", "Whether this instance is blind.", lambda each: each.health.blind is not None),
        ("pypinger_instance_other_ini", "Whether it reads another ini file.", lambda each: each.id in others),
    ):
        family = GaugeMetricFamily(name, help_text, labels=("name",))
        for each in sharing.members:
            family.add_metric((shown(each.name),), float(value(each)))
        yield family


def _families(rows: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    for number, (name, help_text) in enumerate(_OF_TASKS):
        yield f"# HELP {name} {help_text}\n# TYPE {name} gauge\n".encode("ascii")
        for row in rows:
            yield row[number]


def _lines(entry: Entry) -> Sequence[bytes]:
    """The samples of one task, one line each or none, in the order of :data:`_OF_TASKS`."""
    task, state = entry.task, entry.state
    info = f'id="{task.id}",name="{_escape(task.name)}",url="{_escape(task.label)}"'
    trouble = state.status is Status.ERROR or entry.unseen is not None
    ok = None if state.status is Status.NEW and not trouble else float(not trouble)
    lastrun = None if state.report is None else state.report.lastrun
    due = due_of(task, state)
    label = f'id="{task.id}"'
    return tuple(
        b"" if value is None else f"{name}{{{labels}}} {_number(value)}\n".encode()
        for (name, _), labels, value in zip(
            _OF_TASKS, (info, label, label, label, label), (1.0, ok, lastrun, due, state.latency), strict=True
        )
    )


def _number(value: float | Instant) -> str:
    return repr(float(value))


def _escape(text: str) -> str:
    return shown(text).replace("\\", r"\\").replace('"', r"\"")
