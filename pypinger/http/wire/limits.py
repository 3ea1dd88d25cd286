"""
Every limit of the client.

:mod:`~pypinger.http.wire.reader` enforces those on bytes, headers and interim answers,
:mod:`~pypinger.http.wire.pool` those on connections, :mod:`~pypinger.http.agents.redirects` that on redirects. A time
limit belongs to an exchange, and cancels its Deferred.
"""

from __future__ import annotations

import resource

import msgspec

from pypinger.domain.model import Seconds

#: Descriptors used neither for fetching nor for pages: channels, the store, logs and look-ups need them.
RESERVED_DESCRIPTORS = 128


class Limits(msgspec.Struct, frozen=True):
    """
    What one exchange and one pool of connections may use (contract, section 3).

    :ivar head: bytes of status line and headers, those of interim (1xx) answers included.
    :ivar headers: header lines of an answer.
    :ivar interim: interim answers before the final one.
    :ivar body: bytes of decoded body.
    :ivar cut: whether a larger body is cut; otherwise it is a fault.
    :ivar redirect_body: whether the body of a redirect is read; otherwise the answer ends with its headers.
    :ivar redirects: redirects that are followed.
    :ivar idle: seconds that an unused connection is kept; 0 keeps none.
    :ivar age: seconds after which a connection is not reused, so that new addresses and certificates are noticed.
    :ivar connections: connections at once, idle ones included.
    """

    head: int = 32_768
    headers: int = 128
    interim: int = 10
    body: int = 65_536
    cut: bool = False
    redirect_body: bool = True
    redirects: int = 5
    idle: Seconds = 90.0
    age: Seconds = 600.0
    connections: int = 1024

    @property
    def raw(self) -> int:
        """Bytes of a whole answer on the wire: enough for the largest body in the smallest chunks."""
        return self.head + 65_536 + 8 * self.body


def free_descriptors() -> int:
    """Return how many descriptors this process may use for fetching: half the soft limit less the reserve.

    The other half is for clients of the pages (contract, section 7).
    """
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(soft // 2 - RESERVED_DESCRIPTORS, soft // 4)
