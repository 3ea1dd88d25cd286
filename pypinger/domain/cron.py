"""Cron expressions in a time zone: the moments before and after a moment (contract, sections 1 and 6)."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pypinger.domain.model import Instant

#: The names that stand for an expression, as cron has them.
NAMES: dict[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

# A year in which every valid expression has a moment: within its eight years lies a 29 February.
_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)


class CronError(ValueError):
    """The expression or the zone is not valid; ``str()`` says why."""


class Cron:
    """
    A schedule: five fields, or one of :data:`NAMES`, in a time zone.

    cronsim decides, as Debian's cron does: in the hour that the autumn change repeats a moment counts once, in the gap
    of spring it moves to the end of the gap.

    :param expression: five fields or a name.
    :param timezone: an IANA name.
    :raises CronError: one of them is not valid.
    """

    __slots__ = ("_fields", "_zone", "expression", "timezone")

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self.expression = " ".join(expression.split())
        self.timezone = timezone
        self._zone = zone(timezone)
        self._fields = fields(self.expression)

    def after(self, instant: Instant) -> Instant | None:
        """The first moment after `instant`; None if none follows within the years that cronsim searches."""
        return self._next(instant, reverse=False)

    def before(self, instant: Instant) -> Instant | None:
        """The last moment before `instant`; None if there is none."""
        return self._next(instant, reverse=True)

    def _next(self, instant: Instant, *, reverse: bool) -> Instant | None:
        try:
            start = datetime.fromtimestamp(instant, UTC).astimezone(self._zone)
            return next(CronSim(self._fields, start, reverse=reverse)).timestamp()
        except (StopIteration, CronSimError, OverflowError, OSError, ValueError):
            return None


def fields(expression: str) -> str:
    """
    Return the five fields of an expression or name.

    :raises CronError: it is not valid.
    """
    text = NAMES.get(expression.strip().lower(), expression)
    if text.strip().startswith("@"):
        raise CronError(f"{text.strip()} is not one of {', '.join(NAMES)}")
    if len(text.split()) != 5:
        raise CronError("a schedule has five fields: minute, hour, day of month, month, day of week")
    try:
        CronSim(text, _SOME_DAY)
    except CronSimError as error:
        words = str(error)
        raise CronError(f"{words[:1].lower()}{words[1:]} in the schedule") from None
    return text


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """
    Return the time zone of an IANA name.

    :raises CronError: there is no such zone.
    """
    if name.strip().upper() in ("UTC", ""):
        return UTC
    try:
        return ZoneInfo(name.strip())
    except (OSError, ValueError, LookupError):
        raise CronError("unknown time zone; give an IANA name such as Europe/Berlin") from None
