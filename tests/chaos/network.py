"""
Where the instances of a cluster run: on the loopback interface, or each on a "machine" of its own.

Such a machine is a network namespace with two links, one to the tasks and channels and one to the database, and a
process namespace, so that the instances cannot see each other's processes. It needs root and iproute2.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

from twisted.trial.unittest import TestCase

#: The links of a machine.
LINKS = ("tasks", "database")

# The last numbers of the addresses outside the machines; those inside begin with 10.
_TASKS = (1, 2, 3, 4)
_DATABASE = 5


@cache
def missing() -> str | None:
    """Why there can be no machines here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    name = f"pypinger-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"no network namespaces: {made.stderr.strip()}"
    linked = subprocess.run(
        ["ip", "-n", name, "link", "add", "one", "type", "veth", "peer", "name", "two"], capture_output=True, text=True
    )
    forked = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], check=True)
    return next((f"no namespaces: {each.stderr.strip()}" for each in (linked, forked) if each.returncode), None)


class Loopback:
    """
    No machines: all instances share the loopback interface.

    :ivar hosts: the addresses of tasks, and the first of them that of channels; one is silent with a task, and several
        with the network.
    :ivar database: that of the database.
    :ivar links: those that can be cut.
    """

    hosts: tuple[str, ...] = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
    database = "127.0.0.1"
    links: tuple[str, ...] = ()

    def command(self, name: str) -> list[str]:
        """What stands before a command that runs on the machine of an instance."""
        return []

    def plug(self, name: str, link: str, there: bool) -> None:
        """Cut a link of a machine, or mend it."""
        raise NotImplementedError

    def pid(self, started: int) -> int:
        """The process of the command itself."""
        return started


class Machines(Loopback):
    """
    :param names: of the instances.
    :param number: tells clusters of one process apart, below 8.
    """

    links = LINKS

    def __init__(self, test: TestCase, names: tuple[str, ...], number: int) -> None:
        _sweep()
        self._id = f"{os.getpid()}-{number}"
        self._net = _net(os.getpid(), number)
        self.hosts = tuple(f"{self._net}.{number}" for number in _TASKS)
        self.database = f"{self._net}.{_DATABASE}"
        self._numbers = {name: 10 * (each + 1) for each, name in enumerate(names)}
        test.addCleanup(self._remove)
        for address in (*self.hosts, self.database):
            _ip("address", "add", f"{address}/32", "dev", "lo")
        for name in names:
            self._make(name)

    def command(self, name: str) -> list[str]:
        return [
            *("ip", "netns", "exec", self._space(name)),
            *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
        ]

    def plug(self, name: str, link: str, there: bool) -> None:
        """Without the link nothing arrives, and no error either."""
        device, address = self._link(name, link)
        if there:
            _ip("route", "replace", f"{address}/32", "dev", device)
        else:
            _ip("route", "replace", "blackhole", f"{address}/32")

    def pid(self, started: int) -> int:
        children = Path(f"/proc/{started}/task/{started}/children").read_text().split()
        return int(children[0]) if children else 0

    def _make(self, name: str) -> None:
        space = self._space(name)
        _ip("netns", "add", space)
        _ip("-n", space, "link", "set", "lo", "up")
        for link, targets in (("tasks", self.hosts), ("database", (self.database,))):
            device, address = self._link(name, link)
            _ip("link", "add", device, "type", "veth", "peer", "name", link, "netns", space)
            _ip("-n", space, "address", "add", f"{address}/32", "dev", link)
            _ip("-n", space, "link", "set", link, "up")
            _ip("link", "set", device, "up")
            _ip("route", "add", f"{address}/32", "dev", device)
            for target in targets:
                _ip("-n", space, "route", "add", f"{target}/32", "dev", link, "src", address)

    def _remove(self) -> None:
        for name in self._numbers:
            with suppress(subprocess.CalledProcessError):
                for link in LINKS:
                    _ip("route", "del", f"{self._link(name, link)[1]}/32")
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", self._space(name))
        _forget(self._net)

    def _space(self, name: str) -> str:
        return f"pypinger-{self._id}-{name}"

    def _link(self, name: str, link: str) -> tuple[str, str]:
        """The device of a link outside the machine, and the address inside."""
        host = self._numbers[name] + LINKS.index(link)
        return f"pp{self._id}.{host}", f"{self._net}.{host}"


def _net(pid: int, number: int) -> str:
    """The beginning of a cluster's addresses."""
    place = pid % 8192 * 8 + number
    return f"10.{64 + place // 256 % 64}.{place % 256}"


def _forget(net: str) -> None:
    for host in (*_TASKS, _DATABASE):
        with suppress(subprocess.CalledProcessError):
            _ip("address", "del", f"{net}.{host}/32", "dev", "lo")


def _sweep() -> None:
    """Remove what processes have left that were killed."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for name, pid, number in re.findall(r"^(pypinger-(\d+)-(\d)-\w+)", listed, re.M):
        if not Path(f"/proc/{pid}").exists():
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)
            _forget(_net(int(pid), int(number)))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
