"""Several instances over one PostgreSQL database, with the same ini file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from tests import postgres
from tests.acceptance.channels import Message, Service
from tests.acceptance.endpoints import Endpoints, Request, body, report
from tests.acceptance.process import PATIENCE, PYPINGER, Daemon, Process, free_port, new_directory, pause, until

reactor: Any = _reactor

#: Modules of instances that share a database.
IMPORTS = ("psycopg", "pypinger.store.postgres.store", "pypinger.store.postgres.process")

#: What the token of an instance begins with; its name follows, and tells whose check a request is.
TOKEN = "the-token-of-"

#: With so many tasks each of two or three instances has one.
MANY = 16

INI = """[main]
interval = 0.5
timeout = 5
group_wait = 0
error_interval = 1h
{main}
[urls]
prod = {urls}
[web]
endpoint = tcp:${{env:PINGER_PORT}}:interface=127.0.0.1
[store]
url = ${{env:PINGER_DATABASE}}
instance = ${{env:PINGER_NAME}}
[token_auth]
token = {token}${{env:PINGER_NAME}}
{more}
"""


class Receiver(Service):
    """The server of a ``[webhook]``."""

    accepts = staticmethod(body("ok"))

    def section(self, name: str = "") -> str:
        return f"[webhook {name}]\nurl = {self.origin}/\n".replace(" ]", "]")

    def read(self, request: Request) -> Message:
        sent = json.loads(request.body)
        task = sent["task"] or {}
        return Message(sent["id"], sent["event"], f"{task.get('name', '')}: {sent['explanation']}", sent)

    def of_task(self, name: str) -> list[str]:
        """The events of a task, in the order in which they came."""
        return [each.event for each in self.messages() if (each.payload["task"] or {}).get("name") == name]

    def of_tasks(self) -> list[str]:
        """The events of all tasks."""
        return [each.event for each in self.messages() if each.payload["task"]]

    def own(self, event: str) -> list[str]:
        """What Py Pinger said of itself."""
        return [each.payload["explanation"] for each in self.messages() if each.event == event]


class Instance(Daemon):
    """
    An instance in a directory of its own.

    :ivar name: its name.
    """

    def __init__(self, test: TestCase, name: str, text: str, database: str, directory: str | None = None) -> None:
        self.name = name
        port = free_port()
        directory = directory or new_directory(test)
        environ = {
            "PINGER_NAME": name,
            "PINGER_PORT": str(port),
            "PINGER_DATABASE": database,
            # The control socket is there.
            "RUNTIME_DIRECTORY": directory,
        }
        super().__init__(test, text, port, environ=environ, directory=directory, imports=IMPORTS)

    async def instances(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/api/v1/instances")).json()["data"]
        return found

    async def watchers(self) -> Mapping[str, str | None]:
        """Which instance watches which task, by the task's URL or, of a push task, its name."""
        tasks = (await self.get()).json()["data"]
        return {each["url"] or each["name"]: each["instance"] for each in tasks}

    async def command(self, *words: str, code: int = 0) -> str:
        """Run a ``pypinger`` command beside it; returns what it prints."""
        environ = {"PYPINGER_SOCKET": f"{self.directory}/pypinger.sock"}
        process = Process(self.test, *PYPINGER, *words, directory=self.directory, environ=environ, forked=True)
        self.test.assertEqual(await process.end(), code, process.log)
        self.test.assertNotIn("Traceback", process.log)
        return process.log


class MachinesTestCase(TestCase):
    """
    Makes a database and endpoints for each test.

    :ivar tasks: the endpoints.
    :ivar receiver: gets all alerts.
    """

    timeout = 400
    skip = postgres.missing()

    def setUp(self) -> None:
        self.database = postgres.database(self)
        self.tasks = Endpoints(self)
        self.receiver = Receiver(self)
        self.all: list[Instance] = []

    def tearDown(self) -> None:
        for instance in self.all:
            self.assertNotIn(postgres.PASSWORD, instance.log)

    def shown(self, url: str) -> str:
        """How a task without a name is shown."""
        return url.removeprefix("http://")

    async def alerted(self, url: str, *events: str) -> None:
        """Wait until these are all alerts that came of a task."""
        try:
            await until(lambda: self.receiver.of_task(self.shown(url)) == list(events), f"{events} of {url}")
        except AssertionError as error:
            logs = "\n".join(f"{each.name}: {each.log}" for each in self.all)
            raise AssertionError(f"{error}, but {self.receiver.messages()}\n{logs}") from None

    def urls(self, count: int) -> list[str]:
        """So many tasks that are on time."""
        return [self.tasks.url(f"/{number}", report()) for number in range(count)]

    def ini(self, urls: Iterable[str], main: str = "", more: str = "") -> str:
        return INI.format(token=TOKEN, urls=",\n    ".join(urls), main=main, more=self.receiver.section() + more)

    async def start(self, text: str, *names: str) -> list[Instance]:
        """Start instances at once, and wait until they share the tasks and have checked them all."""
        made = [Instance(self, name, text, self.database) for name in names]
        self.all += made
        for each in made:
            await each.is_ready()
        for each in made:
            await self.shared(each, names)
        return made

    async def shared(self, instance: Instance, names: Collection[str], patience: float = PATIENCE) -> None:
        """Wait until an instance shows that these share all tasks, and that no more tasks change hands."""
        seen: Any = None
        since = deadline = reactor.seconds()
        while reactor.seconds() < deadline + patience:
            before, seen = seen, ({each["name"] for each in await instance.instances()}, await instance.watchers())
            owners = set(seen[1].values())
            enough = owners == set(names) if len(seen[1]) >= MANY else owners <= set(names)
            if seen != before or seen[0] != set(names) or not enough:
                since = reactor.seconds()
            elif reactor.seconds() > since + 1:
                return
            await pause(0.1)
        raise AssertionError(f"{instance.name} never showed that {names} share the tasks: {seen}\n{instance.log}")

    def checks(self, since: int = 0) -> Mapping[str, Counter[str]]:
        """Path -> how often each instance has checked it, of the requests from the number `since` on."""
        found: dict[str, Counter[str]] = {}
        for request in self.tasks.requests[since:]:
            name = request.headers["authorization"].removeprefix(TOKEN)
            found.setdefault(request.path, Counter())[name] += 1
        return found

    async def checked(self, paths: Iterable[str], by: Collection[str], times: int = 2) -> Mapping[str, Counter[str]]:
        """Wait until each path was checked so often by these instances from now on; returns all checks since."""
        since = len(self.tasks.requests)
        wanted = set(paths)

        def done() -> bool:
            found = self.checks(since)
            return all(sum(found.get(path, Counter())[name] for name in by) >= times for path in wanted)

        await until(done, f"checks by {by}")
        return self.checks(since)
