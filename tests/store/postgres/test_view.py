"""What an instance makes of the others' rows."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.ports.sharing import InstanceListing
from pypinger.store.postgres import membership
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.membership import InstanceRow
from pypinger.store.postgres.view import Keys, MemberView, applicant, foreseen
from tests import postgres
from tests.store.postgres import emptied

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


class ForeseenTests(SynchronousTestCase):
    """What an instance is to own is known before it joins."""

    skip = postgres.missing()

    def setUp(self) -> None:
        self.connection = connect(emptied.database(), "test")
        self.addCleanup(self.connection.close)
        self.listing = InstanceListing(frozenset(f"http://host/{number}" for number in range(50)), frozenset("cd"))
        self.join("a")

    def join(self, name: str, *gone: str) -> None:
        buried = {row.id: row.until for row in membership.rows(self.connection) if row.id in gone}
        membership.join(self.connection, f"id-{name}", applicant(name, self.listing), buried)

    def looks_again(self, view: MemberView, name: str) -> bool:
        """Whether the view looks at the members anew; they list what is known."""
        return view.update(membership.rows(self.connection), name, lambda row: self.fail(f"{row} is read"))

    def test_all_as_foreseen(self) -> None:
        view = foreseen(self.connection, applicant("b", self.listing), self.listing, ())
        self.join("b")
        self.assertFalse(self.looks_again(view, "b"))
        other = MemberView()
        other.update(membership.rows(self.connection), "b", lambda row: membership.listing_of(self.connection, row))
        self.assertTrue(view.wanted.tasks)
        self.assertEqual((view.wanted, view.listed), (other.wanted, other.listed))

    def test_one_that_is_to_be_buried(self) -> None:
        view = foreseen(self.connection, applicant("b", self.listing), self.listing, ["id-a"])
        self.join("b", "id-a")
        self.assertFalse(self.looks_again(view, "b"))
        self.assertEqual(view.wanted, (self.listing.tasks, self.listing.channels))

    def test_one_that_joins_meanwhile(self) -> None:
        view = foreseen(self.connection, applicant("b", self.listing), self.listing, ())
        self.join("c")
        self.join("b")
        before = view.wanted.tasks
        self.assertTrue(self.looks_again(view, "b"))
        self.assertLess(view.wanted.tasks, before)
