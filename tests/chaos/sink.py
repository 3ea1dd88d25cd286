"""The receiver of two ``[webhook]`` channels: ``fast`` takes all, ``slow`` is slow, refuses, and loses answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import NamedTuple

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Request, Server

CHANNELS = ("webhook fast", "webhook slow")


class Fate(NamedTuple):
    """What becomes of a message: whether it is taken, the answer's code (0: the connection is closed), and when."""

    taken: bool
    code: int
    after: float = 0.0


TAKE = Fate(True, 200)
_SLOW = (
    (85, TAKE),
    (8, Fate(True, 200, 0.1)),
    (2, Fate(True, 200, 0.5)),
    (2, Fate(False, 500)),
    (1, Fate(False, 0)),
    (2, Fate(True, 0, 0.05)),
)


class Receipt(NamedTuple):
    """
    A message as received.

    :ivar at: seconds since the epoch.
    :ivar task: the path of its task; empty for an alert of an instance itself.
    :ivar flip: the number of the flip that it is about.
    :ivar off: how much later than it says it came, in seconds.
    :ivar fate: see :class:`Fate`.
    """

    at: float
    channel: str
    alert: str
    life: str
    task: str
    event: str
    kind: str
    flip: int
    explanation: str
    off: float
    fate: Fate

    @property
    def tells(self) -> bool:
        """Whether it is about a flip, by its report."""
        return self.event == "recovered" if self.flip % 2 == 0 else self.kind == "failed"


class Sink(Server):
    """
    The channels' service.

    :param told: called with the path of a task, a channel and the number of a flip.
    :ivar receipts: all messages, in order.
    :ivar calm: whether `slow` takes everything at once from now on.
    """

    def __init__(self, test: TestCase, random: Random, told: Callable[[str, str, int], object], interface: str) -> None:
        super().__init__(test, interface=interface)
        self.receipts: list[Receipt] = []
        self.calm = False
        self._random = random
        self._told = told

    def sections(self) -> str:
        """The ini file's sections of the channels."""
        return "".join(
            f"[{name}]\nurl = {self.origin}/{name.split()[1]}\nheaders = X-Life: ${{env:CHAOS_LIFE}}\n"
            "events = problem changed recovered started stopped\n"
            for name in CHANNELS
        )

    def serve(self, request: Request) -> None:
        receipt = self._read(request)
        self.receipts.append(receipt)
        if receipt.fate.taken and receipt.tells:
            self._told(receipt.task, receipt.channel, receipt.flip)
        reactor.callLater(receipt.fate.after, self._answer, request, receipt.fate.code)

    def _read(self, request: Request) -> Receipt:
        message = json.loads(request.body)
        task = message["task"] or {}
        flip = re.fullmatch(r"flip (\d+)", task.get("process") or "")
        channel = f"webhook {request.path[1:]}"
        return Receipt(
            request.at,
            channel,
            message["id"],
            request.headers["x-life"],
            re.sub(r"^.*(?=/task/)", "", task.get("url", "")),
            message["event"],
            message["kind"] or "",
            int(flip[1]) if flip else -1,
            message["explanation"] or "",
            request.at - datetime.fromisoformat(message["at"]).timestamp(),
            self._fate(channel),
        )

    def _fate(self, channel: str) -> Fate:
        if channel != CHANNELS[1] or self.calm:
            return TAKE
        return self._random.choices([fate for _, fate in _SLOW], [weight for weight, _ in _SLOW])[0]

    def _answer(self, request: Request, code: int) -> None:
        if code:
            request.answer(code, "try again" if code != 200 else "")
        else:
            request.close()
