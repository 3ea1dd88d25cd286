"""Request bodies: sent whole, so that their length is known and none can stall half-way."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from pypinger.http.wire.errors import ExchangeCancelled


@implementer(IBodyProducer)
class BytesProducer:
    """A body that is there already; Twisted's ``FileBodyProducer`` needs turns of the global reactor."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self.body)
        return succeed(None)

    def stopProducing(self) -> None:
        pass

    pauseProducing = resumeProducing = stopProducing


@implementer(IConsumer)
class _Collector:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass


async def collect(producer: IBodyProducer) -> bytes:
    """Return the whole body of a request."""
    collector = _Collector()
    try:
        await producer.startProducing(collector)
    except CancelledError:
        producer.stopProducing()
        raise ExchangeCancelled("collecting the request's body") from None
    return b"".join(collector.pieces)
