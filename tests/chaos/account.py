"""What became of a run: whether the promise for several machines was kept (contract, section 8), and its figures."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.chaos.cluster import SURPRISES, TAKE_OVER, Cluster
from tests.chaos.faults import Fault
from tests.chaos.sink import CHANNELS, Receipt

#: Seconds before a fault in which a message may be under way: its answer, and the record that it was sent.
UNDER_WAY = 1.5


class Delivery(NamedTuple):
    """A delivery in the database."""

    number: int
    alert: str
    channel: str
    task: str
    outcome: str | None


class Account:
    """
    :ivar wrong: each violation, in words, by what is violated.
    :ivar figures: counts.
    """

    def __init__(self, cluster: Cluster, faults: Sequence[Fault]) -> None:
        self.cluster = cluster
        self.faults = faults
        self.wrong: dict[str, list[str]] = {each: [] for each in VIOLATIONS}
        self.figures: Counter[str] = Counter()
        self.doubles: Counter[str] = Counter()

    @property
    def breaches(self) -> dict[str, list[str]]:
        """The breaches that occurred, with their details."""
        return {what: words for what, words in self.wrong.items() if words}

    async def settle(self) -> None:
        """Read the database, and judge."""
        self._deliveries = [
            Delivery(*row)
            for row in await self.cluster.sql(
                "SELECT delivery.id, alert, channel, coalesce(substring(url from '/task/.*'), ''), outcome"
                " FROM delivery LEFT JOIN task ON task.id = delivery.task ORDER BY delivery.id"
            )
        ]
        self._settled: dict[tuple[str, str], float] = {
            (alert, channel): float(at)
            for alert, channel, at in await self.cluster.sql(
                "SELECT alert, channel, extract(epoch from min(at)) FROM audit.settled GROUP BY 1, 2"
            )
        }
        self.figures["faults"] = len(self.faults)
        self.figures["checks asked"] = len(self.cluster.fleet.fetches)
        pings = "SELECT sum((state::json->>'pings')::bigint) FROM task WHERE state <> ''"
        self.figures["checks written"] = int((await self.cluster.sql(pings))[0][0])
        self.figures["flips"] = sum(task.flips for task in self.cluster.fleet.tasks.values())
        self.figures["alerts"] = len({each.alert for each in self._deliveries if each.task})
        self.figures["messages"] = len(self.cluster.sink.receipts)
        self._judge_flips()
        self._judge_deliveries()
        self._judge_order()
        await self._read_leases()
        self._judge_doubles()
        await self._judge_writes()
        await self._judge_owners()
        self._judge_logs()
        self._judge_take_overs()

    def _first(self) -> dict[tuple[str, str], list[Receipt]]:
        """The first message of each alert about a task that a channel took, by channel and task."""
        found: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
        seen = set()
        for receipt in self.cluster.sink.receipts:
            key = (receipt.channel, receipt.alert)
            if receipt.fate.taken and receipt.task and key not in seen:
                seen.add(key)
                found[receipt.channel, receipt.task].append(receipt)
        return found

    def _judge_flips(self) -> None:
        """Each flip has one alert in each channel, and nothing else has one."""
        first = self._first()
        for task in self.cluster.fleet.tasks.values():
            for channel in CHANNELS:
                told: list[int] = []
                blamed = False
                for receipt in first[channel, task.path]:
                    if receipt.tells and receipt.flip > max(told, default=0):
                        told.append(receipt.flip)
                        blamed = False
                    elif receipt.kind not in ("failed", "ok") or blamed:
                        # The network's fault, which was taken for the task's.
                        blamed = receipt.event != "recovered"
                        self.figures["alerts without a flip"] += 1
                    else:
                        self._say("broken sequences", f"{task.path} to {channel} after {told}: {receipt}")
                missing = sorted(set(range(1, task.flips + 1)) - set(told))
                if missing:
                    self._say("flips without an alert", f"{task.path} to {channel}: {missing} of {task.flips}")

    def _judge_deliveries(self) -> None:
        """Each committed alert was sent."""
        received = {(each.alert, each.channel) for each in self.cluster.sink.receipts if each.fate.taken}
        for each in self._deliveries:
            if each.task and (each.outcome != "sent" or (each.alert, each.channel) not in received):
                self._say("committed and never sent", str(each))
        unknown = received - {(each.alert, each.channel) for each in self._deliveries}
        for receipt in self.cluster.sink.receipts:
            if receipt.task and (receipt.alert, receipt.channel) in unknown:
                self._say("sent and never committed", str(receipt))

    def _judge_order(self) -> None:
        """The alerts of a task arrive in a channel in the order in which they were committed."""
        number = {(each.alert, each.channel): each.number for each in self._deliveries}
        for receipts in self._first().values():
            for before, after in pairwise(receipts):
                if number.get((after.alert, after.channel), 0) < number.get((before.alert, before.channel), 0):
                    self._say("out of order", f"{after} came after {before}")

    def _judge_doubles(self) -> None:
        """A message came twice only if its answer was lost, or a fault met it on its way."""
        before: dict[tuple[str, str], Receipt] = {}
        met: Counter[tuple[int, str, str]] = Counter()
        for receipt in self.cluster.sink.receipts:
            key = (receipt.alert, receipt.channel)
            last = before.get(key)
            if not receipt.fate.taken:
                continue
            before[key] = receipt
            if last is None:
                continue
            self.figures["doubles"] += 1
            if last.fate.code != 200:
                self.figures["doubles after a lost answer"] += 1
                continue
            settled = self._settled.get(key)
            if settled is not None and settled < receipt.at:
                self._say("doubles after the record", f"settled at {settled}: {last} and {receipt}")
                continue
            number, fault = next(((n, f) for n, f in enumerate(self.faults) if self._meets(f, last)), (-1, None))
            if fault is None and any(last.at < at < receipt.at for at in self._joins[last.life]):
                self.figures["doubles after a lease that was lost without a fault"] += 1
            elif fault is None:
                self._say("doubles without a fault", f"{last} and {receipt}")
            else:
                self.doubles[fault.kind] += 1
                met[number, receipt.channel, last.life] += 1
        self.figures["doubles of one channel by one fault, at most"] = max(met.values(), default=0)

    def _meets(self, fault: Fault, receipt: Receipt) -> bool:
        """Whether a fault can have met a message of this life on its way."""
        same = not fault.life or fault.life == receipt.life
        return same and fault.began - UNDER_WAY <= receipt.at + receipt.fate.after and receipt.at <= fault.ended + 1

    async def _read_leases(self) -> None:
        """Find when each life got a lease: the second follows a loss, which a busy machine can cause, too."""
        joins = await self.cluster.sql("SELECT life, extract(epoch FROM at) FROM audit.instance ORDER BY at")
        self._joins: dict[str, list[float]] = defaultdict(list)
        for life, at in joins:
            self._joins[life].append(float(at))
        self.figures["leases"] = len(joins)

    async def _judge_writes(self) -> None:
        """Nothing was written by a life that did not own it."""
        for what, *row in await self.cluster.sql("SELECT what, key, epoch, owner, life, at::text FROM audit.stale"):
            self._say(f"stale {what}s written", str(row))

    async def _judge_owners(self) -> None:
        """
        Only its owner checks a task, but for a request that a stop or the network has delayed. An instance that gets no
        answers also asks tasks of others, to find out whose fault that is (contract, section 2, "Whose fault").
        """
        rows = await self.cluster.sql(
            "SELECT substring(url from '/task/.*'), made.life, extract(epoch from owned.at) FROM audit.owned"
            " LEFT JOIN audit.instance AS made ON made.id = owned.owner ORDER BY number"
        )
        spans: dict[str, list[list[Any]]] = defaultdict(list)
        for task, life, at in rows:
            if spans[task]:
                spans[task][-1][2] = float(at)
            spans[task].append([life, float(at), time.time()])
        resumed = [each.ended for each in self.faults if each.kind in ("stop", "blip", "blind", "isolate")]
        silent = [each for each in self.faults if each.kind in ("blind", "isolate")]
        for fetch in self.cluster.fleet.fetches:
            # The database writes the times of statements, and the fetch the time at which the request was read.
            if any(
                life == fetch.life and begin - 0.5 <= fetch.at <= end + 0.5 for life, begin, end in spans[fetch.task]
            ):
                continue
            if any(each.life == fetch.life and each.began <= fetch.at <= each.ended + 5 for each in silent):
                self.figures["requests of instances without an answer"] += 1
            elif any(0 <= fetch.at - each < 5 for each in resumed):
                self.figures["requests that a stop or the network delayed"] += 1
            else:
                self._say("checks by others than the owner", str(fetch))

    def _judge_logs(self) -> None:
        """Logs have no traceback and no secret, and only a start without its database fails, in one line."""
        for instance in self.cluster.instances.values():
            for life, code in instance.failures.items():
                self.figures["starts without the database"] += 1
                if code != 1 or "database" not in instance.logs[life].splitlines()[-1]:
                    self._say("unexpected ends", f"{life} with {code}: {instance.logs[life][-1500:]}")
            for life, log in instance.logs.items():
                for surprise in (*SURPRISES, "secret-"):
                    if surprise in log:
                        place = log.index(surprise)
                        self._say("surprises in logs", f"{life}: {log[max(0, place - 300) : place + 1500]}")

    def _judge_take_overs(self) -> None:
        times = self.take_overs()
        if times and percentile(times, 99) >= TAKE_OVER:
            self._say("slow take-overs", f"p99 {percentile(times, 99):.2f} s, max {times[-1]:.2f} s")

    def take_overs(self, kind: str = "") -> list[float]:
        """Sorted times in seconds, of faults that were alone; without a kind all but those of blindness."""
        return sorted(
            seconds
            for fault in self.faults
            if fault.take_over is not None
            and fault.alone
            and (fault.kind == kind or (not kind and fault.kind != "blind"))
            for seconds in fault.take_over.taken.values()
        )

    def _say(self, what: str, words: str) -> None:
        self.wrong[what].append(words)


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share / 100))]


#: What must not happen.
VIOLATIONS = (
    "committed and never sent",
    "flips without an alert",
    "broken sequences",
    "out of order",
    "sent and never committed",
    "doubles after the record",
    "doubles without a fault",
    "stale checks written",
    "stale settlements written",
    "checks by others than the owner",
    "slow take-overs",
    "surprises in logs",
    "unexpected ends",
)


def table(accounts: Iterable[Account]) -> str:
    """The report of a run."""
    accounts = [*accounts]
    lines = [f"{'fault':12}{'count':>6}{'doubles':>9}   take-over in s: {'tasks':>6}{'p50':>7}{'p99':>7}{'max':>7}"]

    def row(name: str, count: int, doubles: int, times: Sequence[float]) -> None:
        figures = "".join(f"{percentile(times, share):7.2f}" for share in (50, 99, 100)) if times else ""
        lines.append(f"{name:12}{count:6}{doubles:9}   {'':15} {len(times) or '':>7}{figures}")

    kinds = Counter(fault.kind for account in accounts for fault in account.faults)
    for kind, count in kinds.most_common():
        times = sorted(each for account in accounts for each in account.take_overs(kind))
        row(kind, count, sum(account.doubles[kind] for account in accounts), times)
    times = sorted(each for account in accounts for each in account.take_overs())
    row("all", kinds.total(), sum(account.doubles.total() for account in accounts), times)
    figures: Counter[str] = Counter()
    for account in accounts:
        for name, value in account.figures.items():
            figures[name] = max(figures[name], value) if name.endswith("at most") else figures[name] + value
    lines += [f"{value:9,} {name}" for name, value in figures.items()]
    latencies = sorted(
        each for account in accounts for task in account.cluster.fleet.tasks.values() for each in task.latencies
    )
    if latencies:
        spread = ", ".join(f"p{share} {percentile(latencies, share):.2f}" for share in (50, 99, 100))
        lines.append(f"          seconds from a flip to its last alert: {spread}")
    lines += [f"{sum(len(account.wrong[each]) for account in accounts):9,} {each}" for each in VIOLATIONS]
    return "\n".join(lines)
