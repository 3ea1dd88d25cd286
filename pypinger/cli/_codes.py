"""Exit codes."""

from __future__ import annotations

#: Of a monitoring plugin that could not make its check.
UNKNOWN = 3

#: Of an interrupted command, as in shells.
INTERRUPTED = 130
