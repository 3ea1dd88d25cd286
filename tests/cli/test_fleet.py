"""The sample tasks: each is what its name says, at every moment that matters."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyRequest

from pypinger.cli.fleet import SAMPLES, Fleet, SampleAnswer
from pypinger.domain import judge, report
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Answer
from tests.domain.strategies import task

STARTED = 1_772_000_000.0
GRACE = 5.0

#: Path -> what is made of the sample in the first minute, of those that answer at once with a report or something else.
EXPECTED = {
    "healthy": Kind.OK,
    "healthy-daily": Kind.OK,
    "weekdays": Kind.OK,
    "overrunning": Kind.LATE,
    "late": Kind.LATE,
    "stalling": Kind.OK,
    "failing": Kind.FAILED,
    "failing-with-500": Kind.FAILED,
    "ok-with-503": Kind.FAILED,
    "sleeping": Kind.SLEEPING,
    "flapping": Kind.OK,
    "future": Kind.FUTURE,
    "no-json": Kind.INVALID,
    "bad-sleep": Kind.INVALID,
    "server-error": Kind.UNREACHABLE,
    "hostile": Kind.FAILED,
}


class SampleTests(SynchronousTestCase):
    behaviours = {sample.path: sample.behaviour for sample in SAMPLES}  # noqa: RUF012

    def kind(self, path: str, after: float) -> Kind:
        sent = self.behaviours[path](STARTED, STARTED + after)
        assert sent is not None
        finding = report.read(Answer(sent.code, sent.body, 0.0))
        return judge.judge(finding, task(GRACE), STARTED + after).kind

    def test_kinds(self) -> None:
        for path, kind in EXPECTED.items():
            for after in (0.0, 1.0, 30.0):
                self.assertEqual(self.kind(path, after), kind, (path, after))

    def test_weekdays_over_a_week(self) -> None:
        """On time on weekends, and while it runs."""
        for minute in range(0, 7 * 1440, 3):
            self.assertIs(self.kind("weekdays", minute * 60.0), Kind.OK)

    def test_all_others_never_answer_with_a_report(self) -> None:
        others = sorted(set(self.behaviours) - set(EXPECTED))
        self.assertEqual(others, ["going-round", "hanging", "huge", "redirecting", "stopping-short"])

    def test_steady_ones_stay_as_they_are(self) -> None:
        for path in ("healthy", "healthy-daily", "weekdays", "overrunning", "late", "failing", "future"):
            for after in range(0, 7200, 7):
                self.assertEqual(self.kind(path, float(after)), EXPECTED[path], (path, after))

    def test_flapping(self) -> None:
        kinds = [self.kind("flapping", float(after)) for after in (0, 39, 40, 59, 60, 100)]
        self.assertEqual(kinds, [Kind.OK, Kind.OK, Kind.FAILED, Kind.FAILED, Kind.OK, Kind.FAILED])

    def test_stalling_goes_late_and_recovers(self) -> None:
        kinds = [self.kind("stalling", float(after)) for after in (0, 119, 125, 126, 239, 240, 366)]
        self.assertEqual(kinds, [Kind.OK, Kind.OK, Kind.OK, Kind.LATE, Kind.LATE, Kind.OK, Kind.LATE])


class FleetTests(SynchronousTestCase):
    def get(self, path: bytes) -> tuple[DummyRequest, object]:
        request = DummyRequest([])
        request.path = path
        return request, Fleet(lambda: STARTED).render(request)

    def test_report(self) -> None:
        request, body = self.get(b"/healthy")
        assert isinstance(body, bytes)
        self.assertEqual(json.loads(body)["status"], "ok")
        self.assertEqual(request.responseHeaders.getRawHeaders("content-type"), ["application/json"])
        self.assertEqual(request.responseCode, 200)

    def test_codes(self) -> None:
        self.assertEqual(self.get(b"/server-error")[0].responseCode, 500)
        self.assertEqual(self.get(b"/nobody")[0].responseCode, 404)

    def test_redirects(self) -> None:
        for path, location in ((b"/redirecting", "/healthy"), (b"/going-round", "/going-round")):
            request, _ = self.get(path)
            self.assertEqual(request.responseCode, 302)
            self.assertEqual(request.responseHeaders.getRawHeaders("location"), [location])

    def test_hanging(self) -> None:
        request, body = self.get(b"/hanging")
        self.assertEqual((body, request.written), (NOT_DONE_YET, []))

    def test_stopping_short(self) -> None:
        request, body = self.get(b"/stopping-short")
        self.assertEqual((body, request.finished), (NOT_DONE_YET, 0))
        self.assertEqual(request.written, [b'{"status": "ok", "lastr'])

    def test_huge(self) -> None:
        _, body = self.get(b"/huge")
        assert isinstance(body, bytes)
        self.assertGreater(len(body), 65_536)

    def test_names_are_fit_for_an_ini_file(self) -> None:
        self.assertEqual(len({sample.path for sample in SAMPLES}), len(SAMPLES))
        for sample in SAMPLES:
            self.assertTrue(sample.name.isprintable() and sample.path.isascii())

    def test_sent_defaults(self) -> None:
        self.assertEqual(SampleAnswer(b""), SampleAnswer(b"", 200, "", True))
