"""
``twistd`` for the chaos tests: it retries failed messages fast, and environment variables weaken it.

``CHAOS_SKEW``
    the error of the wall clock in seconds.
``CHAOS_UNFENCED``
    any text: the fence is off from SIGUSR2 on. The control: see :mod:`tests.chaos.test_fence`.

After SIGUSR2 the lease of the instance ends before it knows, so that the fence alone keeps it from writing.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import psycopg

#: Seconds between two renewals of a weakened instance, and for which it gets a lease, while it relies on 5 s.
SELDOM = 4.0
BRIEFLY = 0.3


def skew(seconds: float) -> None:
    """Make the wall clock wrong."""
    real = time.time
    time.time = lambda: real() + seconds


def hurry() -> None:
    """Retry failed messages soon."""
    from pypinger.domain import backoff

    backoff.SHORTEST, backoff.LONGEST, backoff.LONGEST_ASKED = 0.1, 0.5, 0.5


def weaken(*_: object) -> None:
    """Renew the lease too seldom and too briefly, without noticing."""
    from pypinger.store.postgres import beats, lease, membership

    renew = membership.renew

    def renew_briefly(connection: psycopg.Connection, me: str, *values: Any, **more: Any) -> float | None:
        now = renew(connection, me, *values, **more)
        until = f"clock_timestamp() + interval '{BRIEFLY} s'"
        connection.execute(f"UPDATE instance SET until = {until} WHERE id = %s", (me,))
        return now

    membership.renew = renew_briefly
    beats.BEAT = SELDOM
    # What others do about the lease that ended is not noticed at once either.
    beats.Beats.soon = lambda _: None  # type: ignore[method-assign]
    if "CHAOS_UNFENCED" in os.environ:
        lease.FENCED = False


def run() -> None:
    """Run ``twistd`` with the command line's arguments."""
    if "CHAOS_SKEW" in os.environ:
        skew(float(os.environ["CHAOS_SKEW"]))
    hurry()
    signal.signal(signal.SIGUSR2, weaken)
    from twisted.scripts import twistd

    twistd.run()


if __name__ == "__main__":
    run()
