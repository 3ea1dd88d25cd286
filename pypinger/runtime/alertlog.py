"""The line that each alert is in the log (contract, section 4)."""

from __future__ import annotations

from twisted.logger import Logger, LogLevel

from pypinger.domain.model import Alert, Event
from pypinger.domain.wording import plain

_LEVELS = {
    Event.PROBLEM: LogLevel.warn,
    Event.CHANGED: LogLevel.warn,
    Event.REMINDER: LogLevel.warn,
    Event.FLAPPING: LogLevel.warn,
    Event.BLIND: LogLevel.error,
}


def log_alert(log: Logger, alert: Alert) -> None:
    """Log one line: the event in capitals, the text, the id as in messages, and the facts that tools look for."""
    facts = {"task": alert.task, "kind": alert.kind.value if alert.kind else "", "id": alert.id}
    facts = {name: value for name, value in facts.items() if value}
    text = "; ".join(plain((alert,)).splitlines())
    event = alert.event.value.upper()
    head = "" if text.startswith(f"{event}:") else f"{event}: "
    line = " ".join((f"{head}{text} [{alert.id}]", *(f"{name}={value}" for name, value in facts.items())))
    log.emit(_LEVELS.get(alert.event, LogLevel.info), "{text}", text=line, event=alert.event.value, **facts)
