"""
When a delivery that failed is tried again (contract, section 4).

Keeping the delivery and waiting are left to the outbox; which failures are worth another attempt, to the channels.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from pypinger.domain.model import Instant, Seconds

#: The least that is waited between two attempts, whatever a server says.
SHORTEST: Seconds = 1.0

#: The most that the backoff grows to.
LONGEST: Seconds = 300.0

#: The most that ``Retry-After`` can ask for: a server that means tomorrow is asked again in an hour, since a channel
#: whose clock is wrong must not silence the alerts of a whole day.
LONGEST_ASKED: Seconds = 3600.0

_DELTA = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")


def delay(
    attempts: int, *, retry_after: Seconds | None, age: Seconds, retry_for: Seconds, chance: float
) -> Seconds | None:
    """
    How long to wait before the next attempt.

    Without ``Retry-After`` the wait is taken at random between a bound and its half (equal jitter: senders that failed
    together drift apart, none comes back at once). The bound doubles with each attempt, so that the first wait is
    between 1 and 2 seconds and the longest between 150 and 300.

    :param attempts: how many have been made, at least 1.
    :param retry_after: seconds that the service asked to be left alone; they are waited, from 1 s to an hour.
    :param age: seconds since the alert's cause was recorded.
    :param retry_for: seconds after which an alert is given up.
    :param chance: a random number, 0 <= chance < 1.
    :returns: seconds; None to give up, because the next attempt would come after `retry_for`.
    """
    if retry_after is not None:
        wait = min(max(retry_after, SHORTEST), LONGEST_ASKED)
    else:
        bound = min(2.0 ** min(attempts, 16), LONGEST)
        wait = bound / 2 * (1 + chance)
    return wait if age + wait <= retry_for else None


def retry_after(header: str | None, now: Instant) -> Seconds | None:
    """
    Read a ``Retry-After`` header: seconds or an HTTP date (RFC 9110, 10.2.3).

    :returns: seconds from `now`, 0 for a date that has passed; None for no header or one that makes no sense.
    """
    text = (header or "").strip()
    if _DELTA.fullmatch(text):
        return float(text)
    if len(text) > 64:
        return None
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:  # "-0000": the server does not say which zone; HTTP dates are in UTC.
            when = when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
