"""
The fence in the database: with it, an instance that does not watch the end of its lease writes nothing after it.
Without it, the audit finds stale writes: the control of this test, and of :mod:`tests.chaos.test_chaos`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests import postgres
from tests.acceptance.process import pause
from tests.chaos.account import Account, table
from tests.chaos.cluster import Cluster

#: How long the instances run at least, in seconds: three times the pause between two renewals.
SPAN = 12.0

#: How long the control may take to write what is stale, on a busy machine.
PATIENCE = 120.0


class FenceTests(TestCase):
    skip = postgres.missing()
    timeout = 300

    async def test_fence(self) -> None:
        _, unfenced = clusters = [Cluster(self, 1 + number, number=number) for number in range(2)]
        unfenced.instances["c"].environ["CHAOS_UNFENCED"] = "yes"
        try:
            await together(self.weaken(cluster) for cluster in clusters)
            await pause(SPAN)
            deadline = reactor.seconds() + PATIENCE
            while not await unfenced.sql("SELECT 1 FROM audit.stale WHERE what = 'check'"):
                self.assertLess(reactor.seconds(), deadline, "the control has written nothing stale")
                await pause(1)
            await together(cluster.finish() for cluster in clusters)
        finally:
            for cluster in clusters:
                cluster.write_logs()
        accounts = [Account(cluster, []) for cluster in clusters]
        for account in accounts:
            await account.settle()
            print(f"\n{table([account])}", flush=True)
        for what in ("stale checks written", "stale settlements written", "broken sequences", "flips without an alert"):
            self.assertEqual(accounts[0].wrong[what], [])
        self.assertNotEqual(accounts[1].wrong["stale checks written"], [])

    async def weaken(self, cluster: Cluster) -> None:
        """Start three instances, one of which renews its lease too late."""
        await cluster.start()
        cluster.instances["c"].signal("USR2")


async def together(steps: Iterable[Coroutine[Deferred[Any], Any, object]]) -> None:
    """Await all of them at once."""
    await gatherResults([Deferred.fromCoroutine(step) for step in steps], consumeErrors=True)
