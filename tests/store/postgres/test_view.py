"""What an instance makes of the others' rows."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.store.postgres.membership import InstanceRow
from pypinger.store.postgres.view import Keys, MemberView

KEYS: Keys = (frozenset("tu"), frozenset("c"))


def row(name: str, listed: str = "one") -> InstanceRow:
    return InstanceRow(name, name, 0.0, "later", False, 6.0, "", "digest", listed, False, "{}")


class ViewTests(SynchronousTestCase):
    def test_an_instance_that_leaves_while_it_is_looked_at(self) -> None:
        read = {"a": KEYS, "z": None}
        view = MemberView()
        for rows in ([row("z"), row("a")], [row("a"), row("z")], [row("a")]):
            view.update(rows, "a", lambda each: read[each.id])
        self.assertEqual(view.wanted, KEYS)

    def test_an_instance_that_cannot_be_read_is_read_again(self) -> None:
        view = MemberView()
        rows = [row("a"), row("b", "other")]
        self.assertTrue(view.update(rows, "a", lambda each: KEYS if each.id == "a" else None))
        self.assertEqual(view.wanted, KEYS)
        more: Keys = (frozenset("x"), frozenset())
        self.assertTrue(view.update(rows, "a", lambda each: more))
        self.assertEqual(view.listed[0], frozenset("tux"))
        self.assertFalse(view.update(rows, "a", lambda each: more))
