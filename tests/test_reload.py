"""A reload changes what differs and nothing else; an invalid file changes nothing (contract, section 8)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from treq import get, text_content
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import TestCase

from pypinger import parts
from pypinger.config import load
from pypinger.domain.kinds import Kind, Status
from pypinger.logs import make_log
from pypinger.notify import channels
from pypinger.ports.notifying import Notifier
from pypinger.runtime import keeping
from pypinger.runtime.monitor import Monitor
from pypinger.service import Pinger
from pypinger.web.serving.connections import half_of_the_descriptors
from tests.acceptance.process import free_port
from tests.http.faults import answer
from tests.http.faultserver import FaultServer
from tests.runtime.fakes import NOON


class ServiceCase(TestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.port = free_port()
        # Nothing listens there.
        self.dead = f"http://127.0.0.1:{free_port()}"
        self.logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def write(self, prod: str, *, main: str = "", rest: str = "", port: int | None = None) -> None:
        self.path.write_text(
            f"[main]\ninterval = 60\n{main}\n[urls]\nprod = {prod}\n[store]\npath = :memory:\n"
            f"[web]\nendpoint = tcp:{port or self.port}:interface=127.0.0.1\n{rest}"
        )

    def read(self) -> Any:
        return load(str(self.path), channels=channels(), environ={}, cwd=".")

    def start(self) -> Pinger:
        log = make_log({"logfile": str(self.path) + ".log"})
        made = Pinger(reactor, self.read(), now=lambda: NOON + reactor.seconds(), reread=self.read, log=log)  # type: ignore[attr-defined]
        made.privilegedStartService()
        made.startService()
        self.addCleanup(lambda: made.stopService() if made.running else None)
        return made

    def notifiers(self, made: Pinger) -> dict[str, Notifier]:
        return {each.name: each for each in made.outbox.notifiers}

    async def until(self, condition: Any) -> None:
        for _ in range(500):
            if condition():
                return
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]
        self.fail("it did not happen in time")

    def words(self, level: LogLevel) -> list[str]:
        from twisted.logger import formatEvent

        return [formatEvent(event) for event in self.logged if event.get("log_level") is level]


class ReloadTests(ServiceCase):
    async def test_tasks_by_difference(self) -> None:
        self.write(f"{self.dead}/a, {self.dead}/b")
        made = self.start()
        await self.until(lambda: made.board.by_key(f"{self.dead}/a").state.kind is Kind.UNREACHABLE)  # type: ignore[union-attr]
        kept = made.board.by_key(f"{self.dead}/a")
        self.write(f"{self.dead}/c, {self.dead}/a", rest=f"[task {self.dead}/c]\nname = see\n")
        await made.reload()
        self.assertEqual(made.board.entries()[0].task.name, "see")
        self.assertEqual(made.board.by_key(f"{self.dead}/a"), kept)
        self.assertIsNone(made.board.by_key(f"{self.dead}/b"))
        self.assertIn("watching 2 tasks, 1 of them new, 1 removed", " ".join(self.words(LogLevel.info)))

    async def test_an_invalid_file_changes_nothing_and_every_problem_is_logged(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        self.write("nonsense, htp://x", main="grace = soon")
        await made.reload()
        self.assertEqual([entry.task.url for entry in made.board.entries()], [f"{self.dead}/a"])
        errors = self.words(LogLevel.error)
        self.assertEqual(len(errors), 4)
        self.assertIn("grace", " ".join(errors))
        self.path.unlink()
        await made.reload()
        self.assertEqual(len(made.board.entries()), 1)

    async def test_a_file_without_tasks_is_refused(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        for text in (self.path.read_text().replace(f"{self.dead}/a", ""), "", "[main]\ninterval = 60\n"):
            self.path.write_text(text)
            await made.reload()
            self.assertEqual([entry.task.url for entry in made.board.entries()], [f"{self.dead}/a"])
            self.assertIn("no tasks", " ".join(self.words(LogLevel.error)))
            # The file is valid: a daemon would start with it.
            self.assertNotIn("not valid", " ".join(self.words(LogLevel.error)))

    async def test_included_files_are_read_again(self) -> None:
        """A reload that finds one empty is refused: it may be half written."""
        included = self.path.parent / f"{self.path.name}.d"
        included.mkdir()
        shop = included / "shop.ini"
        shop.write_text(f"[urls]\nprod = {self.dead}/shop\n[sentry shop]\nurl = https://S3CRET@sentry.example/1\n")
        main = f"include = {included.name}/*.ini"
        self.write(f"{self.dead}/a", main=main)
        made = self.start()

        def urls() -> list[str]:
            return [entry.task.url.removeprefix(self.dead) for entry in made.board.entries()]

        self.assertEqual(urls(), ["/a", "/shop"])
        self.assertIn("sentry shop", self.notifiers(made))
        (included / "mail.ini").write_text(f"[task {self.dead}/mail]\nname = Mail\n[group *]\ngrace = 5\n")
        await made.reload()
        self.assertEqual(urls(), ["/a", "/shop", "/mail"])
        self.assertEqual({entry.task.grace for entry in made.board.entries()}, {5})
        for text, words in (
            ("", "the included file has no section"),
            ("# later\n", "the included file has no section"),
            ("[urls]\nprod = htt", f"{shop}:2: [urls] prod: the URL must start with"),
        ):
            shop.write_text(text)
            await made.reload()
            self.assertEqual(urls(), ["/a", "/shop", "/mail"])
            self.assertIn(words, " ".join(self.words(LogLevel.error)))
            self.assertIn(str(shop), made.board.daemon().explanation)
        shop.unlink()
        await made.reload()
        self.assertEqual(urls(), ["/a", "/mail"])
        self.assertIs(made.board.daemon().status, Status.OK)
        self.assertNotIn("sentry shop", self.notifiers(made))

    async def test_a_failed_reload_is_an_error_until_one_succeeds(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        self.assertIs(made.board.daemon().status, Status.OK)
        for main in ("grace = soon", "grace = soon\ntimeout = never"):
            self.write(f"{self.dead}/a", main=main)
            await made.reload()
            state = made.board.daemon()
            self.assertIs(state.status, Status.ERROR)
            self.assertIn("the latest reload failed", state.explanation)
            self.assertRegex(state.explanation, r"grace.* \(at \d\d:\d\d:\d\d UTC\)$")
        self.assertIn("and 1 more problem", state.explanation)
        self.write(f"{self.dead}/a")
        await made.reload()
        self.assertIs(made.board.daemon().status, Status.OK)

    async def test_a_reload_under_way_has_not_failed(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        seen: list[Status] = []
        self.patch(made.outbox, "update", lambda *_: seen.append(made.board.daemon().status))
        await made.reload()
        self.assertEqual(seen, [Status.OK])

    async def test_an_unexpected_error_is_a_failed_reload(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        self.patch(made.outbox, "update", lambda *_: 1 / 0)
        await made.reload()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("the latest reload failed", made.board.daemon().explanation)

    async def test_two_in_a_row(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        self.write(f"{self.dead}/b")
        first = made.reload()
        self.write(f"{self.dead}/c")
        second = made.reload()
        await first
        await second
        self.assertEqual([entry.task.url for entry in made.board.entries()], [f"{self.dead}/c"])

    async def test_the_pages_move_and_stay_where_they_cannot(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        fresh = free_port()
        self.write(f"{self.dead}/a", port=fresh, rest="hosts = example.com\n")
        await made.reload()
        answer = await get(f"http://127.0.0.1:{fresh}/healthz", headers={"Host": "example.com"}, persistent=False)
        self.assertEqual(answer.code, 200)
        await text_content(answer)
        answer = await get(f"http://127.0.0.1:{fresh}/", persistent=False)
        self.assertEqual(answer.code, 421)
        await text_content(answer)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.write(f"{self.dead}/a", port=taken.getsockname()[1])
            await made.reload()
        self.assertIn("cannot listen", " ".join(self.words(LogLevel.critical)))
        answer = await get(f"http://127.0.0.1:{fresh}/healthz", persistent=False)
        self.assertEqual(answer.code, 200)
        await text_content(answer)

    async def test_pushes_stay_beside_the_pages_until_their_endpoint_can_be_used(self) -> None:
        key = "0e9e5a8a-1111-4222-8333-000000000001"
        task = f"[task pushes]\npush_key = {key}\n"

        async def pinged(port: int) -> int:
            answer = await get(f"http://127.0.0.1:{port}/ping/{key}", persistent=False)
            await text_content(answer)
            return answer.code

        self.write(f"{self.dead}/a", rest=task)
        made = self.start()
        await self.until(lambda: made.board.daemon().status is Status.OK)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.write(f"{self.dead}/a", rest=f"{task}[push]\nendpoint = tcp:{port}:interface=127.0.0.1\n")
            await made.reload()
        self.assertIn("cannot listen", " ".join(self.words(LogLevel.critical)))
        self.assertEqual(await pinged(self.port), 200)
        await made.reload()
        self.assertEqual((await pinged(self.port), await pinged(port)), (404, 200))
        # Clients of both together may have half of the descriptors.
        sites, most = (made._servers._pages.site, made._servers._push_site), half_of_the_descriptors()
        self.assertEqual([site.most for site in sites], [most // 2] * 2)
        self.write(f"{self.dead}/a", rest=task)
        await made.reload()
        self.assertEqual(await pinged(self.port), 200)
        self.assertEqual(sites[0].most, most)

    async def test_channels_secrets_and_the_client(self) -> None:
        slack = f"[slack]\nurl = {self.dead}/hook-s3cret\n"
        hipchat = f"[hipchat]\nroom = r\nurl = {self.dead}\nauth = "
        self.write(f"{self.dead}/a", rest=f"{slack}{hipchat}0ld-auth\n")
        made = self.start()
        before = self.notifiers(made)
        self.write(
            f"{self.dead}/a",
            main="debug = false\nconcurrency = 3\nmax_body = 100",
            rest=f"{slack}{hipchat}n3w-auth\n[token_auth]\ntoken = t0ken\n",
        )
        await made.reload()
        self.assertIs(self.notifiers(made)["slack"], before["slack"])
        self.assertIsNot(self.notifiers(made)["hipchat"], before["hipchat"])
        for secret in ("0ld-auth", "n3w-auth", "t0ken"):
            self.assertEqual(made.secrets.scrub(f"x {secret} y"), "x *** y")
        self.write(f"{self.dead}/a", main="only_log = true\nproxy = http://127.0.0.1:9/")
        await made.reload()
        self.assertEqual(self.notifiers(made), {})
        # Answers that hold old secrets are still shown.
        self.assertEqual(made.secrets.scrub("x 0ld-auth y"), "x *** y")

    async def test_a_template_is_read_again(self) -> None:
        """A channel is made anew if a file that it is made from has changed."""
        template = Path(f"{self.path}.json")
        template.write_text("$task_name")
        rest = f"[webhook]\nurl = {self.dead}/in\ntemplate = {template}\n"
        self.write(f"{self.dead}/a", rest=rest)
        made = self.start()
        before = self.notifiers(made)["webhook"]
        await made.reload()
        self.assertIs(self.notifiers(made)["webhook"], before)
        template.write_text("$task_nam")
        await made.reload()
        self.assertIs(self.notifiers(made)["webhook"], before)
        self.assertIn("did you mean $task_name?", " ".join(self.words(LogLevel.error)))
        template.write_text("$task_url")
        await made.reload()
        self.assertIsNot(self.notifiers(made)["webhook"], before)

    async def test_open_alerts_are_kept_alive(self) -> None:
        """Also by a channel that a reload adds; not with ``only_log``."""
        self.patch(keeping, "INTERVAL", 0.05)
        server = FaultServer([answer(b"")])
        listening = server.listen()
        self.addCleanup(listening.stopListening)
        rest = f"[alertmanager]\nurl = http://127.0.0.1:{server.port}\n"
        self.write(f"{self.dead}/a", rest=rest)
        made = self.start()
        # The alert itself, and what is kept of it.
        await self.until(lambda: len(server.requests) > 3)
        self.assertIn(b"TaskProblem", server.requests[-1])
        self.write(f"{self.dead}/a", rest=rest.replace("alertmanager", "alertmanager two"))
        await made.reload()
        count = len(server.requests)
        await self.until(lambda: len(server.requests) > count + 3)
        self.write(f"{self.dead}/a", main="only_log = true", rest=rest)
        await made.reload()
        await deferLater(reactor, 0.2)  # type: ignore[arg-type]
        count = len(server.requests)
        await deferLater(reactor, 0.3)  # type: ignore[arg-type]
        self.assertEqual(len(server.requests), count)

    async def test_maintenance_and_log(self) -> None:
        """Maintenance counts from the start and from each reload; so does the format of the log."""
        always = "[maintenance all]\nmatch = *\nschedule = * * * * *\nduration = 5\n"
        self.write(f"{self.dead}/a", rest=always)
        made = self.start()
        self.assertEqual([each.text for each in made.silencing.listed()], ["all"])
        self.write(f"{self.dead}/a", main="log = json")
        await made.reload()
        self.assertEqual(made.silencing.listed(), [])
        made.log({"log_level": LogLevel.info, "log_time": NOON, "log_format": "a line"})
        lines = Path(f"{self.path}.log").read_text().splitlines()
        self.assertEqual(json.loads(lines[-1])["message"], "a line")

    async def test_heartbeat(self) -> None:
        """It begins and ends with the settings, and rests with ``only_log``."""
        beats = FaultServer([answer(b"OK")])
        listening = beats.listen()
        self.addCleanup(listening.stopListening)
        rest = f"[heartbeat]\nurl = http://127.0.0.1:{beats.port}/ping\ninterval = 1\n"
        self.write(f"{self.dead}/a", main="only_log = true", rest=rest)
        made = self.start()
        await deferLater(reactor, 1.2)  # type: ignore[arg-type]
        self.assertEqual(beats.requests, [])
        self.write(f"{self.dead}/a", rest=rest)
        await made.reload()
        await self.until(lambda: beats.requests)
        self.write(f"{self.dead}/a")
        await made.reload()
        count = len(beats.requests)
        await deferLater(reactor, 1.2)  # type: ignore[arg-type]
        self.assertEqual(len(beats.requests), count)

    async def test_a_store_is_not_changed_while_running(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        self.path.write_text(self.path.read_text().replace(":memory:", "other.sqlite"))
        await made.reload()
        self.assertIn("takes effect at the next start", " ".join(self.words(LogLevel.warn)))

    async def test_not_while_stopping(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        stopping = made.stopService()
        self.write(f"{self.dead}/b")
        await made.reload()
        self.assertEqual([entry.task.url for entry in made.board.entries()], [f"{self.dead}/a"])
        await stopping


class StopTests(ServiceCase):
    """No part can delay a stop for long."""

    async def test_a_store_that_hangs(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()
        await self.until(lambda: made.board.daemon().ready)

        async def hang(*_: object) -> None:
            await Deferred()

        made.store.enqueue = hang  # type: ignore[method-assign]
        made.monitor.stop = hang  # type: ignore[method-assign]
        await made.stopService()
        self.assertEqual(len([words for words in self.words(LogLevel.warn) if "took longer" in words]), 2)
        await Monitor.stop(made.monitor)

    async def test_an_error_is_logged_and_the_stop_continues(self) -> None:
        self.write(f"{self.dead}/a")
        made = self.start()

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        made.store.enqueue = broken  # type: ignore[method-assign]
        await made.stopService()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_no_more_checks_at_once_than_descriptors(self) -> None:
        self.write(f"{self.dead}/a", main="concurrency = 90000")
        self.patch(parts, "free_descriptors", lambda: 7)
        made = self.start()
        self.assertEqual(made.checker.fetches.settings.concurrency, 6)
        self.assertIn("room for 6 checks", " ".join(self.words(LogLevel.warn)))
