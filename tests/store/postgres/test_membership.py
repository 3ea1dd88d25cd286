"""Instances that join, leave, die, and take over from each other (contract, section 8, "Several machines")."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from pypinger.domain.model import Delivery, TaskState
from tests import postgres
from tests.store.postgres.members import Crowd, alert, check, keys, listing, sleep, task, until


class MembershipTests(TestCase):
    skip = postgres.missing()
    timeout = 120

    def setUp(self) -> None:
        self.crowd = Crowd(self, postgres.database(self))

    async def test_a_lone_instance_owns_everything_when_it_opens(self) -> None:
        a = self.crowd.join("a", listing(30))
        self.assertEqual(a.states, dict.fromkeys(keys(30), TaskState()))
        self.assertEqual(a.channels, {"slack", "email"})
        self.assertTrue(a.store.alive())
        self.assertEqual((a.store.name, a.store.owner(task(3).key)), ("a", "a"))
        await until(lambda: a.instances)
        (instance,) = a.instances
        self.assertEqual((instance.name, instance.digest), ("a", "d"))

    async def test_a_second_instance_gets_its_share(self) -> None:
        a = self.crowd.join("a", listing(300))
        state = TaskState(pings=7)
        for number in range(300):
            a.store.note(task(number), state, check())
        b = self.crowd.join("b", listing(300))
        await until(lambda: len(a.states) + len(b.states) == 300 and len(b.states) > 100)
        self.assertFalse(a.states.keys() & b.states.keys())
        self.assertEqual({state.pings for state in b.states.values()}, {7})
        key = next(iter(b.states))
        await until(lambda: a.store.owner(key) == "b")
        await until(lambda: key in a.seen and a.seen[key].owner == "b")
        self.assertEqual(a.seen[key].state.pings, 7)

    async def test_a_clean_stop_hands_over_at_once(self) -> None:
        a = self.crowd.join("a", listing(50))
        b = self.crowd.join("b", listing(50))
        await until(lambda: len(a.states) + len(b.states) == 50 and b.states)
        await a.store.close()
        await until(lambda: len(b.states) == 50 and len(b.channels) == 2, 3.0)
        self.assertNotIn("lost", b.words())

    async def test_deliveries_reach_the_owner_of_the_channel(self) -> None:
        a = self.crowd.join("a", listing(50))
        b = self.crowd.join("b", listing(50))
        await until(lambda: len(a.states) + len(b.states) == 50 and len(a.channels) + len(b.channels) == 2 and b.states)
        for number in range(50):
            key = task(number).key
            writer = a if key in a.states else b
            sent = [Delivery(alert(f"{number}"), name) for name in ("slack", "email")]
            self.assertTrue(await writer.store.commit(task(number), TaskState(pings=1), check(), sent))
            for each in sent:
                if each.channel in writer.channels:
                    writer.pending[each.alert.id, each.channel] = each
        await until(lambda: len(a.pending) + len(b.pending) == 100, 10)
        await sleep(2)
        self.assertEqual(len(a.pending) + len(b.pending), 100)
