"""
Attempts to use the database, in the writer's thread.

Note [Attempts]
~~~~~~~~~~~~~~~
While the database is away, the writer's thread tries again until the lease is over, so that a short restart loses
nothing. It connects anew, and asks ``instance.written`` whether a transaction was committed after all. Then the lease
is ended, and all that was to be written is dropped: another instance may have taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psycopg

from pypinger.domain.model import Seconds
from pypinger.ports.sharing import LeaseLost
from pypinger.ports.storing import StoreError
from pypinger.store.postgres.connection import words_of
from pypinger.store.postgres.lease import Lease
from pypinger.store.postgres.link import Link
from pypinger.store.postgres.refused import REFUSED
from pypinger.store.postgres.tables import Stale

T = TypeVar("T")

#: Seconds between two attempts, at first and at most.
PAUSE: Seconds = 0.05
LONGEST_PAUSE: Seconds = 0.5


class Attempts:
    """
    Runs transactions for a lease.

    :ivar lease: the present lease.
    :ivar trouble: why the latest attempt failed; empty if it did not.
    """

    def __init__(self, url: str, name: str) -> None:
        self.link = Link(url, f"{name} writes")
        self.lease = Lease("", name, 0.0)
        self.lease.end("it has not joined yet")
        self.trouble = ""

    def begin(self, lease: Lease) -> None:
        """Run for a new lease."""
        self.lease, self.trouble = lease, ""

    def check(self, lease: Lease) -> None:
        """
        Make sure that a lease is the present one.

        :raises LeaseLost: it is over.
        """
        if lease is not self.lease or not lease.alive():
            lease.end(self.trouble or "the lease of this instance ran out")
            raise LeaseLost(lease.words)

    def run(self, lease: Lease, act: Callable[[psycopg.Connection], T]) -> T:
        """
        Do something with the connection: see Note [Attempts]. It may be done twice.

        :raises LeaseLost: the lease is over.
        """
        pause = PAUSE
        while True:
            self.check(lease)
            try:
                result = act(self.link.connection())
            except Stale as error:
                lease.end(str(error))
                raise LeaseLost(lease.words) from error
            except (psycopg.Error, StoreError) as error:
                self.trouble = words_of(error, self.link.url)
                if not isinstance(error, (psycopg.errors.DeadlockDetected, *REFUSED)):
                    self.link.drop()
            else:
                self.trouble = ""
                return result
            lease.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
