"""What happens to work that was begun with a lease and ends without."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from pypinger.ports.sharing import LeaseLost


def unless_lost(report: Callable[[Failure], object]) -> Callable[[Failure], None]:
    """Return an errback that reports failures, but for a lost lease: that is known, and another instance continues."""

    def errback(failure: Failure) -> None:
        if not failure.check(LeaseLost):
            report(failure)

    return errback
