"""
Alerts that did not arrive: in which channels, and why.

The board only counts them, so the reasons come from the history; without one the pages show the counts alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from twisted.logger import Logger
from twisted.web.template import Tag, tags

from pypinger.domain.model import Outcome
from pypinger.ports.history import DeliveryFilter, History, PastDelivery
from pypinger.ports.showing import DaemonState, Refusal
from pypinger.ports.storing import StoreError
from pypinger.web.formatting import count, shown

#: Deliveries that are looked at for the reasons, and channels that are named.
LOOK = 100
NAMED = 5

_log = Logger()


async def explain(history: History | None, daemon: DaemonState) -> DaemonState:
    """Add to a state of the daemon why alerts did not arrive."""
    if history is None or not (daemon.dead or daemon.undelivered):
        return daemon
    refusals: list[Refusal] = []
    try:
        for outcome, many in ((Outcome.DEAD, daemon.dead), (Outcome.RETRY, daemon.undelivered)):
            if many:
                found = await history.deliveries(limit=LOOK, which=DeliveryFilter(outcome=outcome))
                refusals += _refusals(found, dead=outcome is Outcome.DEAD)
    except StoreError as error:
        _log.warn("alerts that did not arrive are shown without their reasons: {error}", error=str(error))
        return daemon
    return replace(daemon, refusals=tuple(refusals))


def lines(daemon: DaemonState) -> list[Tag]:
    """What did not arrive, each kind with a link to all of it; nothing if all did, or was not tried yet."""
    found: list[Tag] = []
    dead = [each for each in daemon.refusals if each.dead]
    waiting = [each for each in daemon.refusals if not each.dead]
    if daemon.dead:
        words = " could not be delivered, and will not be retried unless you type "
        found.append(
            tags.p(_link("dead", daemon.dead), words, tags.code("pypinger resend", class_="command"), ".", *_why(dead))
        )
    if waiting and daemon.undelivered:
        verb = " is retried." if daemon.undelivered == 1 else " are retried."
        found.append(tags.p(_link("pending", daemon.undelivered), verb, *_why(waiting)))
    told = "; ".join(daemon.troubles)
    unsaid = [channel for channel in daemon.dead_channels if f"{channel} did not accept" not in told]
    if unsaid:
        names = ", ".join(map(shown, unsaid))
        verb = "does" if len(unsaid) == 1 else "do"
        found.append(tags.p(tags.strong(names), f" {verb} not accept alerts: the latest one was given up."))
    return found


def _refusals(deliveries: Sequence[PastDelivery], *, dead: bool) -> list[Refusal]:
    """The latest answer of each channel, newest first; what was not tried yet has none."""
    words: dict[str, str] = {}
    for delivery in deliveries:
        if delivery.words:
            words.setdefault(delivery.channel, delivery.words)
    return [Refusal(channel, answer, dead) for channel, answer in words.items()]


def _link(outcome: str, many: int) -> Tag:
    return tags.a(tags.strong(count(many, "alert")), href=f"deliveries?outcome={outcome}")


def _why(refusals: Sequence[Refusal]) -> list[Tag | str]:
    parts: list[Tag | str] = []
    for refusal in refusals[:NAMED]:
        parts += " ", tags.b(shown(refusal.channel)), f": “{shown(refusal.words)}”."
    return [*parts, f" And {count(len(refusals) - NAMED, 'channel')} more."] if len(refusals) > NAMED else parts
