"""What the page of a task says that is no longer monitored, but still in the history."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from twisted.logger import Logger
from twisted.web.template import Tag, tags

from pypinger.domain.identity import name_of
from pypinger.domain.model import Instant
from pypinger.domain.times import span
from pypinger.domain.url import task_id
from pypinger.ports.history import History, PastIncident
from pypinger.ports.storing import StoreError
from pypinger.web.formatting import NAMES, shown
from pypinger.web.html.layout import moment

#: Among how many of the latest incidents a task is sought by its id, as links in alerts name it.
SEARCHED = 100

#: How many of its incidents are shown.
LISTED = 3

_log = Logger()


async def removed(history: History | None, sent: str, now: Instant) -> list[Tag] | None:
    """
    What is known of a task that is not monitored; None if nothing is.

    :param sent: what follows ``/task/``, exactly as it was sent.
    """
    if history is None:
        return None
    try:
        found = await _incidents(history, sent)
    except StoreError as error:
        _log.warn("a removed task cannot be looked up: {error}", error=str(error))
        return None
    return _described(found, now) if found else None


async def _incidents(history: History, sent: str) -> Sequence[PastIncident]:
    if "://" in (url := unquote(sent)):
        return await history.incidents(url, limit=LISTED)
    latest = await history.incidents(limit=SEARCHED)
    return [incident for incident in latest if task_id(incident.task) == sent.partition("?")[0]][:LISTED]


def _described(incidents: Sequence[PastIncident], now: Instant) -> list[Tag]:
    return [
        tags.p(
            tags.strong(shown(name_of(incidents[0].task))), " was monitored here, and is no longer in the ini file."
        ),
        tags.p("Its latest incidents:", class_="quiet"),
        tags.ol([tags.li(_line(incident, now)) for incident in incidents], class_="incidents"),
    ]


def _line(incident: PastIncident, now: Instant) -> list[Tag | str]:
    kinds = " → ".join(NAMES[kind] for kind in incident.kinds)
    lasted = "" if incident.ended is None else f" for {span(max(0.0, incident.ended - incident.started))}"
    return [f"{kinds}{lasted}, began ", moment(incident.started, now) or "", f": {shown(incident.explanation)}"]
