"""Several machines (contract, section 8, "Several machines"): real instances over a real PostgreSQL."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from twisted.internet.threads import deferToThread

from tests import postgres
from tests.acceptance.endpoints import Endpoints, body, report
from tests.acceptance.machines import MANY, Instance, MachinesTestCase
from tests.acceptance.process import PATIENCE, PYPINGER, Process, ask, free_port, new_directory, pause, until
from tests.store import test_release1

KEY = "0e9e5a8a-1111-4222-8333-00000000000{}"

#: Seconds within which others have taken over the tasks of an instance.
TAKE_OVER = 10.0


def paths(count: int) -> list[str]:
    return [f"/{number}" for number in range(count)]


class SharingTests(MachinesTestCase):
    async def test_sharing_and_handing_over(self) -> None:
        """Each task is checked by exactly one of three; those of one that stops or dies are taken over."""
        urls = self.urls(30)
        a, b, c = await self.start(self.ini(urls), "a", "b", "c")
        watchers = await a.watchers()
        self.assertEqual(set(watchers.values()), {"a", "b", "c"})
        # Tasks may have changed hands while the instances joined.
        checks = await self.checked(paths(30), "abc", 3)
        self.assertEqual({path: set(names) for path, names in checks.items()}, self.expected(watchers))
        for instance in (b, c):
            self.assertEqual(await instance.watchers(), watchers)
            overview = (await instance.get()).json()
            self.assertEqual({each["kind"] for each in overview["data"]}, {"ok"})
            known = await instance.instances()
            self.assertEqual([each["name"] for each in known], ["a", "b", "c"])
            self.assertEqual([each["name"] for each in known if each["here"]], [instance.name])
            self.assertEqual(Counter(watchers.values()), {each["name"]: each["tasks"] for each in known})
            self.assertEqual({each["other_ini"] for each in known}, {False})
        page = (await b.get("/", headers=("Accept: text/html",))).body.decode()
        self.assertIn("3 instances", page)
        self.assertEqual(sum(len(each["channels"]) for each in await a.instances()), 1)

        # A clean stop hands the tasks over at once.
        await c.stop()
        since = len(self.tasks.requests)
        await self.shared(a, "ab", TAKE_OVER)
        checks = await self.checked(paths(30), "ab")
        self.assertEqual({path: set(names) for path, names in checks.items()}, self.expected(await a.watchers()))
        self.assertEqual(set().union(*self.checks(since).values()), {"a", "b"})
        await until(lambda: any("instance c" in words for words in self.receiver.own("stopped")), "the stop's alert")

        # Those of an instance that is killed are taken over within ten seconds.
        mine = {path for path, names in self.expected(await a.watchers()).items() if names == {"b"}}
        self.assertTrue(mine)
        b.signal("KILL")
        killed = time.monotonic()
        await self.checked(mine, "a", 1)
        self.assertLess(time.monotonic() - killed, TAKE_OVER)
        await self.shared(a, "a")
        self.assertEqual(self.receiver.of_tasks(), [])
        self.assertEqual(len(self.receiver.own("started")), 3)
        await a.stop()

    def expected(self, watchers: object) -> dict[str, set[str | None]]:
        """Path -> the instance that watches it."""
        assert isinstance(watchers, dict)
        return {url.removeprefix(self.tasks.origin): {name} for url, name in watchers.items()}

    async def test_commands_and_pushes_anywhere(self) -> None:
        urls = self.urls(MANY)
        pushed = "".join(f"[task push {n}]\npush_key = {KEY.format(n)}\nfrequency = 1h\n" for n in range(4))
        a, b = both = await self.start(self.ini(urls, more=pushed), "a", "b")
        watchers = await a.watchers()
        [at_a, *_], [at_b, *_] = ([url for url in urls if watchers[url] == name] for name in "ab")

        for instance in both:
            for number in range(4):
                answer = await ask(instance.port, f"/ping/{KEY.format(number)}", method="POST", body=b"well")
                self.assertEqual((answer.code, answer.body), (200, b"OK"))
        for instance in both:
            for number in range(4):
                await self.becomes(instance, f"push {number}", kind="ok", pings=2)

        # Each command is given to the instance that does not watch the task.
        for url, other in ((at_a, b), (at_b, a)):
            name = url.rpartition("/")[2]
            self.tasks.url(f"/{name}", report(status="error", reason="disk full"))
            self.assertIn("failed: ", await other.command("check-now", url))
            await self.alerted(url, "problem")
            await other.becomes(url, kind="failed")
            self.assertIn("acknowledged", await other.command("ack", url, "on", "it"))
            for instance in both:
                await until_async(lambda at=instance, of=url: acknowledged(at, of, "on it"), "the acknowledgement")
            await self.alerted(url, "problem", "acknowledged")

        # A silence that one was given holds at both, and ends at both.
        silence = (await a.command("silence", "*", "1h", "moving")).split()[1].rstrip(":")
        for instance in both:
            await until_async(lambda at=instance: silenced(at), "the silence")
        self.assertIn(silence, await b.command("silences"))
        before = len(self.receiver.of_tasks())
        for url in (at_a, at_b):
            self.tasks.url(f"/{url.rpartition('/')[2]}", report())
            await a.becomes(url, kind="ok")
        self.assertEqual(len(self.receiver.of_tasks()), before)
        await b.command("unsilence", silence)
        for instance in both:
            await until_async(lambda at=instance: silenced(at, False), "the end of the silence")
        for url in (at_a, at_b):
            await self.alerted(url, "problem", "acknowledged", "recovered")

        # An alert that was given up is sent again, whichever instance is asked.
        sender = next(each["name"] for each in await a.instances() if each["channels"])
        self.receiver.next.append(body("no such room", 404))
        self.tasks.url("/0", report(status="error"))
        await until_async(lambda: dead(a, 1), "a dead alert")
        await until_async(lambda: dead(b, 1), "a dead alert at the other")
        for instance in both:
            answer = json.loads(await instance.command("status", "--json", code=2))
            self.assertEqual(answer["self"]["dead_channels"], ["webhook"])
        said = await (b if sender == "a" else a).command("resend")
        self.assertIn("1 delivery is tried again", said)
        await until(lambda: self.receiver.of_task(self.shown(urls[0]))[-2:] == ["problem"] * 2, "the alert again")

        status = json.loads(await b.command("status", "--json", code=2))
        self.assertEqual(len(status["tasks"]), MANY + 4)
        self.assertEqual(status["sharing"]["here"], "b")
        self.assertIn("2 instances: b (this one) watches", await b.command("status", code=2))
        self.assertIn("pg_dump", await a.command("backup", "copy.sqlite", code=1))
        for instance in both:
            await instance.stop()

    async def becomes(self, instance: Instance, name: str, **members: object) -> None:
        async def so() -> bool:
            tasks = (await instance.get()).json()["data"]
            return members.items() <= next(task for task in tasks if task["name"] == name).items()

        await until_async(so, f"{name} becomes {members}")

    async def test_another_file(self) -> None:
        urls = self.urls(6)
        text = self.ini(urls)
        a, b = await self.start(text, "a", "b")
        extra = self.tasks.url("/extra", report())
        Path(b.directory, "pinger.ini").write_text(self.ini([*urls, extra]))
        self.assertIn("the ini file was read", await b.command("reload"))
        await self.checked(["/extra"], "b")

        async def said() -> bool:
            page = (await a.get("/", headers=("Accept: text/html",))).body.decode()
            return "instance b reads another ini file" in page

        await until_async(said, "the difference")
        await b.becomes(extra, kind="ok", instance="b")
        self.assertEqual(len(await a.watchers()), 6)
        self.assertEqual([each["other_ini"] for each in await a.instances()], [False, True])
        # The others are shared as before, each checked by one.
        checks = await self.checked(paths(6), "ab")
        self.assertEqual({len(names) for names in checks.values()}, {1})
        Path(a.directory, "pinger.ini").write_text(self.ini([*urls, extra]))
        a.signal("HUP")
        await until_async(lambda: same_ini(a), "the end of the difference")
        await a.becomes(extra, kind="ok")
        self.assertEqual(self.receiver.of_tasks(), [])
        for instance in (a, b):
            await instance.stop()

    async def test_one_name_twice(self) -> None:
        await self.start(self.ini(self.urls(2)), "a")
        second = Instance(self, "a", self.ini(self.urls(2)), self.database)
        await second.is_ready()
        await self.shared(second, ["a", "a-2"])
        self.assertIn("a-2", second.log)
        for instance in (*self.all, second):
            await instance.stop()


class BlindTests(MachinesTestCase):
    async def test_a_blind_instance_gives_its_tasks_away(self) -> None:
        urls = self.urls(MANY)
        a, b = await self.start(self.ini(urls), "a", "b")
        usual = resource.prlimit(b.pid, resource.RLIMIT_NOFILE)
        # It can open no connection; those that it keeps are closed.
        resource.prlimit(b.pid, resource.RLIMIT_NOFILE, (4, usual[1]))
        for connection in list(self.tasks.connections):
            connection.transport.abortConnection()
        blinded = time.monotonic()
        await self.watched_by(a, {"a"})
        self.assertLess(time.monotonic() - blinded, TAKE_OVER)
        await self.checked(paths(MANY), "a")
        self.assertEqual([each["blind"] is not None for each in await a.instances()], [False, True])
        await until(lambda: self.receiver.own("blind"), "the alert")
        self.assertIn("instance b", self.receiver.own("blind")[0])
        self.assertIn("no free file descriptors", self.receiver.own("blind")[0])
        resource.prlimit(b.pid, resource.RLIMIT_NOFILE, usual)
        await self.watched_by(a, {"a", "b"})
        await until(lambda: self.receiver.own("sighted"), "the end")
        self.assertEqual(len(self.receiver.own("blind")), 1)
        self.assertEqual(self.receiver.of_tasks(), [])
        self.assertEqual({each["errors"] for each in (await a.get()).json()["data"]}, {0})
        for instance in (a, b):
            await instance.stop()

    async def watched_by(self, instance: Instance, names: set[str]) -> None:
        async def so() -> bool:
            return set((await instance.watchers()).values()) == names

        await until_async(so, f"watching by {names}")


class DatabaseTests(MachinesTestCase):
    async def test_database_away(self) -> None:
        """First for less than the lease, then for longer, and at a start."""
        beats = Endpoints(self)
        beat = f"[heartbeat]\nurl = {beats.url('/beat', body('ok'))}\ninterval = 1\n"
        push = f"[task push]\npush_key = {KEY.format(0)}\nfrequency = 1h\n"
        text = self.ini(self.urls(MANY), more=beat + push)
        both = await self.start(text, "a", "b")
        a, server = both[0], postgres.server()

        def again() -> None:
            if not server.running:
                server.start()

        self.addCleanup(again)
        server.restart()
        self.tasks.url("/1", report(status="error"))
        await until(lambda: self.receiver.of_tasks() == ["problem"], "a problem after the restart")
        await self.checked(paths(MANY), "ab")
        self.assertEqual(self.receiver.own("blind"), [])
        ids = [(each["name"], each["joined"]) for each in await a.instances()]

        await deferToThread(server.stop)
        self.tasks.url("/1", report())
        self.tasks.url("/2", report(status="error"))
        await until(lambda: len(self.receiver.own("blind")) == 2, "an alert of each")
        for name in "ab":
            [words] = [words for words in self.receiver.own("blind") if f"instance {name}:" in words]
            self.assertIn("database", words)
        since = len(self.tasks.requests), len(beats.requests)
        late = Instance(self, "late", text, self.database)
        self.assertEqual(await late.end(), 1)
        self.assertIn("start PostgreSQL", late.log)
        self.assertNotIn("Traceback", late.log)
        self.assertNotIn(postgres.PASSWORD, late.log)
        self.assertEqual((len(self.tasks.requests), len(beats.requests)), since)
        for instance in both:
            overview = (await instance.get()).json()
            self.assertEqual(len(overview["data"]), MANY + 1)
            self.assertIsNotNone(overview["self"]["blind"])
            page = (await instance.get("/", headers=("Accept: text/html",))).body.decode()
            self.assertIn("The database is away", page)
            self.assertEqual((await instance.get("/status")).json()["status"], "error")
            push_answer = await ask(instance.port, f"/ping/{KEY.format(0)}", method="POST", body=b"well")
            self.assertEqual(push_answer.code, 503)
            self.assertIn("database", await instance.command("status", code=2))
        self.assertEqual(self.receiver.of_tasks(), ["problem"])
        self.assertEqual(len(self.receiver.own("blind")), 2)

        server.start()
        await until(lambda: len(self.receiver.own("sighted")) == 2, "the end of each")
        await self.shared(a, "ab")
        await until(lambda: sorted(self.receiver.of_tasks()) == ["problem", "problem", "recovered"], "what changed")
        await until(lambda: len(beats.requests) > since[1], "the heartbeat")
        checks = await self.checked(paths(MANY), "ab")
        self.assertEqual({len(names) for names in checks.values()}, {1})
        self.assertNotEqual([(each["name"], each["joined"]) for each in await a.instances()], ids)
        self.assertEqual(len(self.receiver.own("blind")), 2)
        for instance in both:
            self.assertEqual((await instance.get("/status")).json()["status"], "ok")
            await instance.stop()

    async def test_a_database_that_gives_leases_and_takes_no_results(self) -> None:
        """Each lease is lost, and another one given; an alert says so."""
        [a] = await self.start(self.ini(self.urls(3)), "a")
        name = self.database.rpartition("/")[2]
        execute = postgres.server().execute
        execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'table task is out of order'; END $$",
            database=name,
        )
        execute("CREATE TRIGGER refuse BEFORE UPDATE ON task EXECUTE FUNCTION refuse()", database=name)
        await until(lambda: self.receiver.own("blind"), "the alert")
        execute("DROP TRIGGER refuse ON task", database=name)
        await until(lambda: self.receiver.own("sighted"), "the end of it")
        [words] = self.receiver.own("blind")
        self.assertIn("instance a", words)
        self.assertIn("table task is out of order", words)
        await self.checked(paths(3), "a")
        await a.stop()

    async def test_an_instance_that_comes_back_late(self) -> None:
        """It was stopped for longer than its lease: it writes nothing, and joins anew."""
        urls = self.urls(MANY)
        a, b = await self.start(self.ini(urls), "a", "b")
        os.kill(b.pid, signal.SIGSTOP)
        await self.shared(a, "a")
        self.tasks.url("/1", report(status="error"))
        await until(lambda: self.receiver.of_tasks() == ["problem"], "a problem")
        os.kill(b.pid, signal.SIGCONT)
        await self.shared(a, "ab")
        checks = await self.checked(paths(MANY), "ab", 3)
        self.assertEqual({len(names) for names in checks.values()}, {1})
        self.tasks.url("/1", report())
        await until(lambda: self.receiver.of_tasks() == ["problem", "recovered"], "a recovery")
        await pause(1)
        self.assertEqual(self.receiver.of_tasks(), ["problem", "recovered"])
        for instance in (a, b):
            await instance.stop()


class MigratingTests(MachinesTestCase):
    """``pypinger migrate`` moves an SQLite store into the database."""

    def text(self, urls: Iterable[str], main: str = "") -> str:
        store = "[store]\npath = pypinger.sqlite\nkeep_days = 36500\n"
        return self.ini(urls, main).replace("[store]\n", store)

    async def migrate(self, directory: str) -> str:
        environ = {"PINGER_NAME": "a", "PINGER_PORT": "3002", "PINGER_DATABASE": self.database}
        process = Process(self, *PYPINGER, "migrate", "pinger.ini", directory=directory, environ=environ, forked=True)
        self.assertEqual(await process.end(), 0, process.log)
        self.assertNotIn(postgres.PASSWORD, process.log)
        return process.log

    async def test_incidents_silences_and_pending_alerts(self) -> None:
        urls = self.urls(4)
        text = self.text(urls)
        alone = Instance(self, "a", text.replace("url = ${env:PINGER_DATABASE}\ninstance = ${env:PINGER_NAME}", ""), "")
        await alone.is_ready()
        self.tasks.url("/0", report(status="error", reason="disk full"))
        await self.alerted(urls[0], "problem")
        await alone.command("ack", urls[0], "on it")
        await alone.command("silence", urls[1], "1h", "moving")
        await self.alerted(urls[0], "problem", "acknowledged")
        # The next one stays pending.
        self.receiver.always = body("down", 503)
        self.tasks.url("/2", report(status="error"))
        await self.alerted(urls[2], "problem")
        await alone.becomes(urls[2], kind="failed")
        before = {url: await alone.task(url) for url in urls}
        await alone.stop()
        self.receiver.requests.clear()

        Path(alone.directory, "pinger.ini").write_text(text)
        self.assertIn("4 tasks", await self.migrate(alone.directory))
        self.receiver.always = None
        a, b = await self.start(text, "a", "b")
        await self.alerted(urls[2], "problem")
        for instance in (a, b):
            for url in urls:
                task = await instance.task(url)
                for member in ("kind", "since", "incident"):
                    self.assertEqual(task[member], before[url][member], (url, member))
            self.assertEqual((await instance.task(urls[1]))["silenced"]["reason"], "moving")
            history = (await instance.get(f"/api/v1/tasks/{before[urls[0]]['id']}/incidents")).json()["data"]
            self.assertEqual(len(history), 1)
            runs = (await instance.get(f"/api/v1/tasks/{before[urls[0]]['id']}/history")).json()["data"]["runs"]
            self.assertGreaterEqual(len(runs), 2)
        self.tasks.url("/0", report())
        await self.alerted(urls[0], "recovered")
        # Nothing was announced again.
        self.assertEqual(sorted(self.receiver.of_tasks()), ["problem", "recovered"])
        for instance in (a, b):
            await until_async(lambda at=instance: counted(at, urls[3], before[urls[3]]["pings"] + 1), "more checks")
        for instance in (a, b):
            await instance.stop()

    async def test_a_store_of_release_1(self) -> None:
        directory = new_directory(self)
        Path(directory, "pypinger.sqlite").write_bytes(gzip.decompress(test_release1.FIXTURE.read_bytes()))
        # They cannot be reached.
        text = self.text([test_release1.BACKUP, test_release1.BILLING], f"proxy = http://127.0.0.1:{free_port()}")
        Path(directory, "pinger.ini").write_text(text)
        self.assertIn("2 tasks", await self.migrate(directory))
        instance = Instance(self, "a", text, self.database)
        await instance.serves()
        overview = (await instance.get()).json()["data"]
        self.assertEqual([each["url"] for each in overview], [test_release1.BACKUP, test_release1.BILLING])
        self.assertIsNotNone(overview[0]["incident"])
        history = (await instance.get(f"/api/v1/tasks/{overview[0]['id']}/incidents")).json()["data"]
        self.assertIn(None, [each["ended"] for each in history])
        deliveries = (await instance.get("/api/v1/deliveries")).json()["data"]
        self.assertIn(test_release1.PROBLEM, {each["alert"]["id"] for each in deliveries})
        await instance.stop()


async def until_async(happened: object, what: str) -> None:
    """Wait until the coroutine function `happened` returns a true value."""
    assert callable(happened)
    for _ in range(int(PATIENCE / 0.1)):
        if await happened():
            return
        await pause(0.1)
    raise AssertionError(f"{what} did not happen within {PATIENCE:g} s")


async def silenced(instance: Instance, wanted: bool = True) -> bool:
    """Whether all tasks are silenced, or none."""
    tasks = (await instance.get()).json()["data"]
    return all((task["silenced"] is not None) is wanted for task in tasks)


async def acknowledged(instance: Instance, url: str, reason: str) -> bool:
    """Whether it shows that the incident of a task is acknowledged for this reason."""
    incident = (await instance.task(url))["incident"]
    taken = incident and incident["acknowledged"]
    return bool(taken and taken["reason"] == reason)


async def dead(instance: Instance, count: int) -> bool:
    return bool((await instance.get()).json()["self"]["dead"] == count)


async def counted(instance: Instance, url: str, pings: int) -> bool:
    """Whether it shows that a task was checked so often."""
    return bool((await instance.task(url))["pings"] >= pings)


async def same_ini(instance: Instance) -> bool:
    return not any(each["other_ini"] for each in await instance.instances())
