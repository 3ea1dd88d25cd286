"""Lists, the public page, local time, rows and keys in a real browser."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from pypinger.domain.kinds import Status
from pypinger.domain.model import Verdict
from tests.browser.axe import assert_sound, require_axe
from tests.browser.chromium import BrowserTestCase, Page, expect
from tests.browser.fleet import fleet, on_call
from tests.browser.test_browser import WIDE, overflow, sizes
from tests.web.fakes import daemon_state

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
BERLIN: dict[str, Any] = {**WIDE, "timezone_id": "Europe/Berlin", "locale": "de-DE"}

#: What people touch; links within running text are exempt (WCAG 2.5.5).
TOUCHED = ", ".join(
    f"{each}:visible"
    for each in ("input", "select", "button", "summary", ".choices a", ".pager a", ".brand a", ".clear", "footer a")
)


class ListsTests(BrowserTestCase):
    async def test_filters_without_script(self) -> None:
        home = self.serve(fleet(self.started), daemon_state(started=self.started, dead=1))

        def visit(page: Page) -> None:
            page.goto(home)
            page.get_by_role("link", name="1 alert", exact=True).click()
            self.assertEqual(page.url, f"{home}deliveries?outcome=dead")
            expect(page.get_by_label("Outcome")).to_have_value("dead")
            expect(page.locator("#given-up .command")).to_have_text("pypinger resend")
            page.get_by_role("link", name="Incidents", exact=True).click()
            tops = [page.get_by_label(name).bounding_box() for name in ("Task", "Kind", "Since")]
            self.assertEqual(len({each and (each["y"], each["height"]) for each in tops}), 1)
            page.get_by_label("Task").fill("Nightly*")
            page.get_by_label("Kind").select_option("late")
            page.get_by_role("button", name="Show").click()
            self.assertEqual(page.url, f"{home}incidents?task=Nightly*&kind=late&state=&since=&until=")
            expect(page.get_by_label("Task")).to_have_value("Nightly*")
            page.get_by_role("link", name="Show all").click()
            self.assertEqual(page.url, f"{home}incidents")
            page.get_by_label("Since").fill("yesterday")
            page.get_by_label("Since").press("Enter")
            expect(page.locator("#problem")).to_contain_text("since must be a date")

        await self.browse(visit, **WIDE, java_script_enabled=False)

    async def test_updates_keep_what_is_typed(self) -> None:
        entries = list(fleet(self.started))
        home = self.serve(entries)
        late = next(each for each in entries if each.state.kind == "late")

        def visit(page: Page) -> None:
            page.goto(f"{home}incidents")
            page.wait_for_selector(".live.on")
            page.get_by_label("Task").fill("half a wo")
            page.get_by_label("Kind").select_option("late")
            self.change(
                replace(late, state=replace(late.state, verdict=Verdict(entries[0].state.kind, "fine"), incident=None))
            )
            expect(page.locator("#banner")).to_contain_text("4 incidents open now")
            expect(page.get_by_label("Task")).to_have_value("half a wo")
            expect(page.get_by_label("Kind")).to_have_value("late")

        await self.browse(visit, **WIDE)
        self.assertEqual(self.complaints, [])

    async def test_sizes_and_axe(self) -> None:
        require_axe()
        daemon = daemon_state(status=Status.ERROR, dead=2, undelivered=1, started=self.started)
        home = self.serve([*fleet(self.started), *on_call(self.started)], daemon, public="*")
        task = self.board.entries()[2].task.id
        paths = ("incidents", "deliveries", "incidents?kind=late&since=x", f"task/{task}/incidents", "public")

        def visit(page: Page) -> None:
            for path in paths:
                page.goto(home + path)
                for width in sizes(page, 1400, 768, 390):
                    self.assertLessEqual(overflow(page), 0, (path, width))
                    assert_sound(self, page, f"{path} {width}", dark=width in (1400, 390))
                self.assertNotIn("s3cret", page.content())

        await self.browse(visit, **BERLIN)
        self.assertEqual([each for each in self.complaints if "status of" not in each], [])

    async def test_public_page_asks_for_nothing_private(self) -> None:
        home = self.serve(fleet(self.started), public="*")
        asked: list[str] = []

        def visit(page: Page) -> None:
            page.on("request", lambda request: asked.append(request.url.removeprefix(home).partition("?")[0]))
            page.goto(f"{home}public")
            self.assertEqual(page.locator("h1").inner_text(), "5 of 13 tasks in trouble")
            page.wait_for_timeout(500)

        await self.browse(visit, **WIDE)
        private = [
            each for each in asked if each != "public" and not re.fullmatch(r"static/[a-z]+\.(?:css|js|svg)", each)
        ]
        self.assertEqual(private, [])
        self.assertEqual(self.complaints, [])


class LocalTimeTests(BrowserTestCase):
    async def test_the_choice_stays(self) -> None:
        entries = list(fleet(self.started))
        home = self.serve(entries)
        late = next(each for each in entries if each.state.kind == "late")
        address = f"{home}task/{late.task.id}"

        def visit(page: Page) -> None:
            page.goto(address)
            page.wait_for_selector(".live.on")
            explained = page.locator(".banner .why")
            utc = explained.inner_text()
            self.assertIn(" UTC", utc)
            switch = page.locator("#times button")
            expect(switch).to_have_text("UTC")
            expect(switch).to_have_attribute("aria-pressed", "false")
            switch.click()
            expect(switch).to_have_text("Local time")
            expect(explained).to_contain_text(re.compile(r"\d\d:\d\d:\d\d CES?T"))
            hour = re.compile(r"(\d\d):(\d\d):(\d\d) ")
            found, wanted = hour.search(explained.inner_text()), hour.search(utc)
            assert found is not None
            assert wanted is not None
            self.assertEqual(found.groups()[1:], wanted.groups()[1:])
            self.assertIn((int(found[1]) - int(wanted[1])) % 24, (1, 2))
            # An update brings the server's words, and they are replaced before they are painted.
            assert late.state.verdict is not None
            longer = late.state.verdict.explanation.replace("grace 1 min", "grace 2 min")
            self.change(
                replace(late, state=replace(late.state, verdict=replace(late.state.verdict, explanation=longer)))
            )
            expect(explained).to_contain_text("grace 2 min")
            self.assertNotIn(" UTC", explained.inner_text())
            page.goto(home)
            expect(switch).to_have_text("Local time")
            expect(page.locator("#foot time.fixed")).to_contain_text(re.compile("CES?T"))
            switch.click()
            expect(page.locator("#foot time.fixed")).to_contain_text(" UTC")
            page.reload()
            expect(switch).to_have_text("UTC")
            page.goto(address)
            expect(explained).to_have_text(utc.replace("grace 1", "grace 2"))

        await self.browse(visit, **BERLIN)
        self.assertEqual([each for each in self.complaints if "status of 500" not in each], [])

    async def test_since_when_the_history_is_known(self) -> None:
        home = self.serve(fleet(self.started))
        self.history.begins = 7200 * (self.started // 7200)
        hour = round(self.history.begins % 86_400) // 3600

        def visit(page: Page) -> None:
            page.goto(home)
            share = page.locator(".share").first
            expect(share).to_have_text(f"since {hour:02}:00")
            page.locator("#times button").click()
            expect(share).to_have_text(re.compile(f"since ({(hour + 1) % 24:02}|{(hour + 2) % 24:02}):00"))

        await self.browse(visit, **BERLIN)

    async def test_on_a_phone(self) -> None:
        home = self.serve(on_call(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            page.locator("#times button").tap()
            expect(page.locator(".flag.silenced").first).to_contain_text(re.compile(r"until .*\d\d:\d\d CES?T"))
            self.assertLessEqual(overflow(page), 0)

        await self.browse(visit, **PHONE, timezone_id="Europe/Berlin")

    async def test_no_switch_without_need(self) -> None:
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            self.assertEqual(page.locator("#times button").count(), 0)

        await self.browse(visit, **WIDE, timezone_id="Europe/Berlin", java_script_enabled=False)
        await self.browse(visit, **WIDE, timezone_id="UTC")


class RowsTests(BrowserTestCase):
    async def test_clicks(self) -> None:
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            # Some time may pass between two clicks; a double click is a fast one.
            self.stop_the_clock(page)
            page.goto(home)
            row = page.locator("tbody tr", has_text="Backup of db-2")
            address = home + str(row.locator("th a").get_attribute("href"))
            # Selecting text opens nothing: a double click, or dragging.
            why = row.locator(".why span").first
            why.dblclick(position={"x": 20, "y": 8})
            page.clock.run_for(600)
            self.assertEqual(page.url, home)
            self.assertEqual(page.evaluate("String(getSelection())"), "pg_dump")
            box = why.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + 3, box["y"] + 8)
            page.mouse.down()
            page.mouse.move(box["x"] + 60, box["y"] + 8, steps=5)
            page.mouse.up()
            page.clock.run_for(600)
            self.assertEqual(page.url, home)
            page.evaluate("getSelection().removeAllRanges()")
            # A middle click on the link opens a tab, and one beside it nothing.
            with page.context.expect_page() as opened:
                row.locator("th a").click(button="middle")
            opened.value.close()
            row.locator(".when").first.click(button="middle")
            with page.context.expect_page() as opened:
                row.locator(".when").first.click(modifiers=["Control"])
            opened.value.close()
            self.assertEqual(page.url, home)
            row.locator(".when").first.click()
            page.clock.run_for(600)
            page.wait_for_url(address)

        await self.browse(visit, **WIDE)

    async def test_keys(self) -> None:
        home = self.serve(fleet(self.started))

        def visit(page: Page) -> None:
            page.goto(home)
            focused = "document.activeElement.closest('tr').querySelector('th a').textContent"
            tasks = page.locator("tbody th a").all_inner_texts()
            for key, place in (("j", 0), ("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
                page.keyboard.press(key)
                self.assertEqual(page.evaluate(focused), tasks[place])
            page.keyboard.press("/")
            expect(page.locator("#q")).to_be_focused()
            page.keyboard.type("j/k")
            expect(page.locator("#q")).to_have_value("j/k")
            page.locator("#q").fill("")
            page.keyboard.press("Escape")
            expect(page.locator("#q")).not_to_be_focused()
            page.keyboard.press("Control+j")
            expect(page.locator("tbody th a").first).to_be_visible()
            page.keyboard.press("j")
            page.keyboard.press("Enter")
            page.wait_for_url("**/task/*")
            page.goto(f"{home}incidents")
            page.keyboard.press("/")
            expect(page.get_by_label("Task")).to_be_focused()

        await self.browse(visit, **WIDE)
        self.assertEqual([each for each in self.complaints if "status of 500" not in each], [])

    async def test_touch_targets(self) -> None:
        home = self.serve([*fleet(self.started), *on_call(self.started)], public="*")
        task = self.board.entries()[2].task.id

        def visit(page: Page) -> None:
            for path in ("", "incidents", "deliveries?event=problem", f"task/{task}", "?q=nothing+at+all"):
                page.goto(home + path)
                targets = page.locator(TOUCHED).evaluate_all(
                    "all => all.map((each) => [each.getBoundingClientRect().height, each.outerHTML])"
                )
                self.assertGreater(len(targets), 3, path)
                for height, html in targets:
                    self.assertGreaterEqual(round(height, 1), 40, (path, html))
            # A tap beside the words of a link, in its row, opens the task.
            page.goto(home)
            row = page.locator("tbody tr").first
            box = row.bounding_box()
            assert box is not None
            self.assertGreaterEqual(box["height"], 40)
            row.tap(position={"x": box["width"] / 2, "y": box["height"] - 8})
            page.wait_for_url("**/task/*")

        await self.browse(visit, **PHONE, timezone_id="Europe/Berlin")
