"""Which channels this instance sends through (contract, section 8, "Several machines")."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from pypinger.domain.model import Delivery, Seconds

#: For how many seconds deliveries that came with a channel are remembered: this instance may commit one of them in the
#: moment in which it is given the channel, and would send it twice.
REMEMBERED: Seconds = 60.0


class Duty:
    """
    Knows the channels that this instance sends through: all of them, unless several instances share them.

    :param seconds: a clock that never goes back.
    """

    def __init__(self, seconds: Callable[[], Seconds]) -> None:
        self._seconds = seconds
        self._owned: set[str] | None = None
        self._alive: Callable[[], bool] = lambda: True
        self._orphans: set[str] = set()
        self._given: dict[tuple[str, str], Seconds] = {}

    @property
    def shared(self) -> bool:
        """Whether several instances share the channels."""
        return self._owned is not None

    @property
    def owned(self) -> frozenset[str]:
        """The channels, where several instances share them."""
        return frozenset(self._owned or ())

    def share(self, alive: Callable[[], bool]) -> None:
        """
        Send through no channel until :meth:`gain`.

        :param alive: whether a message may be sent now.
        """
        self._owned, self._alive = set(), alive

    def alive(self) -> bool:
        """Whether a message may be sent now."""
        return self._alive()

    def owns(self, channel: str) -> bool:
        """Whether this instance sends through the channel."""
        return self._owned is None or channel in self._owned

    def sends(self, channel: str) -> bool:
        """Whether this instance sends through the channel now."""
        return self.owns(channel) and self._alive()

    def gain(
        self, channels: Collection[str], unlisted: Collection[str] = (), deliveries: Iterable[Delivery] = ()
    ) -> None:
        """
        Send through these as well.

        :param unlisted: those of them that no instance has configured.
        :param deliveries: what is pending there.
        """
        assert self._owned is not None
        self._owned.update(channels)
        self._orphans.update(set(channels).intersection(unlisted))
        now = self._seconds()
        self._given = {key: at for key, at in self._given.items() if at > now - REMEMBERED}
        self._given.update(dict.fromkeys(map(_key, deliveries), now))

    def leave(self, channels: Collection[str]) -> None:
        """Send through these no longer."""
        if self._owned is not None:
            self._owned.difference_update(channels)
        self._orphans.difference_update(channels)
        self._given = {key: at for key, at in self._given.items() if key[1] not in channels}

    def orphans(self, configured: Collection[str]) -> frozenset[str] | None:
        """The channels given to this instance that no instance has configured; None if all others are not."""
        self._orphans.difference_update(configured)
        return None if self._owned is None else frozenset(self._orphans)

    def takes(self, delivery: Delivery, *, fresh: bool = False) -> bool:
        """
        Whether this instance sends a delivery that was committed just now.

        :param fresh: whether it is sent again.
        """
        if self._owned is None:
            return True
        return delivery.channel in self._owned and (fresh or _key(delivery) not in self._given)


def _key(delivery: Delivery) -> tuple[str, str]:
    return delivery.alert.id, delivery.channel
