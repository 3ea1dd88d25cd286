"""Whose fault it is when nothing answers (contract, sections 3 and 4): ours, that of all tasks, or that of one host."""

from __future__ import annotations

import resource
import socket
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.acceptance.channels import Message, Sentry, SlackWebApi
from tests.acceptance.endpoints import Endpoints, Request, hang, report
from tests.acceptance.process import PATIENCE, Daemon, free_port, ini, new_directory, pause, until

#: How many descriptors a daemon has that is short of them.
DESCRIPTORS = 64
SHORT_OF_DESCRIPTORS = (
    sys.executable,
    "-c",
    f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}));"
    "from twisted.scripts.twistd import run; run()",
)


class Host(Endpoints):
    """
    Endpoints on an address of their own that can fall silent: they answer nothing, and accept no connection.

    The kernel drops the first packet of a connection when the queue of those to be accepted is full.
    """

    def __init__(self, test: TestCase, address: str) -> None:
        super().__init__(test, interface=address, backlog=0)
        self._silent = False
        self._fillers: list[socket.socket] = []
        test.addCleanup(self._drop_fillers)

    def fall_silent(self) -> None:
        self._silent = True
        assert self._listening is not None
        self._listening.stopReading()  # type: ignore[attr-defined]
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self.interface, self.port))
            self._fillers.append(filler)

    def speak_again(self) -> None:
        self._silent = False
        self._drop_fillers()
        assert self._listening is not None
        self._listening.startReading()  # type: ignore[attr-defined]

    def _drop_fillers(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def serve(self, request: Request) -> None:
        if not self._silent:
            super().serve(request)


class BlindTests(TestCase):
    timeout = 300

    async def test_more_hanging_endpoints_than_descriptors(self) -> None:
        """They are blamed, Py Pinger is not blind, and pages, channels and other tasks have their descriptors."""
        slack, hanging, healthy = SlackWebApi(self), Endpoints(self), Endpoints(self, interface="127.0.0.2")
        paths = [f"/{number}" for number in range(DESCRIPTORS + 20)]
        urls = [hanging.url(path, hang) for path in paths]
        fine = [healthy.url(f"/{number}", report()) for number in range(3)]
        port = free_port()
        main = "interval = 1\ntimeout = 1\ngroup_wait = 0"
        # They may be late on a busy machine, but must not time out.
        more = slack.section() + "".join(f"[task {url}]\ntimeout = 60\n" for url in fine)
        daemon = Daemon(self, ini(port, [*urls, *fine], main, more), port, command=SHORT_OF_DESCRIPTORS)
        await daemon.serves()
        await daemon.is_ready()
        await until(lambda: "problem" in slack.events(), "a problem")
        for _ in range(5):
            for answer in await gatherResults([Deferred.fromCoroutine(daemon.get()) for _ in range(5)]):
                overview = answer.json()
                self.assertIsNone(overview["self"]["blind"], daemon.log)
                errors = {task["url"] for task in overview["data"] if task["errors"]}
                self.assertEqual(errors, set(urls))
            await pause(0.3)
        self.assertEqual(set(slack.events()), {"started", "problem"})
        await daemon.stop()

    async def test_no_descriptors(self) -> None:
        slack, healthy = SlackWebApi(self), Endpoints(self)

        def once(request: Request) -> None:
            report()(request)
            request.close()

        urls = [healthy.url(f"/{number}", once) for number in range(5)]
        port = free_port()
        daemon = Daemon(self, ini(port, urls, "interval = 1\ntimeout = 10", slack.section()), port)
        await daemon.is_ready()
        usual = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (4, usual[1]))
        await until(lambda: "no free file descriptors" in daemon.log, "blindness")
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, usual)
        await until(lambda: "sighted" in slack.events(), f"an end of the blindness at {daemon.log}")
        self.assertEqual(slack.events(), ["started", "blind", "sighted"])
        self.assertIn("no free file descriptors", slack.messages()[1].text)
        overview = (await daemon.get()).json()
        self.assertEqual({(task["kind"], task["errors"]) for task in overview["data"]}, {("ok", 0)})
        await daemon.stop()

    async def test_a_cut(self) -> None:
        """All hosts fall silent, and the daemon is killed and started again before they answer."""
        slack = SlackWebApi(self)
        hosts = [Host(self, f"127.0.0.{number}") for number in range(2, 6)]
        urls = [host.url(f"/task/{number}", report()) for host in hosts for number in range(3)]
        port = free_port()
        # Their answers may be late on a busy machine, but must not time out.
        main = "interval = 1\ntimeout = 5\ngroup_wait = 0"
        database = f"{new_directory(self)}/pinger.sqlite"
        text = ini(port, urls, main, slack.section()).replace(":memory:", database)
        daemon = Daemon(self, text, port)
        await daemon.is_ready()
        await until(lambda: len(self.kept(database)) == len(urls), "the state on disk")
        for host in hosts:
            host.fall_silent()
        await until(lambda: slack.events() == ["started", "blind"], f"blindness at {slack.events()}")
        self.assertIn("12 tasks keep their last verdicts", slack.messages()[1].text)
        overviews = [(await daemon.get()).json()]
        await pause(3)
        overviews.append((await daemon.get()).json())
        for overview in overviews:
            self.assertIsNotNone(overview["self"]["blind"])
            self.assertIn("no host answers", overview["self"]["explanation"])
            self.assertEqual({(task["kind"], task["errors"]) for task in overview["data"]}, {("ok", 0)})
        before, pings = ({task["url"]: task["pings"] for task in overview["data"]} for overview in overviews)
        self.assertEqual(before, pings)
        self.assertEqual((await daemon.get("/status")).json()["status"], "error")

        daemon.signal("KILL")
        await daemon.end()
        again = Daemon(self, text, port)
        await again.is_ready()
        overview = (await again.get()).json()
        self.assertEqual(overview["self"]["blind"], overviews[0]["self"]["blind"])
        self.assertEqual({(task["kind"], task["errors"]) for task in overview["data"]}, {("ok", 0)})
        for host in hosts:
            host.speak_again()
        await until(lambda: "sighted" in slack.events(), "an end of the blindness")
        await self.go_on(again, pings)
        self.assertEqual(slack.events(), ["started", "blind", "started", "sighted"])
        await again.stop()

    async def test_a_start_during_a_cut(self) -> None:
        slack = SlackWebApi(self)
        hosts = [Host(self, f"127.0.0.{number}") for number in range(2, 5)]
        urls = [host.url("/task", report()) for host in hosts]
        port = free_port()
        # Their answers may be late on a busy machine, but must not time out.
        main = "interval = 1\ntimeout = 5\ngroup_wait = 0"
        text = ini(port, urls, main, slack.section()).replace(":memory:", f"{new_directory(self)}/pinger.sqlite")
        daemon = Daemon(self, text, port)
        await daemon.is_ready()
        await daemon.stop()
        for host in hosts:
            host.fall_silent()
        again = Daemon(self, text, port)
        await until(lambda: slack.events()[-1] == "blind", f"blindness at {slack.events()}")
        for host in hosts:
            host.speak_again()
        await until(lambda: slack.events()[-1] == "sighted", "an end of the blindness")
        await again.is_ready()
        overview = (await again.get()).json()
        self.assertEqual({(task["kind"], task["errors"]) for task in overview["data"]}, {("ok", 0)})
        self.assertEqual(slack.events(), ["started", "stopped", "started", "blind", "sighted"])
        await again.stop()

    async def test_one_silent_host(self) -> None:
        """It is blamed, its two ports alike; so are all hosts that refuse."""
        slack = SlackWebApi(self)
        one, other = Host(self, "127.0.0.2"), Host(self, "127.0.0.2")
        steady = Host(self, "127.0.0.3")
        urls = [one.url("/one", report()), other.url("/other", report()), steady.url("/steady", report())]
        port = free_port()
        # Their answers may be late on a busy machine, but must not time out.
        main = "interval = 1\ntimeout = 5\ngroup_wait = 0"
        daemon = Daemon(self, ini(port, urls, main, slack.section()), port)
        await daemon.is_ready()
        one.fall_silent()
        other.fall_silent()
        await until(lambda: len(slack.requests) == 3, "two problems")
        self.assertEqual(slack.events("/one") + slack.events("/other"), ["problem"] * 2)
        one.speak_again()
        other.speak_again()
        await until(lambda: len(slack.requests) == 5, "two recoveries")
        await gatherResults([Deferred.fromCoroutine(host.die()) for host in (one, other, steady)])
        await until(lambda: len(slack.requests) == 8, "three problems")
        self.assertEqual(slack.events()[5:], ["problem"] * 3)
        self.assertIsNone((await daemon.get()).json()["self"]["blind"])
        await daemon.stop()

    def kept(self, database: str) -> list[tuple[str]]:
        """The tasks whose state has been written."""
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT url FROM task").fetchall()

    async def go_on(self, daemon: Daemon, pings: Mapping[str, int]) -> None:
        """Wait until each task has been checked again, and see that nothing was wrong."""
        deadline = time.monotonic() + PATIENCE
        while True:
            tasks = (await daemon.get()).json()["data"]
            self.assertEqual({(task["kind"], task["errors"]) for task in tasks}, {("ok", 0)})
            if all(task["pings"] > pings[task["url"]] for task in tasks):
                return
            self.assertLess(time.monotonic(), deadline)
            await pause(0.1)


class StormTests(TestCase):
    timeout = 300

    async def test_one_of_two_origins(self) -> None:
        """Of thirty tasks that fail together the first is told of at once, and the others in one message."""
        slack, sentry, lively, doomed = SlackWebApi(self), Sentry(self), Endpoints(self), Endpoints(self)
        urls = [doomed.url(f"/doomed/{number}.", report()) for number in range(30)]
        lively_url = lively.url("/lively", report())
        port = free_port()
        main = "interval = 0.5\ntimeout = 20\ngroup_wait = 1"
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
