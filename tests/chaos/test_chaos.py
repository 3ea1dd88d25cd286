"""
The promise for several machines (contract, section 8) under kills, stops, cuts and outages, with three instances.

``CHAOS_EVENTS`` sets the number of faults, ``CHAOS_KINDS`` their kinds (:data:`tests.chaos.faults.KINDS`), and
``CHAOS_SEED`` repeats those of an earlier run, as far as the timing of the machine allows.
``make chaos`` is the long run.
"""

from __future__ import annotations

import os
from random import Random, randrange

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests import postgres
from tests.chaos import network
from tests.chaos.account import Account, table
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Script

EVENTS = int(os.environ.get("CHAOS_EVENTS", "4"))
KINDS = os.environ.get("CHAOS_KINDS", "").split()
SEED = int(os.environ.get("CHAOS_SEED", "0")) or randrange(1, 2**31)

#: A run of so many faults has three clusters side by side, one of them on machines.
LONG = 20


class ChaosTests(TestCase):
    skip = postgres.missing()
    timeout = 300 + 30 * EVENTS

    async def test_nothing_is_lost(self) -> None:
        random = Random(SEED)
        apart = network.missing() is None
        print(f"CHAOS_SEED={SEED} CHAOS_EVENTS={EVENTS} {network.missing() or 'with machines'}", flush=True)
        clusters = [
            Cluster(self, random.getrandbits(32), number=number, machines=apart and not number)
            for number in range(3 if EVENTS >= LONG else 1)
        ]
        scripts = [Script(cluster, random.getrandbits(32), KINDS) for cluster in clusters]
        try:
            await gatherResults(
                [Deferred.fromCoroutine(self.run_script(each, scripts)) for each in scripts], consumeErrors=True
            )
        finally:
            for script in scripts:
                script.cluster.write_logs()
                script.cluster.write("faults.txt", script.faults)
        accounts = [Account(script.cluster, script.faults) for script in scripts]
        for account in accounts:
            await account.settle()
        print(f"\n{table(accounts)}", flush=True)
        for account in accounts:
            words = (f"{what}: {each}" for what, found in account.wrong.items() for each in found)
            account.cluster.write("wrong.txt", words)
        wrong = {what: words[:5] for account in accounts for what, words in account.breaches.items()}
        self.assertEqual(wrong, {})

    async def run_script(self, script: Script, scripts: list[Script]) -> None:
        await script.cluster.start()
        await script.run(lambda: sum(len(each.faults) for each in scripts) < EVENTS)
        await script.cluster.finish()
