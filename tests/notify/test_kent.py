"""kent, a fake Sentry, accepts events and check-ins over a real connection."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from msgspec.structs import replace
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from pypinger.domain.model import Event, Report, Seconds, Task
from pypinger.notify import channels
from pypinger.notify.sentry import SentryWithCrons
from pypinger.ports.notifying import Reply
from pypinger.testing.channels import NOW, alert, context
from tests.acceptance.process import free_port

KENT = [sys.executable, "-m", "flask", "--app", "kent.app", "run", "--host", "127.0.0.1"]


class ThreadClient:
    """A :class:`pypinger.ports.notifying.HttpClient` of the standard library."""

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        data: bytes | None = None,
        timeout: Seconds = 20.0,
    ) -> Reply:
        def exchange() -> Reply:
            with urlopen(Request(url, data=data, headers=dict(headers)), timeout=timeout) as answer:
                return Reply(
                    answer.status, {name.lower(): text for name, text in answer.headers.items()}, answer.read()
                )

        return await deferToThread(exchange)


class KentTests(TestCase):
    def setUp(self) -> None:
        if find_spec("kent") is None:
            raise SkipTest("kent is not installed")
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self.kent = subprocess.Popen(
            [*KENT, "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(self.stop)
        for _ in range(300):
            try:
                self.get("/api/eventlist/")
                break
            except URLError:
                time.sleep(0.1)
        else:
            self.fail("kent did not start")
        values = {"url": f"http://public@127.0.0.1:{port}/7", "environment": "test", "crons": "true"}
        self.notifier = channels()["sentry"].notifier(values, context(ThreadClient(), now=lambda: NOW))

    def stop(self) -> None:
        self.kent.terminate()
        self.kent.wait()

    def get(self, path: str) -> Any:
        with urlopen(self.base + path, timeout=20) as answer:
            return json.loads(answer.read())

    def received(self) -> list[dict[str, Any]]:
        """Return what kent has received, oldest first."""
        events = self.get("/api/eventlist/")["events"]
        self.assertTrue(all(event["project_id"] == 7 for event in events))
        return [self.get(f"/api/event/{event['event_id']}")["payload"] for event in events]

    async def test_events_and_check_ins(self) -> None:
        self.assertIn("accepted as event", await self.notifier.send([alert()]))
        await self.notifier.send([alert(Event.RECOVERED, id="second")])
        assert isinstance(self.notifier, SentryWithCrons)
        task = Task(url="http://h/", id="0123456789ab", name="backup", label="http://h/")
        await self.notifier.run_seen(task, Report(ok=True, lastrun=NOW), NOW)
        await self.notifier.run_seen(replace(task, name=""), Report(ok=False, lastrun=NOW), NOW)
        problem, recovered, *check_ins = self.received()
        self.assertEqual(("event", "error"), (problem["header"]["type"], problem["body"]["level"]))
        self.assertEqual(problem["envelope_header"]["event_id"], problem["body"]["event_id"])
        self.assertEqual("late", problem["body"]["tags"]["kind"])
        self.assertEqual(("info", "ok"), (recovered["body"]["level"], recovered["body"]["tags"]["kind"]))
        self.assertEqual(["check_in", "check_in"], [item["header"]["type"] for item in check_ins])
        self.assertEqual(
            [("backup-0123456789ab", "ok"), ("task-0123456789ab", "error")],
            [(item["body"]["monitor_slug"], item["body"]["status"]) for item in check_ins],
        )
