"""The units of time that the whole program uses."""

from __future__ import annotations

from typing import TypeAlias

#: Seconds since the epoch in UTC, as :func:`time.time` returns them.
Instant: TypeAlias = float

#: A length of time in seconds.
Seconds: TypeAlias = float
