"""
When a failed delivery is retried (contract, section 4).

The outbox keeps the delivery and waits; channels decide which failures are worth another attempt.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from pypinger.domain.model import Instant, Seconds

#: The shortest wait between two attempts, also with ``Retry-After: 0``.
SHORTEST: Seconds = 1.0

#: The longest wait of the backoff.
LONGEST: Seconds = 300.0

#: The longest ``Retry-After`` that is honoured: a service whose clock is wrong must not hold up the alerts of a day.
LONGEST_ASKED: Seconds = 3600.0

_DELTA = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")


def delay(
    attempts: int, *, retry_after: Seconds | None, age: Seconds, retry_for: Seconds, chance: float
) -> Seconds | None:
    """
    Return how long to wait before the next attempt.

    Without ``Retry-After`` the wait is random between half a bound and the bound (equal jitter: senders that failed
    together spread out, and none retries at once). The bound doubles with each attempt: the first wait is between 1 and
    2 seconds, the longest between 150 and 300.

    :param attempts: how many have been made, at least 1.
    :param retry_after: seconds that the service asked for; at least 1 s and at most an hour are waited.
    :param age: seconds since the alert's cause was recorded.
    :param retry_for: seconds after which an alert is no longer retried.
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

    :returns: seconds from `now`, 0 for a date in the past; None without a header, or for one that is not valid.
    """
    text = (header or "").strip()
    if _DELTA.fullmatch(text):
        return float(text)
    if len(text) > 64:
        return None
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:  # "-0000" leaves the zone open; HTTP dates are in UTC.
            when = when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
