"""What one exchange shows about its host, for the question whose fault a silence is (contract, section 3)."""

from __future__ import annotations

from enum import Enum

from pypinger.domain.model import Answer, Fault, Observation


class Sign(Enum):
    """What one exchange shows about its host."""

    ANSWERED = "answered"
    SILENT = "silent"
    UNRESOLVED = "unresolved"
    NO_ROUTE = "no route"
    OWN = "own"
    NONE = "none"


_BY_FAULT = {Fault.OWN: Sign.OWN, Fault.NO_ROUTE: Sign.NO_ROUTE, Fault.DNS: Sign.UNRESOLVED}


def sign_of(observation: Observation) -> Sign:
    """Return what an observation shows about its host."""
    contact = observation.contact
    if contact is not None and contact.resolved is False:
        return Sign.UNRESOLVED
    if isinstance(observation, Answer):
        return Sign.SILENT if contact is not None and contact.silent else Sign.ANSWERED
    fault = observation.fault
    if fault in _BY_FAULT:
        return _BY_FAULT[fault]
    if contact is not None:
        return Sign.SILENT if contact.silent else Sign.ANSWERED
    if fault in (Fault.TIMEOUT, Fault.CONNECT):
        return Sign.SILENT
    # Without a contact, these failed before any host was asked: a certificate file that cannot be read, say.
    return Sign.NONE if fault in (Fault.URL, Fault.TOKEN, Fault.TLS, Fault.BROKEN) else Sign.ANSWERED
