"""
The fence in the database: with it, an instance that does not watch the end of its lease writes nothing after it.
Without it, the audit finds stale writes: the control of this test, and of :mod:`tests.chaos.test_chaos`.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests import postgres
from tests.acceptance.process import pause
from tests.chaos.account import Account, table
from tests.chaos.cluster import Cluster

#: How long the instances run, in seconds.
SPAN = 20.0


class FenceTests(TestCase):
    skip = postgres.missing()
    timeout = 300

    async def test_fence(self) -> None:
        fenced, unfenced = await gatherResults(
            [Deferred.fromCoroutine(self.run_cluster(number, fence)) for number, fence in enumerate((True, False))],
            consumeErrors=True,
        )
        for account in (fenced, unfenced):
            print(f"\n{table([account])}", flush=True)
        for what in ("stale checks written", "stale settlements written", "broken sequences", "flips without an alert"):
            self.assertEqual(fenced.wrong[what], [])
        self.assertNotEqual(unfenced.wrong["stale checks written"], [])

    async def run_cluster(self, number: int, fence: bool) -> Account:
        """Run three instances, one of which renews its lease too late."""
        cluster = Cluster(self, 1 + number, number=number)
        late = cluster.instances["c"]
        if not fence:
            late.environ["CHAOS_UNFENCED"] = "yes"
        try:
            await cluster.start()
            late.signal("USR2")
            await pause(SPAN)
            await cluster.finish()
        finally:
            cluster.write_logs()
        account = Account(cluster, [])
        await account.settle()
        return account
