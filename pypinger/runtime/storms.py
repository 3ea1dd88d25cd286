"""Where storms are open (contract, section 4, "Storms"), by the alerts and by the states of tasks; logs them."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger

from pypinger.domain.grouping import Place, Storms, places_of
from pypinger.domain.model import Alert, Event, Instant
from pypinger.ports.showing import Entry


class StormWatch:
    """
    Follows the incidents of all tasks.

    Alerts tell of most beginnings and ends. A silence holds some back, and other instances send some through channels
    that this one does not own: :meth:`compare` finds these by the states.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._storms = Storms()
        # The ids of tasks with an incident -> when it was last alerted.
        self._open: dict[str, Instant] = {}

    def __contains__(self, task: str) -> bool:
        return task in self._open

    def resume(self, entries: Iterable[Entry]) -> None:
        """Take up the open incidents; these storms have been logged."""
        for entry in entries:
            # The end of an incident that a silence held back may never be announced.
            if entry.state.incident is not None and entry.state.incident.told:
                self._opened(entry)

    def note(self, alert: Alert, over: list[Place]) -> tuple[Place, ...]:
        """Return where a storm was open when the alert came, and count its incident; add to `over` where one ends."""
        storms = self._storms.at(alert)
        if alert.event in (Event.PROBLEM, Event.FLAPPING):
            self._open[alert.task] = alert.at
            for kind, place in self._storms.opened(alert.task, list(places_of(alert))):
                self._log.warn("STORM: several tasks on {kind} {place} are in trouble", kind=kind, place=place)
        elif alert.event is Event.RECOVERED:
            self.end(alert.task, over)
        return storms

    def end(self, task: str, over: list[Place]) -> None:
        """The incident of the task with this id has ended; add to `over` where a storm ends with it."""
        self._open.pop(task, None)
        for kind, place in self._storms.closed(task):
            self._log.info("STORM over: no task on {kind} {place} is in trouble", kind=kind, place=place)
            over.append((kind, place))

    def compare(self, entries: Iterable[Entry]) -> list[Place]:
        """Take up what the states of tasks show and no alert did; returns where a storm ends with it."""
        over: list[Place] = []
        for entry in entries:
            state, task = entry.state, entry.task.id
            if state.incident is not None:
                if state.incident.told and task not in self._open:
                    self._opened(entry)
            elif task in self._open and (state.verdict_at or 0.0) > self._open[task]:
                self.end(task, over)
        return over

    def _opened(self, entry: Entry) -> None:
        incident, report = entry.state.incident, entry.state.report
        assert incident is not None
        self._open[entry.task.id] = incident.started
        places = [("origin", entry.task.origin), ("server", "" if report is None else report.server or "")]
        self._storms.opened(entry.task.id, [place for place in places if place[1]])
