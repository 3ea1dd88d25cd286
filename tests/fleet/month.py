"""
A month of alerts: ``make month``, or ``python -m tests.fleet.month --days 7 --seeds 1``.

Prints what a fleet's people get, as a table, and ends with exit code 1 where that is not what the contract promises.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.fleet.measure import Measures, Storm, quantile
from tests.fleet.members import HOUR
from tests.fleet.script import Script
from tests.fleet.simulation import Simulation

#: `error_interval` in seconds, and how many messages a day are too many with it.
LIMITS = {480.0: 120.0, HOUR: 60.0}

SOURCES = (
    "problem",
    "changed",
    "reminder",
    "recovered",
    "flapping",
    "blind",
    "sighted",
    "started",
    "stopped",
)


@dataclass(frozen=True)
class Result:
    """The figures of one seed and `error_interval`; `plain` is a channel without threads."""

    seed: int
    error_interval: float
    days: float
    checks: int
    incidents: int
    brief: int
    caused: int
    missed: list[str]
    false: list[str]
    faults: list[str]
    lost: int
    unseen: list[float]
    doubled: int
    delays: list[float]
    beyond: float
    worst: str
    sources: Counter[str]
    a_day: float
    plain: float
    fixed_reminders: int
    storms: list[Storm]

    def breaches(self) -> Iterator[str]:
        """What is not as promised, a line each."""
        yield from (f"missed: {line}" for line in self.missed)
        yield from (f"false alarm: {line}" for line in self.false)
        yield from (f"wrong: {line}" for line in self.faults)
        if self.lost:
            yield f"{self.lost} alerts reached nobody"
        if self.doubled:
            yield f"{self.doubled} alerts came twice"
        yield from (f"our cut was not told: {at:.0f} s" for at in self.unseen)
        if self.beyond > 0:
            yield f"told {self.beyond:.1f} s too late: {self.worst}"
        for storm in self.storms:
            if storm.quiet and storm.messages > 2:
                yield f"seed {self.seed}: {storm}"


def measure(seed: int, days: float, error_interval: float) -> Result:
    """Simulate, and count."""
    simulation = Simulation(Script(seed, days), error_interval=error_interval)
    simulation.run()
    truth = simulation.truth
    slack, plain = (Measures(simulation, channel) for channel in simulation.channels)
    last = max([*slack.delays, *plain.delays], key=lambda delay: delay.beyond)
    return Result(
        seed=seed,
        error_interval=error_interval,
        days=days,
        checks=truth.checks,
        incidents=truth.incidents,
        brief=truth.brief,
        caused=len(slack.delays),
        missed=truth.missed,
        false=truth.false,
        faults=truth.faults,
        unseen=slack.unseen + plain.unseen,
        lost=len(slack.lost) + len(plain.lost),
        doubled=len(slack.doubled) + len(plain.doubled),
        delays=[delay.took for delay in slack.delays],
        beyond=last.beyond,
        worst=f"seed {seed}, {last.caused}, took {last.took:.1f} s, permitted {last.permitted:.1f} s",
        sources=slack.sources(),
        a_day=slack.a_day(),
        plain=plain.a_day(),
        fixed_reminders=truth.reminders,
        storms=slack.storms + plain.storms,
    )


def table(results: Sequence[Result]) -> Iterator[str]:
    """The figures as a Markdown table, a column for each result."""

    def row(name: str, *cells: object) -> str:
        return f"| {name} | " + " | ".join(map(str, cells)) + " |"

    yield row("", *(f"seed {each.seed}, {each.error_interval / 60:g} min" for each in results))
    yield row("---", *("--:" for _ in results))
    yield row("incidents a day", *(f"{each.incidents / each.days:.1f}" for each in results))
    yield row(
        "... without a report, gone at the next check",
        *(f"{each.brief / max(each.incidents, 1):.0%}" for each in results),
    )
    yield row("recall", *(f"{1 - len(each.missed) / max(each.incidents, 1):.2%}" for each in results))
    yield row("false alarms", *(len(each.false) for each in results))
    yield row("duplicates", *(each.doubled for each in results))
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        yield row(f"delay {name}, s", *(f"{quantile(each.delays, share):.1f}" for each in results))
    yield row("beyond what is permitted, s", *(f"{max(each.beyond, 0):.1f}" for each in results))
    for source in SOURCES:
        counts = [(each.sources[source] / each.days, each.sources[source + "+"] / each.days) for each in results]
        yield row(f"{source} a day + in threads", *(f"{alone:.1f} + {replies:.1f}" for alone, replies in counts))
    yield row("**messages a day**", *(f"**{each.a_day:.1f}**" for each in results))
    yield row("messages a day without threads", *(f"{each.plain:.1f}" for each in results))
    fixed = [f"{each.fixed_reminders / each.days:.0f}" for each in results]
    yield row("reminders a day, were they fixed and single", *fixed)
    storms = [Counter(storm.messages for storm in each.storms) for each in results]
    told = [f"{each[1]}, {each[2]}, {each.total() - each[1] - each[2]}" for each in storms]
    yield row("storms told in 1, 2, 3 and more messages", *told)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="A fleet-month of alerts on a fake clock.")
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    with ProcessPoolExecutor(options.jobs) as pool:
        running = [pool.submit(measure, seed, options.days, interval) for interval in LIMITS for seed in options.seeds]
        results = [each.result() for each in running]
    print("\n".join(table(results)))
    breaches = [line for each in results for line in each.breaches()]
    for each in results:
        if each.a_day >= LIMITS[each.error_interval]:
            breaches.append(f"seed {each.seed}: {each.a_day:.1f} messages a day")
    print("\n".join(["", *breaches[:50]]))
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
