"""Whether checks make progress (contract, section 7, ``/status``)."""

from __future__ import annotations

from collections.abc import Collection

from pypinger.domain.model import Seconds
from pypinger.domain.times import span
from pypinger.runtime.watch import Phase, Watch

#: A check that takes this many seconds longer than its timeout is stuck.
STUCK: Seconds = 60.0


def stuck(watches: Collection[Watch], now: Seconds, since: Seconds) -> str | None:
    """
    Return a line about checks that make no progress, or None.

    :param now: on the reactor's clock.
    :param since: when a fetch ended last, or checks began.
    """
    # Push tasks are not fetched.
    watches = [watch for watch in watches if watch.task.url is not None]
    if not watches:
        return None
    limit = min(2 * watch.task.interval + watch.task.timeout for watch in watches) + STUCK
    if now - since > limit:
        return f"checks are stuck: none has been completed for {span(now - since)}"
    hanging = [
        watch for watch in watches if watch.phase is Phase.FETCHING and now - watch.began > watch.task.timeout + STUCK
    ]
    if hanging:
        return f"{len(hanging)} checks are stuck, that of {hanging[0].task.name} for {span(now - hanging[0].began)}"
    return None
