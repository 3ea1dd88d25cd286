"""Messages through Apprise to targets on real sockets (contract, section 5, "Apprise")."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib import util
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from pypinger.domain.model import Alert, Event
from pypinger.http.messenger import Messenger
from pypinger.notify import apprise as channel
from pypinger.notify import channels
from pypinger.ports.notifying import ChannelContext, DeliveryError, Notifier, Proxies
from pypinger.testing.alerts import NOW, alert
from pypinger.testing.channels import RecordingClient
from pypinger.testing.contract import ChannelContract, FakeService, refusal
from pypinger.testing.partial import PartialSuccessContract
from tests.http.tunnelserver import TunnelServer
from tests.notify.appriseserver import Target
from tests.notify.strategies import storms

VALUES = {"urls": "json://127.0.0.1/"}
SECRETS = ("SECRET-user", "SECRET-pass", "SECRET-path")


class TargetTestCase(TestCase):
    """Starts targets, and sends to them."""

    def setUp(self) -> None:
        if util.find_spec("apprise") is None:
            raise SkipTest("Apprise is not installed here")

    def target(self) -> Target:
        target = Target()
        self.addCleanup(target.stop)
        return target

    def notifier(self, *urls: str, name: str = "apprise", proxies: Proxies | None = None) -> Notifier:
        values = {"urls": "\n".join(urls)}
        self.assertEqual(dict(channels()["apprise"].check(values)), {})
        context = ChannelContext(name, RecordingClient(), lambda: NOW, reactor, proxies=proxies)
        return channels()["apprise"].notifier(values, context)


class ContractTests(ChannelContract, TargetTestCase):
    section = "apprise"
    values = VALUES
    secrets = SECRETS
    quotes = False

    def service(self) -> Target:
        return self.target()

    def notifier_for(self, service: FakeService, name: str) -> Notifier:
        assert isinstance(service, Target)
        return self.notifier(service.url, name=name)


class PartialSuccessTests(PartialSuccessContract, TargetTestCase):
    quotes = False

    def recipients(self) -> Sequence[Target]:
        return [self.target() for _ in range(3)]

    def notifier_to(self, recipients: Sequence[FakeService]) -> Notifier:
        return self.notifier(*(each.url for each in recipients if isinstance(each, Target)))

    async def answered(self) -> None:
        while sum(thread.name == "pypinger-notify" for thread in threading.enumerate()) > 1:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.01)


class AppriseTests(TargetTestCase):
    async def test_message(self) -> None:
        target = self.target()
        self.assertEqual(await self.notifier(target.url).send([alert(explanation="@all <!channel> & <b>")]), "accepted")
        (body,) = target.bodies
        self.assertEqual(body["title"], "PROBLEM: nightly backup is late")
        self.assertEqual(
            body["message"],
            "@\u200ball <\u200b!channel> & <b>\nprocess: backup, server: db1\nhttps://db1.example/task?…\n"
            "https://pinger.example/task/0123456789ab\n[0123456789ab-1700000000-1]",
        )
        self.assertEqual(body["type"], "failure")

    async def test_types(self) -> None:
        target = self.target()
        notifier = self.notifier(target.url)
        for event in (Event.PROBLEM, Event.REMINDER, Event.RECOVERED, Event.TEST):
            await notifier.send([alert(event)])
        self.assertEqual([body["type"] for body in target.bodies], ["failure", "warning", "success", "info"])

    async def test_status_codes(self) -> None:
        target = self.target()
        notifier = self.notifier(target.url)
        for code, permanent in ((400, True), (401, True), (404, True), (413, True), (407, False), (408, False),
                                (425, False), (429, False), (302, False), (500, False), (503, False)):  # fmt: skip
            target.answer = code
            error = await refusal(notifier, alert(id=f"id-{code}"))
            self.assertIn(f"error={code}", error.words)
            self.assertEqual(error.permanent, permanent, code)

    async def test_redirects_are_not_followed(self) -> None:
        target, other = self.target(), self.target()
        for code in (301, 302, 303, 307, 308):
            target.answer, target.location = code, f"http://127.0.0.1:{other.port}/elsewhere"
            error = await refusal(self.notifier(target.url), alert())
            self.assertFalse(error.permanent)
        self.assertEqual(other.paths, [])

    async def test_refused_connection(self) -> None:
        error = await refusal(self.notifier("json://127.0.0.1:1/SECRET-path"), alert())
        self.assertFalse(error.permanent)
        self.assertIn("onnection", error.words)

    async def test_one_target_that_hangs_delays_no_other(self) -> None:
        hanging, good = self.target(), self.target()
        hanging.drip()
        clock: Any = Clock()
        clock.callFromThread = reactor.callFromThread
        context = ChannelContext("apprise", RecordingClient(), lambda: NOW, clock)
        notifier = channels()["apprise"].notifier({"urls": f"{hanging.url}\n{good.url}"}, context)
        waiting = hanging.waiting()
        sending = Deferred.fromCoroutine(notifier.send([alert()]))
        await waiting
        while sum(thread.name == "pypinger-notify" for thread in threading.enumerate()) > 1:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.01)
        clock.advance(channel.LIMIT)
        error = self.failureResultOf(sending, DeliveryError).value
        self.assertEqual(error.words, "url 1 (json): no answer within 19 s")
        self.assertFalse(error.permanent)
        self.assertEqual(len(good.bodies), 1)

    async def test_an_answer_that_comes_too_late_counts(self) -> None:
        target = self.target()
        target.hang()
        notifier = self.notifier(target.url)
        waiting = target.waiting()
        sending = Deferred.fromCoroutine(notifier.send([alert()]))
        await waiting
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        target.release()
        while any(thread.name == "pypinger-notify" for thread in threading.enumerate()):
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.01)
        self.assertEqual(await notifier.send([alert()]), "accepted")
        self.assertEqual(len(target.bodies), 1)

    async def test_threads_left_behind_are_limited(self) -> None:
        target = self.target()
        target.hang()
        self.patch(channel, "LIMIT", 0.1)
        notifier = self.notifier(target.url)
        for _ in range(channel.MAX_THREADS):
            self.assertEqual((await refusal(notifier, alert())).words, "no answer within 0.1 s")
        error = await refusal(notifier, alert())
        self.assertEqual((error.words, error.permanent), ("earlier messages still wait for an answer", False))
        self.assertLessEqual(len(target.bodies), channel.MAX_THREADS)

    async def test_a_service_that_raises(self) -> None:
        """Its error may hold anything, and fails the attempt."""

        def texts(*_: object) -> tuple[str, str]:
            raise ValueError("SECRET-path")

        self.patch(channel, "_texts", texts)
        error = await refusal(self.notifier(self.target().url), alert())
        self.assertEqual((error.words, error.permanent), ("Apprise failed with ValueError", False))

    async def test_services_with_short_messages(self) -> None:
        """The text is cut to what the service takes, and the id is kept."""
        for limits in ((140, 0), (160, 250), (500, 40)):
            title, body = channel._texts([alert(explanation="word " * 5_000)], NOW, *limits)
            self.assertLessEqual(len(body) + (0 if limits[1] else len(title) + 2), limits[0])
            self.assertLessEqual(len(title), limits[1] or 200)
            self.assertTrue(body.endswith("\n[0123456789ab-1700000000-1]"))

    @settings(max_examples=60, deadline=None)
    @given(storms, st.sampled_from([(140, 0), (2_000, 250), (32_768, 250)]))
    def test_any_text(self, alerts: list[Alert], limits: tuple[int, int]) -> None:
        title, body = channel._texts(alerts, NOW, *limits)
        self.assertLessEqual(len(body), limits[0])
        self.assertIn(f"[{alerts[0].id}]", body)
        for text in (title, body):
            self.assertNotRegex(text, r"(?<!\w)@\w|<!|[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e]")

    async def test_nothing_is_logged(self) -> None:
        """At its lower levels Apprise logs tokens, URLs and messages."""
        records: list[str] = []

        class Spy(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                records.append(record.getMessage())

        root = logging.getLogger()
        spy, level = Spy(), root.level
        root.addHandler(spy)
        root.setLevel(1)
        self.addCleanup(root.setLevel, level)
        self.addCleanup(root.removeHandler, spy)
        target = self.target()
        await self.notifier(target.url).send([alert()])
        target.refuse("no")
        await refusal(self.notifier(target.url), alert())
        self.assertEqual([text for text in records if "SECRET" in text or "nightly backup" in text], [])
        with self.assertNoLogs(level=logging.DEBUG):
            channels()["apprise"].check({"urls": "nonsense://SECRET-token"})


class ProxyTests(TargetTestCase):
    """The proxy of ``[main]``, for services over HTTP."""

    def proxies(self, setting: str) -> Proxies:
        messenger = Messenger(reactor, proxy=setting)
        self.addCleanup(lambda: Deferred.fromCoroutine(messenger.close()))
        return messenger.proxies

    def environment(self, **variables: str) -> None:
        """Have no proxy in the environment of the process but these."""
        others = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.patch(os, "environ", {**others, **variables})

    async def test_url(self) -> None:
        """It gets the whole URL and its own credentials; the environment does not count."""
        proxy, other = self.target(), self.target()
        self.environment(http_proxy=f"http://127.0.0.1:{other.port}", no_proxy="*")
        proxies = self.proxies(f"http://us:hunter2@127.0.0.1:{proxy.port}")
        await self.notifier("json://service.test:81/path", proxies=proxies).send([alert()])
        self.assertEqual(proxy.paths, ["http://service.test:81/path"])
        self.assertEqual(proxy.headers[0]["Proxy-Authorization"], "Basic dXM6aHVudGVyMg==")
        self.assertEqual(other.paths, [])

    async def test_tunnel(self) -> None:
        """Requests over https go through CONNECT; a proxy that refuses that is no refusal by the service."""
        proxy = TunnelServer()
        self.addCleanup(proxy.listen().stopListening)
        proxy.refuse("403 Forbidden")
        notifier = self.notifier(
            "jsons://service.test/", proxies=self.proxies(f"http://us:hunter2@127.0.0.1:{proxy.port}")
        )
        error = await refusal(notifier, alert())
        self.assertFalse(error.permanent)
        self.assertNotIn("hunter2", error.words)
        self.assertTrue(proxy.requests[0].startswith(b"CONNECT service.test:443 HTTP/1."))
        self.assertIn(b"Proxy-Authorization: Basic dXM6aHVudGVyMg==\r\n", proxy.requests[0])

    async def test_direct(self) -> None:
        """No proxy, even if the environment has one; and so without the option."""
        target = self.target()
        self.environment(
            http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1", all_proxy="http://127.0.0.1:1"
        )
        for proxies in (self.proxies("direct"), self.proxies(""), None):
            self.assertEqual(await self.notifier(target.url, proxies=proxies).send([alert()]), "accepted")
        self.assertEqual(target.paths, ["/SECRET-path"] * 3)

    async def test_environment(self) -> None:
        """``no_proxy`` is read as for checks."""
        proxy, target = self.target(), self.target()
        at = f"http://127.0.0.1:{proxy.port}"
        for variables, proxied in (
            ({"http_proxy": at}, True),
            ({"ALL_PROXY": at}, True),
            ({"https_proxy": at}, False),
            ({"http_proxy": at, "no_proxy": "127.0.0.0/8"}, False),
            ({"http_proxy": at, "no_proxy": f"127.0.0.1:{target.port}"}, False),
            ({"http_proxy": at, "no_proxy": "127.0.0.1:1"}, True),
        ):
            self.environment(**variables)
            before = len(proxy.paths), len(target.paths)
            await self.notifier(target.url, proxies=self.proxies("env")).send([alert()])
            after = len(proxy.paths), len(target.paths)
            self.assertEqual(after, (before[0] + proxied, before[1] + (not proxied)), variables)

    async def test_redirects_that_are_followed(self) -> None:
        """With ``redirect=yes`` in the URL; the credentials of a proxy of the environment stay here."""
        target, other = self.target(), self.target()
        target.answer, target.location = 307, f"http://127.0.0.1:{other.port}/elsewhere"
        self.environment(http_proxy="http://us:hunter2@127.0.0.1:1")
        await self.notifier(f"json://127.0.0.1:{target.port}/?redirect=yes", proxies=self.proxies("")).send([alert()])
        self.assertEqual(other.paths, ["/elsewhere"])
        self.assertNotIn("Proxy-Authorization", other.headers[0])

    async def test_other_threads(self) -> None:
        """What else uses requests in this process is not affected."""
        target, proxy = self.target(), self.target()
        await self.notifier(target.url).send([alert()])
        self.environment(http_proxy=f"http://127.0.0.1:{proxy.port}")
        requests = importlib.import_module("requests")
        answer = await deferToThread(requests.get, "http://service.test/x", timeout=10)
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(proxy.paths, ["http://service.test/x"])


class OptionTests(TargetTestCase):
    def test_urls(self) -> None:
        check = channels()["apprise"].check
        good = "json://h/a\nntfy://topic\nmailto://user:pass@example.com\ntgram://123456789:abcdefg_hijklmnop/12315544/"
        self.assertEqual(dict(check({"urls": good})), {})
        for bad in (
            "nonsense://SECRET-token",
            "SECRET-token",
            "json://h, SECRET-token",
            "https://h/SECRET-token",
            "tgram://SECRET-token",
        ):
            words = check({"urls": f"json://h/a\n{bad}"}).get("urls", "")
            self.assertTrue(words.startswith("URL 2 is none that Apprise understands"), (bad, words))
            self.assertNotIn("SECRET", words)

    def test_essential(self) -> None:
        self.assertEqual(channels()["apprise"].essential({"urls": ""}), ("urls",))


class WithoutAppriseTests(TestCase):
    def test_not_installed(self) -> None:
        self.patch(channel, "find_spec", lambda name: None)
        problems = channels()["apprise"].check({"urls": "json://h/a"})
        self.assertEqual(dict(problems), {"urls": 'needs the Apprise library: pip install "py-pinger[apprise]"'})

    def test_not_imported_unless_it_is_on(self) -> None:
        code = "import sys, pypinger.notify; pypinger.notify.channels(); print('apprise' in sys.modules)"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        self.assertEqual(ran.stdout.strip(), "False", ran.stderr)
