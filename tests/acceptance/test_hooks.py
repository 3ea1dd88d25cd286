"""The daemon with ``[webhook]``, ``[pagerduty]`` and ``[alertmanager]`` (contract, section 5)."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Endpoints, Request, Server, hang, report
from tests.acceptance.process import PYPINGER, Daemon, Process, free_port, ini, until
from tests.notify.alertmanagers import RealAlertmanager
from tests.notify.pagerdutyserver import PagerDutyAlerts

MAIN = "interval = 0.5\ngroup_wait = 0\nerror_interval = 1h"

#: Part of every secret.
MARK = "ZqXs"
SECRET = f"{MARK}-signing"


def webhook(server: Server) -> str:
    """The section of a webhook to a server."""
    return (
        f"[webhook]\nurl = {server.origin}/in/{MARK}-path-0123456789?k={MARK}-query\nsecret = {SECRET}\n"
        f"headers =\n    Authorization: Bearer {MARK}-token\n    X-Team: ops\n"
    )


class Receiver(Server):
    """
    Receives webhooks.

    :ivar messages: those whose signature was right.
    """

    def __init__(self, test: TestCase) -> None:
        super().__init__(test)
        self.messages: list[dict[str, Any]] = []

    def respond(self, request: Request) -> None:
        expected = hmac.new(SECRET.encode(), request.body, hashlib.sha256).hexdigest()
        if request.headers["x-pypinger-signature"] != f"sha256={expected}":
            request.answer(401, "bad signature")
            return
        self.messages.append(json.loads(request.body))
        request.answer(204)

    def events(self, about: str = "") -> list[str]:
        return [each["event"] for each in self.messages if not about or (each["task"] or {}).get("name") == about]


class PagerDuty(Server):
    """PagerDuty's Events API."""

    def __init__(self, test: TestCase) -> None:
        super().__init__(test)
        self.alerts = PagerDutyAlerts()

    def section(self) -> str:
        return f"[pagerduty]\nrouting_key = {MARK}0123456789abcdef\nurl = {self.origin}/v2/enqueue\n"

    def respond(self, request: Request) -> None:
        code, answer = self.alerts.take(request.body)
        request.answer(code, json.dumps(answer), Content_Type="application/json")


class Echo(Server):
    """Refuses everything, and repeats what it was sent."""

    def respond(self, request: Request) -> None:
        request.answer(400, json.dumps({"message": request.dump + request.body.decode()}))


class Silent(Server):
    """Never answers."""

    def respond(self, request: Request) -> None:
        hang(request)


class HookCase(TestCase):
    timeout = 180

    async def start(self, *sections: str, name: str = "nightly import") -> Daemon:
        self.tasks = Endpoints(self)
        self.url = self.tasks.url("/a?k=v", report(server="db1"))
        port = free_port()
        text = ini(port, [self.url], MAIN, f"[task {self.url}]\nname = {name}\n" + "".join(sections))
        self.daemon = Daemon(self, text.replace(":memory:", "pypinger.sqlite"), port)
        await self.daemon.is_ready()
        return self.daemon

    def break_task(self) -> None:
        self.tasks.url("/a", report(status="error", reason="disk full", server="db1"))

    def recover(self) -> None:
        self.tasks.url("/a", report(server="db1"))

    async def run_command(self, *words: str, code: int = 0) -> str:
        process = Process(self, *PYPINGER, *words, directory=self.daemon.directory, forked=True)
        self.assertEqual(await process.end(), code, process.log)
        return process.log


class StoryTests(HookCase):
    async def test_an_incident(self) -> None:
        """Triggered, acknowledged and resolved at PagerDuty; the webhook has all of it, signed."""
        receiver, pagerduty = Receiver(self), PagerDuty(self)
        daemon = await self.start(webhook(receiver), pagerduty.section())
        await until(lambda: receiver.events() == ["started"])
        self.break_task()
        await until(lambda: pagerduty.alerts.open and receiver.events()[1:] == ["problem"])
        (key,) = pagerduty.alerts.open
        await self.run_command("ack", "nightly import", "I", "look")
        await until(lambda: pagerduty.alerts.open == {key: "acknowledged"})
        self.recover()
        await until(lambda: not pagerduty.alerts.open)
        self.assertEqual(pagerduty.alerts.history, [("trigger", key), ("acknowledge", key), ("resolve", key)])
        await until(lambda: receiver.events("nightly import") == ["problem", "acknowledged", "recovered"])
        problem = receiver.messages[1]
        self.assertEqual((problem["kind"], problem["task"]["reason"]), ("failed", "disk full"))
        self.assertTrue(problem["task"]["url"].endswith("/a"))
        self.assertEqual({each.headers["x-team"] for each in receiver.requests}, {"ops"})
        await daemon.stop()
        # Neither starts nor stops are events of PagerDuty.
        self.assertEqual(len(pagerduty.requests), 3)

    async def test_a_silenced_recovery(self) -> None:
        """PagerDuty gets the end of what it was told of at once, the webhook when the silence ends."""
        receiver, pagerduty = Receiver(self), PagerDuty(self)
        await self.start(webhook(receiver), pagerduty.section())
        self.break_task()
        await until(lambda: pagerduty.alerts.open and receiver.events("nightly import") == ["problem"])
        silence = (await self.run_command("silence", "nightly import", "1h")).split()[1].rstrip(":")
        self.recover()
        await until(lambda: not pagerduty.alerts.open)
        self.assertEqual(receiver.events("nightly import"), ["problem"])
        await self.run_command("unsilence", silence)
        await until(lambda: receiver.events("nightly import") == ["problem", "recovered"])
        self.assertEqual([action for action, _ in pagerduty.alerts.history], ["trigger", "resolve"])

    async def test_drill(self) -> None:
        """One test alert through each, with latencies."""
        receiver, pagerduty, echo = Receiver(self), PagerDuty(self), Echo(self)
        await self.start(webhook(receiver), pagerduty.section(), f"[alertmanager]\nurl = {echo.origin}\n")
        said = await self.run_command("drill", code=1)
        self.assertRegex(said, r"webhook: accepted after \d+\.\d\d s: HTTP 204")
        self.assertRegex(said, r"pagerduty: accepted after \d+\.\d\d s: HTTP 202")
        self.assertRegex(said, r"alertmanager: NOT ACCEPTED after \d+\.\d\d s: ")
        self.assertIn("test", receiver.events())
        self.assertEqual([action for action, _ in pagerduty.alerts.history], ["trigger", "resolve"])
        self.assertTrue(pagerduty.alerts.history[0][1].startswith("py-pinger:test:"))
        self.assertEqual(pagerduty.alerts.open, {})


class FaultTests(HookCase):
    async def test_dead_channels_delay_no_other(self) -> None:
        """One hangs, one refuses, one is not there; the alerts of the others come at once, and so do checks."""
        silent, echo, receiver, pagerduty = Silent(self), Echo(self), Receiver(self), PagerDuty(self)
        gone = free_port()
        daemon = await self.start(
            webhook(receiver),
            pagerduty.section(),
            f"[webhook hangs]\nurl = {silent.origin}/\n",
            f"[webhook refuses]\nurl = {echo.origin}/\n",
            f"[pagerduty hangs]\nrouting_key = abcdefgh\nurl = {silent.origin}/\n",
            f"[alertmanager hangs]\nurl = {silent.origin}/\n",
            f"[alertmanager gone]\nurl = http://127.0.0.1:{gone}\n",
        )
        for _ in range(3):
            self.break_task()
            await until(lambda: pagerduty.alerts.open)
            self.recover()
            await until(lambda: not pagerduty.alerts.open)
        await until(lambda: receiver.events("nightly import") == ["problem", "recovered"] * 3)
        self.assertTrue(silent.requests)
        words = (await daemon.get()).json()["self"]["explanation"]
        self.assertIn("webhook refuses did not accept the latest alert", words)

    async def test_secrets(self) -> None:
        """A service that repeats everything it was sent leaks nothing into the log, the pages or commands."""
        echo = Echo(self)
        daemon = await self.start(
            webhook(echo),
            f"[pagerduty]\nrouting_key = {MARK}0123456789abcdef\nurl = {echo.origin}/v2/enqueue\n",
            f"[alertmanager]\nurl = http://user:{MARK}-password@127.0.0.1:{echo.port}\n",
        )
        self.break_task()
        await daemon.becomes(self.url, kind="failed")
        await until(lambda: len(echo.requests) >= 4)
        said = await self.run_command("drill", code=1) + await self.run_command("status", code=2)
        for target in ("/", f"/task/{self.url}", f"/task/{self.url}/deliveries"):
            said += (await daemon.get(target)).body.decode()
        self.assertIn("HTTP 400", said)
        self.assertIn(MARK, "".join(request.dump for request in echo.requests))
        self.assertNotIn(MARK, said + daemon.log)


class AlertmanagerTests(HookCase):
    """With Debian's Alertmanager."""

    async def test_an_incident_over_kill_9_and_a_silence(self) -> None:
        """It is one alert from its problem to its end, told once each."""
        server = RealAlertmanager(self)
        await server.is_ready()
        daemon = await self.start(f"[alertmanager]\nurl = {server.url}\n")
        task = (await daemon.task(self.url))["id"]
        self.break_task()
        await server.tells(("firing", "TaskProblem", task))
        found = (await server.alerts())[task]
        self.assertEqual(found["labels"], {"alertname": "TaskProblem", "task": "nightly import", "id": task})
        self.assertEqual((found["annotations"]["kind"], found["annotations"]["server"]), ("failed", "db1"))
        self.assertIn("disk full", found["annotations"]["explanation"])
        incident = (await daemon.task(self.url))["incident"]
        self.assertEqual(found["startsAt"], incident["started"])

        daemon.signal("KILL")
        await daemon.end()
        self.daemon = daemon = Daemon(self, None, daemon.port, directory=daemon.directory)
        await daemon.becomes(self.url, kind="failed")
        self.assertEqual(set(await server.alerts()), {task})
        await self.run_command("silence", "nightly import", "1h")
        self.recover()
        await server.tells(("firing", "TaskProblem", task), ("resolved", "TaskProblem", task))
        self.assertEqual(await server.alerts(), {})
        await daemon.stop()
        await server.tells(("firing", "TaskProblem", task), ("resolved", "TaskProblem", task))
