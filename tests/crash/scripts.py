"""
Tasks whose states follow a script.

Note [Scripts]
~~~~~~~~~~~~~~
A task shows the next state of its script at the second request of one life of the daemon, and at each further one. The
daemon runs one check of a task at a time, and a check ends once its result is committed. A second request therefore
proves that the first state was committed, so that no state is skipped unseen. The expected alerts follow from the
script alone, wherever the daemon was killed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from random import Random

from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Request, Server, members

#: The report of each state. Clock steps of some hours do not change its verdict.
REPORTS = {
    "ok": {"ago": 60, "frequency": 527_040},
    "failed": {"ago": 60, "frequency": 527_040, "status": "error"},
    "late": {"ago": 30 * 86_400, "frequency": 1},
    "future": {"ago": -30 * 86_400, "frequency": 1},
    "invalid": {"ago": 60, "status": "sideways"},
}


class Script:
    """
    A task: see Note [Scripts].

    :ivar states: the states shown so far, in order.
    :ivar ending: if set, only this state is shown from now on.
    :ivar kept: whether the last state shown is known to be committed.
    :ivar shown_to: the token of the life that the last state was shown to.
    """

    def __init__(self, random: Random, server: str) -> None:
        self._random = random
        self._server = server
        self.shown_to = ""
        self.states = [self._random.choice(list(REPORTS))]
        self.ending: str | None = None
        self.kept = False

    def show(self, request: Request) -> None:
        token = request.headers["authorization"]
        self.kept = token == self.shown_to
        if self.kept and self.states[-1] != self.ending:
            # Recover more often than not; otherwise half of the steps would only change the kind.
            others = [state for state in REPORTS if state != self.states[-1]]
            weights = [4 if state == "ok" else 1 for state in others]
            self.states.append(self.ending or self._random.choices(others, weights)[0])
            self.kept = False
        self.shown_to = token
        state = self.states[-1]
        report = members(**REPORTS[state], server=self._server, reason=f"state {len(self.states)}")
        request.answer(200, json.dumps(report))


class Tasks(Server):
    """Tasks of one origin."""

    def __init__(self, test: TestCase, scripts: Iterable[Script]) -> None:
        super().__init__(test)
        self.scripts = {f"{self.origin}/task/{number}": script for number, script in enumerate(scripts)}

    def serve(self, request: Request) -> None:
        self.scripts[f"{self.origin}{request.path}"].show(request)
