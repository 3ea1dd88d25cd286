"""``pypinger notify-test`` with fake services on loopback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.model import Alert, Event
from pypinger.ports.notifying import DeliveryError
from pypinger.runtime.drill import Attempt, send_to_all
from tests.acceptance.process import PYPINGER, Process
from tests.cli.test_command import pypinger


class FakeNotifier:
    spacing = 0.0
    groups = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: list[Alert] = []
        self.answer: Deferred[str] = Deferred()

    async def send(self, alerts: Sequence[Alert]) -> str:
        self.sent.extend(alerts)
        return await self.answer


class SendTests(SynchronousTestCase):
    def test_all_at_once(self) -> None:
        clock = Clock()
        slow, quick = FakeNotifier("slow"), FakeNotifier("quick")
        alert = daemon_alert(Event.TEST, "This is a test.", 1000.0)
        sending = Deferred.fromCoroutine(send_to_all([slow, quick], alert, clock.seconds))
        self.assertEqual((slow.sent, quick.sent), ([alert], [alert]))
        clock.advance(0.25)
        quick.answer.errback(DeliveryError("channel_not_found", permanent=True))
        clock.advance(0.5)
        slow.answer.callback("ok")
        results = self.successResultOf(sending)
        self.assertEqual(
            results, [Attempt("slow", True, "ok", 0.75), Attempt("quick", False, "channel_not_found", 0.25)]
        )
        self.assertEqual(str(results[0]), "slow: accepted after 0.75 s: ok")
        self.assertEqual(str(results[1]), "quick: NOT ACCEPTED after 0.25 s: channel_not_found")


class RefusalTests(SynchronousTestCase):
    def notify_test(self, text: str) -> tuple[int, str, str]:
        path = self.mktemp()
        Path(path).write_text(text)
        return pypinger("notify-test", path)

    def test_invalid(self) -> None:
        code, out, err = self.notify_test("[slack]\nchannel = c\n")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("[slack] token", err)

    def test_no_channel(self) -> None:
        code, out, err = self.notify_test("[urls]\nprod = http://a.example/\n")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("no channel is configured", err)

    def test_only_log(self) -> None:
        code, out, err = self.notify_test("[main]\nonly_log = yes\n[slack]\nchannel = c\ntoken = t0ken\n")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("only_log is true", err)


class Service(Resource):
    """Records POST requests and answers them."""

    isLeaf = True

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__()
        self.code = code
        self.body = body
        self.got: list[tuple[bytes, Any]] = []

    def render_POST(self, request: Any) -> bytes:
        self.got.append((request.path, json.loads(request.content.read())))
        request.setResponseCode(self.code)
        return self.body


class ServiceTests(TestCase):
    def serve(self, code: int, body: bytes) -> tuple[Service, str]:
        service = Service(code, body)
        port = reactor.listenTCP(0, Site(service), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return service, f"http://127.0.0.1:{port.getHost().port}"

    async def notify_test(self, text: str) -> tuple[int, list[str]]:
        path = Path(self.mktemp()).absolute()
        path.write_text(text)
        process = Process(self, *PYPINGER, "notify-test", str(path), forked=True)
        code = await process.end()
        self.assertEqual(process.err, b"")
        return code, process.out.decode().splitlines()

    async def test_accepted(self) -> None:
        slack, slack_url = self.serve(200, b'{"ok": true, "channel": "C1", "ts": "1.2"}')
        hipchat, hipchat_url = self.serve(204, b"")
        code, lines = await self.notify_test(
            f"[slack]\nurl = {slack_url}/api/chat.postMessage\nchannel = c\ntoken = marked-secret\n"
            f"[hipchat]\nurl = {hipchat_url}\nroom = 7\nauth = marked-secret\n"
        )
        self.assertEqual(code, 0, lines)
        self.assertRegex(lines[0], r"\Aslack: accepted after \d+\.\d\d s: ")
        self.assertRegex(lines[1], r"\Ahipchat: accepted after \d+\.\d\d s: ")
        self.assertNotIn("marked-secret", "".join(lines))
        self.assertEqual((len(slack.got), len(hipchat.got)), (1, 1))
        self.assertIn("TEST", slack.got[0][1]["text"])
        self.assertIn("no action is needed", hipchat.got[0][1]["message"])

    async def test_refused(self) -> None:
        _, slack_url = self.serve(200, b'{"ok": false, "error": "channel_not_found"}')
        _, hipchat_url = self.serve(204, b"")
        code, lines = await self.notify_test(
            f"[slack]\nurl = {slack_url}/api/chat.postMessage\nchannel = c\ntoken = marked-secret\n"
            f"[hipchat]\nurl = {hipchat_url}\nroom = 7\nauth = marked-secret\n"
        )
        self.assertEqual(code, 1, lines)
        self.assertRegex(lines[0], r"\Aslack: NOT ACCEPTED after \d+\.\d\d s: .*channel_not_found")
        self.assertRegex(lines[1], r"\Ahipchat: accepted")
