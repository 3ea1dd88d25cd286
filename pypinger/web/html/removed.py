"""What the page of a task says that is no longer monitored, but still in the history."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from twisted.internet.task import Cooperator
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
from pypinger.web.serving.slicing import in_slices

#: How many of its incidents are shown.
LISTED = 3

#: Tasks in a slice of the search for an id.
_SLICE = 500

_ID = re.compile(r"[0-9a-f]{12}")

_log = Logger()


async def removed(history: History | None, sent: str, now: Instant, cooperator: Cooperator) -> list[Tag] | None:
    """
    What is known of a task that is not monitored; None if nothing is.

    :param sent: what follows ``/task/``, exactly as it was sent: a URL, or an id as links in alerts have it.
    :param cooperator: shares out the time.
    """
    if history is None:
        return None
    try:
        key = await _key(history, sent, cooperator)
        if key is None:
            return None
        return _described(key, await history.incidents(key, limit=LISTED), now)
    except StoreError as error:
        _log.warn("a removed task cannot be looked up: {error}", error=str(error))
        return None


async def _key(history: History, sent: str, cooperator: Cooperator) -> str | None:
    if "://" in (url := unquote(sent)):
        return url if url in await history.tasks() else None
    wanted = sent.partition("?")[0]
    if not _ID.fullmatch(wanted):
        return None
    keys = await history.tasks()
    ids = await in_slices(task_id, keys, cooperator, _SLICE)
    return next((key for key, each in zip(keys, ids, strict=True) if each == wanted), None)


def _described(key: str, incidents: Sequence[PastIncident], now: Instant) -> list[Tag]:
    words = tags.p(tags.strong(shown(name_of(key))), " was monitored here, and is no longer in the ini file.")
    if not incidents:
        return [words, tags.p("It has no incidents in the history.", class_="quiet")]
    return [
        words,
        tags.p("Its latest incidents:", class_="quiet"),
        tags.ol([tags.li(_line(incident, now)) for incident in incidents], class_="incidents"),
    ]


def _line(incident: PastIncident, now: Instant) -> list[Tag | str]:
    kinds = " → ".join(NAMES[kind] for kind in incident.kinds)
    lasted = "" if incident.ended is None else f" for {span(max(0.0, incident.ended - incident.started))}"
    return [f"{kinds}{lasted}, began ", moment(incident.started, now) or "", f": {shown(incident.explanation)}"]
