"""``monitored``: reports of Python functions and coroutines (contract, section 9)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.report import decorator, monitored, push
from tests.report.endpoint import KEY, Endpoint

CHECKOUT = Path(__file__).parent.parent.parent


class DecoratorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "task.json"
        if "PYPINGER_PUSH_URL" in os.environ:
            self.addCleanup(os.environ.__setitem__, "PYPINGER_PUSH_URL", os.environ.pop("PYPINGER_PUSH_URL"))

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_bytes())
        return found


class FunctionTests(DecoratorTestCase):
    def test_success(self) -> None:
        @monitored(name="the import", every="5m", max_runtime=timedelta(hours=1), report=self.path)
        def work(first: int, *, second: int) -> int:
            """What it does."""
            during.append(self.report())
            return first + second

        during: list[dict[str, Any]] = []
        self.assertEqual(work(1, second=2), 3)
        self.assertEqual((work.__name__, work.__doc__), ("work", "What it does."))
        self.assertEqual(during[0].keys(), {"status", "started", "frequency", "max_runtime", "process", "server"})
        report = self.report()
        self.assertEqual(
            [report[name] for name in ("status", "started", "frequency", "max_runtime", "process", "server")],
            ["ok", during[0]["started"], 5, 60, "the import", os.uname().nodename],
        )

    def test_exception(self) -> None:
        @monitored(schedule="0 3 * * *", timezone="Europe/Berlin", report=str(self.path))
        def work() -> None:
            raise ValueError('it said "no"')

        self.assertRaises(ValueError, work)
        report = self.report()
        self.assertEqual(
            [report[name] for name in ("status", "reason", "schedule", "timezone", "process")],
            ["error", 'ValueError: it said "no"', "0 3 * * *", "Europe/Berlin", "work"],
        )

    def outcome(self, error: BaseException) -> tuple[str, str | None]:
        @monitored(report=self.path)
        def work() -> None:
            raise error

        try:
            work()
        except BaseException as raised:
            self.assertIs(raised, error)
        report = self.report()
        return report["status"], report.get("reason")

    def test_reasons(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        for error, expected in (
            (KeyError("name"), ("error", "KeyError: 'name'")),
            (KeyboardInterrupt(), ("error", "KeyboardInterrupt")),
            (ValueError("x" * 1000), ("error", "ValueError: " + "x" * 488)),
            (Mute(), ("error", "Mute")),
            (SystemExit(), ("ok", None)),
            (SystemExit(0), ("ok", None)),
            (SystemExit("no"), ("error", "SystemExit: no")),
        ):
            self.assertEqual(self.outcome(error), expected)

    def test_method(self) -> None:
        class Job:
            @monitored(report=self.path)
            def work(self, value: int) -> int:
                return value

        self.assertEqual(Job().work(5), 5)
        self.assertEqual(self.report()["process"], "work")

    def test_several_threads(self) -> None:
        """The later end counts, whatever the order of the starts."""
        barrier = threading.Barrier(8)

        @monitored(report=self.path)
        def work(number: int) -> None:
            barrier.wait()
            time.sleep(0.01 * number)
            raise ValueError(number)

        def run(number: int) -> None:
            try:
                work(number)
            except ValueError:
                pass

        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report = self.report()
        self.assertEqual(report["status"], "error")
        self.assertIn("lastrun", report)
        self.assertEqual(os.listdir(self.path.parent), ["task.json"])

    def test_report_cannot_be_written(self) -> None:
        """The function runs, and the log says why there is no report."""
        self.path.parent.write_text("")

        @monitored(report=self.path)
        def work() -> int:
            return 5

        with self.assertLogs("pypinger.report", "ERROR") as logs:
            self.assertEqual(work(), 5)
        self.assertEqual(logs.records[0].getMessage(), f"cannot write {self.path}: Not a directory")

    def test_wrong_arguments(self) -> None:
        for arguments in (
            {},
            {"every": 5, "schedule": "@daily", "report": "x"},
            {"report": "x", "push": f"http://127.0.0.1/push/{KEY}"},
            {"report": "/dev/null"},
            {"push": f"127.0.0.1/push/{KEY}"},
            {"every": "soon", "report": "x"},
            {"every": 0, "report": "x"},
            {"max_runtime": timedelta(0), "report": "x"},
            {"schedule": "0 25 * * *", "report": "x"},
            {"timezone": "Mars/Olympus", "report": "x"},
        ):
            with self.assertRaises(ValueError) as caught:
                monitored(**arguments)(print)  # type: ignore[arg-type]
            self.assertNotIn(KEY, str(caught.exception))

    def test_generators(self) -> None:
        def generator() -> Any:
            yield

        async def asynchronous_generator() -> Any:
            yield

        for function in (generator, asynchronous_generator):
            self.assertRaises(TypeError, monitored(report=self.path), function)


class CoroutineTests(DecoratorTestCase):
    def work(self, result: Callable[[], Any]) -> Any:
        @monitored(report=self.path)
        async def work() -> Any:
            await asyncio.sleep(0)
            return result()

        return work

    def test_success(self) -> None:
        self.assertEqual(asyncio.run(self.work(lambda: 5)()), 5)
        self.assertEqual(self.report()["status"], "ok")

    def test_exception(self) -> None:
        self.assertRaises(ZeroDivisionError, asyncio.run, self.work(lambda: 1 / 0)())
        self.assertEqual(self.report()["reason"], "ZeroDivisionError: division by zero")

    def test_cancelled(self) -> None:
        @monitored(report=self.path)
        async def work() -> None:
            started.set()
            await asyncio.sleep(60)

        started = asyncio.Event()

        async def main() -> None:
            task = asyncio.ensure_future(work())
            await started.wait()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        self.assertEqual([self.report()[name] for name in ("status", "reason")], ["error", "cancelled"])

    def test_cancelled_at_the_start(self) -> None:
        """While the start is being published: the end is published as well."""

        @monitored(report=self.path)
        async def work() -> None:
            ran.append(True)

        ran: list[bool] = []

        async def main() -> None:
            task = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        self.assertEqual([self.report().get(name) for name in ("status", "reason")], ["error", "cancelled"])
        self.assertEqual(ran, [])

    def test_closed(self) -> None:
        """A coroutine that is closed must not wait for anything."""

        @monitored(report=self.path)
        async def work() -> None:
            await Deferred()

        coroutine = work()
        coroutine.send(None)

        async def main() -> None:
            coroutine.close()

        asyncio.run(main())
        self.assertEqual([self.report().get(name) for name in ("status", "reason")], ["error", "cancelled"])

    def test_the_loop_does_not_wait(self) -> None:
        """Neither for a slow disk nor for a monitor that does not answer."""
        endpoint = Endpoint(self)
        asked, answers = threading.Event(), threading.Event()

        def before_answer() -> None:
            asked.set()
            answers.wait()

        endpoint.before_answer = before_answer

        @monitored(push=endpoint.url)
        async def work() -> None:
            pass

        async def main() -> None:
            task = asyncio.ensure_future(work())
            await asyncio.to_thread(asked.wait)
            answers.set()
            await task

        asyncio.run(main())
        self.assertEqual([("lastrun" in report) for report in endpoint.reports], [False, True])

    def test_another_loop(self) -> None:
        """Twisted's, say: the report is written where the coroutine runs."""

        @monitored(report=self.path)
        async def work() -> object:
            return await waiting

        waiting: Deferred[object] = Deferred()
        ended = ensureDeferred(work())
        self.assertNotIn("lastrun", self.report())
        waiting.callback("done")
        self.assertEqual(self.successResultOf(ended), "done")
        self.assertIn("lastrun", self.report())

    def test_another_loop_on_that_of_asyncio(self) -> None:
        """Twisted's asyncioreactor: the coroutine is no task, and cannot wait for asyncio's futures."""

        @monitored(report=self.path)
        async def work() -> int:
            return 5

        results: list[object] = []

        async def main() -> None:
            done = asyncio.Event()

            def call() -> None:
                ensureDeferred(work()).addBoth(results.append)
                done.set()

            asyncio.get_running_loop().call_soon(call)
            await done.wait()

        asyncio.run(main())
        self.assertEqual(results, [5])

    def test_several_at_once(self) -> None:
        @monitored(report=self.path)
        async def work(number: int) -> int:
            await asyncio.sleep(0.01 * number)
            return number

        async def main() -> list[int]:
            return list(await asyncio.gather(*map(work, range(8))))

        self.assertEqual(asyncio.run(main()), list(range(8)))
        self.assertEqual(self.report()["status"], "ok")


class PushTests(DecoratorTestCase):
    def test_pushed(self) -> None:
        endpoint = Endpoint(self)

        @monitored(every=5, push=endpoint.url)
        def work() -> None:
            raise ValueError("no")

        self.assertRaises(ValueError, work)
        self.assertEqual([report.get("reason") for report in endpoint.reports], [None, "ValueError: no"])

    def test_environment(self) -> None:
        endpoint = Endpoint(self)
        os.environ["PYPINGER_PUSH_URL"] = endpoint.url
        self.addCleanup(os.environ.pop, "PYPINGER_PUSH_URL")
        monitored(every=5)(lambda: None)()
        self.assertEqual([report["status"] for report in endpoint.reports], ["ok", "ok"])

    def test_monitor_away(self) -> None:
        """The function does not wait long, and the log says that the report was lost."""
        self.patch(decorator, "_PATIENCE", 0.0)
        self.patch(push, "RETRY_FOR", 0.5)
        work = monitored(push=f"http://127.0.0.1:1/push/{KEY}")(lambda: 5)
        with self.assertLogs("pypinger.report", "ERROR") as logs:
            self.assertEqual(work(), 5)
            deadline = time.monotonic() + 60
            while len(logs.records) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        words = "cannot push to http://127.0.0.1:1/***: Connection refused"
        self.assertEqual([record.getMessage() for record in logs.records], [words] * 2)

    def test_end_of_the_process(self) -> None:
        """A report that could not be pushed at once is pushed before the interpreter ends."""
        endpoint = Endpoint(self, 200, 503)
        code = (
            "from pypinger.report import decorator, monitored; decorator._PATIENCE = 0\nmonitored()(lambda: None)()\n"
        )
        environ = {**os.environ, "PYPINGER_PUSH_URL": endpoint.url, "PYTHONPATH": str(CHECKOUT)}
        self.assertEqual(subprocess.run([sys.executable, "-c", code], env=environ, timeout=60).returncode, 0)
        self.assertEqual([("lastrun" in report) for report in endpoint.reports], [False, True, True])
