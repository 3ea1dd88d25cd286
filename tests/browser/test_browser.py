"""The pages in a real browser, with and without script, with and without a proxy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from msgspec.structs import replace
from twisted.internet.threads import blockingCallFromThread

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Fault, Incident, Invalid, NoAnswer, Report, Reported, TaskState
from pypinger.ports.showing import Entry, LastAnswer
from pypinger.web.html import task_history
from pypinger.web.serving import assets
from tests.browser.axe import assert_sound, require_axe
from tests.browser.chromium import BrowserTestCase, Page, expect, reactor
from tests.browser.fleet import crowd, fleet, instances, judged, on_call, report, shared, storm
from tests.web.fakes import daemon_state, task
from tests.web.history import FakeHistory
from tests.web.pages import make_pages

WIDE = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 780}}


def names(page: Page) -> list[str]:
    return page.locator("tbody th a").all_inner_texts()


def overflow(page: Page) -> int:
    """By how much the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def sizes(page: Page, *widths: int, height: int = 800) -> Iterator[int]:
    """Resize the page to each width. Only the style sheet depends on it, so that the page need not be loaded again."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": height})
        yield width


class StateTests(BrowserTestCase):
    async def test_states_and_sizes(self) -> None:
        home = self.serve(fleet(self.started))
        late = next(each for each in self.board.entries() if each.state.kind == "late")

        def visit(page: Page) -> None:
            for address in (home, f"{home}?by=server", *(f"{home}task/{e.task.id}" for e in self.board.entries())):
                page.goto(address)
                self.assertLessEqual(overflow(page), 0, address)
                self.assertEqual(page.evaluate("document.querySelectorAll('h1').length"), 1)
                self.assertNotIn("s3cret", page.content())
            page.goto(home)
            self.assertEqual(page.locator("h1").inner_text(), "5 of 13 tasks in trouble")
            self.assertEqual(page.title(), "(5) Py Pinger")
            self.assertIn("error.svg", page.locator("#icon").get_attribute("href") or "")
            self.assertEqual(page.locator("tbody tr").first.get_attribute("class"), "error")
            page.get_by_role("link", name="Price import").click()
            self.assertIn(late.task.id, page.url)
            self.assertEqual(page.locator(".timeline .mark-late").count(), 1)
            page.get_by_role("link", name="All tasks").click()
            self.assertEqual(page.url, home)

        await self.browse(visit, **PHONE)
        # Browsers report a 500, the status of a task in trouble.
        self.assertEqual([each for each in self.complaints if "status of 500" not in each], [])

    async def test_blind(self) -> None:
        daemon = daemon_state(blind=self.started - 60, status=Status.ERROR, explanation="blind", started=self.started)
        home = self.serve(fleet(self.started), daemon)

        def visit(page: Page) -> None:
            page.goto(home)
            self.assertEqual(page.locator("h1").inner_text(), "Py Pinger is blind")
            self.assertIn("degraded.svg", page.locator("#icon").get_attribute("href") or "")

        await self.browse(visit, **WIDE)

    async def test_long_names_and_explanations(self) -> None:
        long, words = "x" * 2000, "long words " * 180
        made = judged(
            "One", report(self.started, 90, ok=False, reason="y" * 500, process=long, server=words), self.started
        )
        entries = [
            Entry(replace(made.task, name=name, id=str(number), label=f"http://h/{long}"), made.state)
            for number, name in enumerate((long, words))
        ]
        home = self.serve([*entries, *crowd(self.started, 2)])

        def visit(page: Page) -> None:
            for query in ("", "?by=server"):
                page.goto(home + query)
                for width in sizes(page, 1280, 1000, 360):
                    self.assertLessEqual(overflow(page), 0, (width, query))
                    box = page.locator("#t-0").bounding_box()
                    assert box is not None
                    self.assertLess(box["height"], 600)
            for number, name in enumerate((long, words)):
                page.goto(f"{home}task/{number}")
                for width in sizes(page, 1280, 1000, 360):
                    self.assertLessEqual(overflow(page), 0, width)
                    box = page.locator("h1").bounding_box()
                    assert box is not None
                    self.assertLess(box["height"], 150)
                    self.assertIn(name.strip(), page.locator("#checks").inner_text())

        await self.browse(visit, **WIDE)

    async def test_silenced_acknowledged_and_flapping(self) -> None:
        marked = list(on_call(self.started))
        home = self.serve([*fleet(self.started), *marked])
        ledger = marked[0]

        def visit(page: Page) -> None:
            for path in ("", "?by=group", *(f"task/{each.task.id}" for each in marked)):
                page.goto(home + path)
                for width in sizes(page, 1280, 900, 360):
                    self.assertLessEqual(overflow(page), 0, (width, path))
            page.goto(home)
            page.get_by_role("link", name="2 silenced").click()
            expect(page.locator("tbody tr")).to_have_count(2)
            page.goto(f"{home}task/{ledger.task.id}")
            command = page.locator(".command").first
            command.click()
            self.assertEqual(page.evaluate("getSelection().toString()"), "pypinger ack Ledger REASON")
            page.wait_for_selector(".live.on")
            # The end of the silence shows at once, and so does the next one.
            self.change(replace(ledger, muted=None))
            expect(page.locator(".flag")).to_have_count(0)
            page.goto(home)
            page.wait_for_selector(".live.on")
            row = page.locator(f"#t-{ledger.task.id}")
            expect(row.locator(".flag")).to_have_count(0)
            self.change(ledger)
            expect(row.locator(".flag")).to_contain_text("silenced by jane until")

        await self.browse(visit, **WIDE)
        self.assertEqual([each for each in self.complaints if "status of 500" not in each], [])

    async def test_next_check(self) -> None:
        """The script uses the server's words."""
        self.now = lambda: self.started + 1
        home = self.serve([judged("One", report(self.started, 90), self.started)])

        def visit(page: Page) -> None:
            self.stop_the_clock(page)
            page.goto(f"{home}task/{self.board.entries()[0].task.id}")
            page.route("**/*", lambda route: route.abort())
            coming = page.locator("dt:text-is('Next check') + dd time.coming")
            self.assertRegex(coming.inner_text(), "in 3[0-9] s")
            page.clock.run_for(50_000)
            expect(coming).to_have_text("due now")
            page.clock.run_for(60_000)
            expect(coming).to_have_text("due 1 min ago")

        await self.browse(visit, **WIDE)

    async def test_age_of_a_verdict(self) -> None:
        """The script keeps it up to date in the server's words."""
        self.now = lambda: self.started + 1
        late = judged("Invoices", report(self.started, 3600 + 4 * 60), self.started)
        home = self.serve([late])

        for address, place in ((home, "td.kind"), (f"{home}task/{late.task.id}", ".verdict")):

            def visit(page: Page, address: str = address, place: str = place) -> None:
                self.stop_the_clock(page)
                page.goto(address)
                page.route("**/*", lambda route: route.abort())
                expect(page.locator(place)).to_contain_text("late by 54 min")
                page.clock.run_for(120_000)
                expect(page.locator(place)).to_contain_text("late by 56 min")

            await self.browse(visit, **WIDE)

    async def test_local_time_zone(self) -> None:
        self.now = lambda: self.started
        home = self.serve([judged("One", report(self.started, 125), self.started)])

        def visit(page: Page) -> None:
            page.goto(home)
            page.wait_for_selector(".when time[data-told]")
            time = page.locator(".when time").first
            self.assertRegex(time.get_attribute("title") or "", r"GMT\+5:45 · \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
            self.assertEqual(time.inner_text(), "2 min ago")

        await self.browse(visit, timezone_id="Asia/Kathmandu", locale="en-GB")


class DensityTests(BrowserTestCase):
    async def test_twenty_tasks_fit_a_laptop(self) -> None:
        home = self.serve([*fleet(self.started), *crowd(self.started, 7)])

        def visit(page: Page) -> None:
            page.goto(home)
            self.assertEqual(page.locator("tbody tr").count(), 20)
            bottom = page.evaluate("document.querySelector('tbody tr:last-child').getBoundingClientRect().bottom")
            self.assertLessEqual(bottom, 800)
            self.assertLessEqual(overflow(page), 0)

        await self.browse(visit, viewport={"width": 1400, "height": 800})

    async def test_nothing_that_matters_is_cut(self) -> None:
        """Reasons, times and the headings of columns are whole, and the age of a state stands beside it."""
        home = self.serve([*fleet(self.started), *on_call(self.started)])
        cut = (
            "[...document.querySelectorAll('tr.error .why > span, td.when, .kind .word, thead th')].filter(each =>"
            " each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1)"
            ".filter(each => getComputedStyle(each).display !== 'inline').map(each => each.textContent)"
        )
        beside = (
            "[...document.querySelectorAll('tr.error:not([data-kind=future])')].map(each => Math.abs("
            "each.querySelector('.kind small').getBoundingClientRect().bottom"
            " - each.querySelector('.kind .word').getBoundingClientRect().bottom))"
        )

        def visit(page: Page) -> None:
            page.goto(home)
            for width in sizes(page, 1400, 1100, 768, 390, height=900):
                self.assertEqual(page.evaluate(cut), [], width)
                self.assertLess(max(page.evaluate(beside)), 6, width)
                self.assertLessEqual(overflow(page), 0, width)

        await self.browse(visit, viewport={"width": 1400, "height": 900})

    async def test_headings_of_groups_sort(self) -> None:
        home = self.serve([*fleet(self.started), *crowd(self.started, 50)])

        def visit(page: Page) -> None:
            page.goto(f"{home}?by=server")
            page.locator("thead").first.get_by_role("link", name="Task").click()
            page.wait_for_selector("th[aria-sort=ascending]")
            self.assertTrue(page.url.endswith("?by=server&sort=name"), page.url)

        await self.browse(visit, **WIDE)

    async def test_two_lines_on_a_phone(self) -> None:
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            heights = "[...document.querySelectorAll('tbody tr{}')].map((r) => r.offsetHeight)"
            fine = page.evaluate(heights.format(":not(.error)"))
            self.assertEqual(len(fine), 8)
            self.assertLess(max(fine), 60)
            # The name and the reason of a task in trouble may each take a second line.
            self.assertLess(max(page.evaluate(heights.format(".error"))), 100)
            self.assertLessEqual(overflow(page), 0)

        await self.browse(visit, **PHONE)

    async def test_becomes_late(self) -> None:
        """The script says it once the task is due, without another page."""
        self.now = lambda: self.started + 1
        home = self.serve([judged("Grace", report(self.started, 590), self.started)])

        def visit(page: Page) -> None:
            self.stop_the_clock(page)
            page.goto(home)
            page.route("**/*", lambda route: route.abort())
            soon = page.locator(".soon")
            expect(soon).to_have_text("")
            page.clock.run_for(10_000)
            expect(soon).to_have_text(re.compile("^becomes late in 5[89] s$"))
            page.clock.run_for(60_000)
            expect(soon).to_have_text("becomes late now")

        await self.browse(visit, **WIDE)

    async def test_storm(self) -> None:
        """One line, with script and without; what was unfolded stays so."""
        home = self.serve([*storm(self.started, 120), *fleet(self.started)])
        first = next(each for each in self.board.entries() if each.task.name == "Invoices")

        def visit(page: Page, scripted: bool) -> None:
            page.goto(home)
            summary = page.locator(".storm > summary")
            expect(summary).to_contain_text("120 × HTTP 503 on http://app.example")
            self.assertFalse(page.locator(".storm tbody tr").first.is_visible())
            # The first table that is shown has headings.
            heading = page.locator("section.group thead").first.bounding_box()
            assert heading is not None
            self.assertGreater(heading["width"], 1000)
            summary.click()
            self.assertEqual(page.locator(".storm tbody tr:visible").count(), 20)
            if scripted:
                page.wait_for_selector(".live.on")
                self.change(judged("Invoices", report(self.started, 90, ok=False, reason="new"), self.started))
                page.wait_for_selector(f"tr.error#t-{first.task.id}")
                self.assertTrue(page.locator(".storm tbody tr").first.is_visible())
            page.get_by_role("link", name="All 120 tasks").click()
            expect(page.locator("tbody tr")).to_have_count(100)
            expect(page.locator("#pager span")).to_have_text("1–100 of 120 tasks")

        await self.browse(lambda page: visit(page, scripted=True), **WIDE)
        await self.browse(lambda page: visit(page, scripted=False), java_script_enabled=False, **WIDE)

    async def test_wall(self) -> None:
        home = self.serve([*fleet(self.started), *on_call(self.started)])
        good = judged("Invoices", report(self.started, 130, ok=False, reason="disk full"), self.started)

        def visit(page: Page) -> None:
            page.goto(home)
            page.get_by_role("link", name="wall").click()
            page.wait_for_selector(".tile")
            self.assertTrue(page.url.endswith("?view=wall"))
            page.wait_for_selector(".live.on")
            self.change(good)
            expect(page.locator(f".tile.error#t-{good.task.id}")).to_contain_text("disk full")
            for width in sizes(page, 1400, 768, 390):
                self.assertLessEqual(overflow(page), 0, width)

        await self.browse(visit, **WIDE)

    async def test_sorting_by_headings(self) -> None:
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            page.evaluate("window.mine = true")
            page.locator("thead").get_by_role("link", name="Task").click()
            page.wait_for_selector("th[aria-sort=ascending]")
            self.assertTrue(page.url.endswith("?sort=name"))
            self.assertEqual(names(page), sorted(names(page), key=str.casefold))
            page.locator("thead").get_by_role("link", name="Status").click()
            page.wait_for_selector("th[aria-sort=descending]")
            self.assertEqual(page.url, home)
            self.assertTrue(page.evaluate("window.mine"))

        await self.browse(visit, **WIDE)

    async def test_folded_groups(self) -> None:
        home = self.serve([*fleet(self.started), *crowd(self.started, 50)])

        def visit(page: Page) -> None:
            page.goto(f"{home}?by=server")
            folded = page.locator("details.group")
            self.assertGreater(folded.count(), 5)
            self.assertFalse(folded.first.locator("tbody tr").first.is_visible())
            folded.first.locator("summary").click()
            self.assertTrue(folded.first.locator("tbody tr").first.is_visible())

        await self.browse(visit, **WIDE)

    async def test_copying_a_command(self) -> None:
        home = self.serve(on_call(self.started))

        def visit(page: Page) -> None:
            page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            page.goto(f"{home}task/{self.board.entries()[0].task.id}")
            page.locator(".command").first.click()
            page.wait_for_selector(".command.copied")
            self.assertEqual(page.evaluate("navigator.clipboard.readText()"), "pypinger ack Ledger REASON")

        await self.browse(visit, **WIDE)


class LiveTests(BrowserTestCase):
    async def follow(self, home: str) -> None:
        """Both pages show a change without a reload."""
        entries = self.board.entries()
        good = next(each for each in entries if each.task.name == "Search index")
        failed = judged("Search index", report(self.started, 90, 5, ok=False, reason="index is gone"), self.started)

        def visit(page: Page) -> None:
            page.goto(home)
            page.wait_for_selector(".live.on")
            page.evaluate("document.body.dataset.mine = 'same document'; window.mine = true")
            page.locator("#q").focus()
            self.change(failed)
            page.wait_for_selector(f"tr.error#t-{good.task.id}")
            self.assertEqual(page.locator("h1").inner_text(), "6 of 13 tasks in trouble")
            self.assertEqual(page.title(), "(6) Py Pinger")
            self.assertTrue(page.evaluate("window.mine"))
            self.assertEqual(page.evaluate("document.activeElement.id"), "q")
            page.goto(f"{home}task/{good.task.id}")
            page.wait_for_selector(".live.on")
            self.assertIn("index is gone", page.locator(".banner .reason").inner_text())
            self.change(good)
            page.wait_for_selector("#banner.ok")
            self.assertTrue(page.title().startswith("on time: Search index"))
            self.assertIn("ok.svg", page.locator("#icon").get_attribute("href") or "")

        await self.browse(visit, **WIDE)

    async def test_directly(self) -> None:
        await self.follow(self.serve(fleet(self.started)))

    async def test_through_nginx(self) -> None:
        await self.follow(await self.behind_nginx(fleet(self.started)))

    async def test_task_on_another_page(self) -> None:
        home = self.serve(fleet(self.started))
        late = next(each for each in self.board.entries() if each.state.kind == "late")
        good = judged(late.task.name, report(self.started, 90), self.started)

        def visit(page: Page) -> None:
            page.goto(f"{home}?status=ok")
            page.wait_for_selector(".live.on")
            # The page is fetched once more when the stream opens.
            page.wait_for_timeout(1500)
            self.change(good)
            page.wait_for_selector(f"#t-{late.task.id}")
            self.assertEqual(page.locator("h1").inner_text(), "4 of 13 tasks in trouble")

        await self.browse(visit, **WIDE)

    async def test_scrolling_and_focus_stay(self) -> None:
        home = self.serve(crowd(self.started, 90))
        last = self.board.entries()[-1]
        late = judged(last.task.name, report(self.started, 2700, server="x"), self.started)

        def visit(page: Page) -> None:
            page.goto(home)
            page.wait_for_selector(".live.on")
            link = page.locator(f"#t-{self.board.entries()[60].task.id} a")
            link.focus()
            before = link.bounding_box()
            self.change(late)
            page.wait_for_selector(f"tr.error#t-{last.task.id}", state="attached")
            after = link.bounding_box()
            assert before is not None
            assert after is not None
            self.assertLess(abs(before["y"] - after["y"]), 2)
            self.assertEqual(page.evaluate("document.activeElement.textContent"), link.inner_text())

        await self.browse(visit, **WIDE)

    async def test_unfolded_alerts_stay_unfolded(self) -> None:
        home = self.serve(fleet(self.started))
        late = next(each for each in self.board.entries() if each.state.kind == "late")
        self.patch(task_history, "ALERTS", 1)
        again = judged(late.task.name, report(self.started, 3000), self.started)

        def visit(page: Page) -> None:
            page.goto(f"{home}task/{late.task.id}")
            page.wait_for_selector(".live.on")
            page.locator("summary").first.click()
            before = page.locator(".banner .why").inner_text()
            self.change(again)
            expect(page.locator(".banner .why")).not_to_have_text(before)
            self.assertTrue(page.locator("details table").first.is_visible())

        await self.browse(visit, **WIDE)

    async def test_polling_where_events_are_refused(self) -> None:
        home = self.serve(fleet(self.started))
        task_id = self.board.entries()[0].task.id
        failed = judged("Invoices", report(self.started, 90, ok=False), self.started)

        def visit(page: Page) -> None:
            page.clock.install()
            page.route("**/events", lambda route: route.fulfill(status=503, body="full"))
            page.goto(home)
            expect(page.locator("#live")).to_have_text("Reloads every 30 s")
            self.change(failed)
            page.clock.run_for(31_000)
            page.wait_for_selector(f"tr.error#t-{task_id}")
            page.route("**/*", lambda route: route.abort())
            page.clock.run_for(31_000)
            page.wait_for_selector(".live.off")
            self.assertIn("Not connected", page.locator("#live").inner_text())

        await self.browse(visit, **WIDE)

    async def test_not_connected(self) -> None:
        """Shown until the page can be fetched, even if the stream reconnects."""
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            page.add_init_script(FAKE_STREAMS)
            page.clock.install()
            page.goto(home)
            page.route("**/*", lambda route: route.abort())
            page.clock.run_for(31_000)
            live = page.locator("#live")
            expect(live).to_have_text("Not connected")
            page.clock.pause_at(self.started + 3600)
            expect(live).to_have_text("Not connected")
            page.evaluate("streams.at(-1).refuse()")
            self.assertEqual(live.inner_text(), "Not connected")
            page.unroute("**/*")
            page.clock.run_for(31_000)
            expect(live).to_have_text("Reloads every 30 s")

        await self.browse(visit, **WIDE)

    async def test_cached_page(self) -> None:
        """After a 304 the browser shows an older page; the script corrects its clock."""
        self.started -= self.started % 60
        moment = self.started + 1
        self.now = lambda: moment
        made = judged("One", report(self.started, 125, 1440), self.started)
        home = self.serve([Entry(made.task, replace(made.state, checked=self.started - 90))])

        def visit(page: Page) -> None:
            nonlocal moment
            # Playwright's routes disable the browser's cache, so the stream is disabled in another way.
            page.add_init_script("delete window.EventSource")
            self.stop_the_clock(page)
            page.goto(home)
            last_run = page.locator(".when time").first
            expect(last_run).to_have_text("2 min ago")
            first = page.evaluate("document.body.dataset.now")
            moment += 50
            page.clock.run_for(50_000)
            page.reload()
            # Playwright reports 200 for the cached page.
            self.assertEqual(page.evaluate("document.body.dataset.now"), first)
            self.assertEqual(last_run.inner_text(), "2 min ago")
            moment += 8
            page.clock.run_for(8_000)
            expect(last_run).to_have_text("3 min ago")

        await self.browse(visit, **WIDE)


#: Replaces EventSource, so that a test sends events and breaks the stream.
FAKE_STREAMS = """
    window.streams = [];
    window.EventSource = class extends EventTarget {
        static OPEN = 1;
        static CLOSED = 2;
        constructor() { super(); this.readyState = 0; streams.push(this); }
        begin() { this.readyState = 1; this.onopen(); }
        refuse() { this.readyState = 2; this.onerror(); }
        tell(name, data) { this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(data) })); }
    };
"""


class BudgetTests(BrowserTestCase):
    """How fast a change within a row is shown."""

    async def test_changed_explanations(self) -> None:
        """Changed words are shown at once."""
        failed = judged("Shop", report(self.started, 90, ok=False, code=500), self.started)
        home = self.serve([failed, *crowd(self.started, 30)])

        def visit(page: Page) -> None:
            page.goto(home)
            page.wait_for_selector(".live.on")
            # The page is fetched once more when the stream opens.
            page.wait_for_timeout(1500)
            self.change(judged("Shop", report(self.started, 90, ok=False, code=503), self.started))
            expect(page.locator("tbody tr").first).to_contain_text("HTTP 503")

        await self.browse(visit, **WIDE)

    async def test_a_flood(self) -> None:
        home = self.serve(crowd(self.started, 30))
        first = {"id": self.board.entries()[0].task.id, "status": "ok", "was": "ok", "kind": "ok"}

        def visit(page: Page) -> None:
            page.add_init_script(FAKE_STREAMS)
            page.add_init_script(
                """const real = fetch;
                const whole = (answer) => {
                    const body = answer.text();
                    answer.text = () => body;
                    return body.then(() => answer);
                };
                window.looks = [];
                window.fetch = (...a) => looks[looks.push(real(...a).then(whole)) - 1];"""
            )
            self.stop_the_clock(page)
            page.goto(home)

            def run(milliseconds: int) -> int:
                """Let time pass, but not while the page is fetched; returns the number of fetches."""
                before = looks = page.evaluate("looks.length")
                step = 20 if milliseconds < 1000 else 100
                for _ in range(milliseconds // step):
                    page.clock.run_for(step)
                    if looks != (looks := page.evaluate("looks.length")):
                        page.evaluate("looks.at(-1).then(() => null)")
                if step > 20:
                    # A fetch during a long step has taken up to that step, and the next waits four times as long.
                    page.clock.run_for(4 * step)
                return looks - before

            def after(milliseconds: int, *events: tuple[str, dict[str, object]]) -> int:
                """The number of fetches within this time after these events."""
                page.evaluate("events => events.forEach((e) => streams[0].tell(...e))", list(map(list, events)))
                return run(milliseconds)

            page.evaluate("streams[0].begin()")
            self.assertEqual(after(200), 1)
            self.assertEqual(after(200), 0)
            # Changes of times are shown lazily, and use no budget.
            older = ("task", {**first, "changed": "time"})
            self.assertEqual([after(200, older), after(200, ("many", {"count": 999, "changed": "time"}))], [0, 0])
            self.assertEqual(run(10_000), 1)
            for event in (
                ("many", {"count": 999, "changed": "kind"}),
                ("many", {"count": 999}),
                ("self", {}),
                ("task", {**first, "kind": "late", "changed": "kind"}),
            ):
                self.assertEqual(after(200, event), 1, event)
            self.assertEqual(after(200, ("task", {**first, "id": "elsewhere", "changed": "words"})), 0)
            for changed in ("words", "report"):
                # Simultaneous events cause one fetch.
                event = ("task", {**first, "changed": changed})
                self.assertEqual([after(200, event, event) for _ in range(6)], [1] * 5 + [0], changed)
                # The sixth waits for the lazy fetch; then there is budget for one more.
                self.assertEqual(after(11_000), 1)
                self.assertEqual([after(200, event), after(200, event)], [1, 0])

        await self.browse(visit, **WIDE)


class ReconnectionTests(BrowserTestCase):
    async def test_after_the_daemon_behind_nginx_was_restarted(self) -> None:
        home = await self.behind_nginx(fleet(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            page.wait_for_selector(".live.on")
            refused: list[int] = []
            page.on("response", lambda response: refused.append(response.status))
            number = self.port.getHost().port
            blockingCallFromThread(reactor, self.port.stopListening)
            while 502 not in refused:
                page.wait_for_timeout(100)
            page.wait_for_selector(".live:not(.on)")
            self.port = blockingCallFromThread(reactor, reactor.listenTCP, number, self.site, 50, "127.0.0.1")
            # There may have been one more refusal in between.
            page.wait_for_selector(".live.on")

        await self.browse(visit, **WIDE)

    async def test_retries_back_off(self) -> None:
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            page.add_init_script(FAKE_STREAMS)
            self.stop_the_clock(page)
            page.goto(home)

            def delay(milliseconds: int) -> None:
                """The next attempt comes about this time after a refusal."""
                before = page.evaluate("streams.length")
                page.evaluate("streams.at(-1).refuse()")
                page.clock.run_for(round(0.74 * milliseconds))
                self.assertEqual(page.evaluate("streams.length"), before)
                page.clock.run_for(round(0.52 * milliseconds))
                self.assertEqual(page.evaluate("streams.length"), before + 1)

            for milliseconds in (2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000):
                delay(milliseconds)
            page.evaluate("streams.at(-1).begin()")
            delay(2000)

        await self.browse(visit, **WIDE)

    def upgrade(self, name: str) -> None:
        """Serve a new version of a static file."""
        served = dict(assets.load())
        served[name] = replace(served[name], path=f"{served[name].path}x")
        self.patch(assets, "load", lambda: served)
        self.site.wrappedFactory.resource = make_pages(self.board, reactor, now=self.now).resource

    async def test_after_an_upgrade(self) -> None:
        """The page reloads once, even if a cache keeps serving the old one."""
        home = self.serve(fleet(self.started))
        good, failed = (judged("Invoices", report(self.started, 130, ok=ok), self.started) for ok in (True, False))
        number = self.board.entries()[0].task.id

        def visit(page: Page) -> None:
            page.goto(home)
            page.wait_for_selector(".live.on")
            for name, made in (("style.css", failed), ("live.js", good)):
                page.evaluate("sessionStorage.clear()")
                blockingCallFromThread(reactor, self.upgrade, name)
                with page.expect_event("load"):
                    self.change(made)
                page.wait_for_selector(".live.on")
            self.assertEqual(page.locator("[href$=x], [src$=x]").count(), 2)
            # An upgrade so soon after does not reload the page, which stays live.
            page.evaluate("window.mine = true")
            blockingCallFromThread(reactor, self.upgrade, "live.js")
            for made, look in ((failed, "error"), (good, "ok")):
                page.wait_for_timeout(1000)
                self.change(made)
                page.wait_for_selector(f"tr.{look}#t-{number}")
            self.assertTrue(page.evaluate("window.mine"))

        await self.browse(visit, **WIDE)

    async def test_elements_of_browser_extensions(self) -> None:
        """They are not in the next page, which causes no reload."""
        home = self.serve(fleet(self.started))
        failed = judged("Invoices", report(self.started, 130, ok=False), self.started)
        number = self.board.entries()[0].task.id

        def visit(page: Page) -> None:
            page.goto(home)
            page.wait_for_selector(".live.on")
            page.evaluate(
                """window.mine = true;
                for (const [name, members] of [
                  ["link", { rel: "stylesheet", href: "static/ok.svg" }],
                  ["script", { src: "static/other.js" }],
                ]) document.head.append(Object.assign(document.createElement(name), members));"""
            )
            self.change(failed)
            page.wait_for_selector(f"tr.error#t-{number}")
            self.assertTrue(page.evaluate("window.mine"))

        await self.browse(visit, **WIDE)

    async def test_upgrade_without_session_storage(self) -> None:
        home = self.serve(fleet(self.started))
        failed = judged("Invoices", report(self.started, 130, ok=False), self.started)

        def visit(page: Page) -> None:
            page.add_init_script("delete window.sessionStorage")
            page.goto(home)
            page.wait_for_selector(".live.on")
            page.evaluate("window.mine = true")
            blockingCallFromThread(reactor, self.upgrade, "live.js")
            page.wait_for_timeout(1500)
            self.change(failed)
            page.wait_for_selector(f"tr.error#t-{self.board.entries()[0].task.id}")
            self.assertTrue(page.evaluate("window.mine"))

        await self.browse(visit, **WIDE)


class SearchTests(BrowserTestCase):
    async def test_with_script(self) -> None:
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            page.evaluate("window.mine = true")
            page.get_by_role("link", name=re.compile("^In trouble")).first.click()
            expect(page.locator("tbody tr")).to_have_count(5)
            self.assertTrue(page.url.endswith("?status=error"))
            page.locator("#q").press_sequentially("app-2", delay=15)
            expect(page.locator("tbody tr")).to_have_count(1)
            self.assertEqual(names(page), ["Price import"])
            self.assertEqual(page.evaluate("document.activeElement.id"), "q")
            page.go_back()
            expect(page.locator("tbody tr")).to_have_count(5)
            self.assertEqual(page.locator("#q").input_value(), "")
            page.go_back()
            expect(page.locator("tbody tr")).to_have_count(13)
            self.assertEqual(page.url, home)
            page.go_forward()
            expect(page.locator("tbody tr")).to_have_count(5)
            page.get_by_role("link", name="server", exact=True).click()
            page.wait_for_selector("[id^=server-]")
            page.locator("#q").fill("nowhere at all")
            page.locator("#q").press("Enter")
            page.wait_for_selector("#nothing")
            page.get_by_role("link", name="Show all tasks").click()
            expect(page.locator("tbody tr")).to_have_count(13)
            self.assertTrue(page.evaluate("window.mine"))

        await self.browse(visit, **WIDE)
        self.assertEqual(self.complaints, [])

    async def test_without_script(self) -> None:
        home = await self.behind_nginx(fleet(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            self.assertEqual(page.locator("meta[http-equiv=refresh]").get_attribute("content"), "30")
            page.get_by_role("link", name=re.compile("^In trouble")).first.click()
            self.assertEqual(len(names(page)), 5)
            page.locator("#q").fill("app-2")
            page.get_by_role("button", name="Search").click()
            self.assertEqual(names(page), ["Price import"])
            self.assertTrue(page.url.endswith("?q=app-2&status=error"))
            page.go_back()
            self.assertEqual(len(names(page)), 5)
            page.get_by_role("link", name="Price import").click()
            self.assertEqual(page.locator(".timeline").count(), 1)
            page.get_by_role("link", name="All tasks").click()
            self.assertEqual(page.url, home)

        await self.browse(visit, java_script_enabled=False, **WIDE)

    async def test_many_tasks(self) -> None:
        home = self.serve(crowd(self.started, 5000))

        def visit(page: Page) -> None:
            page.goto(home)
            self.assertEqual(page.locator("h1").inner_text(), "6 of 5,000 tasks in trouble")
            self.assertEqual(len(names(page)), 100)
            page.evaluate("window.mine = true")
            page.get_by_role("link", name="Next").click()
            expect(page.locator("#pager span")).to_have_text("101–200 of 5,000 tasks")
            self.assertEqual(names(page)[-1], "Task 0194")
            page.locator("#q").fill("Task 4321")
            expect(page.locator("tbody tr")).to_have_count(1)
            self.assertEqual(names(page), ["Task 4321"])
            self.assertTrue(page.evaluate("window.mine"))

        await self.browse(visit, **WIDE)


ATTACKS = (
    "<script>alert('xss')</script>",
    "<img src=x onerror=alert('xss')>",
    "\"><svg onload=alert('xss')>",
    "' onfocus='alert(1)' autofocus='",
    "</title><script>alert('xss')</script>",
    "</textarea></noscript><script>alert('xss')</script>",
    "<!--error--><!--ok--><script>alert('xss')</script>",
    "javascript:alert('xss')",
    "<style>*{display:none}</style><base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<form id=search action=//evil.example><input name=q>",
    "<a id=live href=//evil.example>x</a>",
    "&lt;script&gt;alert('xss')&lt;/script&gt;",
    "\u202egnp.exe\u2066\x00\x1b[31m\u2028",
    "${alert(1)}{{constructor.constructor('alert(1)')()}}",
)


#: The number of scripts, that of elements that no page has, and whether an element has a handler or a style.
HARM = """() => [
    document.querySelectorAll("script").length,
    document.querySelectorAll("img, iframe, style, base, form:not(#search), meta[http-equiv]").length,
    [...document.querySelectorAll("*")].some((e) =>
        [...e.attributes].some((a) => a.name.startsWith("on") || a.name == "style")),
]"""


class AttackTests(BrowserTestCase):
    """Hostile text in any member stays text."""

    async def test_reports(self) -> None:
        def attacks() -> list[Entry]:
            at, found = self.started, []
            for number, text in enumerate(ATTACKS):
                members = {"reason": text, "process": text, "server": text}
                findings = (
                    Reported(200, Report(ok=False, lastrun=at - 60, **members)),
                    Invalid(200, f"lastrun: {text}"),
                    NoAnswer(Fault.BROKEN, text, 0.1),
                )
                for finding in findings:
                    made = judged(f"{number} {type(finding).__name__} {text}", finding, at, findings[0].report)
                    found.append(Entry(replace(made.task, label=f"http://h/{text}"), made.state))
            return found

        entries = attacks()
        home = self.serve(entries)
        for number, made in enumerate(entries):
            text = ATTACKS[number // 3]
            # Whole and cut, as an unknown member and as HTML.
            sent = text if number % 3 == 2 else json.dumps({"status": "ok", text: {"x": text}}, ensure_ascii=False)
            self.board.answers[made.task.id] = LastAnswer(self.started, 200, sent.encode(), number % 3 == 1)
        from pypinger.web.html import task_history

        history = FakeHistory(self.started, words=ATTACKS[0] + ATTACKS[1])
        self.patch(task_history, "read", lambda _, entry, now: self._remembered(history, entry, now))

        def visit(page: Page) -> None:
            requested: list[str] = []
            page.on("request", lambda request: requested.append(request.url))
            for view in ("", "?by=server", "?by=process", "?q=%3Cscript%3Ealert('xss')%3C/script%3E%22'"):
                page.goto(home + view)
                self._assert_harmless(page)
            # The same after an update by the script.
            page.goto(home)
            page.wait_for_selector(".live.on")
            for made in entries[::7]:
                self.change(Entry(made.task, replace(made.state, since=self.started, pings=9)))
            page.locator("#q").fill(ATTACKS[0])
            expect(page).to_have_url(re.compile(r"\?q="))
            expect(page.locator("#pager")).to_have_count(0)
            self._assert_harmless(page)
            for made in entries[::3]:
                page.goto(f"{home}task/{made.task.id}")
                self.assertIn('"status": "ok"', page.evaluate("document.querySelector('pre').innerText"))
                self._assert_harmless(page)
            for made in entries[1::3] + entries[2::3]:
                page.goto(f"{home}task/{made.task.id}")
                self._assert_harmless(page)
            self.assertEqual([url for url in requested if not url.startswith(home)], [])

        # Text is as hostile in a small window, which is painted faster.
        await self.browse(visit, viewport={"width": 400, "height": 300})
        self.assertEqual([each for each in self.complaints if "status of 500" not in each], [])

    async def _remembered(self, history: FakeHistory, entry: Entry, now: float) -> task_history.Past:
        url = entry.task.url
        return task_history.Past(
            await history.runs(url),
            await history.incidents(url),
            await history.deliveries(url),
            await history.uptime(url, now),
            await history.gaps(url),
            await history.days(url, now),
        )

    def _assert_harmless(self, page: Page) -> None:
        self.assertEqual(page.evaluate(HARM), [3, 0, False])


class AccessTests(BrowserTestCase):
    """Accessibility by axe-core, in light and dark mode, and by keyboard."""

    async def test_axe(self) -> None:
        require_axe()
        daemon = daemon_state(status=Status.ERROR, dead=2, dead_channels=("slack",), started=self.started)
        marked = list(on_call(self.started))
        tasks = list(fleet(self.started))
        home = self.serve([*tasks, *storm(self.started, 12), *marked], daemon)
        kinds = {each.state.kind: each.task.id for each in tasks}
        paths = ["", "?by=group", "?q=nothing+at+all", "no/such/page", f"task/{marked[3].task.id}", "?view=wall"]
        paths += ["?sort=name", "?by=server"]
        paths += [f"task/{kinds[kind]}" for kind in (Kind.LATE, Kind.SLEEPING, Kind.UNREACHABLE, Kind.NEW)]
        on_phone = ("", *paths[4:6])

        def visit(page: Page) -> None:
            for path in paths:
                page.goto(home + path)
                for width in sizes(page, 1280, *((360,) if path in on_phone else ())):
                    assert_sound(self, page, f"{path} {width}", dark=True)

        await self.browse(visit, **WIDE)

    async def test_axe_of_instances(self) -> None:
        require_axe()
        sharing = instances(self.started)
        daemon = daemon_state(sharing=sharing, started=self.started)
        home = self.serve(shared(fleet(self.started), *(each.name for each in sharing.members)), daemon)
        tasks = [each.task.id for each in self.board.entries()[:2]]

        def visit(page: Page) -> None:
            for widths, away in (((1400, 390), None), ((768,), self.started - 60)):
                self.board.state = replace(daemon, sharing=replace(sharing, away=away, words="refused"), blind=away)
                for path in ("?by=instance", f"task/{tasks[0]}", f"task/{tasks[1]}"):
                    page.set_viewport_size({"width": widths[0], "height": 800})
                    page.goto(home + path)
                    if "task" not in path:
                        page.locator("#instances > summary").click()
                        expect(page.locator("#instances li")).to_have_count(3)
                    for width in sizes(page, *widths):
                        self.assertLessEqual(overflow(page), 0, (width, path))
                        assert_sound(self, page, f"{path} {width}", dark=width in (widths[0], widths[-1]))

        await self.browse(visit, **WIDE)
        self.assertEqual([each for each in self.complaints if "status of 500" not in each], [])

    async def test_keyboard(self) -> None:
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            page.keyboard.press("Tab")
            self.assertEqual(page.evaluate("document.activeElement.textContent"), "Skip to the tasks")
            reached = set()
            for _ in range(40):
                page.keyboard.press("Tab")
                reached.add(page.evaluate("document.activeElement.textContent || document.activeElement.name"))
                if page.evaluate("document.activeElement != document.body"):
                    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                    self.assertEqual(outline, "solid")
            self.assertLessEqual({"q", "Search", "server", "Invoices", "Grace"}, reached)

        await self.browse(visit, **WIDE)


class BeforeTheFirstCheckTests(BrowserTestCase):
    async def test_new_tasks_and_none(self) -> None:
        home = self.serve([Entry(task("http://h/new"), TaskState()), Entry(task("http://h/two"), TaskState())])

        def visit(page: Page) -> None:
            page.goto(home)
            self.assertEqual(page.locator("h1").inner_text(), "2 of 2 tasks not checked yet")
            made = judged("x", report(self.started, 60), self.started)
            first = self.board.entries()[0]
            page.wait_for_selector(".live.on")
            incident = Incident(self.started, made.state.kind, self.started, 1)
            self.change(Entry(first.task, replace(made.state, incident=incident)))
            page.wait_for_selector("tr.ok")

        await self.browse(visit, **WIDE)
