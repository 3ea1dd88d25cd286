"""Faults other than kills: clock steps, a second instance, half a database, a full disk (contract, section 8)."""

from __future__ import annotations

import resource
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.acceptance.process import Process, ask, free_port
from tests.crash.services import HipChat, WebApi, Webhook
from tests.crash.truth import Account
from tests.crash.world import LAUNCHER, World

HOUR = 3600.0


class FaultTests(TestCase):
    timeout = 300

    def holds(self, world: World) -> Account:
        """Check that the promise was kept."""
        account = Account(world)
        self.assertEqual(account.wrong, [])
        return account

    async def test_clock_steps(self) -> None:
        """An hour and more either way, while the daemon runs and while it does not."""
        world = World(self, 1, (Webhook, HipChat), 0.2)
        for running, down in ((HOUR, -HOUR), (-HOUR, -HOUR), (-2 * HOUR, HOUR), (HOUR, 2 * HOUR)):
            world.start()
            await world.makes_progress(2)
            world.step(running)
            await world.makes_progress(3)
            await world.kill()
            world.step(down)
        await world.finish()
        self.assertGreater(self.holds(world).transitions, 30)

    async def test_second_instance(self) -> None:
        """The second is refused in one line; the first continues."""
        world = World(self, 2, (WebApi, HipChat), 0)
        first = world.start()
        await world.becomes(bool)
        text = Path(world.directory, "pinger.ini").read_text()
        Path(world.directory, "second.ini").write_text(text.replace(f"tcp:{world.port}:", f"tcp:{free_port()}:"))
        second = Process(
            self,
            *(*LAUNCHER, "--config", "second.ini"),
            directory=world.directory,
            environ={"CRASH_LIFE": "life-0-second"},
            forked=True,
        )
        self.assertEqual(await second.end(), 1, second.log)
        self.assertEqual(second.err.decode().count("\n"), 1, second.log)
        self.assertRegex(second.err.decode(), rf"another Py Pinger \(process {first.pid}\) is using it")
        self.assertNotIn("Traceback", second.log)
        await world.kill()
        await world.finish()
        self.assertNotIn(0, [receipt.life for service in world.services for receipt in service.receipts])
        self.holds(world)

    async def test_half_a_database(self) -> None:
        """After a kill at any step of creating the database, the next start creates it."""
        world = World(self, 3, (WebApi, HipChat), 0)
        for place in ("statement:1", "statement:2", "statement:9", "statement:24", "made:1", "renamed:1", "opening:1"):
            await world.live(place)
        self.assertEqual(
            world.kills, ["statement", "statement", "statement", "statement", "made", "renamed", "opening"]
        )
        await world.finish()
        self.holds(world)
        self.assertFalse(list(Path(world.database).parent.glob("*.new*")))

    async def test_disk_full(self) -> None:
        """Checks and alerts continue, ``/status`` reports it, and the store catches up; nothing is sent twice."""
        world = World(self, 4, (WebApi, HipChat), 0)
        for service in world.services:
            service.calm = True
        process = world.start()
        await world.becomes(bool)
        self.fill_disk(process, True)
        await world.becomes(lambda daemon: daemon["status"] == "error")
        report = (await ask(world.port, "/status")).json()
        self.assertEqual(report["status"], "error")
        self.assertIn("the store cannot be written", report["reason"])
        self.assertEqual((await ask(world.port, "/healthz")).code, 200)
        await world.makes_progress(4, 10)
        self.fill_disk(process, False)
        # A message that is under way when the process is killed may come again, so wait until there is none.
        for script in world.scripts.values():
            script.ending = "ok"
        await world.becomes(lambda daemon: world.is_over and daemon["undelivered"] == 0 and daemon["status"] == "ok")
        await world.kill()
        await world.finish()
        self.assertEqual(self.holds(world).repeats, 0)

    async def test_killed_while_the_disk_is_full(self) -> None:
        """The promise does not hold then, but the database is valid, and the next start continues from it."""
        world = World(self, 5, (Webhook, HipChat), 0)
        process = world.start()
        await world.becomes(bool)
        self.fill_disk(process, True)
        await world.becomes(lambda daemon: daemon["status"] == "error")
        process.signal("KILL")
        await process.end()
        for script in world.scripts.values():
            script.ending = "ok"
        world.start()
        await world.becomes(lambda daemon: world.is_over and daemon["undelivered"] == 0 and daemon["status"] == "ok")

    def fill_disk(self, process: Process, full: bool) -> None:
        """Keep the process from extending any file, as on a full disk."""
        limit = 1 if full else resource.RLIM_INFINITY
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
