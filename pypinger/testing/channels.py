"""
The contract of channels that post with the HTTP client, and the fakes that it uses.

The channel posts with a :class:`RecordingClient`, so that a test needs no server and no reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from json import dumps as json_text
from typing import ClassVar, TypeAlias

import msgspec
from twisted.internet.defer import Deferred, succeed

from pypinger.domain.model import Alert, Seconds
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import ChannelContext, DeliveryError, HttpClient, Notifier, Reply, RequestFailed
from pypinger.testing.alerts import NOW, PROBLEM, alert
from pypinger.testing.contract import ChannelContract, FakeService, Received

__all__ = [
    "JSON",
    "NOW",
    "PROBLEM",
    "NotifierContract",
    "Posted",
    "RecordingClient",
    "alert",
    "context",
    "reply",
]

#: The content type that treq sends with JSON.
JSON = "application/json; charset=UTF-8"


class Posted(msgspec.Struct, frozen=True):
    """A request that a channel has made; `body` as it would be sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: Seconds


#: What a post results in; a Deferred that never fires for a service that hangs.
Answer: TypeAlias = Reply | Exception | Deferred[Reply]


class RecordingClient:
    """
    A :class:`pypinger.ports.notifying.HttpClient` that records requests and gives the answers it was made with.

    :param always: makes the answer to each further request; without it there must be no further request.
    """

    def __init__(self, *answers: Answer, always: Callable[[], Answer] | None = None) -> None:
        self.answers = list(answers)
        self.posted: list[Posted] = []
        self.got: list[str] = []
        self._always = always

    def answer(self, always: Callable[[], Answer]) -> None:
        """Give these answers from now on."""
        self._always = always

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        data: bytes | None = None,
        timeout: Seconds = 20.0,
    ) -> Reply:
        body = data or b""
        if json is not None:
            headers, body = {**headers, "Content-Type": JSON}, json_text(json).encode()
        self.posted.append(Posted(url, headers, body, timeout))
        return await self._answer()

    async def get(self, url: str, *, timeout: Seconds = 20.0) -> Reply:
        self.got.append(url)
        return await self._answer()

    async def _answer(self) -> Reply:
        answer = self._always() if self._always and not self.answers else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer


def context(client: HttpClient, name: str = "ops", now: WallClock = lambda: NOW) -> ChannelContext:
    """What a notifier is made with; it has no reactor."""
    return ChannelContext(name, client, now, None)


def reply(code: int, body: bytes | str = b"", **headers: str) -> Reply:
    """Return an answer; underscores in the names of headers stand for dashes."""
    raw = body.encode() if isinstance(body, str) else body
    return Reply(code, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


class HttpService:
    """
    A :class:`~pypinger.testing.contract.FakeService` that answers the posts of a channel.

    :param accepted: makes the answer to a message that is accepted.
    :param refused: makes the answer to a message that is refused permanently, with words.
    :param identity: see :attr:`~pypinger.testing.contract.Received.identity`.
    """

    def __init__(
        self, accepted: Callable[[], Reply], refused: Callable[[str], Reply], identity: Callable[[Posted], object]
    ) -> None:
        self.client = RecordingClient(always=accepted)
        self._accepted = accepted
        self._refused = refused
        self._identity = identity

    def received(self) -> list[Received]:
        return [Received(each.body.decode("utf-8", "replace"), self._identity(each)) for each in self.client.posted]

    def accept(self) -> None:
        self.client.answer(self._accepted)

    def refuse(self, words: str) -> None:
        self.client.answer(lambda: self._refused(words))

    def fail(self, words: str) -> None:
        self.client.answer(lambda: reply(503, words))

    def hang(self) -> None:
        self.client.answer(Deferred)

    drip = hang  # The client gives whole answers only, within its time limit.

    def waiting(self) -> Deferred[None]:
        return succeed(None)


class NotifierContract(ChannelContract):
    """
    The suite of channels that post with the HTTP client: :class:`ChannelContract`, and what answers mean.

    :cvar permanent: status codes that are permanent refusals.
    :cvar passing: status codes after which a retry may succeed.
    """

    permanent: ClassVar[Sequence[int]] = (301, 400, 401, 403, 404, 410, 413)
    passing: ClassVar[Sequence[int]] = (302, 408, 409, 429, 500, 502, 503, 504, 599)

    def accepted(self) -> Reply:
        """Return the service's answer to a message that it accepts."""
        raise NotImplementedError

    def refused(self, words: str) -> Reply:
        """Return the service's answer, with words of its own, to a message that it refuses permanently."""
        raise NotImplementedError

    def identity(self, posted: Posted) -> object:
        """Return what receivers recognise a duplicate by."""
        return posted.body

    def service(self) -> HttpService:
        return HttpService(self.accepted, self.refused, self.identity)

    def notifier_for(self, service: FakeService, name: str) -> Notifier:
        assert isinstance(service, HttpService)
        return self.channel().notifier(self.values, context(service.client, name))

    def notifier(self, client: RecordingClient) -> Notifier:
        """Make a notifier that posts with `client`."""
        return self.channel().notifier(self.values, context(client, self.section))

    def send(self, client: RecordingClient, *alerts: Alert) -> str:
        """Send one message, and return the words."""
        words: str = self.successResultOf(Deferred.fromCoroutine(self.notifier(client).send(alerts)))
        return words

    def failure(self, answer: Reply | Exception) -> DeliveryError:
        """Send one message that gets `answer`, and return the error."""
        sending = Deferred.fromCoroutine(self.notifier(RecordingClient(answer)).send([alert()]))
        return self.error_of(sending)

    def test_permanent_status_codes(self) -> None:
        for code in self.permanent:
            error = self.failure(reply(code, retry_after="5"))
            self.assertTrue(error.permanent, code)
            self.assertIsNone(error.retry_after)

    def test_faults_of_the_service_pass(self) -> None:
        for code in self.passing:
            error = self.failure(reply(code))
            self.assertFalse(error.permanent, code)
            self.assertIn(str(code), error.words)
            self.assertIsNone(error.retry_after)

    def test_no_answer_passes(self) -> None:
        error = self.failure(RequestFailed("no answer within 20 s"))
        self.assertEqual(("no answer within 20 s", False, None), (error.words, error.permanent, error.retry_after))
        self.assertEqual("no answer", self.failure(RequestFailed()).words)

    def test_retry_after(self) -> None:
        for code in (429, 503):
            self.assertEqual(17.0, self.failure(reply(code, retry_after="17")).retry_after)
            date = formatdate(NOW + 90, usegmt=True)
            self.assertEqual(90.0, self.failure(reply(code, retry_after=date)).retry_after)
            self.assertIsNone(self.failure(reply(code, retry_after="soon")).retry_after)

    def test_redirects_are_not_followed(self) -> None:
        """A redirect would carry the message, and perhaps the token, to another host."""
        for code in (301, 302, 303, 307, 308):
            client = RecordingClient(reply(code, location="https://other.example/SECRET-place"))
            error = self.error_of(Deferred.fromCoroutine(self.notifier(client).send([alert()])))
            self.assertEqual((len(client.posted), client.got), (1, []))
            self.assertNotIn("other.example", error.words)

    def test_secrets_of_answers(self) -> None:
        for secret in self.secrets:
            for answer in (
                self.refused(f"bad {secret}\x00\nhere"),
                reply(500, f"oh {secret}", x_sentry_error=secret),
                RequestFailed(f"cannot reach {self.values.get('url')} with {secret}"),
            ):
                self.check_words(self.failure(answer))

    def test_broken_answers(self) -> None:
        for body in (b"", b"\xff\xfe", b"[" * 50_000, b"[]", b"null", b'{"error": 7}', b'{"ok": "yes"}', b"<html>no"):
            error = self.failure(reply(500, body))
            self.assertFalse(error.permanent)
            self.assertTrue(error.words)
            # A page comes from what stands between, and is no refusal (contract, section 4).
            self.assertIs(self.failure(reply(403, body)).permanent, not body.startswith(b"<"))

    def test_pages_of_middleboxes(self) -> None:
        """A proxy or a captive portal answers with a page; that is no refusal by the service."""
        for code in set(self.permanent) - {301}:
            for page in ("<!DOCTYPE html><p>Sign in", "\ufeff\r\n <html>"):
                self.assertFalse(self.failure(reply(code, page)).permanent, code)
