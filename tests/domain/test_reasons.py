"""Why a task is in trouble, in a few words."""

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Fault, Invalid, NoAnswer, Report, Reported, Skew, Task
from pypinger.domain.reasons import cause, reason

NOW = 1_700_000_000.0
HOUR = 3600.0
TASK = Task("http://h/", "1", "h", "http://h/")


def why(finding: Reported | Invalid | NoAnswer, skew: Skew | None = None) -> tuple[str, str]:
    verdict = judge(finding, TASK, NOW, skew=skew)
    reported = finding.report.reason if isinstance(finding, Reported) else None
    return reason(verdict.kind, verdict.explanation, reported), cause(verdict.kind, verdict.explanation, reported)


class ReasonTests(SynchronousTestCase):
    def test_failed(self) -> None:
        for ok, code, words, expected in (
            (False, 200, "disk\nfull; last ran well", "disk full; last ran well"),
            (False, 500, "disk full", "disk full (HTTP 500)"),
            (False, 200, None, "reports an error without a reason"),
            (False, 503, "", "reports an error without a reason (HTTP 503)"),
            (True, 503, None, "HTTP 503 although the report says ok"),
        ):
            self.assertEqual(why(Reported(code, Report(ok, NOW - 60, reason=words))), (expected, expected))

    def test_late(self) -> None:
        found = Reported(200, Report(True, NOW - HOUR))
        self.assertEqual(why(found), ("runs every 10 min", "late"))
        skew = Skew("h", 600.0)
        self.assertEqual(why(found, skew), ("runs every 10 min; the clock of h is 10 min ahead of ours", "late"))
        self.assertEqual(
            reason(Kind.LATE, "last ran then, runs at 03:00 Europe/Berlin, was due x; grace 1 min"),
            "runs at 03:00 Europe/Berlin",
        )
        self.assertEqual(reason(Kind.LATE, "never ran"), "")

    def test_late_with_a_run_under_way(self) -> None:
        found = Reported(200, Report(True, NOW - 9 * HOUR, 480.0, started=NOW - 2 * HOUR, max_runtime=60.0))
        self.assertEqual(why(found)[0], "runs longer than its 1 h; runs every 8 h")
        found = Reported(200, Report(True, NOW - 9 * HOUR, 60.0, started=NOW - HOUR))
        self.assertEqual(why(found)[0], "runs every hour; running only since 21:13:20 UTC")
        found = Reported(200, Report(True, NOW - 90 * HOUR, schedule="0 3 * * 1-5", timezone="Europe/Berlin"))
        self.assertEqual(why(found)[0], "runs at 03:00 Europe/Berlin, Monday to Friday")

    def test_future(self) -> None:
        found = Reported(200, Report(True, NOW + HOUR))
        self.assertEqual(why(found)[0], "its last run is in the future")
        self.assertEqual(
            why(found, Skew("h", 3600.0))[0], "its last run is in the future; the clock of h is 1 h ahead of ours"
        )
        found = Reported(200, Report(True, NOW, started=NOW + HOUR))
        self.assertEqual(why(found)[0], "the start of its run is in the future")

    def test_no_report(self) -> None:
        self.assertEqual(why(Invalid(200, "lastrun is missing"))[0], "lastrun is missing")
        self.assertEqual(
            why(Invalid(503, "the body is empty")), ("HTTP 503 and no valid report: the body is empty", "HTTP 503")
        )
        found = NoAnswer(Fault.REFUSED, "connection refused by h", 0.1)
        self.assertEqual(why(found), ("connection refused by h", "connection refused"))

    def test_nothing_is_wrong(self) -> None:
        for kind in (Kind.OK, Kind.SLEEPING, Kind.NEW):
            self.assertEqual(reason(kind, "last ran 1, runs every day, due 2"), "")
