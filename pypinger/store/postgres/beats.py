"""
The beats of an instance: it renews its lease, and looks at what the others have changed. In the reactor's thread.

Note [Beats]
~~~~~~~~~~~~
There is a beat every :data:`~pypinger.store.postgres.lease.BEAT` seconds, and one at once when something has changed.
The writer does one thing at a time, so each beat during a hand-over would delay it. Those beats wait until it is over;
until then, the members are those of the latest regular beat. An instance that has gained some of what it wants waits
for the rest without a beat, too: it hears when more is free. A gain that got nothing causes no beat: both would repeat
as long as another instance holds what this one wants.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.ports.sharing import InstanceHealth, InstanceListing
from pypinger.store.postgres.lease import BEAT, Lease
from pypinger.store.postgres.writer import Beat, SharedWriter
from pypinger.store.threads import Reactor, Worker

#: Seconds between two beats at least that follow changes, however much changes.
SOON: Seconds = 0.05

#: Seconds after the end of another instance's lease at which it is buried.
AFTER: Seconds = 0.02


class Beats:
    """
    Has a lease renewed.

    :param worker: the thread of `writer`.
    :param listing: returns what this instance lists.
    :param busy: returns whether tasks change hands.
    :param beaten: is called with the result of each beat.
    :param failed: is called when a beat fails; it ends the lease.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        worker: Worker,
        writer: SharedWriter,
        listing: Callable[[], InstanceListing],
        busy: Callable[[], bool],
        beaten: Callable[[Beat], None],
        failed: Callable[[Failure, Lease, str], None],
    ) -> None:
        self._reactor = reactor
        self._worker = worker
        self._writer = writer
        self._listing = listing
        self._busy = busy
        self._report = beaten
        self._failed = failed
        self._health: Callable[[], InstanceHealth] = InstanceHealth
        self._lease: Lease | None = None
        self._timer: IDelayedCall | None = None
        self._began: Seconds = float("-inf")
        # Whether a beat is under way, and whether one was due meanwhile.
        self._beating = self._again = False
        # Whether something has changed while tasks change hands.
        self._changed = False
        # Whether the reactor's thread renews the lease.
        self._taken_over = Event()

    def hold(self) -> None:
        """Have the writer's thread renew the lease until :meth:`start`, however long that takes."""
        lease = self._lease
        if lease is not None:
            self._worker.run(self._hold, lease).addErrback(self._failed, lease, "renewing the lease")

    def start(self, health: Callable[[], InstanceHealth]) -> None:
        """Begin to beat; `health` returns what this instance says of itself."""
        self._health = health
        self._within(0.0)

    def begin(self, lease: Lease) -> None:
        """Renew another lease, from the next beat on."""
        self._lease = lease
        self._beating = self._again = self._changed = False

    def end(self) -> None:
        """The lease is over."""
        self._lease = None

    def stop(self) -> None:
        """Beat no more."""
        self._lease = None
        self._taken_over.set()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def now(self) -> None:
        """Beat now."""
        self._within(0.0)

    def soon(self) -> None:
        """Beat soon, as something has changed: see Note [Beats]."""
        if self._busy():
            self._changed = True
        else:
            self._within(max(0.0, self._began + SOON - self._reactor.seconds()))

    def settled(self, complete: bool) -> None:
        """No tasks change hands now; `complete`: whether this instance has just finished leaving or gaining."""
        if complete or self._changed:
            self.soon()

    def _hold(self, lease: Lease) -> None:
        while not self._taken_over.wait(BEAT):
            self._writer.beat(lease, InstanceHealth(), self._listing())

    def _within(self, delay: Seconds) -> None:
        """Beat within so many seconds."""
        timer = self._timer
        if timer is not None and timer.active():
            if timer.getTime() <= self._reactor.seconds() + delay:
                return
            timer.cancel()
        if self._lease is not None:
            self._timer = self._reactor.callLater(delay, self._beat)

    def _beat(self) -> None:
        self._taken_over.set()
        lease = self._lease
        if lease is None:
            return
        if self._beating:
            # It follows, whatever else is under way.
            self._again = True
            self._within(BEAT)
            return
        self._beating, self._again, self._changed = True, False, False
        self._began = self._reactor.seconds()
        self._within(BEAT)
        try:
            health = self._health()
        except Exception:
            self._log.failure("unexpected error while asking for the health")
            health = InstanceHealth()
        self._worker.run(self._writer.beat, lease, health, self._listing()).addBoth(self._beaten, lease)

    def _beaten(self, beat: Beat | Failure, lease: Lease) -> None:
        if lease is not self._lease:
            return
        self._beating = False
        if isinstance(beat, Failure):
            self._failed(beat, lease, "renewing the lease")
            return
        self._report(beat)
        if self._again:
            self._within(SOON)
        elif beat.next_end < BEAT:
            # Another lease may end before the next beat.
            self._within(max(0.0, beat.next_end) + AFTER)
