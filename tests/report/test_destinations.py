"""Reports in files: what they say, and that they are whole, whatever happens."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from pypinger.domain import report as reports
from pypinger.domain.model import Report
from pypinger.report import content, destinations
from pypinger.report.content import EndedRun, Stopwatch, TaskDetails, read_report, timestamp
from pypinger.report.destinations import ReportFile

DETAILS = TaskDetails("import", "db1", every=10.0, max_runtime=5.0)


class FileTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "task.json"
        self.complaints: list[str] = []
        self.file = self.open()

    def open(self, details: TaskDetails = DETAILS) -> ReportFile:
        return ReportFile(str(self.path), details, self.complaints.append)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_bytes())
        return found

    def write(self, **members: object) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(members))


class ContentTests(FileTestCase):
    def test_first_start(self) -> None:
        self.file.begin(1_000_000.25)
        self.assertEqual(
            self.report(),
            {
                "status": "ok",
                "started": "1970-01-12T13:46:40.250Z",
                "frequency": 10.0,
                "max_runtime": 5.0,
                "process": "import",
                "server": "db1",
            },
        )

    def test_end(self) -> None:
        self.file.begin(1_000_000.0)
        self.file.finish(EndedRun(1_000_000.0, 1_000_060.0, False, "disk full"))
        report = self.report()
        self.assertEqual(
            [report[name] for name in ("status", "reason", "lastrun", "started")],
            ["error", "disk full", "1970-01-12T13:47:40.000Z", "1970-01-12T13:46:40.000Z"],
        )

    def test_start_keeps_the_outcome_before(self) -> None:
        self.file.finish(EndedRun(1_000_000.0, 1_000_060.0, False, "disk full"))
        self.file.begin(1_000_600.0)
        report = self.report()
        self.assertEqual(
            [report[name] for name in ("status", "reason", "lastrun", "started")],
            ["error", "disk full", "1970-01-12T13:47:40.000Z", "1970-01-12T13:56:40.000Z"],
        )

    def test_start_after_a_run_without_end(self) -> None:
        self.file.finish(EndedRun(1_000_000.0, 1_000_060.0, True))
        self.file.begin(1_000_600.0)
        self.file.begin(1_001_200.0)
        report = self.report()
        self.assertEqual([report["status"], report["lastrun"]], ["ok", "1970-01-12T13:47:40.000Z"])
        self.assertEqual(report["started"], "1970-01-12T14:06:40.000Z")

    def test_reports_of_others(self) -> None:
        """A report that another program wrote is carried on if it is valid."""
        self.write(status="error", reason="exit code 1", lastrun="1970-01-12T13:46:40Z", frequency=10)
        self.file.begin(1_000_600.0)
        report = self.report()
        self.assertEqual([report["status"], report["reason"]], ["error", "exit code 1"])
        self.assertEqual(report["lastrun"], "1970-01-12T13:46:40.000Z")
        self.write(status=" ERROR ", reason=5, lastrun="1970-01-12T13:46:40Z")
        self.path.write_bytes(b"\xef\xbb\xbf" + self.path.read_bytes())
        self.file.begin(1_000_600.0)
        report = self.report()
        self.assertEqual([report["status"], report["reason"]], ["error", "5"])
        for members in (
            {"status": "fine", "lastrun": "1970-01-12T13:46:40Z"},
            {"status": "error", "lastrun": "yesterday"},
            {"status": "error", "lastrun": None},
            {"status": ["ok"], "lastrun": "1970-01-12T13:46:40Z"},
        ):
            self.write(**members)
            self.file.begin(1_000_600.0)
            self.assertEqual(self.report().keys() & {"status", "lastrun", "reason"}, {"status"}, members)
            self.assertEqual(self.report()["status"], "ok")

    def test_broken_report_before(self) -> None:
        self.path.parent.mkdir()
        for body in (b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100_000, b'{"status": "ok"', b"1" * 5000):
            self.path.write_bytes(body)
            self.file.begin(1_000_600.0)
            self.assertEqual(self.report()["status"], "ok")

    @given(
        st.text(max_size=600),
        st.text(max_size=20) | st.none(),
        st.text(max_size=20) | st.none(),
        st.floats(0, 4e9),
        st.booleans(),
    )
    def test_valid_for_the_monitor(
        self, reason: str, process: str | None, server: str | None, now: float, ok: bool
    ) -> None:
        """Whatever the texts are, the report is one that the monitor accepts."""
        self.path.unlink(missing_ok=True)
        file = self.open(TaskDetails(process, server))
        file.finish(EndedRun(now, now, ok, reason[:500]))
        found = reports.parse(self.path.read_bytes())
        assert isinstance(found, Report), found
        self.assertEqual(found.ok, ok)
        assert found.lastrun is not None
        self.assertLess(abs(found.lastrun - now), 0.002)
        self.assertEqual(found.reason or "", reason[:500].strip())

    @given(st.floats(0, 4e9))
    def test_timestamps(self, instant: float) -> None:
        read = content.moment(timestamp(instant))
        assert read is not None
        self.assertLess(abs(read - instant), 0.002)
        self.assertLessEqual(read, instant + 1e-6)

    def test_other_forms_of_dates(self) -> None:
        for text in (
            "1970-01-12T13:46:40Z",
            "1970-01-12 14:46:40+01:00",
            "1970-01-12T13:46:40",
            "1970-01-12T13:46:40.000",
        ):
            self.assertEqual(content.moment(text), 1_000_000.0)
        for wrong in (None, "", "today", 5, "9999-99-99T00:00:00Z"):
            self.assertIsNone(content.moment(wrong))


class ClockTests(FileTestCase):
    """Somebody sets the clock while a command runs for hours."""

    def stopwatch(self, set_by: float, took: float) -> EndedRun:
        wall, steady = 1_000_000.0, 50.0
        self.patch(content.time, "time", lambda: wall)
        self.patch(content.time, "clock_gettime", lambda clock: steady)
        watch = Stopwatch()
        wall, steady = wall + took + set_by, steady + took
        return watch.stop(True)

    def test_undisturbed(self) -> None:
        self.assertEqual(self.stopwatch(0.0, 7200.0)[:2], (1_000_000.0, 1_007_200.0))

    def test_set_back(self) -> None:
        """The run does not seem to go on: it has not started after its end."""
        self.assertEqual(self.stopwatch(-10_000.0, 7200.0)[:2], (990_000.0, 997_200.0))

    def test_set_forward(self) -> None:
        self.assertEqual(self.stopwatch(10_000.0, 7200.0)[:2], (1_010_000.0, 1_017_200.0))

    def test_set_back_by_less_than_a_second(self) -> None:
        self.assertEqual(self.stopwatch(-0.5, 0.1)[:2], (999_999.6, 999_999.6))

    def test_the_report_before_is_from_the_future(self) -> None:
        """It does not keep the present one from being published."""
        now = time.time()
        self.write(status="ok", lastrun=timestamp(now + 3600), started=timestamp(now + 3500))
        self.file.finish(EndedRun(now - 10, now, False, "why"))
        self.assertEqual(self.report()["reason"], "why")
        self.assertEqual(self.report()["started"], timestamp(now - 10))


class TwoAtOnceTests(FileTestCase):
    def test_start_keeps_the_end_of_the_other(self) -> None:
        now = time.time()
        first, second = self.open(), self.open()
        first.begin(now - 100)
        second.begin(now - 50)
        first.finish(EndedRun(now - 100, now - 40, False, "the first"))
        report = self.report()
        self.assertEqual([report["reason"], report["started"]], ["the first", timestamp(now - 50)])
        second.finish(EndedRun(now - 50, now - 30, True))
        self.assertEqual(self.report()["status"], "ok")
        self.assertNotIn("reason", self.report())

    def test_the_later_end_counts(self) -> None:
        """Also where the other one is published last."""
        now = time.time()
        self.file.finish(EndedRun(now - 50, now - 30, True))
        self.file.finish(EndedRun(now - 100, now - 40, False, "the first"))
        self.assertEqual(self.report()["lastrun"], timestamp(now - 30))
        self.assertEqual(self.report()["status"], "ok")

    def test_no_end_is_lost(self) -> None:
        """Many starts meanwhile, in threads of their own: none publishes an outcome that has been replaced."""
        self.file.begin(time.time())
        over = threading.Event()

        def start() -> None:
            while not over.is_set():
                self.open().begin(time.time())

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(60):
                now = time.time()
                self.file.finish(EndedRun(now, now, False, f"number {number}"))
                self.assertEqual(self.report()["reason"], f"number {number}")
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual((self.complaints, os.listdir(self.path.parent)), ([], ["task.json"]))

    def test_readers_see_whole_reports(self) -> None:
        self.file.begin(time.time())
        over = threading.Event()
        seen: list[int] = []

        def read() -> None:
            while not over.is_set():
                seen.append(len(self.report()))

        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(100):
            now = time.time()
            self.file.finish(EndedRun(now, now, False, "x" * 500))
        over.set()
        thread.join()
        self.assertLessEqual(set(seen), {6, 8})

    def test_lock_that_is_held_too_long(self) -> None:
        """A report is not kept back by another program that locks the directory."""
        self.patch(destinations, "_LOCK_WAIT", 0.1)
        self.path.parent.mkdir()
        other = os.open(self.path.parent, os.O_RDONLY)
        self.addCleanup(os.close, other)
        fcntl.flock(other, fcntl.LOCK_EX)
        self.file.begin(1_000_000.0)
        self.assertEqual(self.report()["status"], "ok")


class PathTests(FileTestCase):
    def test_directory_is_made(self) -> None:
        """Everyone may read it, whatever the umask."""
        self.addCleanup(os.umask, os.umask(0o077))
        self.path = self.path.parent / "a" / "b" / "task.json"
        self.open().begin(1.0)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o644)
        for directory in (self.path.parent, self.path.parent.parent):
            self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o755)

    def test_directory_stays_as_it_is(self) -> None:
        self.path.parent.mkdir(mode=0o700)
        self.file.begin(1.0)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    def test_link(self) -> None:
        """The file that a link leads to is written, and the link stays."""
        self.path.parent.mkdir()
        target = self.path.parent / "elsewhere" / "real.json"
        self.path.symlink_to(target)
        self.open().begin(1.0)
        self.assertTrue(self.path.is_symlink())
        self.assertEqual(json.loads(target.read_bytes())["status"], "ok")

    def test_no_file(self) -> None:
        """A device is not replaced."""
        for path in ("/dev/null", "/", "/nowhere/"):
            error = self.assertRaises(ValueError, ReportFile, path, DETAILS, self.complaints.append)
            self.assertEqual(str(error), f"{path!r} is no file")

    def test_working_directory_changes(self) -> None:
        self.path.parent.mkdir()
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.path.parent)
        file = ReportFile("task.json", DETAILS, self.complaints.append)
        os.chdir("/")
        file.begin(1.0)
        self.assertEqual(self.report()["status"], "ok")


class FailureTests(FileTestCase):
    def child(self, work: Callable[[], None]) -> int:
        """Run a function in a forked process; return how many complaints there were."""
        process = os.fork()
        if process == 0:
            try:
                work()
                os._exit(len(self.complaints))
            finally:
                os._exit(99)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def test_full_disk(self) -> None:
        """The old report stays, whole, and nothing else."""
        self.file.finish(EndedRun(1.0, 2.0, True))
        before = self.path.read_bytes()

        def fail() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
            self.file.finish(EndedRun(3.0, 4.0, False, "why"))
            assert self.complaints == [f"cannot write {self.path}: File too large; the report of the run before stays"]

        self.assertEqual(self.child(fail), 1)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(os.listdir(self.path.parent), ["task.json"])

    def test_no_permission(self) -> None:
        if os.getuid() != 0:
            raise SkipTest("needs root, to become another user")
        self.file.finish(EndedRun(1.0, 2.0, True))

        def fail() -> None:
            os.setuid(65534)
            os.chdir("/")
            self.file.begin(3.0)

        self.assertEqual(self.child(fail), 1)
        self.assertEqual(read_report(self.path.read_bytes()).lastrun, 2.0)

    def test_directory_is_a_file(self) -> None:
        self.path.parent.parent.mkdir(exist_ok=True)
        self.path.parent.write_text("")
        self.file.begin(1.0)
        self.assertEqual(self.complaints, [f"cannot write {self.path}: Not a directory"])


if sys.platform != "linux":
    FailureTests.skip = "needs Linux"  # type: ignore[attr-defined]
