"""Taking pushes: what tasks send (contract, section 9)."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from pypinger.domain.model import Seconds
from pypinger.domain.pushes import Ping


class Taken(StrEnum):
    """What has become of a push."""

    KEPT = "kept"
    INVALID = "invalid"
    UNKNOWN = "unknown"
    LIMITED = "limited"
    REFUSED = "refused"


class PushResult(msgspec.Struct, frozen=True):
    """
    The answer to a push.

    :ivar words: what is wrong, in one line; empty if nothing is.
    :ivar retry_after: seconds to wait before trying again; None where that does not help.
    """

    taken: Taken
    words: str = ""
    retry_after: Seconds | None = None


class PushReceiver(Protocol):
    """Takes what tasks send."""

    @property
    def max_body(self) -> int:
        """The longest report, in bytes."""

    def knows(self, key: str) -> bool:
        """Whether a task has this ``push_key``."""

    def overloaded(self) -> bool:
        """Whether so many pushes arrive that further ones are refused unread; asking counts one."""

    async def report(self, key: str, body: bytes, *, whole: bool) -> PushResult:
        """
        Take a report.

        :param whole: whether `body` is all that was sent; a longer report than :attr:`max_body` is invalid.
        :returns: ``KEPT`` only once it is on the disk.
        """

    async def ping(self, key: str, ping: Ping) -> PushResult:
        """
        Take a ping.

        :returns: ``KEPT`` only once it is on the disk.
        """
