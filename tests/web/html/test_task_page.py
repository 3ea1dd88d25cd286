"""The page of a task in HTML."""

import re
import shlex
from html import unescape

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Fault, Finding, Invalid, NoAnswer, Report, Reported, Verdict, Window
from pypinger.domain.selector import parse, subject_of
from pypinger.domain.silence import Muted
from pypinger.ports.history import Run
from pypinger.ports.showing import Entry
from pypinger.web.html import task_history
from pypinger.web.html import task_page as page_of_task
from tests.web.browser import Page, past, result, task_page
from tests.web.fakes import NIGHT, NOW, SILENCED, acknowledged, daemon_state, entry, new_entry, with_incident
from tests.web.history import FakeHistory

replace = msgspec.structs.replace


class TaskPageTests(SynchronousTestCase):
    def test_all_members(self) -> None:
        page = Page(task_page(entry("http://h/a?key=s3cret", Kind.FAILED, name="Backup", frequency=90.0)))
        self.assertEqual(page.open, [])
        for words_ in (
            "Backup",
            "failed for 15 min since 22:13:34 UTC",
            "disk fullexplained as failed (ran 5 min ago)",
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
            "Remindersafter 8 min, then each time after twice as long, at most 6 h",
            "Open since15 min ago",
            '"frequency": 90.0',
        ):
            self.assertIn(words_, page.text)
        self.assertNotIn("s3cret", page.text)
        number = entry("http://h/a?key=s3cret").task.id
        lists = [f"../{name}?task={number}" for name in ("incidents", "deliveries")]
        links = ["#main", "../", *lists, f"../badge/{number}.svg", f"../task/{number}/feed.atom"]
        self.assertEqual(page.links(), links)
        self.assertIn("(!) failed: Backup · Py Pinger", page.text)

    def test_silenced_acknowledged_and_flapping(self) -> None:
        late = entry(kind=Kind.LATE)
        silenced, taken = replace(late, muted=SILENCED), acknowledged(late)
        nightly = replace(late, muted=Muted(NOW + 86_400, "", "", "maintenance nightly"))
        for made, words_ in (
            (silenced, "silenced by jane until 22:58 UTC: upgrade (silence 3f2a)"),
            (nightly, "maintenance nightly until 23 Nov 22:28 UTC: no alerts"),
            (taken, "acknowledged by jane at 22:23:34 UTC: on it"),
            (acknowledged(late, by="", reason=""), "acknowledged by unknown at 22:23:34 UTC"),
            (with_incident(late, flapping=True), "flapping: it goes up and down"),
        ):
            page = Page(task_page(made))
            self.assertEqual(page.open, [])
            self.assertIn(words_, page.text)
            self.assertNotIn("flags", Page(task_page(late)).classes("ul"))

    def test_commands(self) -> None:
        def commands(made: Entry) -> list[str]:
            return re.findall(r'<code class="command">(.*?)</code>', unescape(task_page(made).decode()))

        late = entry(kind=Kind.LATE, name="Price import")
        ack = "pypinger ack 'Price import' REASON"
        silence = "pypinger silence '\"Price import\"' 2h REASON"
        self.assertEqual(commands(late), [ack, silence])
        self.assertEqual(commands(acknowledged(late)), [silence])
        self.assertEqual(commands(replace(late, muted=SILENCED)), [ack, "pypinger unsilence 3f2a"])
        self.assertEqual(commands(replace(late, muted=Muted(NOW, "", "", "maintenance x"))), [ack])
        self.assertEqual(commands(entry(name="Price import")), [silence])

    def test_every_command_means_the_task(self) -> None:
        names = ("backup", "Bob's import", "a*", "!x", "a|b", "group:x", "--all", "a\nb", 'say "x"', "x?", "$(reboot)")
        for name in names:
            made = entry(name=name)
            other = entry("http://h/other", name="backup of x")
            html = unescape(task_page(made).decode())
            [line] = re.findall(r'<code class="command">(.*?)</code>', html)
            _, verb, selector, *_ = shlex.split(line)
            self.assertEqual(verb, "silence")
            self.assertFalse(selector.startswith("-"))
            parsed = parse(selector)
            self.assertTrue(parsed.matches(subject_of(made.task, made.state)), name)
            self.assertFalse(parsed.matches(subject_of(other.task, other.state)), name)

    def test_help_on_call(self) -> None:
        made = entry()
        task = replace(made.task, runbook="https://wiki/x?a=1&b=2", note="ask <ops>", group="billing")
        page = Page(task_page(replace(made, task=task)))
        [link] = [attrs for tag, attrs in page.elements if tag == "a" and attrs.get("rel")]
        self.assertEqual((link["href"], link["rel"]), ("https://wiki/x?a=1&b=2", "noreferrer"))
        self.assertIn("Runbookhttps://wiki/x?a=1&b=2Noteask <ops>Groupbilling", page.text)
        page = Page(task_page(replace(made, task=replace(task, runbook="javascript:alert(1)"))))
        self.assertIn("Runbookjavascript:alert(1)", page.text)
        self.assertNotIn("javascript:alert(1)", page.links())
        # Nothing to read, and nothing to type: maintenance ends by itself.
        maintained = replace(made, muted=Muted(NOW + 60, "", "", "maintenance nightly"))
        self.assertNotIn("On call", Page(task_page(maintained)).text)

    def test_only_the_status_is_announced(self) -> None:
        live = re.findall(r'<(\w+)[^>]*aria-live="polite"[^>]*>(.*?)</\1>', task_page(entry(kind=Kind.LATE)).decode())
        self.assertEqual(live, [("span", "late")])

    def test_settings(self) -> None:
        made = entry()
        made = Entry(replace(made.task, failures=3, error_interval=0.0), made.state)
        page = Page(task_page(made))
        self.assertIn("3 errors in a row", page.text)
        self.assertIn("Remindersnever", page.text)
        made = Entry(replace(made.task, error_interval=86_400.0, unreachable_for=60.0), made.state)
        page = Page(task_page(made))
        self.assertIn("Remindersevery 1 d", page.text)
        self.assertIn("Unreachable for1 min before it is alerted", page.text)

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

    def test_schedule(self) -> None:
        made = entry(schedule="0 3 * * 1-5", timezone="Europe/Berlin", started=NOW - 60, max_runtime=45.0)
        text = Page(task_page(made)).text
        for words_ in (
            "Running since1 min ago 22:27:34 UTC",
            "Runsat 03:00 Europe/Berlin, Monday to Friday",
            "May take45 min",
            '"schedule": "0 3 * * 1-5"',
            '"started": "2026-11-22T22:27:34.000Z"',
            "explained as ok (running for 1 min)",
        ):
            self.assertIn(words_, text)
        self.assertNotIn("Runs every", text)
        self.assertNotIn("frequency", text)

    def test_first_run(self) -> None:
        text = Page(task_page(entry(lastrun=None, started=NOW - 60))).text
        self.assertIn("Running since1 min ago", text)
        self.assertNotIn("Last run", text)

    def test_what_the_ini_file_sets(self) -> None:
        made = entry(sleep=(NIGHT,), schedule="@daily")
        own = replace(made.task, frequency=90.0, sleep=(Window(3600, 7200.0),), timezone="Asia/Kathmandu")
        text = Page(task_page(Entry(own, made.state))).text
        self.assertIn("Runs every1 h 30 min", text)
        self.assertIn("01:00 to 03:00 Asia/Kathmandu (2 h)", text)
        self.assertNotIn("22:00 to 06:00", text)
        self.assertIn("Runs every1 h 30 min", Page(task_page(Entry(own, new_entry().state))).text)

    def test_not_checked_yet(self) -> None:
        page = Page(task_page(new_entry()))
        for words_ in ("not checked yet", "Remindersafter 8 min"):
            self.assertIn(words_, page.text)
        self.assertNotIn("Next check", page.text)
        self.assertNotIn("svg", [tag for tag, _ in page.elements])

    def test_legend_of_the_timeline(self) -> None:
        page = Page(task_page(entry()))
        self.assertIn("on timegraceoverdueTimes are UTC.", page.text)
        made = entry(kind=Kind.UNREACHABLE, started=NOW - 400)
        made = replace(made, task=replace(made.task, schedule="0 3 * * *", timezone="Europe/Berlin", sleep=(NIGHT,)))
        words_ = "asleepa runscheduledDrawn from the last valid report. Times are local in Europe/Berlin."
        self.assertIn(words_, Page(task_page(made)).text)

    def test_earlier_runs_are_in_the_timeline(self) -> None:
        made = entry(started=NOW - 400)
        before = Report(True, NOW - 900, started=NOW - 950)
        known = past(FakeHistory(NOW), made)
        assert known is not None
        known = replace(known, runs=[Run(1, NOW, NOW, 1, Reported(200, before))])
        self.assertEqual(task_page(made, past=known).count(b'class="ran"'), 2)
        self.assertEqual(task_page(made).count(b'class="ran"'), 1)

    def test_age(self) -> None:
        for kind, words_ in (
            (Kind.OK, "becomes late now, late after 22:34:34 UTCexplained as ok (ran 1 h 5 min ago)"),
            (Kind.LATE, "late by 55 min late after 22:34:34 UTCno run for 1 h 5 minexplained as late"),
            (Kind.UNREACHABLE, "explained as unreachableNext"),
        ):
            self.assertIn(words_, Page(task_page(entry(kind=kind), NOW + 3600)).text)
        self.assertIn("in the future by 2 h", Page(task_page(entry(kind=Kind.FUTURE, lastrun=NOW + 7200))).text)

    def test_not_seen(self) -> None:
        made = entry()
        page = Page(task_page(Entry(made.task, made.state, seen=NOW - 7200, unseen=NOW - 3600)))
        self.assertIn("not seen since 21:28:34 UTC for 1 hLast known state: OK", page.text)
        self.assertIn("Last answer2 h ago", page.text)
        self.assertIn("(!) not seen: http://h/a", page.text)
        self.assertEqual(page.classes("header"), ["banner task degraded"])

    def test_blind(self) -> None:
        daemon = daemon_state(status=Status.ERROR, explanation="blind", blind=NOW - 60)
        page = Page(task_page(entry(), daemon=daemon))
        self.assertIn("Py Pinger has been blind for 1 min (since 22:27:34 UTC): it has no contact with its", page.text)
        self.assertIn("cause no alerts until its network and name server work again", page.text)
        self.assertIn("(!) blind, was on time", page.text)
        self.assertEqual(page.classes("header"), ["banner task degraded"])
        self.assertNotIn("blind", Page(task_page(entry())).text)

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

    def test_time_of_the_next_check(self) -> None:
        made = entry()
        checked = made.state.checked
        assert checked is not None
        for passed, text in ((60 - 39, "in 39 s"), (60, "due now"), (119, "due now"), (300, "due 4 min ago")):
            page = Page(task_page(made, checked + passed))
            self.assertIn(f"Next check{text} 22:29:13 UTC", page.text)
            self.assertEqual(page.classes("time").count("coming"), 2)

    def test_long_names_are_repeated_below_the_banner(self) -> None:
        name, url = "n" * 2000, "http://h/" + "u" * 2000
        text = Page(task_page(entry(url, name=name))).text
        self.assertIn(f"Name{name}Address{url}", text)
        text = Page(task_page(entry())).text
        for title in ("Name", "Address"):
            self.assertNotIn(title, text)

    def test_periods_that_the_history_covers(self) -> None:
        history = FakeHistory(NOW)
        for begins, expected in (
            (NOW - 7200, ['since <time datetime="2026-11-22T20:28:34.000Z" class="fixed">20:28</time>']),
            (NOW - 2 * 86_400, ["24 hours", "since 20 Nov"]),
            (NOW - 86_400 * 89.5, ["24 hours", "7 days", "30 days", "90 days"]),
        ):
            history.begins = begins
            html = task_page(entry(), past=past(history, entry()))
            start = html.index(b'<dl class="tiles">')
            tiles = re.findall(r"<dt>(.*?)</dt>", html[start : html.index(b"</dl>", start)].decode())
            self.assertEqual(tiles, expected)

    def test_the_reason_is_said_once(self) -> None:
        made = entry(kind=Kind.FAILED)
        assert made.state.verdict is not None
        for words_, shown_ in (
            ('the task reports an error: "disk full"; last ran 22:23:34 UTC', "disk fulllast ran 22:23:34 UTC"),
            ('the task reports an error: "disk"; last ran', 'disk fullthe task reports an error: "disk"; last ran'),
        ):
            verdict = replace(made.state.verdict, explanation=words_)
            page = Page(task_page(replace(made, state=replace(made.state, verdict=verdict))))
            self.assertIn(shown_, page.text)

    def test_what_happens_next(self) -> None:
        """To a task in trouble: the next check, and reminders unless they are off."""
        made = entry(kind=Kind.FAILED)
        made = replace(made, task=replace(made.task, error_interval=480.0, error_interval_max=480.0))
        self.assertIn("Next check in 39 s. Reminders every 8 min.", Page(task_page(made)).text)
        quiet = replace(made, task=replace(made.task, error_interval=0.0))
        for other in (acknowledged(made), replace(made, muted=SILENCED), quiet):
            text = Page(task_page(other)).text
            self.assertIn("Next check in 39 s. ", text)
            self.assertNotIn("Reminders every 8 min.", text)
        pushing = replace(made, task=replace(made.task, url=None))
        self.assertNotIn("Next check in", Page(task_page(pushing)).text)
        self.assertNotIn('class="next"', task_page(entry()).decode())
        daemon = daemon_state(status=Status.ERROR, blind=NOW - 60)
        self.assertNotIn('class="next"', task_page(made, daemon=daemon).decode())

    def test_order(self) -> None:
        """The reason, incidents and the latest answer come first."""
        for kind, timeline in ((Kind.LATE, 0), (Kind.FAILED, 2)):
            made = entry(kind=kind)
            html = task_page(made, past=past(FakeHistory(NOW), made)).decode()
            cards = re.findall(r'class="card[^"]*" id="([^"]+)"|<section[^>]* id="([a-z-]+)"', html)
            names = [one or other for one, other in cards]
            expected = ["incidents", "last-valid-report", "uptime", "schedule", "checks", "reports"]
            expected.insert(timeline, "timeline")
            self.assertEqual(names, ["on-call", *expected])

    def test_history(self) -> None:
        made = entry(kind=Kind.FAILED)
        page = Page(task_page(made, past=past(FakeHistory(NOW), made)))
        self.assertEqual(page.open, [])
        for words_ in (
            "24 hours100 %",
            "7 days99.98 %",
            "30 days97.13 %",
            "since 2 Sep98.14 %",
            "Open · late → failed for 16 min, began 16 min ago 22:12:34 UTC",
            "Closed · late for 2 h 24 min, began 9 d ago 2026-11-13 22:28:34 UTC",
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

    def test_equal_results_share_a_row(self) -> None:
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
        # The oldest run that was read may have begun earlier.
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

    def test_outdated_report(self) -> None:
        self.assertIn("Drawn from the last valid report", Page(task_page(entry(kind=Kind.UNREACHABLE))).text)
        self.assertNotIn("Drawn from the last valid report", Page(task_page(entry())).text)
