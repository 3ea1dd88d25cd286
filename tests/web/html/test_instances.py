"""What the pages say of the instances that share the tasks."""

from collections.abc import Sequence

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.ports.sharing import Instance
from pypinger.ports.showing import DaemonState, Entry, LastAnswer, Sharing
from tests.web.browser import Page, overview, task_page
from tests.web.fakes import NOW, daemon_state, entry, instance, new_entry

TWO = (instance("a"), instance("b"))


def shared(members: Sequence[Instance] = TWO, **changes: object) -> DaemonState:
    """Py Pinger as instance ``a`` shows it."""
    return daemon_state(sharing=Sharing("a", tuple(members), **changes))  # type: ignore[arg-type]


def owned(owner: str | None, made: Entry | None = None) -> Entry:
    return replace(made or entry("http://h/one"), owner=owner)


class PanelTests(SynchronousTestCase):
    def text(self, *members: Instance, **changes: object) -> str:
        page = Page(overview([owned("a")], shared(members, **changes)))
        self.assertEqual(page.open, [])
        return page.text

    def test_single_machine(self) -> None:
        page = Page(overview([entry("http://h/one")]))
        self.assertNotIn("instance", page.text)
        self.assertNotIn("./?by=instance", page.links())

    def test_all_is_well(self) -> None:
        found = self.text(instance("b"), instance("a"))
        self.assertIn("2 instancesa (this one) watches 2 tasks, b 2", found)
        self.assertIn("bfinewatches 2 taskssends through slacksince 21:28:34 UTC (1 h)", found)

    def test_alone(self) -> None:
        self.assertIn("1 instancea (this one) watches 2 tasks, alone", self.text(instance("a")))

    def test_many(self) -> None:
        found = self.text(instance("a"), *(instance(f"b{number}") for number in range(4)))
        self.assertIn("5 instanceswatch 10 tasks together", found)

    def test_troubles(self) -> None:
        disk = "the store is <full>"
        found = self.text(
            instance("a"),
            instance("b", digest="two", blind=NOW - 120),
            instance("c", status=Status.ERROR, explanation=disk),
            instance("d", digest="three", version="3.0"),
        )
        self.assertIn(
            "4 instancesinstance b is blind for 2 min and reads another ini file; instance c is in trouble; "
            "instance d reads another ini file",
            found,
        )
        self.assertIn("cin trouble: the store is <full>", found)
        self.assertIn("version 3.0reads another ini file", found)
        self.assertNotIn("version", self.text(*TWO))

    def test_hostile_name(self) -> None:
        found = Page(overview([owned("<b>")], shared([instance("a"), instance("<b>\u202e")])))
        self.assertEqual(found.open, [])
        self.assertIn("<b>", found.text)
        self.assertNotIn("\u202e", found.text)

    def test_groups(self) -> None:
        entries = [owned("a", entry("http://h/1")), owned("b", entry("http://h/2", Kind.LATE)), owned(None)]
        page = Page(overview(entries, shared(), query="by=instance"))
        titles = [attrs["id"] for tag, attrs in page.elements if tag in ("section", "details") and "id" in attrs]
        links = [link for link in page.links() if link.startswith("./?by=instance#")]
        # The panel links to the groups of its instances.
        self.assertEqual({link.partition("#")[2] for link in links} - set(titles), set())
        self.assertEqual(len(links), 2)
        self.assertIn("No instance 1", page.text)


class AwayTests(SynchronousTestCase):
    def test_overview(self) -> None:
        daemon = replace(shared(away=NOW - 90, words="db <1> refuses"), blind=NOW - 90, status=Status.ERROR)
        daemon = replace(daemon, explanation="blind: db <1> refuses")
        page = Page(overview([owned("a", entry("http://h/late", Kind.LATE))], daemon))
        self.assertEqual(page.open, [])
        self.assertIn(
            "The database is awayPy Pinger has had no contact with it for 1 min (since 22:27:04 UTC)", page.text
        )
        self.assertIn("The last known states are shown: 1 of 1 task in trouble.", page.text)
        self.assertIn("a (this one)has no databasewatches", page.text)
        self.assertIn("bnot knownwatches", page.text)
        self.assertIn("(since 22:27:04 UTC): db <1> refuses. Without it instance a checks no task", page.text)
        self.assertIn("as last known: a (this one) watches 2 tasks, b 2", page.text)
        self.assertIn("blind was late", page.text)
        # The reason stands there once.
        self.assertEqual(page.text.count("refuses"), 1)

    def test_tasks_not_seen_since(self) -> None:
        late = replace(entry("http://h/late", Kind.LATE), unseen=NOW - 60)
        daemon = replace(shared(away=NOW - 90), blind=NOW - 90)
        self.assertIn("1 of 1 task in trouble.", Page(overview([late], daemon)).text)

    def test_task_page(self) -> None:
        daemon = replace(shared(away=NOW - 90), blind=NOW - 90)
        page = Page(task_page(owned("a"), daemon=daemon))
        self.assertEqual(page.open, [])
        self.assertIn("The database is away for 1 min (since 22:27:04 UTC). Without it instance a checks", page.text)


class TaskPageTests(SynchronousTestCase):
    def test_watched_here(self) -> None:
        page = Page(task_page(owned("a"), daemon=shared()))
        self.assertIn("Instancea (this one)", page.text)
        self.assertIn("From before this start of Py Pinger", page.text)
        self.assertNotIn("Instance", Page(task_page(entry())).text)

    def test_watched_elsewhere(self) -> None:
        page = Page(task_page(owned("b"), daemon=shared()))
        self.assertIn("Instanceb", page.text)
        words = "Instance b watches this task. The latest answer is on its page there."
        self.assertIn(words, page.text)
        self.assertIn("Last valid report", page.text)
        new = Page(task_page(owned("b", new_entry()), daemon=shared()))
        self.assertEqual(new.open, [])
        self.assertIn(f"Latest answer{words}", new.text)

    def test_own_answer_of_before(self) -> None:
        answer = LastAnswer(NOW - 600, 200, b"what it said", False)
        page = Page(task_page(owned("b"), answer=answer, daemon=shared()))
        self.assertIn("what it said", page.text)
        self.assertNotIn("is on its page there", page.text)

    def test_watched_by_none(self) -> None:
        self.assertIn("Instancenone at the moment", Page(task_page(owned(None), daemon=shared())).text)
