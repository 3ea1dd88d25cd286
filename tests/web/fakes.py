"""A board that tests fill, and values for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Acknowledgement, Incident, Report, Task, TaskState, Verdict, Window
from pypinger.domain.silence import Muted
from pypinger.domain.url import label, task_id
from pypinger.ports.sharing import Instance, InstanceHealth
from pypinger.ports.showing import DaemonState, Entry, LastAnswer

#: 2026-11-22 22:28:34 UTC
NOW = 1_795_386_514.0


class FakeBoard:
    """
    Implements :class:`pypinger.ports.showing.TaskBoard`.

    :ivar answers: task id -> what its endpoint answered last.
    """

    def __init__(self, entries: Iterable[Entry] = (), daemon: DaemonState | None = None) -> None:
        self.set(entries)
        self.state = daemon or daemon_state()
        self.answers: dict[str, LastAnswer] = {}
        self._watchers: list[Callable[[Entry], None]] = []

    def set(self, entries: Iterable[Entry]) -> None:
        self._entries = list(entries)

    def entries(self) -> Sequence[Entry]:
        return list(self._entries)

    def by_id(self, task_id: str) -> Entry | None:
        return next((entry for entry in self._entries if entry.task.id == task_id), None)

    def by_key(self, key: str) -> Entry | None:
        return next((entry for entry in self._entries if entry.task.key == key), None)

    def last_answer(self, task_id: str) -> LastAnswer | None:
        return self.answers.get(task_id)

    def daemon(self) -> DaemonState:
        return self.state

    def watch(self, changed: Callable[[Entry], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    @property
    def watchers(self) -> int:
        """The number of watchers."""
        return len(self._watchers)

    def show(self, entry: Entry) -> None:
        """Replace the entry of that task, as a check does."""
        self._entries = [entry if each.task.id == entry.task.id else each for each in self._entries]
        for changed in tuple(self._watchers):
            changed(entry)


def daemon_state(**changes: object) -> DaemonState:
    values: dict[str, object] = {
        "status": Status.OK,
        "explanation": "all checks run on time",
        "started": NOW - 3 * 3600,
        "blind": None,
        "undelivered": 0,
        "dead": 0,
        "ready": True,
        "lastrun": NOW - 1,
        "frequency": 2.667,
    }
    return DaemonState(**{**values, **changes})  # type: ignore[arg-type]


def instance(name: str, *, digest: str = "one", **health: object) -> Instance:
    """An instance that joined an hour before NOW."""
    values: dict[str, object] = {"explanation": "watching 2 tasks", "started": NOW - 3700, "version": "2.0"}
    known = InstanceHealth(**{**values, **health})  # type: ignore[arg-type]
    return Instance(f"id-{name}", name, NOW - 3600, 2, ("slack",), digest, known)


def task(url: str = "http://h/a", name: str | None = None, **changes: object) -> Task:
    return Task(
        url=url,
        id=task_id(url),
        name=label(url) if name is None else name,
        label=label(url),
        **changes,
    )  # type: ignore[arg-type]


def entry(url: str = "http://h/a", kind: Kind = Kind.OK, *, name: str | None = None, **report: object) -> Entry:
    """A task that was checked at NOW - 21; `report` changes its report."""
    values: dict[str, object] = {
        "ok": kind is not Kind.FAILED,
        "lastrun": NOW - 300,
        "frequency": 10.0,
        "process": "backup",
        "server": "web-1",
        "reason": "disk full" if kind is Kind.FAILED else None,
    }
    made = Report(**{**values, **report})  # type: ignore[arg-type]
    asleep = kind is Kind.SLEEPING
    verdict = Verdict(
        kind,
        f"explained as {kind.value}",
        due=NOW + 300,
        next_change=NOW + 360,
        sleep_start=NOW - 3600 if asleep else None,
        sleep_end=NOW + 7200 if asleep else None,
    )
    trouble = verdict.status is Status.ERROR
    state = TaskState(
        verdict=verdict,
        report=made,
        pings=120,
        errors=7 if trouble else 0,
        checked=NOW - 21,
        since=NOW - 900,
        latency=0.0123,
        row=7 if trouble else 0,
        row_started=NOW - 900 if trouble else None,
        incident=Incident(NOW - 900, kind, NOW - 900, 2) if trouble else None,
    )
    return Entry(task(url, name), state)


#: A silence for half an hour more.
SILENCED = Muted(NOW + 1800, "upgrade", "jane", "silence 3f2a")


def acknowledged(made: Entry, by: str = "jane", reason: str = "on it") -> Entry:
    """The same, its incident acknowledged at NOW - 300."""
    return with_incident(made, acknowledged=Acknowledgement(NOW - 300, by, reason))


def with_incident(made: Entry, **changes: object) -> Entry:
    """The same with changes of its incident."""
    assert made.state.incident is not None
    return replace(made, state=replace(made.state, incident=replace(made.state.incident, **changes)))


def new_entry(url: str = "http://h/new") -> Entry:
    return Entry(task(url), TaskState())


NIGHT = Window(22 * 3600, 8 * 3600.0)
