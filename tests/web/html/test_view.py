from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import parse_qs

from pypinger.domain.kinds import Kind
from pypinger.ports.showing import Entry
from pypinger.web.html.storms import LISTED
from pypinger.web.html.view import MAX_SEARCH, ORDERS, PAGE, TITLES, View, read, select
from tests.web.fakes import NOW, SILENCED, acknowledged, entry, new_entry, with_incident


def ids(entries: list[Entry]) -> list[str]:
    return [each.task.url.rpartition("/")[2] for each in entries]


class ReadTests(SynchronousTestCase):
    def test_members(self) -> None:
        arguments = {b"q": [b" two  words "], b"status": [b"ok", b"error"], b"by": [b"server"], b"page": [b"3"]}
        self.assertEqual(read(arguments), View("two words", "error", "server", 3))

    def test_invalid_values_are_ignored(self) -> None:
        for page in (b"0", b"-1", b"x", b"\xc2\xb2", b"9999999", b""):
            arguments = {b"q": [b"\xff" + b"x" * 999], b"status": [b"fine"], b"by": [b"colour"], b"page": [page]}
            seen = read(arguments)
            self.assertEqual((seen.status, seen.by, seen.page, len(seen.search)), ("", "", 1, MAX_SEARCH))
        self.assertEqual(read({}), View())

    @settings(deadline=None, max_examples=100)
    @given(
        st.builds(
            View,
            st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), max_size=20),
            st.sampled_from(["", *TITLES]),
            st.sampled_from(["", "server", "process"]),
            st.integers(1, 99_999),
            st.sampled_from(["", *ORDERS]),
            st.booleans(),
            st.sampled_from(["", "0123abcd"]),
        )
    )
    def test_round_trip_of_links(self, view: View) -> None:
        arguments = parse_qs(view.link.encode("ascii").partition(b"?")[2])
        self.assertEqual(read(arguments), view)

    def test_links(self) -> None:
        self.assertEqual(View().link, "./")
        view = View("a&b", "sleeping", "process", 4)
        self.assertEqual(view.link, "./?q=a%26b&status=sleeping&by=process&page=4")
        self.assertEqual(view.with_status("").link, "./?q=a%26b&by=process")
        self.assertEqual(view.with_grouping("").link, "./?q=a%26b&status=sleeping")
        view = View(sort="name", wall=True, storm="0123abcd")
        self.assertEqual(view.link, "./?sort=name&view=wall&storm=0123abcd")
        self.assertEqual(view.with_sort("due").link, "./?sort=due&view=wall&storm=0123abcd")


class SelectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.entries = [
            entry("http://h/1", name="One", server="b", process="x"),
            entry("http://h/2", Kind.LATE, name="Two", server="c", process="x"),
            new_entry("http://h/3"),
            entry("http://h/4", Kind.SLEEPING, name="Four", server="A", process=None),
            entry("http://h/5", Kind.FAILED, name="Five", server="b", process="y"),
        ]

    def test_trouble_first_and_stable(self) -> None:
        self.assertEqual(ids(select(self.entries, View()).entries), ["2", "5", "4", "1", "3"])

    def test_search(self) -> None:
        for search, found in (
            ("TWO", ["2"]),
            ("a\N{LATIN SMALL LETTER SHARP S}", []),
            ("h/3", ["3"]),
            ("late explained", ["2"]),
            ("nothing", []),
        ):
            view = View(search)
            selection = select([each for each in self.entries if view.finds(each)], view)
            self.assertEqual(ids(selection.entries), found, search)
            self.assertEqual(sum(selection.counts.values()), len(found))

    def test_search_does_not_see_the_query_of_a_url(self) -> None:
        self.assertFalse(View("s3cret").finds(entry("http://h/a?key=s3cret")))

    def test_status(self) -> None:
        selection = select(self.entries, View(status="error"))
        self.assertEqual(ids(selection.entries), ["2", "5"])
        self.assertEqual(selection.counts["ok"], 1)
        self.assertEqual(selection.total, 2)

    def test_grouping(self) -> None:
        groups = select(self.entries, View(by="server")).groups
        self.assertEqual([group.title for group in groups], ["b", "c", "No server", "A"])
        self.assertEqual([group.trouble for group in groups], [1, 1, 0, 0])
        self.assertEqual(ids(list(groups[0].entries)), ["5", "1"])
        self.assertEqual([group.folded for group in groups], [False, False, False, True])
        self.assertEqual(len({group.key for group in groups}), 4)
        groups = select(self.entries, View(by="process")).groups
        self.assertEqual([group.title for group in groups], ["x", "y", "No process"])

    def test_grouping_by_group(self) -> None:
        entries = [
            replace(each, task=replace(each.task, group=group))
            for each, group in zip(self.entries, ("billing", "", "Shop", "", ""), strict=False)
        ]
        groups = select(entries, View(by="group")).groups
        self.assertEqual({group.title for group in groups}, {"billing", "Shop", "No group"})

    def test_newest_trouble_first(self) -> None:
        entries = [
            Entry(each.task, replace(each.state, since=since))
            for each, since in zip(self.entries, (1.0, 2.0, None, 3.0, 4.0), strict=True)
        ]
        for sort, order in (
            ("", ["5", "2", "4", "1", "3"]),
            ("oldest", ["2", "5", "4", "1", "3"]),
            ("name", ["5", "4", "3", "1", "2"]),
        ):
            self.assertEqual(ids(select(entries, View(sort=sort)).entries), order, sort)

    def test_orders_by_time(self) -> None:
        entries = [entry(f"http://h/{n}", lastrun=lastrun) for n, lastrun in enumerate((30.0, 10.0, 20.0))]
        for each, due in zip(entries, (3.0, None, 1.0), strict=True):
            assert each.state.verdict is not None
            verdict = replace(each.state.verdict, due=due)
            entries[entries.index(each)] = Entry(each.task, replace(each.state, verdict=verdict))
        entries.append(new_entry("http://h/3"))
        self.assertEqual(ids(select(entries, View(sort="lastrun")).entries), ["0", "2", "1", "3"])
        self.assertEqual(ids(select(entries, View(sort="due")).entries), ["2", "0", "1", "3"])

    def test_a_storm_takes_the_room_of_the_tasks_that_it_lists(self) -> None:
        late = [entry(f"http://h/{number}", Kind.LATE) for number in range(3 * PAGE)]
        fine = [entry(f"http://g/{number}") for number in range(PAGE)]
        first, second = (select([*late, *fine], View(page=page)) for page in (1, 2))
        self.assertEqual((first.pages, first.first, first.last), (2, 1, 4 * PAGE - LISTED))
        self.assertEqual(len(first.entries), PAGE)
        self.assertEqual((second.first, second.last, len(second.entries)), (4 * PAGE - LISTED + 1, 4 * PAGE, LISTED))
        # It is whole, also where a page ends.
        newer = [Entry(each.task, replace(each.state, since=NOW)) for each in late[: PAGE - 1]]
        newer = [Entry(replace(each.task, label=f"x{n}"), each.state) for n, each in enumerate(newer)]
        first = select([*newer, *late[PAGE:]], View())
        self.assertEqual((len(first.entries), first.pages, first.last), (PAGE - 1 + LISTED, 1, 3 * PAGE - 1))

    def test_search_finds_marks(self) -> None:
        late = entry(kind=Kind.LATE)
        for made, words in (
            (replace(late, muted=SILENCED), ("silenced", "upgrade jane")),
            (acknowledged(late), ("acknowledged", "on it")),
            (with_incident(late, flapping=True), ("flapping",)),
        ):
            for search in words:
                self.assertTrue(View(search=search).finds(made), search)
                self.assertFalse(View(search=search).finds(late), search)
        # The banner counts it apart, and links to each.
        maintained = replace(late, muted=replace(SILENCED, source="maintenance nightly"))
        self.assertTrue(View(search="maintenance").finds(maintained))
        self.assertFalse(View(search="silenced").finds(maintained))

    def test_every_task_is_on_one_page(self) -> None:
        entries = [
            entry(f"http://h/{number}", Kind.SLEEPING if number % 3 else Kind.OK, server=f"s{number % 7}")
            for number in range(2 * PAGE + 20)
        ]
        for by in ("", "server"):
            whole = select(entries, View(by=by))
            self.assertEqual(whole.pages, 3)
            pages = [select(entries, View(by=by, page=page)) for page in (1, 2, 3)]
            self.assertEqual([len(page.entries) for page in pages], [PAGE, PAGE, 20])
            self.assertEqual({url for page in pages for url in ids(page.entries)}, {*ids(entries)})
            totals = {group.title: group.total for page in pages for group in page.groups}
            self.assertEqual(sum(totals.values()), len(entries))
        self.assertEqual(select(entries, View(page=99)).view.page, 3)
        self.assertEqual(select([], View(page=2)).view.page, 1)
