from collections.abc import Sequence
from html.parser import HTMLParser
from math import inf, nan

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from pypinger.domain.model import Incident, Kind, Report, Status, Task, TaskState, Verdict, Window
from pypinger.ports import DaemonState, Entry
from pypinger.web import assets, pages, words
from pypinger.web.rendered import SLICE, Rendered, in_slices
from pypinger.web.rows import row
from tests.web.fakes import NIGHT, NOW, daemon_state, entry, new_entry

LINKS = {name: asset.path for name, asset in assets.load().items()}


class Page(HTMLParser):
    """
    What a browser makes of a page: its elements and its text.

    :ivar open: elements that were opened and not closed.
    """

    VOID = frozenset({"meta", "link"})

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.comments: list[str] = []
        self.open: list[str] = []
        self.feed(html.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.elements if tag == "a"]

    def classes(self, tag: str) -> list[str]:
        return [attrs.get("class") or "" for name, attrs in self.elements if name == tag]


def overview(entries: Sequence[Entry], daemon: DaemonState | None = None, now: float = NOW) -> bytes:
    groups = {
        status: [row(entry).html(now) for entry in entries if entry.state.status is status] for status in pages.GROUPS
    }
    coroutine = pages.overview(DummyRequest([b""]), groups, daemon or daemon_state(), now, LINKS)
    return result(Deferred.fromCoroutine(coroutine))


def task_page(entry: Entry, now: float = NOW) -> bytes:
    return result(Deferred.fromCoroutine(pages.task_page(DummyRequest([b""]), entry, now, "../", LINKS)))


def result(deferred: Deferred[bytes]) -> bytes:
    results: list[bytes] = []
    deferred.addCallback(results.append)
    return results[0]


class OverviewTests(SynchronousTestCase):
    def test_trouble_first(self) -> None:
        kinds = (Kind.OK, Kind.SLEEPING, Kind.LATE, Kind.FAILED)
        entries = [entry(f"http://h/{kind}", kind) for kind in kinds]
        page = Page(overview([new_entry(), *entries]))
        self.assertEqual(page.open, [])
        self.assertEqual(page.comments, [])
        order = [entries[2], entries[3], entries[1], entries[0], new_entry()]
        self.assertEqual(
            [link for link in page.links() if link.startswith("task/")], [f"task/{e.task.id}" for e in order]
        )
        self.assertEqual([cls for cls in page.classes("tr") if cls], ["error", "error", "sleeping", "ok", "new"])
        self.assertIn("2 of 5 tasks in trouble", page.text)
        for count in ("2 in trouble", "1 sleeping", "1 on time", "1 not checked yet"):
            self.assertIn(count, page.text)

    def test_row(self) -> None:
        page = Page(overview([entry(kind=Kind.LATE, name="Invoices")]))
        for words_ in ("Invoices", "backup · web-1", "late", "explained as late", "5 min ago", "in 5 min", "21 s ago"):
            self.assertIn(words_, page.text)
        times = [attrs["datetime"] for tag, attrs in page.elements if tag == "time"]
        self.assertEqual(times[0], "2026-11-22T22:23:34.000Z")

    def test_relative_times_go_on(self) -> None:
        kept = row(entry())
        self.assertIn(b"5 min ago", kept.html(NOW))
        self.assertIn(b"6 min ago", kept.html(NOW + 60))

    def test_what_is_unknown(self) -> None:
        page = Page(overview([new_entry(), entry("http://h/n", lastrun=nan)]))
        self.assertEqual(page.classes("span").count("unknown"), 4)

    def test_banner(self) -> None:
        ok, other, late = entry(), entry("http://h/b"), entry("http://h/c", Kind.LATE)
        for entries, heading, look in (
            ([], "No tasks to watch", "new"),
            ([ok], "The task is on time", "ok"),
            ([ok, other], "All tasks on time", "ok"),
            ([ok, entry("http://h/s", Kind.SLEEPING)], "All tasks on time", "ok"),
            ([late], "1 of 1 task in trouble", "error"),
            ([ok, late, new_entry()], "1 of 3 tasks in trouble", "error"),
            ([ok, new_entry()], "1 of 2 tasks not checked yet", "new"),
        ):
            page = Page(overview(entries))
            self.assertIn(heading, page.text)
            self.assertEqual(page.classes("header"), [f"banner {look}"])

    def test_notices(self) -> None:
        self.assertNotIn("notice", Page(overview([])).classes("section"))
        daemon = daemon_state(status=Status.ERROR, explanation="<the disk>", blind=NOW - 60, dead=2, undelivered=1)
        page = Page(overview([], daemon))
        self.assertIn("notice", page.classes("section"))
        for words_ in ("<the disk>", "Blind since 1 min ago", "2 alerts could not be", "1 alert waiting"):
            self.assertIn(words_, page.text)


class TaskPageTests(SynchronousTestCase):
    def test_all_members(self) -> None:
        page = Page(task_page(entry("http://h/a?key=s3cret", Kind.FAILED, name="Backup", frequency=90.0)))
        self.assertEqual(page.open, [])
        for words_ in (
            "Backup",
            "failed",
            "explained as failed",
            "http://h/a?…",
            "5 min ago 22:23:34 UTC",
            "1 h 30 min",
            "in 5 min 22:33:34 UTC",
            "in 6 min",
            "backup",
            "web-1",
            "disk full",
            "21 s ago",
            "12.3 ms",
            "120",
            "7",
            "Open incident",
            "15 min ago 22:13:34 UTC",
        ):
            self.assertIn(words_, page.text)
        self.assertNotIn("s3cret", page.text)
        self.assertEqual(page.links(), ["../"])

    def test_sleep(self) -> None:
        page = Page(task_page(entry(kind=Kind.SLEEPING, sleep=(NIGHT, Window(3605, 86_400.0)))))
        for words_ in ("22:00 to 06:00 UTC (8 h)", "01:00:05 to 01:00:05 UTC (1 d)", "Asleep since", "in 2 h"):
            self.assertIn(words_, page.text)

    def test_not_checked_yet(self) -> None:
        page = Page(task_page(new_entry()))
        for words_ in ("not checked yet", "Nothing is known yet"):
            self.assertIn(words_, page.text)

    def test_latency(self) -> None:
        made = entry()
        slow = Entry(made.task, msgspec.structs.replace(made.state, latency=1.25))
        self.assertIn("1.25 s", Page(task_page(slow)).text)


class WordsTests(SynchronousTestCase):
    def test_relative(self) -> None:
        for offset, text in ((0, "now"), (-0.9, "now"), (-1, "1 s ago"), (1, "in 1 s"), (-720, "12 min ago")):
            self.assertEqual(words.relative(NOW + offset, NOW), text)

    def test_shown(self) -> None:
        for text, expected in (
            ("plain", "plain"),
            ("naïve 10\N{NARROW NO-BREAK SPACE}000", "naïve 10\N{NARROW NO-BREAK SPACE}000"),
            ("two\r\nlines\ttabbed", "two lines tabbed"),
            ("a\x00\x1b[31m\u202eb\ud800", "a\ufffd\ufffd[31m\ufffdb\ufffd"),
        ):
            self.assertEqual(words.shown(text), expected)

    def test_every(self) -> None:
        for minutes, text in ((0.5, "0.5 min"), (10, "10 min"), (60, "1 h"), (1440, "1 d")):
            self.assertEqual(words.every(minutes), text)


_HOSTILE = st.one_of(
    st.text(st.characters(), max_size=40),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "' onmouseover='alert(1)",
            "javascript:alert(1)",
            "<!--error--><!--ok-->",
            "--><b>",
            "]]></td></tr></table>",
            "&lt;b&gt;&#60;",
            "{{7*7}}${7*7}",
            "\x00\x08\x1b[2J\r\n\u2028",
            "\ud800\udfff\ufffe\uffff",
            "\u202eesrever",
            "<",
        ]
    ),
)
_NUMBERS = st.one_of(st.floats(), st.sampled_from([nan, inf, -inf, 0.0, -1e20, 1e20]))
_MOMENTS = st.one_of(st.none(), _NUMBERS)


@st.composite
def _entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(Kind))
    hostile = _HOSTILE
    report = Report(
        ok=True,
        lastrun=draw(_NUMBERS),
        frequency=draw(st.floats(min_value=1e-3, max_value=527_040)),
        reason=draw(st.none() | hostile),
        sleep=tuple(draw(st.lists(st.builds(Window, st.integers(0, 86_399), st.floats(1, 86_400)), max_size=2))),
        process=draw(st.none() | hostile),
        server=draw(st.none() | hostile),
    )
    moments = [draw(_MOMENTS) for _ in range(4)]
    state = TaskState(
        verdict=None if kind is Kind.NEW else Verdict(kind, draw(hostile), *moments),
        report=draw(st.none() | st.just(report)),
        checked=draw(_MOMENTS),
        since=draw(_MOMENTS),
        latency=draw(_MOMENTS),
        incident=draw(st.none() | st.just(Incident(0.0, kind, 0.0, 1))),
    )
    url = draw(hostile)
    return Entry(Task(url=url, id=f"{draw(st.integers(0, 9))}", name=draw(hostile), label=draw(hostile)), state)


class HostileTextTests(SynchronousTestCase):
    """Whatever stands in a report, pages keep their form: the same elements as with harmless texts, and no others."""

    ATTRIBUTES = frozenset(
        [
            "class",
            "href",
            "datetime",
            "title",
            "data-label",
            "scope",
            "id",
            "aria-labelledby",
            "lang",
            "charset",
            "name",
            "content",
            "rel",
            "type",
        ]
    )
    ELEMENTS = frozenset(
        [
            "html",
            "head",
            "meta",
            "title",
            "link",
            "body",
            "header",
            "h1",
            "h2",
            "p",
            "a",
            "span",
            "main",
            "section",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "time",
            "footer",
            "dl",
            "div",
            "dt",
            "dd",
            "ul",
            "li",
            "small",
            "strong",
        ]
    )

    @settings(deadline=None, max_examples=60)
    @given(st.lists(_entries(), max_size=3), _HOSTILE)
    def test_overview(self, entries: list[Entry], explanation: str) -> None:
        self._assert_sound(overview(entries, daemon_state(status=Status.ERROR, explanation=explanation)), len(entries))

    @settings(deadline=None, max_examples=60)
    @given(_entries())
    def test_task_page(self, entry: Entry) -> None:
        self._assert_sound(task_page(entry), 0)

    def _assert_sound(self, html: bytes, rows: int) -> None:
        page = Page(html)
        self.assertEqual(page.open, [])
        self.assertEqual(page.comments, [])
        self.assertEqual(sum(1 for cls in page.classes("tr") if cls), rows)
        self.assertLessEqual({tag for tag, _ in page.elements}, self.ELEMENTS)
        for tag, attrs in page.elements:
            self.assertLessEqual(attrs.keys(), self.ATTRIBUTES)
            if tag == "a":
                self.assertRegex(attrs["href"] or "", r"\A(?:#[a-z]+|task/[0-9]+|\.\./)\Z")
        for character in html.decode("utf-8"):
            self.assertTrue(character == "\n" or (character >= " " and character not in "\x7f\u202e\ufffe\uffff"))


class RenderedTests(SynchronousTestCase):
    def test_kept_while_task_and_state_are_the_same(self) -> None:
        calls: list[Entry] = []
        rendered = Rendered(calls.append)
        first, second = entry(), entry()
        rendered.of(first)
        rendered.of(Entry(first.task, first.state))
        self.assertEqual(len(calls), 1)
        rendered.of(Entry(first.task, second.state))
        rendered.of(Entry(second.task, second.state))
        self.assertEqual(len(calls), 3)

    def test_tasks_that_are_gone_are_forgotten(self) -> None:
        calls: list[Entry] = []
        rendered = Rendered(calls.append)
        one, two = entry("http://h/1"), entry("http://h/2")
        rendered.of(one)
        rendered.of(two)
        rendered.keep_only([one, two])
        rendered.keep_only([two])
        rendered.of(two)
        self.assertEqual(len(calls), 2)
        rendered.of(one)
        self.assertEqual(len(calls), 3)

    def test_the_reactor_gets_its_turn(self) -> None:
        clock = Clock()
        done: list[int] = []

        def double(number: int) -> int:
            done.append(number)
            return number * 2

        deferred = Deferred.fromCoroutine(in_slices(double, range(2 * SLICE + 1), clock))
        self.assertEqual(len(done), SLICE)
        self.assertNoResult(deferred)
        clock.advance(0)
        self.assertEqual(self.successResultOf(deferred), [number * 2 for number in range(2 * SLICE + 1)])
