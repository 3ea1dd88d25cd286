"""What is wrong with Py Pinger itself, with what to do about it."""

from __future__ import annotations

import shlex

from twisted.web.template import Tag, tags

from pypinger.domain.clocks import IS_WRONG
from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant
from pypinger.domain.times import clock
from pypinger.ports.showing import DaemonState
from pypinger.web.formatting import lasting, shown
from pypinger.web.html import undelivered
from pypinger.web.html.instances import away
from pypinger.web.html.layout import aged

#: How a trouble begins, its title, what to do, and a command to type. The braces stand for the ini file.
_ADVICE: tuple[tuple[str, str, str, str], ...] = (
    (
        "the latest reload failed",
        "The latest reload failed",
        "The settings from before are still in use. Find out what is wrong, correct it, and reload:",
        "pypinger validate {} && pypinger reload",
    ),
    (
        "the store cannot be written",
        "The store cannot be written",
        "Checks and alerts continue, but what happens now is lost if Py Pinger stops.",
        "",
    ),
    ("the store", "The store is in trouble", "Checks and alerts continue.", ""),
    (
        IS_WRONG,
        "The clock of this machine is wrong",
        "Tasks that are late or ahead of time cause no alerts meanwhile. Look at the time service:",
        "timedatectl status",
    ),
    ("checks are stuck", "Checks are stuck", "The states below may be outdated.", ""),
)

#: What follows from blindness, and what ends it.
WHILE_BLIND = "Tasks that do not answer cause no alerts until its network and name server work again."

#: The trouble that the overview's banner is about.
BLIND = "blind: "

#: What troubles of channels have in common.
_UNSENT = (" did not accept the latest alert", "an alert has been pending for ")


def notices(daemon: DaemonState, now: Instant) -> list[Tag]:
    """What is wrong with Py Pinger itself; nothing if nothing is."""
    troubles = daemon.troubles or ((daemon.explanation,) if daemon.status is not Status.OK else ())
    lost = _away(daemon, now)
    # While the database is away, this is why it is blind.
    hidden = lost or daemon.blind is not None
    lines = lost + [_trouble(words, daemon) for words in troubles if not (hidden and words.startswith(BLIND))]
    lines += undelivered.lines(daemon)
    return [_section(lines)] if lines else []


def blind(daemon: DaemonState, now: Instant) -> list[Tag]:
    """The notice of other pages while Py Pinger is blind, or its database away."""
    if lost := _away(daemon, now):
        return [_section(lost)]
    if daemon.blind is None:
        return []
    text = tags.p(
        tags.strong("Py Pinger has been blind "),
        aged(lasting("for {}", daemon.blind, now)),
        f" (since {clock(daemon.blind, now)}): it has no contact with its tasks, and the last known state is shown. ",
        WHILE_BLIND,
    )
    return [_section([text])]


def _away(daemon: DaemonState, now: Instant) -> list[Tag]:
    words = [] if daemon.sharing is None else away(daemon.sharing, now)
    return [tags.p(words)] if words else []


def _section(lines: list[Tag]) -> Tag:
    return tags.section(lines, class_="notice", id="notice", **{"aria-label": "Py Pinger itself"})


def _trouble(words: str, daemon: DaemonState) -> Tag:
    for begins, name, advice, command in _ADVICE:
        if words.startswith(begins):
            rest = shown(words.removeprefix(begins).lstrip(":; "))
            text: list[Tag | str] = [tags.strong(name, ": " if rest else ". "), f"{rest}. " if rest else "", advice]
            if command and (daemon.ini or "{}" not in command):
                text += " ", _command(command.replace("{}", shlex.quote(shown(daemon.ini))))
            return tags.p(*text)
    if any(each in words for each in _UNSENT):
        text = [
            tags.strong("Alerts do not arrive: "),
            shown(words),
            ". Mend the channel, then send every channel a test alert",
        ]
        text += [": ", _command(f"pypinger notify-test {shlex.quote(shown(daemon.ini))}")] if daemon.ini else ["."]
        return tags.p(*text)
    return tags.p(tags.strong("Py Pinger itself is in trouble: "), shown(words), ".")


def _command(line: str) -> Tag:
    return tags.code(line, class_="command")
