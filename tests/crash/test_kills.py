"""
The delivery promise (contract, section 4) under SIGKILL: at every step of an alert, and at random.

``CRASH_KILLS`` sets the number of kills (an ordinary run has a few dozen), ``CRASH_SEED`` repeats the scripts and
moments of an earlier run, as far as the machine's timing allows. ``make crash`` is the long run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from random import Random, randrange

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.acceptance.process import PATIENCE
from tests.crash.launcher import STARTS, STEPS, STOPS
from tests.crash.services import (
    AlertmanagerApi,
    AppriseTarget,
    HipChat,
    MailServer,
    PagerDutyApi,
    Receiver,
    SentryApi,
    WebApi,
    Webhook,
)
from tests.crash.truth import Account
from tests.crash.world import World

KILLS = int(os.environ.get("CRASH_KILLS", "36"))
SEED = int(os.environ.get("CRASH_SEED", "0")) or randrange(1, 2**31)


POINTS = {*STEPS, *STARTS, *STOPS}

#: The steps from the sending of an alert to the record that it was sent.
SENDING = STEPS[STEPS.index("send") : STEPS.index("settled-in-file")]


def places(random: Random) -> Iterator[str]:
    """Yield where each life ends: at every point in turn, and each third one anywhere."""
    while True:
        points = sorted(POINTS)
        random.shuffle(points)
        for number, point in enumerate(points):
            yield f"{point}:{random.randint(1, 8) if point in STEPS else 1}"
            if number % 2:
                yield ""


class KillTests(TestCase):
    timeout = 300 + 10 * KILLS

    async def test_nothing_is_lost(self) -> None:
        print(f"CRASH_SEED={SEED} CRASH_KILLS={KILLS}", end=" ", flush=True)
        random = Random(SEED)
        worlds = [
            World(self, random.getrandbits(32), (WebApi, HipChat), 0),
            World(self, random.getrandbits(32), (Webhook, HipChat), 0.2),
        ]
        turns = places(random)
        await gatherResults(
            [Deferred.fromCoroutine(self.run_world(world, worlds, turns)) for world in worlds], consumeErrors=True
        )
        accounts = [Account(world) for world in worlds]
        figures: Counter[str] = Counter()
        for account in accounts:
            figures.update(account.figures())
        print("; ".join(f"{count} {name}" for name, count in figures.items()), end=" ", flush=True)
        reached = Counter(where for world in worlds for where in world.kills)
        print(dict(reached), end=" ", flush=True)
        self.assertEqual(wrong := [wrong for account in accounts for wrong in account.wrong], [], "\n".join(wrong))
        self.assertGreater(figures["repeats"], 0)
        self.assertGreater(figures["replies"], 0)
        self.assertEqual(POINTS - reached.keys(), set())

    async def test_each_other_channel(self) -> None:
        """Killed at each step from the sending of an alert to its settling, with one channel each."""
        random = Random(SEED)
        kinds = (SentryApi, Receiver, PagerDutyApi, AlertmanagerApi, MailServer, AppriseTarget)
        worlds = [World(self, random.getrandbits(32), (kind,), 0) for kind in kinds]
        await gatherResults([Deferred.fromCoroutine(self.kill_from_send_to_settle(world)) for world in worlds])
        for world in worlds:
            account, channel = Account(world), world.services[0].channel
            print(f"{channel}: {account.figures()}", end=" ", flush=True)
            self.assertEqual(account.wrong, [])
            self.assertLessEqual(set(SENDING), set(world.kills))
            # Of an alert that was sent and not settled.
            self.assertGreater(account.repeats, 0, channel)

    async def kill_from_send_to_settle(self, world: World) -> None:
        for point in SENDING:
            # On a slow machine a life may end before it gets there.
            while point not in world.kills:
                await world.live(f"{point}:{world.random.randint(1, 4)}")
        await world.finish()

    async def run_world(self, world: World, worlds: list[World], turns: Iterator[str]) -> None:
        while sum(len(each.kills) for each in worlds) < KILLS:
            place = next(turns)
            point = place.partition(":")[0]
            if place:
                stop = point in STOPS
                await world.live(place, world.random.uniform(0, 1) if stop else PATIENCE, work=stop, stop=stop)
            elif world.random.random() < 0.3:
                await world.live(span=world.random.uniform(0, 1))
            else:
                await world.live(span=world.random.uniform(0, 2), work=True, stop=world.random.random() < 0.2)
        await world.finish()
