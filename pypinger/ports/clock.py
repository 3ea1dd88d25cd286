"""The wall clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pypinger.domain.model import Instant

#: The one source of wall-clock time: seconds since the epoch, UTC.
WallClock: TypeAlias = Callable[[], Instant]
