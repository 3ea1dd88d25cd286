"""The instances that share the tasks, as this one shows them (contract, section 8, "Several machines")."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pypinger.domain.model import Instant
from pypinger.ports.sharing import Instance
from pypinger.ports.showing import Sharing


class Members:
    """
    Knows the instances, and whether this one has a lease.

    :param name: returns the name of this instance.
    """

    def __init__(self, name: Callable[[], str]) -> None:
        self._name = name
        self._present: tuple[Instance, ...] = ()
        self._known = False
        self._away: Instant | None = None
        self._words = ""

    @property
    def name(self) -> str:
        """The name of this instance."""
        return self._name()

    @property
    def present(self) -> bool:
        """Whether this instance has a lease, and knows the others or has tasks."""
        return self._known and self._away is None

    @property
    def others(self) -> list[Instance]:
        """The other instances."""
        return [each for each in self._present if each.name != self._name()]

    @property
    def away(self) -> Instant | None:
        """Since when this instance has had no lease; None while it has one."""
        return self._away

    def know(self) -> None:
        """This instance has been given tasks: it need not know the others to be one of them."""
        self._known = True

    def update(self, present: Sequence[Instance]) -> None:
        """Show these instances."""
        self._known = True
        self._present = tuple(sorted(present, key=lambda each: each.name))

    def lost(self, now: Instant, words: str) -> None:
        """The lease is lost."""
        self._away, self._words = now if self._away is None else self._away, words

    def joined(self) -> None:
        """There is a new lease."""
        self._away, self._words = None, ""

    def trouble(self) -> str | None:
        """Return a line about the database while it is away, or None."""
        return None if self._away is None else f"blind: {self._words}"

    def shown(self) -> Sharing:
        """Return what pages show."""
        return Sharing(self._name(), self._present, self._away, self._words)
