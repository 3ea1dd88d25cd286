"""Alerts through all channels at once (contract, sections 4 and 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.acceptance.channels import HipChat, Sentry, Service, SlackThreads, SlackWebApi, SlackWebhook
from tests.acceptance.endpoints import Endpoints, Request, asleep, body, hang, report
from tests.acceptance.process import Daemon, free_port, ini, new_directory, pause, until
from tests.notify.smtpserver import Mailbox, SmtpServer

FAST = "interval = 0.5\nerror_interval = 0\ngroup_wait = 0\n"


class TransitionTests(TestCase):
    """Two daemons check the same endpoints: one posts to Slack's Web API, the other to a webhook."""

    timeout = 300

    async def test_exact_alerts(self) -> None:
        tasks = Endpoints(self)
        plain = tasks.url("/plain?key=secret", report(server="db<1>", process="<!channel> & co"))
        nagging, steady = tasks.url("/nagging", report()), tasks.url("/steady", report())
        urls = [plain, nagging, steady]
        one = self.with_channels(SlackWebApi(self), urls, nagging)
        two = self.with_channels(SlackWebhook(self), urls, nagging)
        both = (one, two)
        for daemon, services in both:
            await daemon.is_ready()
            await until(lambda s=services: s[0].events() == s[1].events() == ["started"])

        tasks.url("/plain", report(ago=3600, server="db<1>", process="<!channel> & co"))
        for daemon, services in both:
            await daemon.becomes(plain, kind="late")
            await self.told(services, "/plain", ["problem"])
        tasks.url("/plain", report(status="error", reason="<!channel> disk full & more", server="db<1>"))
        for _, services in both:
            await self.told(services, "/plain", ["problem", "changed"])

        # Sleep neither closes the incident nor reminds of it.
        tasks.url("/nagging", report(ago=3600))
        for _, services in both:
            await until(lambda s=services: s[0].events("/nagging")[:3] == ["problem", "reminder", "reminder"])
        tasks.url("/nagging", report(ago=3600, sleep=asleep()))
        quiet = []
        for daemon, services in both:
            task = await daemon.becomes(nagging, kind="sleeping")
            self.assertEqual(task["incident"]["kind"], "late")
            await daemon.says(undelivered=0)
            quiet.append([service.events("/nagging") for service in services])
        # The next reminder would have been due.
        await pause(2)
        self.assertEqual([[service.events("/nagging") for service in services] for _, services in both], quiet)

        tasks.url("/plain", report())
        tasks.url("/nagging", report())
        for daemon, services in both:
            await self.told(services, "/plain", ["problem", "changed", "recovered"])
            await until(lambda s=services: all(service.events("/nagging")[-1:] == ["recovered"] for service in s))
            self.assertIsNone((await daemon.task(plain))["incident"])
            self.assertIsNone((await daemon.task(nagging))["incident"])
        for daemon, services in both:
            await daemon.stop()
            self.check(services, daemon)

    def with_channels(
        self, slack: SlackWebApi | SlackWebhook, urls: list[str], nagging: str
    ) -> tuple[Daemon, list[Service]]:
        hipchat, sentry = HipChat(self), Sentry(self)
        port = free_port()
        more = slack.section() + hipchat.section() + sentry.section(more="environment = test\ncrons = true")
        more += f"[task {nagging}]\nerror_interval = 1.5\nfailures = 1\n"
        main = f"{FAST}failures = 2\ngreeting = Hello & welcome"
        web = "public_url = https://pinger.example.com/p/"
        return Daemon(self, ini(port, urls, main, more, web), port), [slack, hipchat, sentry]

    async def told(self, services: list[Service], about: str, events: list[str]) -> None:
        await until(lambda: all(service.events(about) == events for service in services), str(events))

    def check(self, services: list[Service], daemon: Daemon) -> None:
        slack, hipchat, sentry = services
        for service in services:
            self.assertEqual(len(set(service.ids())), len(service.ids()), "an alert was sent twice")
            self.assertEqual(service.events("/steady"), [])
            self.assertNotIn("unknown", service.events())
        self.assertEqual(slack.ids(), hipchat.ids())
        self.assertEqual(slack.ids()[1:-1], sentry.ids())
        self.assertEqual((slack.events()[0], slack.events()[-1]), ("started", "stopped"))
        self.assertIn("Hello & welcome", hipchat.messages()[0].text)
        self.assertIn("3 tasks", hipchat.messages()[0].text)
        events = slack.events("/nagging")
        self.assertEqual(set(events[1:-1]), {"reminder"})
        self.assertEqual((events[0], events[-1]), ("problem", "recovered"))
        for alert in slack.ids():
            self.assertIn(f"[{alert}]", daemon.log)

        self.check_slack(slack)
        self.assertEqual(
            [message.payload["color"] for message in hipchat.messages("/plain")], ["red", "yellow", "green"]
        )
        self.assertEqual({hipchat.messages()[0].payload["color"], hipchat.messages()[-1].payload["color"]}, {"gray"})
        for request in hipchat.requests:
            self.assertEqual(request.target, "/v2/room/Ops%20Room/notification")
            self.assertEqual(request.headers["authorization"], "Bearer auth-token")
        problem, changed, recovered = (message.text for message in hipchat.messages("/plain"))
        for text in (problem, changed, recovered):
            self.assertIn("/plain?…", text)
            self.assertNotIn("key=secret", text)
            self.assertIn("https://pinger.example.com/p/task/", text)
        for words in ("PROBLEM", "late", "was due", "db<1>", "<!channel> & co on db<1>"):
            self.assertIn(words, problem)
        self.assertIn('"<!channel> disk full & more"', changed)
        self.assertIn("is OK again", recovered)
        self.assertRegex(recovered, r"after \d+ s")
        self.assertRegex(hipchat.messages("STILL")[0].text, r"after \d+ s")

        payloads = [message.payload for message in sentry.messages("/plain")]
        self.assertEqual([payload["level"] for payload in payloads], ["error", "error", "info"])
        self.assertEqual(len({str(payload["fingerprint"]) for payload in payloads}), 1)
        self.assertEqual([payload["tags"]["kind"] for payload in payloads], ["late", "failed", "ok"])
        self.assertEqual((payloads[0]["tags"]["server"], payloads[0]["environment"]), ("db<1>", "test"))
        event_ids = [message.payload["event_id"] for message in sentry.messages()]
        self.assertEqual(len(set(event_ids)), len(event_ids))
        self.assertEqual(len({check_in["monitor_slug"] for check_in in sentry.check_ins()}), 3)

    def check_slack(self, slack: Service) -> None:
        web_api = isinstance(slack, SlackWebApi)
        for request in slack.requests:
            self.assertEqual(request.headers.get("authorization"), "Bearer xoxb-token" if web_api else None)
            self.assertNotIn(b"xoxb-token", request.body)
            self.assertNotIn(b"<!channel>", request.body)
        for message in slack.messages():
            self.assertIn("blocks", message.payload)
            self.assertTrue(message.payload["attachments"][0]["color"])
        if web_api:
            self.assertEqual({m.payload["channel"] for m in slack.messages()}, {"#ops"})
            self.assertEqual({m.payload["username"] for m in slack.messages()}, {"pinger"})

    async def test_failures_in_a_row(self) -> None:
        """Sleep neither counts in the row nor resets it; an ok verdict resets it."""
        tasks, slack = Endpoints(self), SlackWebApi(self)
        url = tasks.url("/task", report())
        port = free_port()
        daemon = Daemon(self, ini(port, [url], f"{FAST}failures = 3", slack.section()), port)
        await daemon.is_ready()

        answers = [report(ago=-900)] * 2 + [report()] + [report(ago=-900)] * 2 + [report(sleep=asleep())] * 2
        held: list[Request] = []

        def behave(request: Request) -> None:
            (answers.pop(0) if answers else held.append)(request)

        tasks.paths["/task"] = behave
        await until(lambda: held, "the check after the scripted ones")
        self.assertIsNone((await daemon.task(url))["incident"])
        # This check completes the row of three.
        report(ago=-900)(held[0])
        await until(lambda: slack.events("/task") == ["problem"])
        task = await daemon.task(url)
        self.assertEqual(task["incident"]["kind"], "future")
        await daemon.stop()

    async def test_only_log(self) -> None:
        tasks, slack, hipchat, sentry = Endpoints(self), SlackWebApi(self), HipChat(self), Sentry(self)
        url = tasks.url("/task", report(ago=3600))
        port = free_port()
        more = slack.section() + hipchat.section() + sentry.section(more="crons = yes")
        daemon = Daemon(self, ini(port, [url], f"{FAST}only_log = true", more), port)
        await daemon.becomes(url, kind="late")
        tasks.url("/task", report())
        await daemon.becomes(url, kind="ok")
        self.assertEqual((await daemon.get()).json()["self"]["undelivered"], 0)
        await daemon.stop()
        for words in ("Py Pinger started", "PROBLEM: ", "is OK again", "Py Pinger stopped"):
            self.assertIn(words, daemon.log)
        self.assertEqual(slack.requests + hipchat.requests + sentry.requests, [])


class MailTests(TestCase):
    timeout = 300

    def start(self) -> Daemon:
        """A daemon with a task in trouble, and two recipients."""
        self.boxes = [Mailbox("ops@example.com"), Mailbox("night@example.com")]
        server = SmtpServer(*self.boxes)
        self.addCleanup(server.stop)
        url = Endpoints(self).url("/task", report(ago=3600))
        port, path = free_port(), Path(new_directory(self), "pypinger.sqlite")
        to = ", ".join(box.address for box in self.boxes)
        mail = f"[email]\nserver = smtp://127.0.0.1:{server.port}\nfrom = p@example.com\nto = {to}\nevents = problem\n"
        self.again = ini(port, [url], FAST, mail).replace(":memory:", str(path)), port
        return Daemon(self, *self.again)

    async def delivery(self, daemon: Daemon) -> dict[str, Any]:
        (delivery,) = (await daemon.get("/api/v1/deliveries")).json()["data"]
        assert isinstance(delivery, dict)
        return delivery

    async def check_the_rest_is_sent(self) -> None:
        """Another process sends the mail to the second recipient only."""
        self.boxes[1].accept()
        daemon = Daemon(self, *self.again)
        await until(lambda: self.boxes[1].delivered, "the mail that had failed")
        while (await self.delivery(daemon))["outcome"] != "sent":
            await pause(0.1)
        self.assertEqual([len(box.delivered) for box in self.boxes], [1, 1])
        await daemon.stop()

    async def test_who_was_reached_is_known_after_a_kill(self) -> None:
        daemon = self.start()
        self.boxes[1].fail("greylisted")
        await until(lambda: "night@example.com" in daemon.log, "the log's line about the failed attempt")
        while (await self.delivery(daemon))["attempts"] == 0:
            await pause(0.1)
        daemon.signal("KILL")
        await daemon.end()
        await self.check_the_rest_is_sent()

    async def test_who_was_reached_is_known_after_a_stop(self) -> None:
        """The message is under way, and is broken off."""
        daemon = self.start()
        self.boxes[1].hang()
        await self.boxes[1].waiting()
        await daemon.stop()
        await self.check_the_rest_is_sent()


class ThreadTests(TestCase):
    timeout = 300

    async def test_over_a_restart(self) -> None:
        """An incident is one message that is updated, with its story in the thread."""
        tasks, slack = Endpoints(self), SlackThreads(self)
        url = tasks.url("/task", report(ago=3600))
        port, path = free_port(), Path(new_directory(self), "pypinger.sqlite")
        text = ini(port, [url], FAST, slack.section()).replace(":memory:", str(path))
        daemon = Daemon(self, text, port)
        await until(lambda: slack.events("/task") == ["problem"])
        await daemon.stop()

        tasks.url("/task", report(status="error"))
        daemon = Daemon(self, text, port)
        await until(lambda: slack.events("/task") == ["problem", "changed"])
        await until(lambda: len(slack.updates) == 1, "the update after the change")
        tasks.url("/task", report())
        await until(lambda: slack.events("/task") == ["problem", "changed", "recovered"])
        await until(lambda: len(slack.updates) == 2, "the update after the recovery")
        await daemon.stop()

        problem, changed, recovered = (message.payload for message in slack.messages("/task"))
        self.assertNotIn("thread_ts", problem)
        # Py Pinger's own start comes first.
        self.assertEqual([each["thread_ts"] for each in (changed, recovered)], ["1700000000.000002"] * 2)
        self.assertEqual([each["reply_broadcast"] for each in (changed, recovered)], [False, True])
        self.assertEqual({each["ts"] for each in slack.updates}, {"1700000000.000002"})
        self.assertTrue(slack.updates[0]["text"].startswith("CHANGED: "))
        self.assertTrue(slack.updates[1]["text"].startswith("RECOVERED: "))
        self.assertEqual({each["username"] for each in (problem, changed, recovered)}, {"pinger"})
        self.assertNotIn("was not updated", daemon.log)


class RetryTests(TestCase):
    timeout = 300

    async def test_refusals(self) -> None:
        tasks, slack, hipchat, sentry = Endpoints(self), SlackWebApi(self), HipChat(self), Sentry(self)
        one, two = tasks.url("/one", report()), tasks.url("/two", report())
        # The `started` alert is refused twice.
        slack.next.extend([body('{"ok":false,"error":"ratelimited"}', 429, Retry_After="2"), body("oops", 500)])
        hipchat.always = hang
        port = free_port()
        more = slack.section() + hipchat.section() + sentry.section()
        daemon = Daemon(self, ini(port, [one, two], FAST, more), port)
        await daemon.is_ready()
        await until(lambda: slack.events() == ["started"] * 3, "the third attempt")
        self.assertEqual(len(set(slack.ids())), 1)
        first, second, third = (request.at for request in slack.requests)
        self.assertGreaterEqual(second - first, 2)
        self.assertGreaterEqual(third - second, 0.9)
        for words in ("slack did not accept", "ratelimited", "HTTP 500"):
            self.assertIn(words, daemon.log)

        # HipChat hangs at its first message meanwhile.
        sentry.next.append(body('{"detail":"event rejected"}', 503))
        tasks.url("/one", report(ago=3600))
        await until(lambda: slack.events("/one") == ["problem"])
        await until(lambda: sentry.events("/one") == ["problem", "problem"])
        slack.next.append(body('{"ok":false,"error":"channel_not_found"}'))
        tasks.url("/two", report(ago=3600))
        await until(lambda: slack.events("/two") == ["problem"])
        asked = len(tasks.requests)
        await until(lambda: len(tasks.requests) > asked + 3, "checks beside a hanging channel")
        self.assertEqual(set(hipchat.events()), {"started"})
        await daemon.says(dead=1, undelivered=3, status="error")
        self.assertRegex(daemon.log, r"#error\] slack refused .*channel_not_found.*PROBLEM: ")

        # A permanently refused alert is not retried; the task's next alert is sent.
        tasks.url("/two", report())
        await until(lambda: slack.events("/two") == ["problem", "recovered"])
        hipchat.always = None
        for connection in list(hipchat.connections):
            connection.transport.abortConnection()
        await until(lambda: hipchat.events("/two") == ["problem", "recovered"], "HipChat's backlog")
        self.assertEqual(hipchat.events("/one"), ["problem"])
        await until(lambda: sentry.events("/two") == ["problem", "recovered"])
        await daemon.says(undelivered=0)
        await daemon.stop()
        self.assertEqual(slack.events()[-1], "stopped")
        self.assertEqual(slack.events("/two"), ["problem", "recovered"])

    async def test_permanent_refusals(self) -> None:
        tasks, slack, hipchat, sentry = Endpoints(self), SlackWebhook(self), HipChat(self), Sentry(self)
        url = tasks.url("/task", report(ago=3600))
        slack.always = body("no_service", 404)
        hipchat.always = body('{"error": {"code": 401, "message": "Invalid OAuth session"}}', 401)
        sentry.always = body('{"detail": "bad sentry DSN public key"}', 403)
        port = free_port()
        more = slack.section() + hipchat.section() + sentry.section()
        daemon = Daemon(self, ini(port, [url], FAST, more), port)
        await daemon.becomes(url, kind="late")
        await until(
            lambda: slack.events() == hipchat.events() == ["started", "problem"] and sentry.events() == ["problem"]
        )
        await until(lambda: daemon.log.count("permanently") == 5)
        for words in ("no_service", "Invalid OAuth session", "bad sentry DSN public key"):
            self.assertIn(words, daemon.log)
        await daemon.says(dead=5, undelivered=0)
        await daemon.stop()
