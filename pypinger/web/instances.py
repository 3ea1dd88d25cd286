"""The instances that share the tasks, in words: the same on the overview and for ``pypinger status``."""

from __future__ import annotations

from collections.abc import Sequence

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant
from pypinger.domain.texts import one_line
from pypinger.domain.times import span
from pypinger.ports.sharing import Instance
from pypinger.ports.showing import Sharing
from pypinger.web.formatting import count

#: How many instances are named in one line.
NAMED = 4


def heading(sharing: Sharing) -> str:
    """How many instances there are."""
    return count(len(sharing.members), "instance")


def shares(sharing: Sharing) -> str:
    """Which instance watches how many tasks: ``a (this one) watches 12 tasks, b 12``."""
    members = sharing.members
    if len(members) == 1 and members[0].name == sharing.here:
        return f"{one_line(sharing.here)} (this one) watches {count(members[0].tasks, 'task')}, alone"
    if not 0 < len(members) <= NAMED:
        return f"watch {count(sum(each.tasks for each in members), 'task')} together"
    first, *others = sorted(members, key=lambda each: each.name != sharing.here)
    named = [f"{name(first, sharing)} watches {count(first.tasks, 'task')}"]
    return ", ".join([*named, *(f"{one_line(each.name)} {each.tasks:,}" for each in others)])


def name(member: Instance, sharing: Sharing) -> str:
    """The name of an instance, with a mark where it is this one."""
    return f"{one_line(member.name)} (this one)" if member.name == sharing.here else one_line(member.name)


def troubles(sharing: Sharing, now: Instant) -> list[str]:
    """What people should know of the instances, a sentence without a full stop each; nothing if all is well."""
    others = {each.id for each in different(sharing)}
    known = ((each, _troubles(each, now, different=each.id in others)) for each in sharing.members)
    return [f"instance {one_line(each.name)} {' and '.join(words)}" for each, words in known if words]


def _troubles(member: Instance, now: Instant, *, different: bool) -> list[str]:
    health = member.health
    words = []
    if health.blind is not None:
        words.append(f"is blind for {span(max(0.0, now - health.blind))}")
    elif health.status is Status.ERROR:
        words.append("is in trouble")
    return [*words, "reads another ini file"] if different else words


def different(sharing: Sharing) -> Sequence[Instance]:
    """The instances that read another ini file than this one."""
    own = next((each.digest for each in sharing.members if each.name == sharing.here), None)
    return () if own is None else [each for each in sharing.members if each.digest != own]
