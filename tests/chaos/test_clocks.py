"""Clocks that are an hour off change nothing: all instances judge by the database's (contract, section 8)."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests import postgres
from tests.acceptance.process import until
from tests.chaos.account import Account, table
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Script

HOUR = 3600


class ClockTests(TestCase):
    skip = postgres.missing()
    timeout = 300

    async def test_skew(self) -> None:
        cluster = Cluster(self, 3, tasks=24)
        cluster.instances["b"].environ["CHAOS_SKEW"] = str(HOUR)
        cluster.instances["c"].environ["CHAOS_SKEW"] = str(-HOUR)
        script = Script(cluster, 3, ["kill"])
        await cluster.start()
        await script.run(lambda: len(script.faults) < 1)
        both = {"failed", "ok"}
        await until(lambda: both <= {receipt.kind for receipt in cluster.sink.receipts}, "both kinds of alerts", 60)
        await cluster.finish()
        account = Account(cluster, script.faults)
        await account.settle()
        print(f"\n{table([account])}", flush=True)
        self.assertEqual(account.breaches, {})
        about_tasks = [receipt for receipt in cluster.sink.receipts if receipt.task]
        # Each alert has the right time, and none is about a report that seems old or from the future.
        self.assertEqual([receipt for receipt in about_tasks if not -2 < receipt.off < 60], [])
        self.assertEqual({receipt.kind for receipt in about_tasks}, both)
