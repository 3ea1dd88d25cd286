"""
The one place that holds every limit of the client.

What is enforced where: :mod:`~pypinger.http.message` counts bytes, headers and interim answers,
:mod:`~pypinger.http.pool` connections, :mod:`~pypinger.http.deadline` time, :mod:`~pypinger.http.redirects` redirects.
"""

from __future__ import annotations

import resource

import msgspec

from pypinger.domain.model import Seconds

#: Descriptors that are never used for fetching: pages, channels, the store and the log need some.
RESERVED_DESCRIPTORS = 128


class Limits(msgspec.Struct, frozen=True):
    """
    What one exchange and one pool of connections may cost (the contract, section 3).

    :ivar timeout: seconds for a whole exchange that brings no limit of its own.
    :ivar head: bytes of status line and headers, those of interim (1xx) answers included.
    :ivar headers: how many headers an answer may have.
    :ivar interim: how many interim answers may come before the final one.
    :ivar body: bytes of decoded body.
    :ivar cut: whether a body that is larger is cut there; otherwise it is a fault.
    :ivar redirects: how many redirects are followed.
    :ivar idle: seconds that a connection is kept without use; 0 keeps none.
    :ivar age: seconds after which a connection is used no more, so that new addresses and certificates are noticed.
    :ivar connections: how many connections there may be at once, idle ones included.
    """

    timeout: Seconds = 20.0
    head: int = 32_768
    headers: int = 128
    interim: int = 10
    body: int = 65_536
    cut: bool = False
    redirects: int = 5
    idle: Seconds = 90.0
    age: Seconds = 600.0
    connections: int = 1024

    @property
    def raw(self) -> int:
        """Bytes of a whole answer on the wire: enough for the largest body in the smallest of chunks."""
        return self.head + 65_536 + 8 * self.body


def free_descriptors() -> int:
    """How many descriptors this process may use for fetching: the soft limit but for the reserve."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(soft - RESERVED_DESCRIPTORS, soft // 2)
