"""Files of the store that are deleted, moved, replaced or overwritten while it is open."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from itertools import product
from pathlib import Path

from twisted.logger import capturedLogs

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Delivery, Incident, Outcome, TaskState
from pypinger.ports.storing import Blind, HostSeen, Kept
from pypinger.store import queue, watching, writer
from pypinger.store.sqlite import SqliteStore
from tests.contracts.history import NOW, Story, reported
from tests.contracts.store import CHECK, OTHER, TASK, alert
from tests.store.test_database import python
from tests.store.test_sqlite import SqliteTestCase, pause

INCIDENT = Incident(NOW + 60, Kind.LATE, NOW + 60, 1)

SUFFIXES = ("", "-wal", "-shm", ".lock")


class LostFileCase(SqliteTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pypinger-lost-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = str(self.directory / "pypinger.sqlite")
        self.patch(queue, "TICK", 0.02)
        self.patch(writer, "RETRY", 0.05)

    async def begin(self, path: str | None = None) -> SqliteStore:
        """A store with an open incident, a pending alert, a sent one and a dead one."""
        store = self.store(path)
        store.open()
        self.story = Story(store)
        await self.story.check(NOW)
        alerts = (alert(1), alert(2), alert(3))
        await self.story.check(NOW + 60, Kind.LATE, incident=INCIDENT, alerts=alerts)
        await store.settle(Delivery(alert(1), "slack", 1), Outcome.SENT)
        await store.settle(Delivery(alert(2), "slack", 1, words="no"), Outcome.DEAD)
        await store.settle(Delivery(alert(3), "slack", 2, 7.5, "HTTP 503", "one was reached"), Outcome.RETRY)
        store.hosts({"h": HostSeen("192.0.2.1", 4e9)})
        store.blindness(Blind(NOW, "no host answers"))
        await store.enqueue([])
        return store

    async def noticed(self, store: SqliteStore, words: str) -> list[str]:
        """It is logged once, and reported for a while, while the store is written again; returns the log."""
        with capturedLogs() as logs:
            await self.until(store.trouble)
            await store.enqueue([Delivery(alert(4), "slack")])
            await self.until(lambda: "see its log" in (store.trouble() or ""))
            await store.enqueue([])
        self.assertIn(words, store.trouble() or "")
        lines = [each for each in logs if each.get("lost")]
        self.assertEqual(len(lines), 1)
        self.assertIn(words, lines[0]["lost"])
        return [each["log_format"] for each in logs]

    def whole(self, path: str | Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    async def reopened(self, store: SqliteStore) -> Kept:
        """What a killed process leaves: opens a copy of the files."""
        copy = self.directory / "copy"
        copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(self.path + suffix, copy / f"pypinger.sqlite{suffix}")
        again = self.store(str(copy / "pypinger.sqlite"))
        kept = again.open()
        await again.close()
        return kept

    async def all_kept(self, store: SqliteStore) -> None:
        """The present has survived, for a killed process and for a stopped one."""
        killed = await self.reopened(store)
        await store.close()
        self.whole(self.path)
        again = self.store()
        stopped = again.open()
        await again.close()
        for kept in (killed, stopped):
            self.assertEqual(kept.states[TASK.url], self.story.state)
            self.assertEqual(
                list(kept.deliveries),
                [Delivery(alert(3), "slack", 2, 7.5, "HTTP 503", "one was reached"), Delivery(alert(4), "slack")],
            )
            self.assertEqual(dict(kept.hosts), {"h": HostSeen("192.0.2.1", 4e9)})
            self.assertEqual(kept.blind, Blind(NOW, "no host answers"))


class LostFileTests(LostFileCase):
    async def lose(self, change: Callable[[], object], words: str) -> SqliteStore:
        store = await self.begin()
        change()
        await self.noticed(store, words)
        (incident, *_) = await store.incidents()
        self.assertEqual((incident.started, incident.ended, incident.kinds), (NOW + 60, None, (Kind.LATE,)))
        await self.all_kept(store)
        return store

    async def test_deleted(self) -> None:
        await self.lose(lambda: os.unlink(self.path), "its file was deleted or moved")

    async def test_all_files_deleted(self) -> None:
        await self.lose(lambda: [os.unlink(self.path + suffix) for suffix in SUFFIXES], "its file was deleted or moved")

    async def test_moved(self) -> None:
        await self.lose(lambda: os.rename(self.path, self.path + ".old"), "its file was deleted or moved")
        self.whole(self.path + ".old")
        kept = self.store(self.path + ".old").open()
        self.assertEqual([each.alert.id for each in kept.deliveries], [alert(3).id])

    async def test_all_files_moved(self) -> None:
        def move() -> None:
            (self.directory / "away").mkdir()
            for suffix in SUFFIXES:
                os.rename(self.path + suffix, self.directory / "away" / f"pypinger.sqlite{suffix}")

        await self.lose(move, "its file was deleted or moved")
        kept = self.store(str(self.directory / "away" / "pypinger.sqlite")).open()
        self.assertEqual([each.alert.id for each in kept.deliveries], [alert(3).id])

    async def test_the_log_deleted(self) -> None:
        await self.lose(lambda: os.unlink(f"{self.path}-wal"), "pypinger.sqlite-wal was deleted")
        store = self.store()
        store.open()
        self.assertEqual(len(await store.deliveries()), 4)

    async def test_the_index_of_the_log_deleted(self) -> None:
        await self.lose(lambda: os.unlink(f"{self.path}-shm"), "pypinger.sqlite-shm was deleted")

    async def test_the_lock_file_deleted(self) -> None:
        store = await self.begin()
        os.unlink(f"{self.path}.lock")
        await pause(0.2)
        self.assertIsNone(store.trouble())


class ReplacedFileTests(LostFileCase):
    """A backup of an earlier day takes the place of the file, which the operator should have stopped Py Pinger for."""

    async def backup(self) -> str:
        """A backup in which an incident of the task is open, and an alert pending that was sent since."""
        path = str(self.directory / "backup.sqlite")
        store = self.store(path)
        store.open()
        story = Story(store)
        earlier = Incident(NOW - 7200, Kind.FAILED, NOW - 7200, 1)
        await story.check(NOW - 7200, Kind.FAILED, incident=earlier, alerts=(alert(90),))
        other = Story(store, OTHER)
        await other.check(NOW - 7100)
        await store.enqueue([Delivery(alert(3), "slack")])
        await store.close()
        os.unlink(f"{path}.lock")
        return path

    async def replace(self, change: Callable[[str], object], words: str) -> None:
        backup = await self.backup()
        store = await self.begin()
        change(backup)
        await self.noticed(store, words)
        incidents = await store.incidents(TASK.url)
        self.assertEqual([each.started for each in incidents], [NOW + 60, NOW - 7200])
        self.assertEqual([each.ended is None for each in incidents], [True, False])
        self.assertEqual([run.first for run in await store.runs(OTHER.url)], [NOW - 7100])
        self.assertEqual([run.first for run in await store.runs(TASK.url)], [NOW + 60, NOW - 7200])
        outcomes = {each.alert.id: each.outcome for each in await store.deliveries()}
        self.assertEqual(outcomes, {alert(90).id: Outcome.REPLACED, alert(3).id: None, alert(4).id: None})
        self.story.store = store
        await self.story.check(NOW + 120)
        self.assertEqual([each.ended for each in await store.incidents(TASK.url, None, 1)], [NOW + 120])
        await self.all_kept(store)

    async def test_moved_over_it(self) -> None:
        await self.replace(lambda backup: os.rename(backup, self.path), "its file was replaced")

    async def test_copied_over_it(self) -> None:
        await self.replace(lambda backup: shutil.copyfile(backup, self.path), "its file was overwritten")

    async def test_copied_over_it_after_a_checkpoint(self) -> None:
        self.patch(watching, "LOG_SIZE", 0)
        await self.replace(lambda backup: shutil.copyfile(backup, self.path), "its file was overwritten")

    async def test_a_copy_of_this_run(self) -> None:
        """Whether or not a checkpoint was made since, it is noticed and nothing is lost."""
        for number, (size, ours) in enumerate(product((watching.LOG_SIZE, 0), (True, False))):
            with self.subTest(size=size, ours=ours):
                self.path = str(self.directory / f"{number}.sqlite")
                self.patch(watching, "LOG_SIZE", size)
                store = await self.begin()
                if ours:
                    await store.backup(f"{self.path}.copy")
                else:
                    with (
                        closing(sqlite3.connect(self.path)) as source,
                        closing(sqlite3.connect(f"{self.path}.copy")) as copy,
                    ):
                        source.backup(copy)
                for late in range(50):
                    await self.story.check(NOW + 120 + late, Kind.LATE, reported(NOW + late), incident=INCIDENT)
                shutil.copyfile(f"{self.path}.copy", self.path)
                await self.noticed(store, "its file was overwritten")
                kept = await self.killed(number)
                self.assertEqual(kept.states[TASK.url], self.story.state)
                self.assertEqual([each.alert.id for each in kept.deliveries], [alert(3).id, alert(4).id])
                await store.close()
                self.whole(self.path)

    async def test_the_same_bytes(self) -> None:
        """A plain copy of the file alone, put back before the next checkpoint, changes nothing."""
        store = await self.begin()
        shutil.copyfile(self.path, f"{self.path}.copy")
        await store.enqueue([Delivery(alert(4), "slack")])
        shutil.copyfile(f"{self.path}.copy", self.path)
        await pause(0.2)
        await store.enqueue([])
        self.assertIsNone(store.trouble())
        self.assertEqual(len(await store.deliveries()), 4)
        await self.all_kept(store)

    async def killed(self, number: int) -> Kept:
        copy = str(self.directory / f"killed{number}.sqlite")
        for suffix in ("", "-wal"):
            shutil.copy(self.path + suffix, copy + suffix)
        again = self.store(copy)
        kept = again.open()
        await again.close()
        return kept

    async def test_copied_over_it_and_stopped_at_once(self) -> None:
        backup = await self.backup()
        self.patch(queue, "TICK", 10.0)
        store = await self.begin()
        shutil.copyfile(backup, self.path)
        await store.close()
        self.whole(self.path)
        kept = self.store().open()
        self.assertEqual(kept.states[TASK.url], self.story.state)
        self.assertEqual([each.alert.id for each in kept.deliveries], [alert(3).id])

    async def test_by_what_is_no_database(self) -> None:
        store = await self.begin()
        Path(f"{self.path}.new").write_text("no database")
        with capturedLogs() as logs:
            os.rename(f"{self.path}.new", self.path)
            await self.until(lambda: "not an SQLite database" in (store.trouble() or ""))
            self.assertIn("its file was replaced", store.trouble() or "")
            # Nothing waits for the store meanwhile, and the file is not touched.
            await store.enqueue([Delivery(alert(4), "slack")])
            store.note(OTHER, TaskState(pings=1), CHECK)
            await pause(0.3)
            self.assertEqual(Path(self.path).read_text(), "no database")
            os.unlink(self.path)
            await self.until(lambda: "see its log" in (store.trouble() or ""))
        self.assertEqual(len([each for each in logs if "cannot be written" in each["log_format"]]), 1)
        await self.all_kept(store)
        self.assertEqual(self.store().open().states[OTHER.url].pings, 1)

    async def test_another_program_that_uses_sqlite(self) -> None:
        """A checkpoint or a vacuum by another program is no loss."""
        for script in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"):
            with self.subTest(script=script):
                self.path = str(self.directory / f"{len(script)}.sqlite")
                store = await self.begin()
                with capturedLogs() as logs:
                    with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
                        connection.execute(script)
                        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    await store.enqueue([Delivery(alert(4), "slack")])
                    await pause(0.2)
                    await store.enqueue([])
                self.assertEqual((store.trouble(), logs), (None, []))
                self.assertEqual(len(await store.deliveries()), 4)


class DirectoryTests(LostFileCase):
    async def test_moved_away_and_back(self) -> None:
        store = await self.begin()
        os.rename(self.directory, f"{self.directory}-away")
        await self.until(lambda: "does not exist" in (store.trouble() or ""))
        await store.enqueue([Delivery(alert(4), "slack")])
        os.rename(f"{self.directory}-away", self.directory)
        await self.until(lambda: "see its log" in (store.trouble() or ""))
        self.assertEqual(len(await store.deliveries()), 4)
        self.assertEqual(len(await store.incidents()), 1)
        self.assertEqual(sum(run.count for run in await store.runs(TASK.url)), 2)
        await self.all_kept(store)

    async def test_a_file_that_is_lost_again_and_again(self) -> None:
        self.patch(writer, "RETRY", 1000.0)
        store = await self.begin()
        os.unlink(self.path)
        await self.noticed(store, "its file was deleted or moved")
        with capturedLogs() as logs:
            os.unlink(self.path)
            await self.until(lambda: "cannot be written: its file was deleted" in (store.trouble() or ""))
            await store.enqueue([])
            await pause(0.2)
        self.assertEqual(len(logs), 1)

    async def test_a_symbolic_link_that_leads_elsewhere(self) -> None:
        link = str(self.directory / "link")
        for name in ("one", "two"):
            (self.directory / name).mkdir()
        os.symlink(self.directory / "one" / "a.sqlite", link)
        self.path, real = link, self.directory / "two" / "a.sqlite"
        store = await self.begin()
        os.unlink(link)
        os.symlink(real, link)
        await self.noticed(store, "its file was deleted or moved")
        await store.close()
        self.assertTrue(os.path.islink(link))
        self.assertEqual(len(self.store(str(real)).open().deliveries), 2)
        self.whole(self.directory / "one" / "a.sqlite")


RUNNING = """
import sys, time
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from pypinger.domain.model import Delivery, TaskState
from pypinger.store.sqlite import SqliteStore
from tests.contracts.store import CHECK, TASK, alert
store = SqliteStore(reactor, time.time, sys.argv[1], keep_days=90)
store.open()
async def main():
    number = 0
    while True:
        await store.commit(TASK, TaskState(pings=number), CHECK, [Delivery(alert(number), "slack")])
        print(number, store.trouble() is not None, flush=True)
        number += 1
        await task.deferLater(reactor, 0.01)
Deferred.fromCoroutine(main())
reactor.run()
"""


class KilledTests(LostFileCase):
    """The process is killed some time after its files were lost."""

    unmeasured = True

    def run_and_kill(self, change: Callable[[], object]) -> tuple[int, Kept]:
        process = python(RUNNING, self.path)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        assert process.stdout is not None
        number = 0
        for _ in range(20):
            process.stdout.readline()
        change()
        noticed = False
        for line in process.stdout:
            number = int(line.split()[0])
            noticed = noticed or line.split()[1] == "True"
            if noticed and number % 50 == 0:
                break
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].splitlines()
        number = max([number, *(int(line.split()[0]) for line in rest if line.endswith(("True", "False")))])
        return number, self.store().open()

    def test_nothing_pending_is_lost(self) -> None:
        changes: dict[str, Callable[[], object]] = {
            "deleted": lambda: os.unlink(self.path),
            "all deleted": lambda: [os.unlink(self.path + suffix) for suffix in SUFFIXES],
            "moved": lambda: os.rename(self.path, f"{self.path}.old"),
            "log deleted": lambda: os.unlink(f"{self.path}-wal"),
        }
        for name, change in changes.items():
            with self.subTest(change=name):
                self.path = str(self.directory / f"{name.replace(' ', '-')}.sqlite")
                number, kept = self.run_and_kill(change)
                self.assertGreater(number, 19)
                kept_ids = [each.alert.id for each in kept.deliveries]
                self.assertEqual(kept_ids[: number + 1], [alert(each).id for each in range(number + 1)])
