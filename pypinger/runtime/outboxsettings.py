"""The settings of the outbox."""

from __future__ import annotations

import msgspec

from pypinger.domain.model import Seconds
from pypinger.domain.routing import Routing
from pypinger.ports.notifying import Notifier


class OutboxSettings(msgspec.Struct, frozen=True):
    """
    Which channels there are and how alerts are sent; a reload replaces it.

    :ivar notifiers: the channels that are on; none with ``only_log``.
    :ivar routes: what each of them is sent.
    :ivar held: the channels that are off for a time, by ``only_log``: their deliveries wait.
    :ivar retry_for: seconds after its alert's cause during which a delivery is retried.
    :ivar group_wait: seconds during which the alerts of a storm are gathered; 0 turns grouping off.
    """

    notifiers: tuple[Notifier, ...]
    routes: Routing
    held: frozenset[str] = frozenset()
    retry_for: Seconds = 86_400.0
    group_wait: Seconds = 5.0
