"""Tests for :mod:`pypinger.domain.wording`: what the table in section 4 of the contract asks alerts to say."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.alerting import NO_TASKS
from pypinger.domain.clocks import IS_WRONG
from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Instant, Report, Reported, Window
from pypinger.domain.wording import Severity, age, cause, causes, explained, headline, plain, row, severity
from tests.domain.strategies import any_windows, frequencies, minutes, task, thorough

PROBLEM = Alert(
    id="0123456789abcdef",
    event=Event.PROBLEM,
    at=3000.0,
    explanation="was due 22:05:00 UTC",
    task="0123456789ab",
    name="nightly-import",
    label="https://h/import?…",
    origin="https://h:443",
    page="https://pinger/task/0123456789ab",
    kind=Kind.LATE,
    process="import",
    server="web1",
    started=960.0,
)
RECOVERED = replace(PROBLEM, event=Event.RECOVERED, kind=Kind.OK, explanation="next due 23:05:00 UTC")
STARTED = Alert(id="f", event=Event.STARTED, at=0.0, explanation="hello; watching 3 tasks")


class ExplainedTests(SynchronousTestCase):
    def test_age_as_of_now(self) -> None:
        late = replace(PROBLEM, lastrun=0.0, due=1_000.0)
        self.assertEqual(explained(late, 2_200.0), "was due 22:05:00 UTC (late by 20 min)")
        self.assertEqual(explained(late, 4_600.0), "was due 22:05:00 UTC (late by 1 h)")
        self.assertEqual(explained(STARTED, 4_600.0), "hello; watching 3 tasks")


class HeadlineTests(SynchronousTestCase):
    def test_events(self) -> None:
        for alert, text in [
            (PROBLEM, "PROBLEM: nightly-import is late"),
            (replace(PROBLEM, kind=Kind.FAILED), "PROBLEM: nightly-import is failing"),
            (replace(PROBLEM, kind=Kind.INVALID), "PROBLEM: nightly-import is without a valid report"),
            (replace(PROBLEM, kind=Kind.UNREACHABLE), "PROBLEM: nightly-import is unreachable"),
            (replace(PROBLEM, kind=Kind.FUTURE), "PROBLEM: nightly-import is ahead of time"),
            (replace(PROBLEM, kind=None), "PROBLEM: nightly-import is in trouble"),
            (replace(PROBLEM, event=Event.CHANGED), "CHANGED: nightly-import is now late"),
            (replace(PROBLEM, event=Event.REMINDER), "STILL late after 34 min: nightly-import"),
            (RECOVERED, "RECOVERED: nightly-import is OK again after 34 min"),
            (replace(RECOVERED, at=0.0), "RECOVERED: nightly-import is OK again after 0 s"),
            (
                replace(RECOVERED, kind=Kind.LATE),
                "RECOVERED: nightly-import is no longer monitored; it was late for 34 min",
            ),
            (STARTED, "Py Pinger started"),
            (replace(STARTED, event=Event.STOPPED), "Py Pinger stopped"),
            (replace(STARTED, event=Event.BLIND), "Py Pinger is BLIND: tasks that do not answer are not judged"),
            (
                replace(STARTED, event=Event.BLIND, explanation=f"the database is away; since 12:00 {NO_TASKS}"),
                "Py Pinger is BLIND: it checks no tasks",
            ),
            (replace(STARTED, event=Event.BLIND, explanation=f"instance a: {IS_WRONG}"), "Py Pinger's CLOCK is WRONG"),
            (replace(STARTED, event=Event.SIGHTED), "Py Pinger sees again"),
            (
                replace(PROBLEM, event=Event.FLAPPING),
                "FLAPPING: nightly-import goes up and down; now it is late",
            ),
            (replace(PROBLEM, event=Event.ACKNOWLEDGED), "ACKNOWLEDGED: nightly-import, late for 34 min"),
            (replace(STARTED, event=Event.TEST), "TEST of Py Pinger's alerts"),
            (replace(PROBLEM, name="a\nb"), "PROBLEM: a b is late"),
        ]:
            self.assertEqual(headline([alert]), text)

    def test_groups(self) -> None:
        elsewhere = replace(PROBLEM, origin="https://i:443")
        down = replace(PROBLEM, kind=Kind.UNREACHABLE, explanation="HTTP 503 and no valid report: x", started=0.0)
        refused = replace(down, explanation="connection refused by h:443")
        for alerts, text in [
            ([PROBLEM, PROBLEM], "PROBLEM: 2 tasks on https://h are in trouble: 2 × late"),
            ([PROBLEM, elsewhere], "PROBLEM: 2 tasks on server web1 are in trouble: 2 × late"),
            (
                [PROBLEM, replace(elsewhere, server="web2")],
                "PROBLEM: 2 tasks on servers web1, web2 are in trouble: 2 × late",
            ),
            ([PROBLEM, replace(elsewhere, server=None)], "PROBLEM: 2 tasks are in trouble: 2 × late"),
            (
                [down, *[refused] * 3],
                "PROBLEM: 4 tasks on https://h are in trouble: 3 × connection refused, 1 × HTTP 503",
            ),
            ([RECOVERED, RECOVERED], "RECOVERED: 2 tasks on https://h are OK again"),
            ([replace(RECOVERED, kind=Kind.LATE)] * 2, "RECOVERED: 2 tasks on https://h are no longer monitored"),
            (
                [replace(each, event=Event.REMINDER) for each in (PROBLEM, down)],
                "STILL in trouble: 2 tasks on https://h: 1 × late, 1 × HTTP 503; the longest for 50 min",
            ),
            (
                [replace(PROBLEM, event=Event.CHANGED)] * 2,
                "CHANGED: 2 tasks on https://h have changed: 2 × late",
            ),
        ]:
            self.assertEqual(headline(alerts), text)

    def test_causes(self) -> None:
        down = replace(PROBLEM, kind=Kind.UNREACHABLE)
        for explanation, words in [
            ("HTTP 503 and no valid report: x", "HTTP 503"),
            ("connection refused by h:80", "connection refused"),
            ("no answer within 20 s, while connecting to h:80", "no answer in time"),
            ("cannot look up h: there is no such name", "name not found"),
            ("cannot connect to h:80: no route to host", "cannot connect"),
            ("the connection was reset before any answer", "connection reset"),
            ("h's certificate is expired", "TLS failure"),
            ("something else", "unreachable"),
        ]:
            self.assertEqual(cause(replace(down, explanation=explanation)), words)
        self.assertEqual(cause(PROBLEM), "late")
        failed = replace(PROBLEM, kind=Kind.FAILED)
        for explanation, words in [
            ('the task reports an error (HTTP 503): "TLS handshake"; last ran 21:55:00 UTC', "HTTP 503"),
            ('the task reports an error: "upstream said "HTTP 404""; last ran 21:55:00 UTC', "failing"),
            ('the task reports an error: "TLS certificate renewal crashed"; last ran 21:55:00 UTC', "failing"),
        ]:
            self.assertEqual(cause(replace(failed, explanation=explanation)), words)
        many = [replace(down, explanation=f"HTTP {500 + number} x") for number in range(6)]
        self.assertEqual(causes(many).count("×"), 5)
        self.assertTrue(causes(many).endswith(", 2 × other causes"))

    def test_rows(self) -> None:
        """A row of a group says what is wrong with one task; the event stands in the headline."""
        down = replace(PROBLEM, name="a", kind=Kind.UNREACHABLE, explanation="HTTP 503 and no valid report: x")
        failed = replace(
            PROBLEM, name="a", kind=Kind.FAILED, explanation="the task reports an error", reason="disk\nfull"
        )
        for alert, text in [
            (down, "a is unreachable (HTTP 503)"),
            (replace(down, explanation="something else"), "a is unreachable"),
            (failed, "a is failing (disk full)"),
            (replace(failed, reason=None), "a is failing"),
            (replace(failed, reason="x" * 90), f"a is failing ({'x' * 79}…)"),
            (replace(failed, kind=Kind.LATE), "a is late"),
            (replace(down, event=Event.CHANGED), "a is now unreachable (HTTP 503)"),
            (replace(down, event=Event.REMINDER), "a has been unreachable (HTTP 503) for 34 min"),
            (replace(down, event=Event.FLAPPING), "a goes up and down; now it is unreachable (HTTP 503)"),
            (replace(RECOVERED, name="a"), "a is OK again after 34 min"),
            (replace(failed, event=Event.ACKNOWLEDGED), "ACKNOWLEDGED: a, failing for 34 min"),
        ]:
            self.assertEqual(row(alert), text)

    def test_default_ports_are_not_shown(self) -> None:
        for origin, shown in [
            ("http://h:80", "http://h"),
            ("https://h:443", "https://h"),
            ("https://[::1]:443", "https://[::1]"),
            ("http://h:443", "http://h:443"),
            ("https://h:8443", "https://h:8443"),
        ]:
            alert = replace(PROBLEM, origin=origin)
            self.assertEqual(headline([alert, alert]), f"PROBLEM: 2 tasks on {shown} are in trouble: 2 × late")


class PlainTests(SynchronousTestCase):
    def test_problem(self) -> None:
        self.assertEqual(
            plain([PROBLEM]).splitlines(),
            [
                "PROBLEM: nightly-import is late",
                "was due 22:05:00 UTC",
                "process: import, server: web1",
                "https://h/import?…",
                "https://pinger/task/0123456789ab",
            ],
        )

    def test_recovered(self) -> None:
        lines = plain([replace(RECOVERED, process=None, server="w\n1", page=None)]).splitlines()
        self.assertEqual(
            lines,
            [
                "RECOVERED: nightly-import is OK again after 34 min",
                "next due 23:05:00 UTC",
                "server: w 1",
                "https://h/import?…",
            ],
        )

    def test_name_that_is_the_url(self) -> None:
        """The URL stands once."""
        alert = replace(PROBLEM, name=PROBLEM.label, page=None)
        self.assertEqual(plain([alert]).count(PROBLEM.label), 1)
        self.assertEqual(plain([alert, alert]).splitlines()[1], f"- {PROBLEM.label} is late")

    def test_acknowledgement_has_no_age(self) -> None:
        """It would be about the words of the person."""
        alert = replace(PROBLEM, event=Event.ACKNOWLEDGED, explanation="by anna: wait", lastrun=0.0, due=600.0)
        self.assertEqual(plain([alert]).splitlines()[1], "by anna: wait")

    def test_daemon(self) -> None:
        self.assertEqual(plain([STARTED]), "Py Pinger started\nhello; watching 3 tasks")

    def test_storm_names_twenty_and_counts_the_rest(self) -> None:
        alerts = [replace(PROBLEM, name=f"task{n}", page=None) for n in range(23)]
        lines = plain(alerts).splitlines()
        self.assertEqual(lines[0], "PROBLEM: 23 tasks on https://h are in trouble: 23 × late")
        self.assertEqual(lines[1], "- task0 is late: https://h/import?…")
        self.assertEqual(lines[20], "- task19 is late: https://h/import?…")
        self.assertEqual(lines[21:], ["and 3 more"])

    def test_a_digest_names_the_longest_first(self) -> None:
        alerts = [
            replace(PROBLEM, event=Event.REMINDER, name=f"t{n}", started=3000.0 - n, page=None) for n in range(22)
        ]
        lines = plain(alerts).splitlines()
        self.assertEqual(lines[1], "- t21 has been late for 21 s: https://h/import?…")
        self.assertEqual(lines[21:], ["and 2 more"])

    def test_runbook(self) -> None:
        self.assertIn("runbook: https://wiki/import", plain([replace(PROBLEM, runbook="https://wiki/import")]))

    def test_storm_links(self) -> None:
        self.assertEqual(
            plain([RECOVERED, RECOVERED]).splitlines()[1:],
            ["- nightly-import is OK again after 34 min: https://h/import?… (https://pinger/task/0123456789ab)"] * 2,
        )


class AgeTests(SynchronousTestCase):
    """Ages are worked out when they are shown."""

    def test_cases(self) -> None:
        for kind, lastrun, due, text in [
            (Kind.LATE, 0.0, 600.0, "late by 33 min"),
            (Kind.LATE, 0.0, None, "ran 43 min ago"),
            (Kind.LATE, 0.0, 2600.0, "ran 43 min ago"),
            (Kind.FAILED, 540.0, 600.0, "ran 34 min ago"),
            (Kind.OK, 2580.0, 3180.0, "ran 0 s ago"),
            (Kind.OK, 2600.0, 3200.0, ""),
            (Kind.SLEEPING, 540.0, None, "ran 34 min ago"),
            (Kind.FUTURE, 9780.0, 10_380.0, "ahead by 2 h"),
            (Kind.FUTURE, 0.0, 600.0, ""),
            (Kind.UNREACHABLE, 540.0, None, ""),
            (Kind.INVALID, 540.0, None, ""),
            (Kind.NEW, None, None, ""),
            (Kind.LATE, None, None, ""),
        ]:
            report = None if lastrun is None else Report(True, lastrun)
            self.assertEqual(age(kind, report, due, 2580.0), text, kind)

    def test_of_a_run_under_way(self) -> None:
        for kind, lastrun, started, text in [
            (Kind.OK, 0.0, 540.0, "running for 34 min"),
            (Kind.FAILED, None, 540.0, "running for 34 min"),
            (Kind.OK, 540.0, 0.0, "ran 34 min ago"),
            (Kind.OK, 540.0, 540.0, "ran 34 min ago"),
            (Kind.OK, 540.0, 2600.0, ""),
            (Kind.FUTURE, 0.0, 9780.0, "ahead by 2 h"),
            (Kind.FUTURE, 9780.0, 0.0, "ahead by 2 h"),
            (Kind.LATE, None, 540.0, "late by 33 min"),
        ]:
            report = Report(True, lastrun, started=started)
            self.assertEqual(age(kind, report, 600.0, 2580.0), text, (kind, lastrun, started))
        late = replace(PROBLEM, kind=Kind.FAILED, lastrun=None, run_started=540.0)
        self.assertTrue(explained(late, 2580.0).endswith(" (running for 34 min)"))

    def test_in_an_alert(self) -> None:
        late = replace(PROBLEM, lastrun=1020.0, due=1620.0)
        self.assertEqual(plain([late]).splitlines()[1], "was due 22:05:00 UTC (late by 23 min)")
        self.assertEqual(plain([late], 4200.0).splitlines()[1], "was due 22:05:00 UTC (late by 43 min)")
        ok = replace(RECOVERED, lastrun=2940.0, due=3540.0)
        self.assertEqual(plain([ok], 3000.0).splitlines()[1], "next due 23:05:00 UTC (ran 1 min ago)")

    @thorough
    @given(any_windows, minutes, st.floats(-100_000, 100_000), frequencies, st.booleans())
    def test_fits_the_verdict(
        self, windows: tuple[Window, ...], lastrun: Instant, later: float, frequency: int, ok: bool
    ) -> None:
        report = Report(ok, lastrun, float(frequency), sleep=windows)
        now = lastrun + later
        verdict = judge(Reported(200, report), task(), now)
        text = age(verdict.kind, report, verdict.due, now)
        start = {Kind.LATE: "late by ", Kind.FUTURE: "ahead by "}.get(verdict.kind, "ran " if lastrun <= now else "")
        self.assertTrue(text.startswith(start) if start else text == "", (verdict, text))
        self.assertNotIn("-", text)

    def test_not_where_the_explanation_is_no_verdict(self) -> None:
        removed = replace(RECOVERED, kind=Kind.LATE, explanation="no longer monitored", lastrun=0.0, due=600.0)
        self.assertEqual(plain([removed]).splitlines()[1], "no longer monitored")
        self.assertEqual(plain([STARTED], 100.0), plain([STARTED]))

    def test_alert_of_an_earlier_release(self) -> None:
        stored = msgspec.json.encode({"id": "0", "event": "problem", "at": 1.0, "explanation": "x", "kind": "late"})
        self.assertEqual(plain([msgspec.json.decode(stored, type=Alert)], 100.0).splitlines()[1], "x")


class SeverityTests(SynchronousTestCase):
    def test_events(self) -> None:
        for event, expected in [
            (Event.PROBLEM, Severity.PROBLEM),
            (Event.CHANGED, Severity.WARNING),
            (Event.REMINDER, Severity.WARNING),
            (Event.RECOVERED, Severity.RECOVERED),
            (Event.STARTED, Severity.NEUTRAL),
            (Event.STOPPED, Severity.NEUTRAL),
            (Event.BLIND, Severity.PROBLEM),
            (Event.SIGHTED, Severity.RECOVERED),
            (Event.TEST, Severity.NEUTRAL),
        ]:
            self.assertIs(severity([replace(PROBLEM, event=event)]), expected)

    def test_worst_of_a_storm(self) -> None:
        self.assertIs(severity([RECOVERED, PROBLEM]), Severity.PROBLEM)


class BeforeTests(SynchronousTestCase):
    """A changed or recovered alert names the kind before it."""

    def test_changed(self) -> None:
        alert = replace(PROBLEM, event=Event.CHANGED, kind=Kind.FAILED, before=Kind.LATE, at=PROBLEM.at + 2040.0)
        self.assertIn("It was late before, and has not been OK for ", plain((alert,)).splitlines()[1])

    def test_recovered(self) -> None:
        alert = replace(RECOVERED, before=Kind.FAILED)
        self.assertEqual(plain((alert,)).splitlines()[1], "It was failing before.")
