"""Whose fault it is when nothing answers (contract, sections 3 and 4): ours, all of theirs, or that of one place."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.acceptance.channels import Message, Sentry, SlackWebApi
from tests.acceptance.endpoints import Endpoints, hang, report
from tests.acceptance.process import PATIENCE, Daemon, free_port, ini, pause, until

#: How many descriptors a daemon has that is short of them.
DESCRIPTORS = 64
SHORT_OF_DESCRIPTORS = (
    sys.executable,
    "-c",
    f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}));"
    "from twisted.scripts.twistd import run; run()",
)


class BlindTests(TestCase):
    timeout = 120

    async def test_no_descriptors(self) -> None:
        """More endpoints hang than there are descriptors: pages and channels have theirs."""
        slack, hanging, healthy = SlackWebApi(self), Endpoints(self), Endpoints(self)
        paths = [f"/{number}" for number in range(DESCRIPTORS + 20)]
        urls = [hanging.url(path, hang) for path in paths]
        urls += [healthy.url(f"/{number}", report()) for number in range(3)]
        port = free_port()
        main = "interval = 1\ntimeout = 2\ngroup_wait = 0"
        daemon = Daemon(self, ini(port, urls, main, slack.section()), port, command=SHORT_OF_DESCRIPTORS)
        await daemon.serves()
        await until(lambda: slack.events() == ["started", "blind"], f"blindness at {slack.events()}")
        self.assertIn("in use", slack.messages()[1].text)
        # Long enough for checks that got a descriptor to run into their timeout.
        for _ in range(8):
            for answer in await gatherResults([Deferred.fromCoroutine(daemon.get()) for _ in range(5)]):
                overview = answer.json()
                self.assertIsNotNone(overview["self"]["blind"])
                self.assertIn("in use", overview["self"]["explanation"])
                self.assertEqual({task["errors"] for task in overview["data"]}, {0})
                self.assertNotIn("error", {task["status"] for task in overview["data"]})
            await pause(0.3)

        for path in paths:
            hanging.url(path, report())
        await hanging.die()
        hanging.live_again()
        await until(lambda: len(slack.requests) > 2, "an end of the blindness")
        await daemon.is_ready()
        overview = (await daemon.get()).json()
        self.assertIsNone(overview["self"]["blind"])
        self.assertEqual({(task["kind"], task["errors"]) for task in overview["data"]}, {("ok", 0)})
        self.assertEqual(slack.events(), ["started", "blind", "sighted"])
        await daemon.stop()
        self.assertEqual(slack.events(), ["started", "blind", "sighted", "stopped"])

    async def test_all_origins(self) -> None:
        """All origins dead at once are no two problems; one of them is."""
        slack, one, two = SlackWebApi(self), Endpoints(self), Endpoints(self)
        steady = [one.url(f"/steady/{number}", report()) for number in range(3)]
        doomed = [two.url(f"/doomed/{number}", report()) for number in range(3)]
        port = free_port()
        main = "interval = 1\ntimeout = 1\ngroup_wait = 0"
        daemon = Daemon(self, ini(port, [*steady, *doomed], main, slack.section()), port)
        await daemon.is_ready()

        await gatherResults([Deferred.fromCoroutine(server.die()) for server in (one, two)])
        await until(lambda: slack.events() == ["started", "blind"], f"blindness at {slack.events()}")
        overviews = [(await daemon.get()).json()]
        await pause(2)
        overviews.append((await daemon.get()).json())
        for overview in overviews:
            self.assertIsNotNone(overview["self"]["blind"])
            self.assertIn("nothing that answered until now does", overview["self"]["explanation"])
            self.assertEqual({(task["kind"], task["errors"]) for task in overview["data"]}, {("ok", 0)})
        before, pings = ({task["url"]: task["pings"] for task in overview["data"]} for overview in overviews)
        self.assertEqual(before, pings)

        for server in (one, two):
            server.live_again()
        await until(lambda: len(slack.requests) > 2, "an end of the blindness")
        await self.go_on(daemon, pings)
        self.assertEqual(slack.events(), ["started", "blind", "sighted"])

        began = time.time()
        await two.die()
        await until(lambda: len(slack.requests) >= 6, "a problem of each task")
        for url in doomed:
            await daemon.becomes(url, kind="unreachable", explanation=f"connection refused by 127.0.0.1:{two.port}")
        self.assertEqual(slack.events("/doomed"), ["problem"] * 3)
        self.assertEqual(slack.events("/steady"), [])
        self.assertLess(slack.requests[3].at - began, 5)
        overview = (await daemon.get()).json()
        self.assertIsNone(overview["self"]["blind"])
        self.assertEqual({task["kind"] for task in overview["data"] if task["url"] in steady}, {"ok"})

        two.live_again()
        await until(lambda: len(slack.requests) >= 9, "a recovery of each task")
        self.assertEqual(slack.events("/doomed"), ["problem"] * 3 + ["recovered"] * 3)
        await daemon.stop()

    async def go_on(self, daemon: Daemon, pings: Mapping[str, int]) -> None:
        """Wait until each task has been checked again, and see that nothing was wrong."""
        began = time.monotonic()
        while True:
            tasks = (await daemon.get()).json()["data"]
            self.assertEqual({(task["kind"], task["errors"]) for task in tasks}, {("ok", 0)})
            if all(task["pings"] > pings[task["url"]] for task in tasks):
                return
            self.assertLess(time.monotonic() - began, PATIENCE)
            await pause(0.1)


class StormTests(TestCase):
    timeout = 120

    async def test_one_of_two_origins(self) -> None:
        """Of thirty tasks that fail together the first is told of at once, and the others in one message."""
        slack, sentry, lively, doomed = SlackWebApi(self), Sentry(self), Endpoints(self), Endpoints(self)
        urls = [doomed.url(f"/doomed/{number}.", report()) for number in range(30)]
        lively_url = lively.url("/lively", report())
        port = free_port()
        main = "interval = 0.5\ntimeout = 1\ngroup_wait = 1"
        more = slack.section() + sentry.section()
        daemon = Daemon(self, ini(port, [*urls, lively_url], main, more), port)
        await daemon.is_ready()
        await until(lambda: slack.events() == ["started"])

        await doomed.die()
        await self.told(slack, sentry, "problem", 1)
        first, others = slack.messages()[1:]
        self.assertRegex(first.text, r"\APROBLEM: .*/doomed/")
        self.assertIn(f"PROBLEM: 29 tasks on {doomed.origin} are in trouble", others.text)
        self.check_group(first.text, others.text)
        at = [request.at for request in slack.requests[1:]]
        self.assertGreater(at[1] - at[0], 0.5)

        doomed.live_again()
        await self.told(slack, sentry, "recovered", 3)
        first, others = slack.messages()[3:]
        self.assertIn("/doomed/", first.text)
        self.assertIn(f"29 tasks on {doomed.origin} are OK again", others.text)
        self.check_group(first.text, others.text)

        for number in range(30):
            self.assertEqual(sentry.events(f"/doomed/{number}."), ["problem", "recovered"])
        ids = {alert for m in slack.messages()[1:] for alert in self.alert_ids(m)}
        self.assertEqual(ids, set(sentry.ids()))
        self.assertEqual(len(ids), 60)
        self.assertEqual((await daemon.task(lively_url))["errors"], 0)
        await daemon.stop()
        self.assertEqual(slack.events(), ["started", "problem", "problem", "recovered", "recovered", "stopped"])

    async def told(self, slack: SlackWebApi, sentry: Sentry, event: str, before: int) -> None:
        await until(lambda: sentry.events().count(event) == 30, f"30 times {event} at Sentry")
        await until(lambda: len(slack.requests) == before + 2, f"two messages: {slack.events()}")

    def check_group(self, first: str, others: str) -> None:
        """The group names twenty, none of them the first, and counts the rest."""
        named = {number for number in range(30) if f"/doomed/{number}." in others}
        self.assertEqual(len(named), 20)
        self.assertFalse(any(f"/doomed/{number}." in first for number in named))
        self.assertIn("and 9 more", others)

    def alert_ids(self, message: Message) -> list[str]:
        payload = message.payload["metadata"]["event_payload"]
        return payload.get("alert_ids", payload["alert_id"]).split()
