"""Requests among instances, and their answers, over the table ``request``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.ports.sharing import InstanceRequest, InstanceRequestFailed, LeaseLost, Sharer
from pypinger.store.postgres import membership
from pypinger.store.postgres.lease import Lease
from pypinger.store.postgres.others import Reporting
from pypinger.store.postgres.refused import parameter, without_nul
from pypinger.store.postgres.writer import SharedWriter
from pypinger.store.rows import encode
from pypinger.store.threads import Reactor, Worker

_ASK = """
INSERT INTO request (sender, target, body)
SELECT %s, target, body FROM json_to_recordset(%s::json) AS j (target text, body text)
"""

_ANSWER = """
UPDATE request SET answer = j.answer FROM json_to_recordset(%s::json) AS j (id bigint, answer text)
WHERE request.id = j.id AND request.answer IS NULL RETURNING sender
"""

_ANSWERED = "SELECT id, answer FROM request WHERE sender = %s AND answer IS NOT NULL"

_ASKED = "SELECT id, sender, body FROM request WHERE target = %s AND answer IS NULL ORDER BY id"

_CLEAN = "DELETE FROM request WHERE id = ANY(%s)"


class Letter(msgspec.Struct, frozen=True):
    """The column ``body``: a request with its sender's number for it."""

    number: int
    verb: str
    body: dict[str, Any]


class LetterBack(msgspec.Struct, frozen=True):
    """The column ``answer``; `failed` says why there is no value."""

    number: int
    value: Any = None
    failed: str | None = None


class Arrived(NamedTuple):
    """What came for this instance: answers, and (row, sender, body) of requests."""

    answers: Sequence[tuple[int, str]]
    requests: Sequence[tuple[int, str, str]]


_LETTER = msgspec.json.Decoder(Letter)
_REPLY = msgspec.json.Decoder(LetterBack)


def exchange(
    connection: psycopg.Connection,
    me: str,
    asked: Sequence[tuple[str, str]],
    answers: Sequence[tuple[int, str]],
    done: Sequence[int],
) -> Arrived:
    """
    Send and fetch. It may be done twice: who is asked knows the numbers, and so does who asks.

    :param asked: (id of the instance, body).
    :param answers: (row, answer).
    :param done: the rows of answers that were fetched before.
    """
    with connection.transaction():
        if done:
            connection.execute(_CLEAN, (list(done),))
        if asked:
            rows = [{"target": target, "body": body} for target, body in asked]
            connection.execute(_ASK, (me, parameter(rows)))
            for target in {target for target, _ in asked}:
                membership.notify(connection, f"requests {target}")
        if answers:
            rows_of = [{"id": row, "answer": answer} for row, answer in answers]
            senders = {sender for (sender,) in connection.execute(_ANSWER, (parameter(rows_of),))}
            for sender in senders:
                membership.notify(connection, f"answers {sender}")
        return Arrived(connection.execute(_ANSWERED, (me,)).fetchall(), connection.execute(_ASKED, (me,)).fetchall())


class Asking:
    """
    The reactor's side: who waits for answers, and what is being answered.

    :param lost: is called when the lease is found to be over.
    """

    _log = Logger()

    def __init__(
        self, reactor: Reactor, worker: Worker, writer: SharedWriter, lost: Callable[[Lease, str], None]
    ) -> None:
        self._reactor = reactor
        self._worker = worker
        self._writer = writer
        self._lost = lost
        self._reporting: Reporting | None = None
        self._lease: Lease | None = None
        self._numbers = 0
        self._waiting: dict[int, tuple[Deferred[Any], str, IDelayedCall]] = {}
        self._asked: list[tuple[str, str]] = []
        self._answers: list[tuple[int, str]] = []
        self._done: list[int] = []
        # (sender, number) of requests that are done, or being done, and when they came.
        self._known: dict[tuple[str, int], Seconds] = {}
        self._busy = self._again = False

    def begin(self, lease: Lease, reporting: Reporting) -> None:
        """Take requests, under a new lease."""
        self._lease, self._reporting = lease, reporting
        self._busy = self._again = False

    def drop(self, words: str) -> None:
        """The lease is over: requests fail."""
        self._lease = None
        self._asked, self._answers, self._done = [], [], []
        for number in list(self._waiting):
            self._fail(number, words)

    def keep(self, members: Sequence[str]) -> None:
        """Fail requests to instances that are gone; `members` are the ids of those that are not."""
        for number, (_, target, _) in list(self._waiting.items()):
            if target not in members:
                self._fail(number, "the instance that was asked is gone")
        horizon = self._reactor.seconds() - membership.OLD
        self._known = {key: at for key, at in self._known.items() if at > horizon}

    async def ask(self, target: str, name: str, request: InstanceRequest) -> Any:
        """
        Ask an instance.

        :param target: its id; `name`: its name.
        :raises InstanceRequestFailed: see :meth:`pypinger.ports.sharing.SharedStore.ask`.
        """
        if self._lease is None:
            raise InstanceRequestFailed("the database cannot be reached")
        self._numbers += 1
        number = self._numbers
        words = f"instance {name} did not answer within {request.limit:g} s"
        body = without_nul(encode(Letter(number, request.verb, dict(request.body))))
        waiter: Deferred[Any] = Deferred()
        self._waiting[number] = waiter, target, self._reactor.callLater(request.limit, self._fail, number, words)
        self._asked.append((target, body))
        self.poke()
        return await waiter

    def poke(self) -> None:
        """Exchange what there is; called, too, when something may have come."""
        if self._busy:
            self._again = True
            return
        lease = self._lease
        if lease is None:
            return
        self._busy, self._again = True, False
        asked, answers, done = self._asked, self._answers, self._done
        self._asked, self._answers, self._done = [], [], []
        mail = self._worker.run(
            self._writer.run, lease, lambda connection: exchange(connection, lease.id, asked, answers, done)
        )
        mail.addBoth(self._exchanged, lease)

    def _exchanged(self, mail: Arrived | Failure, lease: Lease) -> None:
        if lease is not self._lease:
            return
        self._busy = False
        if isinstance(mail, Failure):
            if mail.check(LeaseLost) is None:
                self._log.failure("unexpected error while exchanging requests", mail)
            else:
                self._lost(lease, lease.words)
            return
        for row, answer in mail.answers:
            self._done.append(row)
            self._answered(_REPLY.decode(answer))
        for row, sender, body in mail.requests:
            self._take(row, sender, _LETTER.decode(body))
        if self._again or self._asked or self._answers:
            self.poke()

    def _answered(self, reply: LetterBack) -> None:
        if reply.number in self._waiting:
            waiter, _, timer = self._waiting.pop(reply.number)
            timer.cancel()
            if reply.failed is None:
                waiter.callback(reply.value)
            else:
                waiter.errback(InstanceRequestFailed(reply.failed))

    def _take(self, row: int, sender: str, letter: Letter) -> None:
        key = sender, letter.number
        sharer = None if self._reporting is None else self._reporting.sharer
        if key in self._known or sharer is None:
            return
        self._known[key] = self._reactor.seconds()
        answer = Deferred.fromCoroutine(self._answer(sharer, letter))
        answer.addCallback(self._reply, row, self._lease)

    async def _answer(self, sharer: Sharer, letter: Letter) -> LetterBack:
        try:
            value = await sharer.asked(InstanceRequest(letter.verb, letter.body))
        except (InstanceRequestFailed, LeaseLost) as error:
            return LetterBack(letter.number, failed=str(error))
        except Exception:
            self._log.failure("unexpected error while answering another instance")
            return LetterBack(letter.number, failed="unexpected error; see the log of that instance")
        return LetterBack(letter.number, value)

    def _reply(self, reply: LetterBack, row: int, lease: Lease | None) -> None:
        if lease is self._lease:
            self._answers.append((row, without_nul(encode(reply))))
            self.poke()

    def _fail(self, number: int, words: str) -> None:
        waiter, _, timer = self._waiting.pop(number)
        if timer.active():
            timer.cancel()
        waiter.errback(InstanceRequestFailed(words))
