"""What the pages read."""

from __future__ import annotations

import msgspec

from pypinger.domain.redaction import Secrets
from pypinger.ports.clock import WallClock
from pypinger.ports.history import History
from pypinger.ports.pushing import PushReceiver
from pypinger.ports.showing import TaskBoard


class Sources(msgspec.Struct, frozen=True):
    """
    What the pages read.

    :ivar history: None if no history is kept; the pages show the present alone then.
    :ivar secrets: masked in the answers of tasks; it may change while the server runs.
    :ivar pushes: takes what tasks send, if any do.
    """

    board: TaskBoard
    now: WallClock
    history: History | None = None
    secrets: Secrets = msgspec.field(default_factory=Secrets)
    pushes: PushReceiver | None = None
