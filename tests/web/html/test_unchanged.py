"""HTML pages answer 304 while a reader would see the same page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace
from treq.testing import StubTreq

from pypinger.domain.kinds import Kind, Status
from pypinger.ports.history import Gap
from pypinger.ports.showing import Entry
from pypinger.web.html import view
from pypinger.web.html.figures import LASTING
from tests.web.fakes import NOW, daemon_state, entry, new_entry
from tests.web.history import FakeHistory
from tests.web.pages import make_pages
from tests.web.test_app import HTML, AppTestCase, header

#: Seconds after NOW: between the first two no relative time changes; at the third a new minute begins.
SOON, LATER, NEXT_MINUTE = 5, 25, 26


def daily(kind: Kind = Kind.OK, name: str = "Backup", explanation: str = "as it should be") -> Entry:
    """A task that runs and is checked rarely, so that its page shows no seconds."""
    made = entry(kind=kind, name=name, frequency=1440.0, lastrun=NOW - 330)
    assert made.state.verdict is not None
    verdict = replace(made.state.verdict, explanation=explanation)
    return Entry(replace(made.task, interval=600.0), replace(made.state, verdict=verdict, checked=NOW - 90))


class ChangingHistory(FakeHistory):
    """A history that changes."""

    gap = 600.0

    async def gaps(self, url: str, limit: int = 50) -> Sequence[Gap]:
        return [Gap(NOW - 300, self.gap), Gap(NOW - 300 - self.gap, None)]


class UnchangedPageTests(AppTestCase):
    unmeasured = True

    def setUp(self) -> None:
        super().setUp()
        self.made = daily()
        self.paths = ("/", f"/task/{self.made.task.id}")
        self.board.set([self.made, new_entry()])

    def serve(self, hosts: Sequence[str] = (), public_url: str = "", history: FakeHistory | None = None) -> None:
        self.now = NOW + SOON
        self.treq = StubTreq(make_pages(self.board, self.clock, now=lambda: self.now, history=history).resource)

    def tag(self, path: str) -> str:
        """The entity tag of the page now."""
        tag = header(self.ask(path, Accept=HTML), "ETag")
        assert tag is not None
        return tag

    def again(self, path: str, tag: str) -> int:
        """The status code for a client that sends this entity tag."""
        return self.ask(path, Accept=HTML, If_None_Match=tag).code

    def test_unchanged(self) -> None:
        for path in self.paths:
            self.now = NOW + SOON
            first = self.ask(path, Accept=HTML)
            tag = self.tag(path)
            for self.now in (NOW + SOON, NOW + SOON + 0.3, NOW + LATER):
                for sent in (tag, f"W/{tag}", f'"x", W/{tag}'):
                    for method in ("GET", "HEAD"):
                        same = self.ask(path, method, Accept=HTML, If_None_Match=sent)
                        self.assertEqual((same.code, self.text(same)), (304, ""), (path, self.now))
                        self.assertIsNone(header(same, "Content-Type"))
                        for name in ("ETag", "Vary", "Cache-Control"):
                            self.assertEqual(header(same, name), header(first, name))

    def test_at_most_a_minute_old(self) -> None:
        for path in self.paths:
            self.now = NOW + SOON
            tag = self.tag(path)
            self.now = NOW + NEXT_MINUTE
            self.assertEqual(self.again(path, tag), 200, path)

    def test_changed_relative_time(self) -> None:
        """``in 5 min`` becomes ``in 4 min``."""
        for path in self.paths:
            self.now = NOW
            tag = self.tag(path)
            self.assertEqual(self.again(path, tag), 304, path)
            self.now = NOW + 1
            self.assertEqual(self.again(path, tag), 200, path)

    def test_changed_state(self) -> None:
        for other in (
            daily(Kind.SLEEPING),
            daily(Kind.NEW),
            daily(name="Backup of all"),
        ):
            for path in self.paths:
                self.board.set([self.made, new_entry()])
                tag = self.tag(path)
                self.board.show(other)
                self.assertEqual(self.again(path, tag), 200, path)

    def test_changed_state_of_the_daemon(self) -> None:
        tag = self.tag("/")
        for daemon in (daemon_state(undelivered=1), daemon_state(status=Status.ERROR, explanation="the disk")):
            self.board.state = daemon
            self.assertEqual(self.again("/", tag), 200)

    def test_more_tasks(self) -> None:
        tag = self.tag("/")
        self.board.set([self.made, new_entry(), new_entry("http://h/other")])
        self.assertEqual(self.again("/", tag), 200)

    def test_other_views(self) -> None:
        self.patch(view, "PAGE", 2)
        self.board.set([self.made, *(new_entry(f"http://h/{number}") for number in range(5))])
        paths = ("/", "/?status=ok", "/?status=new", "/?by=server", "/?q=backup", "/?q=nothing", "/?page=2")
        self.assertEqual(len({self.tag(path) for path in paths}), len(paths))
        for path in paths:
            self.assertEqual(self.again(path, self.tag(path)), 304, path)

    def test_changed_search_result(self) -> None:
        tag = self.tag("/?q=backup")
        other = daily(name="Backup of another")
        self.board.set([self.made, Entry(replace(other.task, id="other"), other.state), new_entry()])
        self.assertEqual(self.again("/?q=backup", tag), 200)

    def test_changed_pictures(self) -> None:
        history = ChangingHistory(NOW)
        self.serve(history=history)
        tag = self.tag("/")
        self.now = NOW + LATER
        self.assertEqual(self.again("/", tag), 304)
        history.gap = 700.0
        # New figures, at the same minute of the clock.
        self.now = NOW + LASTING + LATER
        self.tag("/")
        self.now = NOW + SOON
        self.assertEqual(self.again("/", tag), 200)

    def test_stamps(self) -> None:
        """Each page has its own time in both places, and nowhere else."""
        hostile = '<body data-now=""> <time datetime="" class="fixed">'
        self.board.set([daily(name=hostile, explanation=hostile)])
        for path in self.paths:
            for self.now, moment in ((NOW, "34"), (NOW + NEXT_MINUTE - 1, "59")):
                text = self.html(path)
                made = f"2026-11-22T22:28:{moment}.000Z"
                self.assertEqual(re.findall('<body[^>]*data-now="([^"]*)"', text), [made])
                fixed = f'As of <time datetime="{made}" class="fixed">2026-11-22 22:28:{moment} UTC</time>'
                self.assertEqual(text.count(fixed), 1)
                self.assertEqual(text.count(made), 2)
                self.assertNotIn('class="fixed"></time>', text)

    def test_errors_are_always_sent(self) -> None:
        self.board.set([daily(Kind.LATE)])
        for path, code in ((self.paths[1], 500), ("/nothing", 404), ("/task/http://nobody/", 404)):
            for method in ("GET", "HEAD"):
                response = self.ask(path, method, Accept=HTML, If_None_Match="*")
                self.assertEqual((response.code, header(response, "ETag")), (code, None), path)
                self.assertEqual(header(response, "Cache-Control"), "no-store")
            self.assertIn(f'data-now="2026-11-22T22:28:{34 + SOON}.000Z"', self.html(path, code))
