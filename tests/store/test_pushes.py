"""What the store keeps of tasks that push."""

from __future__ import annotations

from msgspec.structs import replace

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Check, Report, Reported, Task, TaskState, Verdict
from pypinger.store import queue, writer
from tests.store.test_sqlite import SqliteTestCase

NOW = 1_793_620_800.0
BACKUP = Task(url=None, id="b1", name="Backup", label="", interval=60.0)


def verdict(kind: Kind) -> Verdict:
    return Verdict(kind, f"{kind.value} it is")


class PushTests(SqliteTestCase):
    async def test_a_commit_says_whether_it_is_kept(self) -> None:
        self.patch(writer, "RETRY", 0.05)
        self.patch(queue, "TICK", 0.02)
        store = self.store()
        store.open()
        check = Check(NOW, 0.0, Reported(200, Report(ok=True, lastrun=NOW)), verdict(Kind.OK))
        state = TaskState(verdict=check.verdict, pings=1)
        self.assertTrue(await store.commit(BACKUP, state, check, []))
        self.connection(store).execute("PRAGMA query_only = 1")
        for _ in range(3):
            self.assertFalse(await store.commit(BACKUP, replace(state, pings=2), check, []))
        self.connection(store).execute("PRAGMA query_only = 0")
        await self.until(lambda: store.trouble() is None)
        self.assertTrue(await store.commit(BACKUP, replace(state, pings=3), check, []))
        await store.close()
        self.assertFalse(await store.commit(BACKUP, state, check, []))
        self.assertEqual(self.store().open().states["push:Backup"].pings, 3)

    async def test_a_broken_call_is_not_kept(self) -> None:
        store = self.store()
        store.open()
        self.assertFalse(await store.commit(BACKUP, TaskState(), Check(NOW, 0.0, None, None), []))  # type: ignore[arg-type]
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        await store.close()

    async def test_judging_again_is_no_check(self) -> None:
        """It ends the time of the verdict before, begins another one, and adds neither run nor check."""
        store = self.store()
        store.open()
        pushed = Check(NOW, 0.0, Reported(200, Report(ok=True, lastrun=NOW)), verdict(Kind.OK))
        state = TaskState(verdict=pushed.verdict, report=Report(ok=True, lastrun=NOW), pings=1, checked=NOW)
        await store.commit(BACKUP, state, pushed, [])
        late = Check(NOW + 5400, 0.0, None, verdict(Kind.LATE))
        await store.commit(BACKUP, replace(state, verdict=late.verdict, judged=late.at), late, [])
        again = replace(pushed, at=NOW + 9000)
        await store.commit(BACKUP, replace(state, pings=2, checked=again.at), again, [])
        runs = await store.runs("push:Backup")
        self.assertEqual([(run.first, run.count) for run in runs], [(NOW + 9000, 1), (NOW, 1)])
        changes = await store.verdicts("push:Backup")
        self.assertEqual(
            [(change.at, change.kind) for change in changes][:2], [(NOW + 9000, Kind.OK), (NOW + 5400, Kind.LATE)]
        )
        (day,) = await store.days("push:Backup", NOW + 9000)
        # However far apart they are: a push task is judged when that is due.
        self.assertEqual((day.up, day.down), (5400.0, 3600.0))
        await store.close()
