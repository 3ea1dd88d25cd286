"""
``twistd`` for the chaos tests: it retries failed messages fast, and environment variables weaken it.

``CHAOS_SKEW``
    the error of the wall clock in seconds.
``CHAOS_UNFENCED``
    any text: the fence is off from SIGUSR2 on. The control: see :mod:`tests.chaos.test_fence`.

After SIGUSR2 the instance renews its lease too late and does not notice, so that the fence alone keeps it from writing.
"""

from __future__ import annotations

import os
import signal
import sys
import time

#: Seconds between two renewals that come too late.
LATE = 9.0


def skew(seconds: float) -> None:
    """Make the wall clock wrong."""
    real = time.time
    time.time = lambda: real() + seconds


def hurry() -> None:
    """Retry failed messages soon."""
    from pypinger.domain import backoff

    backoff.SHORTEST, backoff.LONGEST, backoff.LONGEST_ASKED = 0.1, 0.5, 0.5


def weaken(*_: object) -> None:
    """Renew the lease too late, without noticing."""
    from pypinger.store.postgres import lease

    for name, module in list(sys.modules.items()):
        if name.startswith("pypinger.store.postgres.") and hasattr(module, "BEAT"):
            module.BEAT = LATE
    lease.Lease.alive = lambda self: not self.over
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
