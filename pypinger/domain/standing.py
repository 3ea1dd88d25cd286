"""
The present state of a message about several incidents, made of the latest alert of each (contract, section 5).

:mod:`pypinger.domain.wording` has the texts of alerts.
"""

from __future__ import annotations

from collections.abc import Sequence

from pypinger.domain import wording
from pypinger.domain.model import Alert, Event


def is_over(alert: Alert) -> bool:
    """Whether the alert is the last of its incident."""
    return alert.event is Event.RECOVERED


def worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    """Return the open incidents, then those that are over, each in their order."""
    return sorted(alerts, key=is_over)


def headline(alerts: Sequence[Alert]) -> str:
    """
    Return one line: that of the only alert, else how many of the incidents are still open.

    :param alerts: the latest alert of each incident.
    """
    still_open = [alert for alert in alerts if not is_over(alert)]
    if len(alerts) == 1 or not still_open:
        return wording.headline(alerts)
    verb = "is" if len(still_open) == 1 else "are"
    place, causes = wording.common_place(alerts), wording.causes(still_open)
    return f"PROBLEM: {len(still_open)} of {len(alerts)} tasks{place} {verb} still in trouble: {causes}"


def plain(alerts: Sequence[Alert]) -> str:
    """Return the whole text: the headline, and the tasks as alerts show them."""
    _, _, rest = wording.plain(alerts).partition("\n")
    return f"{headline(alerts)}\n{rest}"
