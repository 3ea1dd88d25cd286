"""What a check observes, and what is found in it."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from pypinger.domain.model.task import Report
from pypinger.domain.model.units import Instant, Seconds


class Contact(msgspec.Struct, frozen=True, gc=False):
    """
    What one exchange shows about the host it went to (contract, section 3, "Whose fault" and "Whose clock").

    :ivar host: the host that was asked last: that of the URL, or the forward proxy.
    :ivar address: the IP address that was reached there; None if none was.
    :ivar silent: whether nothing came back: no connection was made, or a kept one stayed mute.
    :ivar date: the ``Date`` of the answer; None without one, or with an ``Age``.
    """

    host: str
    address: str | None = None
    silent: bool = False
    date: Instant | None = None


class Skew(msgspec.Struct, frozen=True, gc=False):
    """
    How the clock of a host differs from ours (contract, section 3, "Whose clock").

    :ivar ahead: seconds that it is ahead of ours; negative if it is behind.
    """

    host: str
    ahead: Seconds


class Answer(msgspec.Struct, frozen=True, tag="answer", gc=False):
    """
    An HTTP answer whose body was read to its end within the limits.

    :ivar code: the HTTP status code of the last answer, after redirects.
    :ivar body: the decoded body.
    :ivar latency: seconds from the start of the exchange to the end of the body.
    :ivar url: the URL that answered, as it may be shown, where redirects led away from the task's; else None.
    :ivar foreign: whether that URL has another origin than the task's.
    """

    code: int
    body: bytes
    latency: Seconds
    contact: Contact | None = None
    url: str | None = None
    foreign: bool = False


class Fault(StrEnum):
    """Why there was no HTTP answer, in classes that need different action."""

    URL = "url"
    DNS = "dns"
    REFUSED = "refused"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    REDIRECTS = "redirects"
    TOO_LARGE = "too_large"
    BROKEN = "broken"
    TOKEN = "token"
    NO_ROUTE = "no_route"
    OWN = "own"


class NoAnswer(msgspec.Struct, frozen=True, tag="no_answer", gc=False, omit_defaults=True):
    """
    A check that got no usable HTTP answer.

    :ivar words: what went wrong, without secrets and without a full stop.
    :ivar latency: seconds until that was known.
    :ivar contact: is not stored.
    """

    fault: Fault
    words: str
    latency: Seconds
    contact: Contact | None = None


class Reported(msgspec.Struct, frozen=True, tag="reported", gc=False):
    """An answer with a valid report."""

    code: int
    report: Report


class Invalid(msgspec.Struct, frozen=True, tag="invalid", gc=False):
    """
    An answer without a valid report.

    :ivar problem: names the member and what is wrong with it.
    """

    code: int
    problem: str


#: The fetcher's result of one check.
Observation: TypeAlias = Answer | NoAnswer

#: What was read from an observation; this is judged.
Finding: TypeAlias = Reported | Invalid | NoAnswer
