"""The contract suite of the port History; mix :class:`HistoryContract` into a trial ``TestCase``."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pypinger.domain.kinds import Kind
from pypinger.domain.model import (
    Alert,
    Check,
    Delivery,
    Event,
    Fault,
    Finding,
    Incident,
    Invalid,
    NoAnswer,
    Outcome,
    Report,
    Reported,
    Task,
    TaskState,
    Verdict,
    Window,
)
from pypinger.ports.history import DeliveryFilter, Gap, IncidentFilter, PastAlert
from tests.contracts.store import OTHER, TASK, alert

#: On the hour.
NOW = 1_700_002_800.0

FINDINGS: tuple[Finding, ...] = (
    Reported(200, Report(ok=True, lastrun=NOW - 0.123456)),
    Reported(503, Report(False, NOW - 600, 0.1, "why – \N{SNOWMAN}", (Window(0, 60.5), Window(7, 1.0)), "p", "s")),
    Invalid(200, "lastrun is missing"),
    NoAnswer(Fault.REFUSED, "connection refused", 0.0123),
    Reported(200, Report(True, None, started=NOW - 3.25, schedule="0 3 * * *", timezone="Europe/Berlin")),
    Reported(200, Report(True, NOW - 60.125, started=NOW - 90, max_runtime=8.05)),
)


def reported(lastrun: float = NOW - 60) -> Finding:
    return Reported(200, Report(ok=True, lastrun=lastrun))


class Story:
    """Records a task's checks in a store, as the monitor does."""

    def __init__(self, store: Any, task: Task = TASK) -> None:
        self.store = store
        self.task = task
        self.state = TaskState()

    async def check(
        self,
        at: float,
        kind: Kind = Kind.OK,
        finding: Finding | None = None,
        *,
        incident: Incident | None = None,
        alerts: tuple[Alert, ...] = (),
        latency: float = 0.25,
    ) -> None:
        verdict = Verdict(kind, f"{kind.value} it is")
        check = Check(at, latency, reported() if finding is None else finding, verdict)
        before = self.state
        report = check.finding.report if isinstance(check.finding, Reported) else before.report
        self.state = TaskState(verdict=verdict, checked=at, incident=incident, report=report)
        if kind is before.kind and before.incident == incident and not alerts:
            self.store.note(self.task, self.state, check)
        else:
            await self.store.commit(self.task, self.state, check, [Delivery(each, "slack") for each in alerts])


class HistoryContract:
    """Needs `make`, which returns an open store without history."""

    def make(self) -> Any:
        raise NotImplementedError

    async def written(self, store: Any) -> Any:
        """Wait until notes can be read."""
        await store.enqueue([])
        return store

    async def test_an_unknown_task_has_no_history(self: Any) -> None:
        store = self.make()
        for page in (store.runs, store.verdicts, store.incidents, store.deliveries, store.gaps):
            self.assertEqual(list(await page(TASK.url)), [])
        self.assertEqual(list(await store.incidents()), [])
        self.assertEqual(list(await store.deliveries()), [])
        self.assertEqual(await store.uptime(TASK.url, NOW), {"24h": None, "7d": None, "30d": None, "90d": None})

    async def test_findings_are_read_as_they_were_recorded(self: Any) -> None:
        store = self.make()
        story = Story(store)
        for number, finding in enumerate(FINDINGS):
            await story.check(NOW + 60 * number, finding=finding)
            await story.check(NOW + 60 * number + 30.5, finding=finding)
        await self.written(store)
        runs = list(reversed(await store.runs(TASK.url)))
        self.assertEqual([run.finding for run in runs], list(FINDINGS))
        self.assertEqual([run.first for run in runs], [NOW + 60 * number for number in range(len(FINDINGS))])
        self.assertEqual([(run.last - run.first, run.count) for run in runs], [(30.5, 2)] * len(FINDINGS))

    async def test_the_latency_of_a_failure_does_not_matter(self: Any) -> None:
        store = self.make()
        story = Story(store)
        for number, latency in enumerate((1.0, 2.0, 3.0)):
            failure = NoAnswer(Fault.TIMEOUT, "no answer", latency)
            await story.check(NOW + number, Kind.UNREACHABLE, failure)
        await story.check(NOW + 5, Kind.UNREACHABLE, NoAnswer(Fault.TIMEOUT, "no answer at all", 1.0))
        await self.written(store)
        runs = await store.runs(TASK.url)
        self.assertEqual([(run.count, run.finding.latency) for run in runs], [(1, 1.0), (3, 1.0)])

    async def test_a_commit_begins_a_run(self: Any) -> None:
        store = self.make()
        story = Story(store)
        await story.check(NOW)
        await story.check(NOW + 60)
        await story.check(NOW + 120, Kind.LATE)
        await story.check(NOW + 180, Kind.LATE)
        await self.written(store)
        runs = list(reversed(await store.runs(TASK.url)))
        self.assertEqual([(run.first - NOW, run.last - NOW, run.count) for run in runs], [(0, 60, 2), (120, 180, 2)])

    async def test_pages_of_runs(self: Any) -> None:
        store = self.make()
        story = Story(store)
        for number in range(7):
            await story.check(NOW + number, finding=reported(NOW + number))
        await self.written(store)
        seen, before = [], None
        for size in (3, 3, 1, 0):
            page = await store.runs(TASK.url, before, 3)
            self.assertEqual(len(page), size)
            seen += [run.first - NOW for run in page]
            before = page[-1].key if page else None
        self.assertEqual(seen, [6, 5, 4, 3, 2, 1, 0])

    async def test_two_runs_in_one_millisecond(self: Any) -> None:
        store = self.make()
        story = Story(store)
        for number in range(4):
            await story.check(NOW, finding=reported(NOW + number))
        await self.written(store)
        runs = await store.runs(TASK.url)
        self.assertEqual({run.finding for run in runs}, {reported(NOW + number) for number in range(4)})

    async def test_changes_of_the_verdict(self: Any) -> None:
        store = self.make()
        story = Story(store)
        for number, kind in enumerate((Kind.OK, Kind.OK, Kind.LATE, Kind.LATE, Kind.OK)):
            await story.check(NOW + number, kind)
        await self.written(store)
        changes = await store.verdicts(TASK.url)
        expected = [(NOW + 4, Kind.OK, "ok it is"), (NOW + 2, Kind.LATE, "late it is"), (NOW, Kind.OK, "ok it is")]
        self.assertEqual([(each.at, each.kind, each.explanation) for each in changes], expected)
        self.assertEqual(list(await store.verdicts(TASK.url, changes[0].key, 1)), [changes[1]])

    async def test_an_incident_and_its_alerts(self: Any) -> None:
        store = self.make()
        story = Story(store)
        started = Incident(NOW, Kind.LATE, reminded=NOW + 60, alerts=1)
        changed = Incident(NOW, Kind.FAILED, reminded=NOW + 60, alerts=2)
        await story.check(NOW, Kind.LATE)
        await story.check(NOW + 60, Kind.LATE, incident=started, alerts=(alert(1),))
        await story.check(NOW + 120, Kind.FAILED, incident=changed, alerts=(alert(2, Event.CHANGED),))
        (incident,) = await store.incidents()
        self.assertEqual((incident.ended, incident.alerts), (None, 2))
        await story.check(NOW + 180, alerts=(alert(3, Event.RECOVERED),))
        (incident,) = await store.incidents(TASK.url)
        self.assertEqual((incident.task, incident.started, incident.opened), (TASK.url, NOW, NOW + 60))
        self.assertEqual((incident.ended, incident.kinds), (NOW + 180, (Kind.LATE, Kind.FAILED)))
        self.assertEqual(incident.alerts, 3)
        self.assertEqual(incident.explanation, "late it is")
        events = (Event.PROBLEM, Event.CHANGED, Event.RECOVERED)
        told = tuple(PastAlert(f"{n:016x}", event, float(n), "why") for n, event in enumerate(events, 1))
        self.assertEqual(incident.told, told)
        self.assertEqual(list(await store.incidents(OTHER.url)), [])

    async def test_an_incident_ends_without_a_check(self: Any) -> None:
        store = self.make()
        story = Story(store)
        await story.check(NOW, Kind.LATE, incident=Incident(NOW, Kind.LATE, NOW, 1))
        await store.commit(TASK, replace(story.state, incident=None), None, [])
        (incident,) = await store.incidents()
        self.assertIsNotNone(incident.ended)

    async def test_incidents_of_two_tasks(self: Any) -> None:
        store = self.make()
        story, other = Story(store), Story(store, OTHER)
        for number in range(3):
            at = NOW + 100 * number
            await story.check(at, Kind.LATE, incident=Incident(at, Kind.LATE, at, 1))
            await other.check(at + 1, Kind.LATE, incident=Incident(at + 1, Kind.LATE, at, 1))
        incidents = await store.incidents()
        self.assertEqual([each.opened - NOW for each in incidents], [201, 200, 101, 100, 1, 0])
        self.assertEqual([each.ended is None for each in incidents], [True, True, False, False, False, False])
        page = await store.incidents(TASK.url, incidents[1].key, 1)
        self.assertEqual([each.opened - NOW for each in page], [100])

    async def test_deliveries(self: Any) -> None:
        store = self.make()
        story = Story(store)
        await story.check(NOW, Kind.LATE, alerts=(alert(1), alert(2), alert(3), alert(4), alert(5)))
        await store.enqueue([Delivery(alert(6, Event.STARTED, task=""), "hipchat")])
        one, two, three, four = (Delivery(alert(number), "slack", attempts=1, words="hm") for number in (1, 2, 3, 4))
        await store.settle(one, Outcome.SENT)
        await store.settle(two, Outcome.DEAD)
        await store.settle(three, Outcome.REPLACED)
        await store.settle(four, Outcome.RETRY)
        found = await store.deliveries()
        self.assertEqual(
            [(each.alert.id[-1], each.channel, each.outcome, each.attempts, each.words) for each in found],
            [
                ("6", "hipchat", None, 0, ""),
                ("5", "slack", None, 0, ""),
                ("4", "slack", None, 1, "hm"),
                ("3", "slack", Outcome.REPLACED, 1, "hm"),
                ("2", "slack", Outcome.DEAD, 1, "hm"),
                ("1", "slack", Outcome.SENT, 1, "hm"),
            ],
        )
        self.assertEqual([each.settled is None for each in found], [True, True, False, False, False, False])
        self.assertEqual([each.task for each in found], [None] + [TASK.url] * 5)
        self.assertEqual(list(await store.deliveries(TASK.url, found[2].key, 2)), list(found[3:5]))

    async def test_filters_of_incidents(self: Any) -> None:
        store = self.make()
        story, other = Story(store), Story(store, OTHER)
        late, failed = Incident(NOW, Kind.LATE, NOW, 1), Incident(NOW, Kind.FAILED, NOW, 2)
        await story.check(NOW, Kind.LATE, incident=late)
        await story.check(NOW + 60, Kind.FAILED, incident=failed)
        await story.check(NOW + 120)
        await other.check(NOW + 300, Kind.LATE, incident=Incident(NOW + 300, Kind.LATE, NOW + 300, 1))
        first, second = NOW, NOW + 300

        async def opened(url: str | None = None, **filters: object) -> list[float]:
            found = await store.incidents(url, which=IncidentFilter(**filters))  # type: ignore[arg-type]
            return [each.opened for each in found]

        self.assertEqual(await opened(), [second, first])
        self.assertEqual(await opened(tasks=frozenset((TASK.url,))), [first])
        self.assertEqual(await opened(tasks=frozenset((TASK.url, OTHER.url))), [second, first])
        self.assertEqual(await opened(tasks=frozenset()), [])
        self.assertEqual(await opened(TASK.url, tasks=frozenset((OTHER.url,))), [])
        self.assertEqual(await opened(kind=Kind.FAILED), [first])
        self.assertEqual(await opened(kind=Kind.LATE), [second, first])
        self.assertEqual(await opened(open=True), [second])
        self.assertEqual(await opened(open=False), [first])
        self.assertEqual(await opened(since=second), [second])
        self.assertEqual(await opened(until=second), [first])
        self.assertEqual(await opened(kind=Kind.LATE, open=False, since=first, until=first + 1), [first])
        page = await store.incidents(None, None, 1, IncidentFilter(kind=Kind.LATE))
        (rest,) = await store.incidents(None, page[0].key, 5, IncidentFilter(kind=Kind.LATE))
        self.assertEqual(rest.opened, first)
        self.assertEqual(list(await store.tasks()), [TASK.url, OTHER.url])

    async def test_filters_of_deliveries(self: Any) -> None:
        store = self.make()
        story = Story(store)
        await story.check(NOW, Kind.LATE, alerts=(alert(1), alert(2), alert(3, Event.REMINDER)))
        await store.enqueue([Delivery(alert(4, Event.STARTED, task=""), "hipchat")])
        await store.settle(Delivery(alert(1), "slack", attempts=1), Outcome.DEAD)
        await store.settle(Delivery(alert(2), "slack", attempts=1), Outcome.RETRY)

        async def found(**filters: object) -> list[str]:
            return [each.alert.id[-1] for each in await store.deliveries(which=DeliveryFilter(**filters))]  # type: ignore[arg-type]

        self.assertEqual(await found(), ["4", "3", "2", "1"])
        self.assertEqual(await found(tasks=frozenset((TASK.url,))), ["3", "2", "1"])
        self.assertEqual(await found(event=Event.REMINDER), ["3"])
        self.assertEqual(await found(channel="hipchat"), ["4"])
        self.assertEqual(await found(outcome=Outcome.DEAD), ["1"])
        self.assertEqual(await found(outcome=Outcome.RETRY), ["4", "3", "2"])
        self.assertEqual(await found(outcome=Outcome.SENT), [])
        self.assertEqual(await found(since=2.0, until=4.0), ["3", "2"])
        self.assertEqual(await found(outcome=Outcome.RETRY, channel="slack", event=Event.PROBLEM), ["2"])
        self.assertEqual(list(await store.channels()), ["hipchat", "slack"])

    async def test_a_sent_delivery_is_not_pending_again(self: Any) -> None:
        store = self.make()
        await store.enqueue([Delivery(alert(1), "slack")])
        await store.settle(Delivery(alert(1), "slack"), Outcome.SENT)
        await store.enqueue([Delivery(alert(1), "slack")])
        self.assertEqual([each.outcome for each in await store.deliveries()], [Outcome.SENT])

    async def test_uptime_leaves_out_sleep_and_blindness(self: Any) -> None:
        store = self.make()
        story = Story(store)
        kinds = [Kind.OK] * 30 + [Kind.LATE] * 10 + [Kind.SLEEPING] * 20 + [Kind.OK]
        for number, kind in enumerate(kinds):
            await story.check(NOW + 60 * number, kind)
        store.blind(NOW + 3600, NOW + 7200)
        await story.check(NOW + 7260)
        await self.written(store)
        uptime = await store.uptime(TASK.url, NOW + 7260)
        # 30 minutes up, 10 down, and one minute up after the blind hour.
        self.assertEqual({name: round(share, 6) for name, share in uptime.items()}, dict.fromkeys(uptime, 0.756098))

    async def test_uptime_leaves_out_failures_in_sleep(self: Any) -> None:
        """Nothing is expected of a task that sleeps by its last valid report or the ini file."""
        store = self.make()
        night = Reported(200, Report(True, NOW, sleep=(Window(int(NOW) % 86_400 + 600, 600.0),)))
        own = replace(TASK, url=f"{TASK.url}2", sleep=night.report.sleep)
        for story, first in ((Story(store), night), (Story(store, own), None)):
            await story.check(NOW, Kind.OK, first)
            for minute in range(1, 31):
                await story.check(NOW + 60 * minute, Kind.UNREACHABLE, FINDINGS[3])
        await self.written(store)
        for url in (TASK.url, own.url):
            (day,) = await store.days(url, NOW + 1800)
            self.assertEqual((day.up, day.down, day.asleep), (60, 1140, 600))

    async def test_uptime_of_a_day(self: Any) -> None:
        store = self.make()
        story = Story(store)
        for number in range(60 * 26 + 1):
            await story.check(NOW + 60 * number, Kind.OK if number >= 150 else Kind.FAILED)
        await self.written(store)
        uptime = await store.uptime(TASK.url, NOW + 60 * 60 * 26 - 60 * 15)
        # The day begins 1:45 after the start. Of its first hour, a quarter belongs to it, all of it down.
        day = (15 + 30, 24 * 60 - 15 - 30 + 15)
        self.assertAlmostEqual(uptime["24h"], day[1] / sum(day), 6)
        self.assertAlmostEqual(uptime["7d"], (26 * 60 - 150) / (26 * 60), 6)

    async def test_beginning(self: Any) -> None:
        """When the first check was made; it stays as hours pass."""
        store = self.make()
        self.assertIsNone(await store.beginning(TASK.url))
        story = Story(store)
        start = NOW + 20 * 60
        for number in range(200):
            await story.check(start + 60 * number)
            if number in (5, 60, 199):
                await self.written(store)
                self.assertEqual(await store.beginning(TASK.url), start)

    async def test_days(self: Any) -> None:
        store = self.make()
        self.assertEqual(list(await store.days(TASK.url, NOW)), [])
        story = Story(store)
        midnight = (NOW // 86_400 + 1) * 86_400
        start = midnight - 3600
        kinds = [Kind.OK] * 30 + [Kind.LATE] * 10 + [Kind.SLEEPING] * 30 + [Kind.OK] * 51
        for number, kind in enumerate(kinds):
            await story.check(start + 60 * number, kind)
        await self.written(store)
        first, second = await store.days(TASK.url, midnight + 3600)
        self.assertEqual((first.start, first.up, first.down, first.asleep), (midnight - 86_400, 1800, 600, 1200))
        self.assertEqual((second.start, second.up, second.down, second.asleep), (midnight, 3000, 0, 600))
        self.assertEqual(list(await store.days(TASK.url, midnight + 3600, 1)), [second])
        self.assertEqual(list(await store.days(TASK.url, midnight - 1, 5)), [first])

    async def test_time_without_checks_is_not_counted(self: Any) -> None:
        store = self.make()
        story = Story(store)
        await story.check(NOW, Kind.LATE)
        await story.check(NOW + 86_400)
        # The clock is set back, and catches up.
        for number in range(61):
            await story.check(NOW + 86_400 - 3600 + 60 * number)
        await story.check(NOW + 86_400 + 200)
        await self.written(store)
        uptime = await store.uptime(TASK.url, NOW + 90_000)
        # Late for two intervals, a timeout and a minute, then on time for 200 s.
        self.assertEqual(uptime["7d"], 0.5)

    async def test_accounting_restarts_after_a_clock_that_was_days_ahead(self: Any) -> None:
        store = self.make()
        story = Story(store)
        await story.check(NOW + 1_000_000, Kind.LATE)
        for number in range(3):
            await story.check(NOW + 60 * number)
        await self.written(store)
        self.assertEqual((await store.uptime(TASK.url, NOW + 120))["24h"], 1.0)

    async def test_gaps(self: Any) -> None:
        store = self.make()
        story = Story(store)
        for number, lastrun in enumerate((0, 0, 600, 600, 1230)):
            await story.check(NOW + 60 * number, finding=reported(NOW + lastrun))
        await story.check(NOW + 600, Kind.UNREACHABLE, FINDINGS[3])
        await story.check(NOW + 660, finding=reported(NOW + 1230))
        await self.written(store)
        expected = [Gap(NOW + 1230, 630.0), Gap(NOW + 600, 600.0), Gap(NOW, None)]
        self.assertEqual(list(await store.gaps(TASK.url)), expected)
        self.assertEqual(list(await store.gaps(TASK.url, 1)), expected[:1])
