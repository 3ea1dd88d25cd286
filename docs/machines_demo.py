"""
Three instances over one PostgreSQL, to be killed, stopped and cut off from the terminal: ``make demo-machines``.

PostgreSQL (Debian's binaries) and the instances run in a temporary directory on the loopback interface, with the sample
tasks of ``pypinger demo``. Each alert is printed as it arrives, with the instance that sent it. All of it is gone when
the demo ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from pypinger.cli.demo import LOOPBACK, free_port
from pypinger.cli.fleet import SAMPLES, FleetSite

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests import postgres
from tests.chaos.proxy import Proxy

NAMES = ("a", "b", "c")

HELP = """
  kill a      SIGKILL: the others take over its tasks when its lease is over, within 10 s
  stop b      a clean stop: its tasks are handed over at once
  freeze b    SIGSTOP; "thaw b" continues it
  start a     start it again
  cut c       cut its connections to the database; "mend c" mends them
  database    stop PostgreSQL, or start it again
  quit        end everything (as Ctrl-C does)
"""

_INI = """[main]
interval = 2
timeout = 3
grace = 5
error_interval = 0
group_wait = 0
[urls]
prod =
{urls}
[web]
endpoint = tcp:{port}:interface=127.0.0.1
hosts = 127.0.0.1 localhost
[store]
url = ${{env:DEMO_DATABASE}}
instance = ${{env:DEMO_NAME}}
[webhook]
url = {alerts}
headers = X-Instance: ${{env:DEMO_NAME}}
{names}
"""


def say(words: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {words}", flush=True)


class Alerts(Resource):
    """Prints the alerts that it receives."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        """Take an alert."""
        message = json.loads(request.content.read())
        task = message["task"] or {"name": "Py Pinger"}
        name = request.getHeader("X-Instance")
        say(f"alert from {name}: {message['event'].upper()} {task['name'] or task['url']}: {message['explanation']}")
        return b""


class Instance(ProcessProtocol):
    """
    An instance, with a proxy before its database.

    :ivar frozen: whether it is stopped by SIGSTOP.
    """

    def __init__(self, name: str, directory: Path, proxy: Proxy, database: str) -> None:
        self.name = name
        self.proxy = proxy
        self.frozen = False
        self._ending = False
        self._directory = directory
        self._database = database
        self._process: Any = None
        self._over: Deferred[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether it has a process."""
        return self._over is not None

    def start(self) -> None:
        """Start it."""
        self._over = Deferred()
        twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        environ = {**os.environ, "DEMO_NAME": self.name, "DEMO_DATABASE": self._database}
        environ["RUNTIME_DIRECTORY"] = str(self._directory)
        log = (self._directory / "log").open("ab")
        with log:
            self._process = reactor.spawnProcess(
                self,
                sys.executable,
                [*twistd, "-n", "--pidfile=", "pypinger"],
                env=environ,
                path=str(self._directory),
                childFDs={0: os.open(os.devnull, os.O_RDONLY), 1: log.fileno(), 2: log.fileno()},
            )

    def signal(self, name: str) -> None:
        """Send it a signal."""
        if self._over is not None:
            self.frozen = name == "STOP"
            try:
                self._process.signalProcess(name)
            except ProcessExitedAlready:
                pass

    def processEnded(self, reason: Failure) -> None:
        """Its process has ended."""
        over, self._over, self.frozen = self._over, None, False
        if not self._ending:
            status = reason.value
            how = f"exit code {status.exitCode}" if status.signal is None else signal.Signals(status.signal).name
            say(f"{self.name} has ended ({how})")
        if over is not None:
            over.callback(None)

    def end(self) -> Deferred[None]:
        """End it for good."""
        self._ending = True
        over: Deferred[None] = Deferred()
        if self._over is None:
            over.callback(None)
            return over
        self._over.chainDeferred(over)
        self.signal("KILL" if self.frozen else "TERM")
        reactor.callLater(5, self.signal, "KILL")
        return over


class Switch(LineOnlyReceiver):
    """
    Does what the lines of the terminal say.

    :param instances: by name.
    """

    delimiter = b"\n"

    def __init__(self, instances: dict[str, Instance], server: postgres.Server) -> None:
        self._instances = instances
        self._server = server
        self._away = False

    def lineReceived(self, line: bytes) -> None:
        """Do one line."""
        word, _, name = line.decode(errors="replace").strip().lower().partition(" ")
        instance = self._instances.get(name.strip())
        verbs: dict[str, Callable[[Instance], str]] = {
            "kill": self._kill,
            "stop": self._stop,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "start": self._start,
            "cut": self._cut,
            "mend": self._mend,
        }
        if word in ("quit", "exit", "q"):
            reactor.stop()
        elif word == "database":
            self._turn_database()
        elif word in verbs and instance is not None:
            say(verbs[word](instance))
        elif word:
            print(HELP, flush=True)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The terminal is gone: the demo runs until it is interrupted."""

    def _kill(self, instance: Instance) -> str:
        instance.signal("KILL")
        return f"killed {instance.name}"

    def _stop(self, instance: Instance) -> str:
        instance.signal("TERM")
        return f"{instance.name} is to stop"

    def _freeze(self, instance: Instance) -> str:
        instance.signal("STOP")
        return f"{instance.name} is frozen"

    def _thaw(self, instance: Instance) -> str:
        instance.signal("CONT")
        return f"{instance.name} continues"

    def _start(self, instance: Instance) -> str:
        if instance.runs:
            return f"{instance.name} runs already"
        instance.start()
        return f"started {instance.name}"

    def _cut(self, instance: Instance) -> str:
        instance.proxy.set("cut")
        return f"{instance.name} has no database"

    def _mend(self, instance: Instance) -> str:
        instance.proxy.set("open")
        return f"{instance.name} has its database back"

    def _turn_database(self) -> None:
        self._away = not self._away
        turned = deferToThread(self._server.stop if self._away else self._server.start)
        words = "PostgreSQL has stopped" if self._away else "PostgreSQL runs again"
        turned.addCallbacks(lambda _: say(words), lambda failure: say(failure.getErrorMessage()))


class Watch:
    """Prints who watches how many tasks whenever that changes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._last: str | None = None
        self._asking = LoopingCall(self._look)
        self._asking.start(1, now=False)

    def _look(self) -> Deferred[None]:
        return deferToThread(self._ask).addCallback(self._show)

    def _ask(self) -> str:
        import psycopg

        try:
            with psycopg.connect(self._url, connect_timeout=2) as connection:
                rows = connection.execute(
                    "SELECT name, (SELECT count(*) FROM ownership WHERE owner = instance.id) FROM instance"
                    " WHERE until > clock_timestamp() ORDER BY name"
                ).fetchall()
        except psycopg.Error:
            return ""
        return ", ".join(f"{name} watches {count} tasks" for name, count in rows)

    def _show(self, words: str) -> None:
        if words and words != self._last:
            say(words)
        self._last = words or self._last


class _Cleanups:
    """What is to be done at the end, as a test case keeps it."""

    def addCleanup(self, function: Callable[..., object], *arguments: object) -> None:
        """The process ends soon after, and its ports with it."""


def run(directory: Path, server: postgres.Server) -> None:
    """Run until interrupted."""
    fleet = reactor.listenTCP(0, FleetSite(time.time), interface=LOOPBACK).getHost().port
    alerts = reactor.listenTCP(0, Site(Alerts()), interface=LOOPBACK).getHost().port
    urls = {f"http://{LOOPBACK}:{fleet}/{sample.path}": sample.name for sample in SAMPLES}
    instances = {}
    for name in NAMES:
        proxy = Proxy(_Cleanups(), server.port, LOOPBACK)
        database = server.url().replace(f":{server.port}/", f":{proxy.port}/")
        port = free_port()
        (directory / name).mkdir()
        (directory / name / "pinger.ini").write_text(
            _INI.format(
                urls="\n".join(f"    {url}" for url in urls),
                port=port,
                alerts=f"http://{LOOPBACK}:{alerts}/",
                names="\n".join(f"[task {url}]\nname = {name}" for url, name in urls.items()),
            )
        )
        instances[name] = Instance(name, directory / name, proxy, database)
        print(f"instance {name}:  http://{LOOPBACK}:{port}/   (log: {directory / name / 'log'})")
    print(HELP, flush=True)
    for instance in instances.values():
        instance.start()
    stdio.StandardIO(Switch(instances, server))
    watch = Watch(server.url())

    def stop() -> Deferred[Any]:
        say("the demo ends")
        return DeferredList([instance.end() for instance in instances.values()])

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.run()
    del watch


def main() -> int:
    """Start PostgreSQL, run the demo, and remove everything."""
    if words := postgres.missing():
        print(f"demo-machines: {words}", file=sys.stderr)
        return 1
    print("Starting PostgreSQL ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="pypinger-demo-") as directory:
        server = postgres.Server()
        try:
            server.start()
            run(Path(directory), server)
        finally:
            server.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
