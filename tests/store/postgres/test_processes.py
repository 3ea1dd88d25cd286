"""Instances in processes of their own, which are killed and stopped (contract, section 8, "Several machines")."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from pypinger.store.postgres import process
from tests import postgres
from tests.store.postgres.members import Crowd, Runtime, listing, sleep, until


def _spawn(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _end(spawned: subprocess.Popen[bytes]) -> None:
    spawned.kill()
    spawned.wait()
    if spawned.stdout is not None:
        spawned.stdout.close()


_READS = """
import sys
from pypinger.store.postgres.connection import connect

with connect(sys.argv[1], "a") as opened, opened.transaction():
    opened.execute("SELECT pg_advisory_xact_lock(1)")
    print("locked", flush=True)
    opened.execute("SELECT repeat('x', 1000) FROM generate_series(1, 3000000)")
"""


class ProcessTests(TestCase):
    unmeasured = True
    skip = postgres.missing()
    timeout = 180

    def setUp(self) -> None:
        self.url = postgres.database(self)
        self.crowd = Crowd(self, self.url)

    def sql(self, query: str, *values: object) -> list[Any]:
        return postgres.server().execute(query, *values, database=self.url.rpartition("/")[2])

    async def spawn(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.store.postgres.member", self.url, name, "40"]
        spawned = _spawn(command)
        assert spawned.stdout is not None
        os.set_blocking(spawned.stdout.fileno(), False)
        self.addCleanup(_end, spawned)
        await self.line(spawned, b"ready")
        return spawned

    async def line(self, spawned: subprocess.Popen[bytes], words: bytes) -> bytes:
        """Wait for a line that begins with some words."""
        assert spawned.stdout is not None
        out = spawned.stdout
        return await until(lambda: next((line for line in out if line.startswith(words)), None))

    async def shared(self) -> tuple[subprocess.Popen[bytes], Runtime]:
        """A process, and an instance here that takes over."""
        b = await self.spawn("b")
        a = self.crowd.join("a", listing(40))
        await until(lambda: 5 < len(a.states) < 40 and len(a.instances) == 2)
        await until(lambda: sum(each.tasks for each in a.instances) == 40)
        return b, a

    async def test_a_process_that_is_stopped_while_it_reads_keeps_no_lock(self) -> None:
        spawned = _spawn([sys.executable, "-c", _READS, self.url])
        self.addCleanup(_end, spawned)
        self.assertTrue(await self.line(spawned, b"locked"))
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        reads = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT repeat%%'"
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"
        await until(lambda: self.sql(reads) == [(1,)])
        spawned.send_signal(signal.SIGSTOP)
        await until(lambda: self.sql(waits) == [(1,)])
        self.assertEqual(self.sql(locks), [(1,)])
        await until(lambda: self.sql(locks) == [(0,)], 10)

    async def test_a_killed_process_of_this_machine_is_buried_at_once(self) -> None:
        b, a = await self.shared()
        b.kill()
        b.wait()
        await until(lambda: len(a.states) == 40 and len(a.channels) == 2, 4)

    async def test_a_killed_process_of_another_machine(self) -> None:
        self.patch(process, "gone", lambda other, own: False)
        b, a = await self.shared()
        b.kill()
        b.wait()
        await until(lambda: len(a.states) == 40 and len(a.channels) == 2, 10)

    async def test_a_process_that_was_stopped_writes_nothing_when_it_continues(self) -> None:
        b, a = await self.shared()
        b.send_signal(signal.SIGSTOP)
        await until(lambda: len(a.states) == 40 and len(a.channels) == 2, 12)
        rows = self.sql("SELECT url, state, owner, epoch FROM task JOIN ownership ON task = id ORDER BY url")
        before = len(a.instances)
        # It is to join again only once this has been looked at.
        self.sql("ALTER TABLE instance ADD CONSTRAINT one CHECK (name <> 'b')")
        b.send_signal(signal.SIGCONT)
        await self.line(b, b"lost")
        await sleep(2)
        self.assertEqual(
            self.sql("SELECT url, state, owner, epoch FROM task JOIN ownership ON task = id ORDER BY url"), rows
        )
        self.sql("ALTER TABLE instance DROP CONSTRAINT one")
        await self.line(b, b"joined b")
        await until(lambda: len(a.states) < 40)
        self.assertEqual(before, 1)
        self.assertNotIn("lost", a.words())

    async def test_states_only_grow_through_kills_and_stops(self) -> None:
        """Each owner continues where the previous one ended."""
        highest: dict[str, int] = {}

        def look() -> None:
            for url, state in self.sql("SELECT url, state::json->>'pings' FROM task"):
                self.assertGreaterEqual(int(state or 0), highest.get(url, 0))
                highest[url] = int(state or 0)

        c = await self.spawn("c")
        b = await self.spawn("b")
        for turn in range(3):
            await sleep(1)
            look()
            if turn == 1:
                b.send_signal(signal.SIGSTOP)
                await sleep(8)
                look()
                b.send_signal(signal.SIGCONT)
                await self.line(b, b"joined")
            else:
                c.kill()
                c.wait()
                await sleep(2)
                look()
                c = await self.spawn("c")
        await sleep(1)
        before = dict(highest)
        look()
        self.assertEqual(len(highest), 40)
        self.assertTrue(all(highest[key] > before[key] for key in highest))


class IdentityTests(TestCase):
    def test_this_process_is_there(self) -> None:
        own = process.identity()
        self.assertEqual(len(own.split()), 5)
        self.assertFalse(process.gone(own, own))

    def test_a_process_that_has_ended_is_gone(self) -> None:
        own = process.identity()
        ended = subprocess.Popen(["true"])
        ended.wait()
        other = own.split()
        self.assertTrue(process.gone(" ".join([*other[:3], str(ended.pid), other[4]]), own))

    def test_a_process_that_was_not_reaped_is_gone(self) -> None:
        own = process.identity().split()
        child = subprocess.Popen(["sleep", "60"])
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        other = " ".join([*own[:3], str(child.pid), fields[19]])
        self.assertFalse(process.gone(other, " ".join(own)))
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.assertTrue(process.gone(other, " ".join(own)))
        child.wait()

    def test_another_process_with_its_number(self) -> None:
        own = process.identity()
        self.assertTrue(process.gone(" ".join([*own.split()[:4], "1"]), own))

    def test_other_machines_and_unknown_processes_are_left_alone(self) -> None:
        own = process.identity()
        rest = own.split()[1:]
        for other in ("", " ".join(["other-boot", *rest]), " ".join([own.split()[0], "1", *rest[1:]]), "a b"):
            self.assertFalse(process.gone(other, own))
        self.assertFalse(process.gone(own, ""))
