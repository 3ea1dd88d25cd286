"""Whether checks make progress (contract, section 7, ``/status``)."""

from __future__ import annotations

from collections.abc import Iterable

from pypinger.domain.model import Seconds
from pypinger.domain.times import span
from pypinger.runtime.watch import Watch

#: A check that takes this many seconds longer than its timeout is stuck.
STUCK: Seconds = 60.0


def stuck(within: Seconds | None, fetching: Iterable[Watch], now: Seconds, since: Seconds) -> str | None:
    """
    Return a line about checks that make no progress, or None.

    :param within: within how many seconds a check is made; None if none is.
    :param fetching: the tasks whose reports are being fetched.
    :param now: on the reactor's clock.
    :param since: when a fetch ended last, or checks began.
    """
    if within is None:
        return None
    if now - since > within + STUCK:
        return f"checks are stuck: none has been completed for {span(now - since)}"
    hanging = [watch for watch in fetching if not watch.gone and now - watch.began > watch.task.timeout + STUCK]
    if hanging:
        return f"{len(hanging)} checks are stuck, that of {hanging[0].task.name} for {span(now - hanging[0].began)}"
    return None
