import json
import re
from math import inf, nan

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Fault, Finding, Incident, Invalid, NoAnswer, Report, Task, TaskState, Verdict, Window
from pypinger.ports.history import Day, Gap, Run
from pypinger.ports.showing import Entry, LastAnswer
from pypinger.web import formatting
from pypinger.web.html import charts, task_history, timeline
from pypinger.web.html import task_page as page_of_task
from pypinger.web.html.figures import Figures
from tests.web.browser import Page, overview, result, task_page
from tests.web.fakes import NIGHT, NOW, daemon_state, entry, new_entry
from tests.web.history import FakeHistory

replace = msgspec.structs.replace
DAY = 86_400.0


def figures(history: FakeHistory, made: Entry) -> Figures:
    async def read() -> Figures:
        url = made.task.url
        return Figures(await history.gaps(url), await history.days(url, NOW), NOW, None, made.state.kind)

    return result(Deferred.fromCoroutine(read()))  # type: ignore[arg-type, return-value]


def past(history: FakeHistory, made: Entry) -> task_history.Past | None:
    return result(Deferred.fromCoroutine(task_history.read(history, made, NOW)))  # type: ignore[arg-type, return-value]


class OverviewTests(SynchronousTestCase):
    def test_trouble_first(self) -> None:
        kinds = (Kind.OK, Kind.SLEEPING, Kind.LATE, Kind.FAILED)
        entries = [entry(f"http://h/{kind}", kind) for kind in kinds]
        page = Page(overview([new_entry(), *entries]))
        self.assertEqual(page.open, [])
        self.assertEqual(page.comments, [])
        order = [entries[2], entries[3], entries[1], entries[0], new_entry()]
        rows = [attrs for tag, attrs in page.elements if tag == "tr" and "id" in attrs]
        self.assertEqual([attrs["id"] for attrs in rows], [f"t-{each.task.id}" for each in order])
        self.assertEqual([attrs["class"] for attrs in rows], ["error", "error", "sleeping", "ok", "new"])
        self.assertIn("2 of 5 tasks in trouble", page.text)
        for count in ("In trouble 2", "Sleeping 1", "On time 1", "Not checked yet 1", "All 5"):
            self.assertIn(count, page.text)

    def test_row(self) -> None:
        page = Page(overview([entry(kind=Kind.LATE, name="Invoices")]))
        for words_ in (
            "Invoices",
            "backup · web-1",
            "late",
            "explained as late",
            "5 min ago",
            "22:23:34 UTC",
            "in 5 min",
        ):
            self.assertIn(words_, page.text)
        times = [attrs["datetime"] for tag, attrs in page.elements if tag == "time"]
        self.assertIn("2026-11-22T22:23:34.000Z", times)

    def test_pictures(self) -> None:
        made = entry()
        page = Page(overview([made], figures={made.task.id: figures(FakeHistory(NOW), made)}))
        self.assertEqual(page.open, [])
        told = [attrs["aria-label"] or "" for tag, attrs in page.elements if tag == "svg"]
        self.assertEqual([text.partition(":")[0] for text in told], ["Gaps between the last runs", "The last 90 days"])
        without = new_entry()
        page = Page(overview([without], figures={without.task.id: Figures((), (), NOW, None, Kind.NEW)}))
        self.assertNotIn("svg", [tag for tag, _ in page.elements])

    def test_what_is_unknown(self) -> None:
        page = Page(overview([new_entry(), entry("http://h/n", lastrun=nan)]))
        self.assertEqual(page.classes("span").count("unknown"), 7)

    def test_banner(self) -> None:
        ok, other, late = entry(), entry("http://h/b"), entry("http://h/c", Kind.LATE)
        asleep = entry("http://h/s", Kind.SLEEPING)
        for entries, heading, look in (
            ([], "No tasks", "new"),
            ([ok], "The task is on time", "ok"),
            ([asleep], "The task is asleep", "ok"),
            ([ok, other], "All tasks on time", "ok"),
            ([ok, asleep], "All tasks on time1 of them asleep.", "ok"),
            ([late], "1 of 1 task in troubleSince 15 min ago (22:13:34 UTC).", "error"),
            ([ok, late, new_entry()], "1 of 3 tasks in trouble", "error"),
            ([ok, new_entry()], "1 of 2 tasks not checked yet", "new"),
        ):
            page = Page(overview(entries))
            self.assertIn(heading, page.text)
            self.assertEqual(page.classes("header"), [f"banner {look}"])
            icons = [attrs["href"] or "" for tag, attrs in page.elements if tag == "link" and attrs.get("id") == "icon"]
            self.assertTrue(icons[0].startswith(f"static/{look}.svg"), icons)

    def test_since_when(self) -> None:
        first, latest = entry("http://h/c", Kind.LATE), entry("http://h/d", Kind.FAILED, name="Latest")
        latest = Entry(latest.task, replace(latest.state, since=NOW - 60))
        unknown = Entry(entry("http://h/e", Kind.LATE).task, replace(first.state, since=None))
        page = Page(overview([latest, first, unknown]))
        self.assertIn("Since 15 min ago (22:13:34 UTC). Latest: Latest, 1 min ago.", page.text)
        self.assertIn(f"task/{latest.task.id}", page.links())
        page = Page(overview([unknown]))
        self.assertNotIn("Since", page.text)

    def test_title(self) -> None:
        late = entry("http://h/c", Kind.LATE)
        self.assertIn(b"<title>(1) Py Pinger</title>", overview([late, entry()]))
        self.assertIn("<title>All tasks on time · Py Pinger</title>".encode(), overview([entry(), entry("http://h/2")]))

    def test_notices(self) -> None:
        self.assertNotIn("notice", Page(overview([])).classes("section"))
        daemon = daemon_state(status=Status.ERROR, explanation="<the disk>", dead=2, undelivered=1)
        page = Page(overview([], daemon))
        self.assertIn("notice", page.classes("section"))
        for words_ in ("<the disk>", "2 alerts could not be", "1 alert pending"):
            self.assertIn(words_, page.text)

    def test_degraded(self) -> None:
        """Nothing is green while Py Pinger cannot do its work."""
        daemon = daemon_state(status=Status.ERROR, explanation="checks are stuck")
        ok, late = entry(), entry("http://h/c", Kind.LATE)
        for entries, heading, look, title in (
            (
                [ok, entry("http://h/2")],
                "All tasks on time; Py Pinger is degraded",
                "degraded",
                "(!) Py Pinger is degraded",
            ),
            ([ok, late], "1 of 2 tasks in trouble; Py Pinger is degraded", "error", "(1) Py Pinger is degraded"),
        ):
            html = overview(entries, daemon)
            page = Page(html)
            self.assertIn(heading, page.text)
            self.assertEqual(page.classes("header"), [f"banner {look}"])
            self.assertIn(f"<title>{title}</title>".encode(), html)
            icons = [attrs["href"] or "" for tag, attrs in page.elements if attrs.get("id") == "icon"]
            self.assertTrue(icons[0].startswith(f"static/{look}.svg"), icons)

    def test_blind(self) -> None:
        daemon = daemon_state(status=Status.ERROR, explanation="blind", blind=NOW - 60)
        page = Page(overview([entry(), entry("http://h/c", Kind.LATE)], daemon))
        for words_ in ("Py Pinger is blind", "since 1 min ago (22:27:34 UTC)", "1 of 2 tasks in trouble"):
            self.assertIn(words_, page.text)
        self.assertEqual(page.classes("header"), ["banner degraded"])
        self.assertIn("(!) Py Pinger is blind", page.text)

    def test_trouble_tells_since_when(self) -> None:
        made = entry(kind=Kind.LATE)
        page = Page(overview([made, entry("http://h/b"), Entry(new_entry().task, replace(made.state, since=None))]))
        self.assertIn("late since 15 min ago", page.text)
        self.assertEqual(page.classes("small").count("since"), 1)

    def test_feed_is_found(self) -> None:
        made = entry()
        for html, href in ((overview([made]), "feed.atom"), (task_page(made), f"../task/{made.task.id}/feed.atom")):
            found = [attrs["href"] for tag, attrs in Page(html).elements if attrs.get("rel") == "alternate"]
            self.assertEqual(found, [href])

    def test_without_script(self) -> None:
        html = overview([entry()]).decode()
        self.assertIn('<noscript><meta http-equiv="refresh" content="30"', html)
        forms = [attrs for tag, attrs in Page(html.encode()).elements if tag == "form"]
        self.assertEqual([(form["action"], form["method"]) for form in forms], [("./", "get")])

    def test_the_form_keeps_what_was_chosen(self) -> None:
        page = Page(overview([entry()], query="q=web&status=ok&by=server"))
        fields = {attrs["name"]: attrs["value"] for tag, attrs in page.elements if tag == "input"}
        self.assertEqual(fields, {"q": "web", "status": "ok", "by": "server"})
        chosen = [attrs["href"] for tag, attrs in page.elements if tag == "a" and attrs.get("aria-current")]
        self.assertEqual(chosen, ["./?q=web&status=ok&by=server"] * 2)

    def test_groups(self) -> None:
        entries = [
            entry("http://h/1", server="b"),
            entry("http://h/2", Kind.LATE, server="c"),
            entry("http://h/3", server="c"),
            entry("http://h/4", server=None),
        ]
        page = Page(overview(entries, query="by=server"))
        self.assertEqual(page.open, [])
        self.assertIn("c 2 1 in trouble", page.text)
        self.assertIn("No server 1", page.text)

    def test_nothing_found(self) -> None:
        page = Page(overview([entry()], query="q=nowhere&by=server"))
        self.assertIn("No task matches. Show all tasks", page.text)
        self.assertIn("./?by=server", page.links())
        self.assertNotIn("No task matches", Page(overview([])).text)

    def test_pages(self) -> None:
        entries = [entry(f"http://h/{number}") for number in range(250)]
        first, second, last = (Page(overview(entries, query=f"page={number}")) for number in (1, 2, 9))
        self.assertIn("1–100 of 250 tasks", first.text)
        self.assertIn("101–200 of 250 tasks", second.text)
        self.assertIn("201–250 of 250 tasks", last.text)
        self.assertEqual([link for link in second.links() if "page" in link], ["./?page=3"])
        self.assertEqual([link for link in last.links() if "page" in link], ["./?page=2"])

    def test_incomplete(self) -> None:
        self.assertNotIn(b"data-incomplete", overview([entry()]))
        self.assertIn(b"data-incomplete", overview([entry()], complete=False))


class TaskPageTests(SynchronousTestCase):
    def test_all_members(self) -> None:
        page = Page(task_page(entry("http://h/a?key=s3cret", Kind.FAILED, name="Backup", frequency=90.0)))
        self.assertEqual(page.open, [])
        for words_ in (
            "Backup",
            "failed · since 15 min ago 22:13:34 UTC",
            "explained as failed",
            "http://h/a?…",
            "Last run5 min ago 22:23:34 UTC",
            "Runs every1 h 30 min",
            "Duein 5 min 22:33:34 UTC",
            "Next changein 6 min",
            "Processbackup",
            "Serverweb-1",
            "Reasondisk full",
            "Last check21 s ago",
            "Next checkin 39 s 22:29:13 UTC",
            "Latency12.3 ms",
            "Checks120",
            "With errors7",
            "Alerts afterthe first error",
            "Reminders every8 min",
            "Open since15 min ago",
            '"frequency": 90.0',
        ):
            self.assertIn(words_, page.text)
        self.assertNotIn("s3cret", page.text)
        number = entry("http://h/a?key=s3cret").task.id
        links = ["#main", "../", f"../badge/{number}.svg", f"../task/{number}/feed.atom"]
        self.assertEqual(page.links(), links)
        self.assertIn("(!) failed: Backup · Py Pinger", page.text)

    def test_no_time_is_read_out_as_it_passes(self) -> None:
        live = re.findall(r'<(\w+)[^>]*aria-live="polite"[^>]*>(.*?)</\1>', task_page(entry(kind=Kind.LATE)).decode())
        self.assertEqual(live, [("span", "late")])

    def test_settings(self) -> None:
        made = entry()
        made = Entry(replace(made.task, failures=3, error_interval=0.0), made.state)
        page = Page(task_page(made))
        self.assertIn("3 errors in a row", page.text)
        self.assertIn("Reminders everynever", page.text)

    def test_sleep(self) -> None:
        page = Page(task_page(entry(kind=Kind.SLEEPING, sleep=(NIGHT, Window(3605, 86_400.0)))))
        for words_ in (
            "22:00 to 06:00 UTC (8 h)",
            "01:00:05 to 01:00:05 UTC (1 d)",
            "Asleep since",
            "in 2 h",
            '"start": "22:00:00", "duration": 480.0',
        ):
            self.assertIn(words_, page.text)

    def test_not_checked_yet(self) -> None:
        page = Page(task_page(new_entry()))
        for words_ in ("not checked yet", "Reminders every"):
            self.assertIn(words_, page.text)
        self.assertNotIn("Next check", page.text)
        self.assertNotIn("svg", [tag for tag, _ in page.elements])

    def test_latency(self) -> None:
        made = entry()
        slow = Entry(made.task, replace(made.state, latency=1.25))
        self.assertIn("1.25 s", Page(task_page(slow)).text)

    def test_next_check(self) -> None:
        made = entry()
        checked = made.state.checked
        assert checked is not None
        for change, expected in (
            (checked + 10, checked + 10),
            (checked + 99, checked + 60),
            (checked - 1, checked + 60),
        ):
            verdict = Verdict(Kind.OK, "", next_change=change)
            self.assertEqual(page_of_task.next_check(Entry(made.task, replace(made.state, verdict=verdict))), expected)
        self.assertEqual(page_of_task.next_check(Entry(made.task, replace(made.state, verdict=None))), checked + 60)

    def test_what_is_to_happen_next(self) -> None:
        made = entry()
        checked = made.state.checked
        assert checked is not None
        for passed, text in ((60 - 39, "in 39 s"), (60, "due now"), (119, "due now"), (300, "due 4 min ago")):
            page = Page(task_page(made, checked + passed))
            self.assertIn(f"Next check{text} 22:29:13 UTC", page.text)
            self.assertEqual(page.classes("time").count("coming"), 2)

    def test_long_names_are_whole_somewhere(self) -> None:
        name, url = "n" * 2000, "http://h/" + "u" * 2000
        text = Page(task_page(entry(url, name=name))).text
        self.assertIn(f"Name{name}Address{url}", text)
        text = Page(task_page(entry())).text
        for title in ("Name", "Address"):
            self.assertNotIn(title, text)

    def test_history(self) -> None:
        made = entry(kind=Kind.FAILED)
        page = Page(task_page(made, past=past(FakeHistory(NOW), made)))
        self.assertEqual(page.open, [])
        for words_ in (
            "24 hours100 %",
            "7 days99.98 %",
            "30 days97.13 %",
            "90 days–",
            "Open · late → failed · began 16 min ago 22:12:34 UTC, has lasted 16 min",
            "Closed · late · began 9 d ago 2026-11-13 22:28:34 UTC, lasted 2 h 24 min",
            "slack pending",
            "slack pending after 2 attempts, 14 min ago: “channel_not_found”",
            "hipchat given up after 1 attempt",
            "slack sent after 1 attempt",
            "1 more alert not sent to a channel, or not listed",
            "ok, ran 22:23:34 UTC",
            "error, ran 22:13:34 UTC, HTTP 503: channel_not_found",
            "HTTP 200, invalid report: lastrun: channel_not_found",
            "no answer: connection refused",
        ):
            self.assertIn(words_, page.text)

    def test_what_was_found_again_and_again_is_one_line(self) -> None:
        same, other = Invalid(502, "the body is empty"), NoAnswer(Fault.DNS, "no such host", 0.1)

        def lines(*found: Finding) -> list[str]:
            runs = [Run(n, NOW - 60 * n - 60, NOW - 60 * n - 1, 2, finding) for n, finding in enumerate(found)]
            html = task_page(entry(), past=task_history.Past(runs, (), (), {}, (), ()))
            _, *rows = html[html.index(b'class="small reports"') :].split(b"<tr>")[1:]
            return [Page(b"<tr>" + row.partition(b"</tr>")[0] + b"</tr>").text for row in rows]

        words = "HTTP 502, invalid report: the body is empty"
        self.assertEqual(
            lines(same, same, same, other, same),
            [
                f"3 min ago 22:25:34 UTC6{words}",
                "4 min ago 22:24:34 UTC2no answer: no such host",
                f"5 min ago 22:23:34 UTC2{words}",
            ],
        )
        self.assertEqual(len(lines(*([same, other] * 10))), task_history.ROWS)
        # Of the last one nobody asked when it began.
        self.assertEqual(
            lines(same, *([other] * (task_history.RUNS - 1))),
            [f"1 min ago 22:27:34 UTC2{words}", "before 45 min ago 21:43:34 UTC88no answer: no such host"],
        )

    def test_earlier_alerts_are_folded(self) -> None:
        incident = result(Deferred.fromCoroutine(FakeHistory(NOW).incidents()))[0]  # type: ignore[arg-type]
        for many, folded in ((5, None), (6, "1 earlier alert"), (20, "15 earlier alerts")):
            told = [replace(incident.told[0], id=str(number), at=NOW - 100 + number) for number in range(many)]  # type: ignore[attr-defined]
            made = task_history.Past((), [replace(incident, told=tuple(told), alerts=many)], (), {}, (), ())  # type: ignore[type-var]
            page = Page(task_page(entry(kind=Kind.FAILED), past=made))
            self.assertEqual(page.open, [])
            self.assertEqual("earlier alert" in page.text, folded is not None)
            self.assertIn(folded or "", page.text)
            self.assertEqual(page.text.count("UTC–"), many)
            self.assertEqual(page.text.partition("earlier alert")[0].count("UTC–"), 5)
        over = replace(incident, ended=NOW - 60)  # type: ignore[type-var]
        html = task_page(entry(), past=task_history.Past((), [over], (), {}, (), ()))
        self.assertEqual(html.count(b"<table"), 1)
        self.assertIn("3 alerts", Page(html[html.index(b"<summary") :].partition(b"</summary>")[0]).text)

    def test_without_history(self) -> None:
        made, history = entry(), FakeHistory(NOW)
        history.broken = True
        self.assertIsNone(past(history, made))
        self.assertIsNone(result(Deferred.fromCoroutine(task_history.read(None, made, NOW))))  # type: ignore[arg-type]
        text = Page(task_page(made)).text
        self.assertNotIn("Incidents", text)

    def test_empty_history(self) -> None:
        page = Page(task_page(new_entry(), past=task_history.Past((), (), (), {}, (), ())))
        for words_ in ("No incidents.", "None yet.", "24 hours–"):
            self.assertIn(words_, page.text)

    def test_an_old_report_is_called_one(self) -> None:
        self.assertIn("Drawn from the last valid report", Page(task_page(entry(kind=Kind.UNREACHABLE))).text)
        self.assertNotIn("Drawn from the last valid report", Page(task_page(entry())).text)


class SparklineTests(SynchronousTestCase):
    def draw(self, *gaps: float | None, sleep: tuple[Window, ...] = ()) -> str:
        at, found = NOW - 60, []
        for gap in gaps:
            found.append(Gap(at, gap))
            at -= gap or 0
        return charts.sparkline(found, Report(ok=True, lastrun=NOW - 60, sleep=sleep), 60.0)

    def test_nothing_to_draw(self) -> None:
        self.assertEqual(self.draw(), "")
        self.assertEqual(self.draw(None), "")

    def test_late_runs_are_marked(self) -> None:
        drawn = self.draw(600.0, 1500.0, 601.0, None)
        self.assertIn("median 10 min, longest 25 min; expected every 10 min; 1 of 3 runs late", drawn)
        self.assertIn('class="late"', drawn)
        self.assertIn("none of 2 runs", self.draw(600.0, 600.0))

    def test_sleep_makes_long_gaps_right(self) -> None:
        asleep = (Window(int(NOW - 4000) % 86_400, 3600.0),)
        self.assertIn("none of 1 run late", self.draw(4100.0, sleep=asleep))
        self.assertIn("1 of 1 run late", self.draw(4100.0))
        self.assertIn("none of 1 run late", self.draw(4100.0, sleep=(Window(0, DAY),)))


class UptimeTests(SynchronousTestCase):
    TODAY = NOW // DAY * DAY

    def test_share(self) -> None:
        self.assertIsNone(charts.share([]))
        self.assertIsNone(charts.share([Day(self.TODAY, 0, 0, 100)]))
        self.assertEqual(charts.share([Day(self.TODAY, 30, 10, 0), Day(self.TODAY - DAY, 60, 0, 5)]), 0.9)

    def test_strip(self) -> None:
        self.assertEqual(charts.strip([], NOW), "")
        # Days of which nothing is known, and days that are not among the last 90.
        self.assertEqual(
            charts.strip(
                [Day(self.TODAY, 0, 0, 0), Day(self.TODAY - 90 * DAY, 1, 0, 0), Day(self.TODAY + DAY, 1, 0, 0)], NOW
            ),
            "",
        )
        drawn = charts.strip([Day(self.TODAY - DAY, 0, 0, DAY), Day(self.TODAY, 3600, 60, 0)], NOW)
        self.assertIn("98.36 % on time, trouble on 1 day", drawn)
        for place in ("M88 8h1v12", "M89 12h1v8", "M89 0h1v12"):
            self.assertIn(place, drawn)
        self.assertIn("no trouble", charts.strip([Day(self.TODAY, 3600, 0, 0)], NOW))
        self.assertIn("no data", charts.strip([Day(self.TODAY, 0, 0, 60)], NOW))

    def test_a_day_all_down(self) -> None:
        drawn = charts.calendar([Day(self.TODAY, 0, 3600, 60)], NOW)
        self.assertIn('class="down" x="89" y="0" width="0.72" height="20"', drawn)
        self.assertIn("2026-11-22: in trouble for 1 h, asleep for 1 min", drawn)
        self.assertIn("2026-11-21: no data", drawn)
        self.assertEqual(drawn.count("<title>"), 90)
        self.assertIn("on time for 1 min", charts.calendar([Day(self.TODAY, 60, 0, 0)], NOW))


class TimelineTests(SynchronousTestCase):
    def test_no_report(self) -> None:
        self.assertEqual(timeline.timeline(new_entry(), NOW), "")
        self.assertEqual(timeline.timeline(entry(lastrun=nan), NOW), "")

    def test_late(self) -> None:
        drawn = timeline.timeline(entry(kind=Kind.LATE, lastrun=NOW - 2700), NOW)
        self.assertIn("last run 45 min ago; due 35 min ago; late after 34 min ago", drawn)
        for look in ("fine", "grace", "overdue", "mark-now", "tick"):
            self.assertIn(f'class="{look}"', drawn)
        self.assertIn(">22:00</text>", drawn)

    def test_words_do_not_run_into_each_other(self) -> None:
        marks = [timeline.Mark("due", "due", 0.0, place) for place in (1.0, 2.0, 50.0, 99.0)]
        self.assertEqual(timeline._stack(marks), 2)
        self.assertEqual([mark.lane for mark in marks], [0, 1, 0, 0])
        self.assertEqual([mark.edges[2] for mark in marks], ["start", "start", "middle", "end"])

    def test_sleep(self) -> None:
        drawn = timeline.timeline(entry(kind=Kind.SLEEPING, lastrun=NOW - 7200, sleep=(NIGHT,)), NOW)
        self.assertIn('class="nap"', drawn)
        self.assertIn("wakes in 2 h", drawn)

    def test_sleep_all_day(self) -> None:
        drawn = timeline.timeline(entry(sleep=(Window(0, DAY),)), NOW)
        self.assertIn('class="nap"', drawn)
        self.assertNotIn("due", drawn)

    def test_years(self) -> None:
        drawn = timeline.timeline(entry(lastrun=0.0, sleep=(NIGHT,)), NOW)
        self.assertNotIn('class="nap"', drawn)
        self.assertIn(">2009</text>", drawn)

    def test_no_grace(self) -> None:
        made = entry()
        self.assertNotIn("late after", timeline.timeline(Entry(replace(made.task, grace=0.0), made.state), NOW))

    def test_ticks(self) -> None:
        for length, count, words_ in ((50, 3, "22:28:45"), (3600, 4, "22:30"), (5 * DAY, 5, "23 Nov"), (1e12, 0, "")):
            ticks = timeline._ticks(NOW, NOW + length)
            self.assertEqual(len(ticks), count, length)
            self.assertEqual(ticks[0][1] if ticks else "", words_)


class WordsTests(SynchronousTestCase):
    def test_relative(self) -> None:
        for offset, text in ((0, "now"), (-0.9, "now"), (-1, "1 s ago"), (1, "in 1 s"), (-720, "12 min ago")):
            self.assertEqual(formatting.relative(NOW + offset, NOW), text)

    def test_coming(self) -> None:
        for offset, text in ((61, "in 1 min"), (1, "in 1 s"), (0.9, "due now"), (0, "due now"), (-59, "due now")):
            self.assertEqual(formatting.coming(NOW + offset, NOW), text)
        self.assertEqual(formatting.coming(NOW - 60, NOW), "due 1 min ago")

    def test_shown(self) -> None:
        for text, expected in (
            ("plain", "plain"),
            ("naïve 10\N{NARROW NO-BREAK SPACE}000", "naïve 10\N{NARROW NO-BREAK SPACE}000"),
            ("two\r\nlines\ttabbed", "two lines tabbed"),
            ("a\x00\x1b[31m\u202eb\ud800", "a\ufffd\ufffd[31m\ufffdb\ufffd"),
        ):
            self.assertEqual(formatting.shown(text), expected)
        self.assertEqual(formatting.shown_lines("a\nb\x00"), "a\nb\ufffd")

    def test_every(self) -> None:
        for minutes, text in ((0.5, "0.5 min"), (10, "10 min"), (60, "1 h"), (1440, "1 d")):
            self.assertEqual(formatting.every(minutes), text)

    def test_only_the_whole_is_100_percent(self) -> None:
        for part, text in ((1.0, "100 %"), (0.999999, "99.99 %"), (0.5, "50 %"), (0.99, "99 %"), (0.0, "0 %")):
            self.assertEqual(formatting.percent(part), text)


_HOSTILE = st.one_of(
    st.text(st.characters(), max_size=40),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "' onmouseover='alert(1)",
            "javascript:alert(1)",
            "<!--error--><!--ok--><!--server-0-->",
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
_NUMBERS = st.one_of(st.floats(), st.sampled_from([nan, inf, -inf, 0.0, -1e20, 1e20, NOW, NOW - 1e7, 2.4e11, -6.1e10]))
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


_COMMON = (
    "html head meta title link script noscript body header h1 p a span main footer time section h2 table thead tr th"
)
_OVERVIEW = f"{_COMMON} div form label input button nav ul li b colgroup col tbody td small strong"
_TASK = f"{_COMMON} div dl dt dd small tbody td ol ul li strong b pre code figure figcaption details summary"
_ATTRIBUTES = (
    "class href datetime title data-label scope id lang charset name content rel type http-equiv src defer data-now"
    " data-kind data-task aria-label aria-labelledby aria-live aria-current role tabindex for value placeholder"
    " autocomplete maxlength action method width height viewbox preserveaspectratio d x y x1 x2 y1 y2 r rx text-anchor"
    " overflow data-part"
)
_TASK_LINK = r"task/[0-9]+|\.\./badge/[0-9]+\.svg|\.\./task/[0-9]+/feed\.atom"
_SVG = "svg path rect line circle text g title"


class HostileTextTests(SynchronousTestCase):
    """Whatever stands in a report, pages keep their form: the same elements as with harmless texts, and no others."""

    ATTRIBUTES = frozenset(_ATTRIBUTES.split())

    @settings(deadline=None, max_examples=50)
    @given(st.lists(_entries(), max_size=3), _HOSTILE, st.sampled_from(["", "by=server", "by=process"]), _HOSTILE)
    def test_overview(self, entries: list[Entry], explanation: str, grouping: str, search: str) -> None:
        daemon = daemon_state(status=Status.ERROR, explanation=explanation)
        drawn = {each.task.id: figures(FakeHistory(NOW), each) for each in entries}
        html = overview(entries, daemon, query=grouping, figures=drawn)
        self._assert_sound(html, len(entries), _OVERVIEW)
        query = search.encode("utf-8", "replace").decode().replace("%", "%25").replace("&", "%26").replace("+", "%2B")
        self._assert_sound(overview(entries, daemon, query=f"q={query}&{grouping}"), None, _OVERVIEW)

    @settings(deadline=None, max_examples=50)
    @given(_entries(), _HOSTILE, st.booleans())
    def test_task_page(self, entry: Entry, words_: str, cut: bool) -> None:
        self._assert_sound(task_page(entry), 0, _TASK)
        for sent in (words_, json.dumps({words_: [words_]}), json.dumps({words_: [words_]}, ensure_ascii=False)):
            answer = LastAnswer(NOW, 200, sent.encode("utf-8", "surrogatepass"), cut)
            self._assert_sound(task_page(entry, answer=answer), 0, _TASK)
        self._assert_sound(task_page(entry, past=past(FakeHistory(NOW, words=words_), entry)), 0, _TASK)

    def _assert_sound(self, html: bytes, rows: int | None, elements: str) -> None:
        page = Page(html)
        self.assertEqual(page.open, [])
        self.assertEqual(page.comments, [])
        if rows is not None:
            self.assertEqual(sum(1 for tag, attrs in page.elements if tag == "tr" and "id" in attrs), rows)
        self.assertLessEqual({tag for tag, _ in page.elements}, {*elements.split(), *_SVG.split()})
        for tag, attrs in page.elements:
            self.assertLessEqual(attrs.keys(), self.ATTRIBUTES)
            if tag == "a":
                self.assertRegex(
                    attrs["href"] or "", rf"\A(?:#main|feed\.atom|{_TASK_LINK}|\./(?:\?[\w.~%&=+-]*)?|\.\./)\Z"
                )
            if tag == "script":
                self.assertRegex(attrs["src"] or "", r"\A(?:\.\./)?static/live\.js\?v=[0-9a-f]+\Z")
        for character in html.decode("utf-8"):
            self.assertTrue(character == "\n" or (character >= " " and character not in "\x7f\u202e\ufffe\uffff"))
