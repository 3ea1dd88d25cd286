"""Attack the pages with idle clients: alerts and probes must not wait for descriptors (contract, section 7)."""

from __future__ import annotations

import sys

from twisted.trial.unittest import TestCase

from tests.acceptance.channels import SlackWebhook
from tests.acceptance.endpoints import Endpoints, report
from tests.acceptance.process import TWISTD, Daemon, Process, free_port, ini, until
from tests.stopwatch import Stopwatch

#: Seconds within which alerts and probes must come, which take less than one without the attack.
LIMIT = 10.0

#: Clients of one process, whose descriptors are limited as well.
CLIENTS = 500

#: Connects so many clients, which then send nothing, and keeps all sockets open.
ATTACK = """
import socket, sys, time
port, many = int(sys.argv[1]), int(sys.argv[2])
clients = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(many)]
print("connected", flush=True)
time.sleep(600)
"""


class IdleClientsTests(TestCase):
    timeout = 300

    async def attack(self, descriptors: int, clients: int) -> None:
        tasks, slack = Endpoints(self), SlackWebhook(self)
        urls = [tasks.url(f"/{number}", report()) for number in range(20)]
        port = free_port()
        limited = ("/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *TWISTD)
        main = "interval = 0.5\nerror_interval = 0\ngroup_wait = 0\n"
        daemon = Daemon(self, ini(port, urls, main, slack.section()), port, command=limited)
        await daemon.is_ready()
        await until(lambda: slack.events() == ["started"])
        attackers = [
            Process(self, sys.executable, "-c", ATTACK, str(port), str(CLIENTS)) for _ in range(clients // CLIENTS)
        ]
        await until(lambda: all(b"connected" in each.out for each in attackers), "the attack")

        for number, status, event in ((0, "error", "problem"), (0, "ok", "recovered"), (1, "error", "problem")):
            before = len(slack.events(f"/{number}"))
            stopwatch = Stopwatch(daemon.pid)
            tasks.url(f"/{number}", report(status=status))
            await until(lambda n=number, b=before: len(slack.events(f"/{n}")) > b, f"the alert {event}")
            self.assertEqual(slack.events(f"/{number}")[-1], event)
            self.assertEqual((await daemon.get("/healthz")).code, 200)
            self.assertLess(stopwatch.seconds(), LIMIT)
        self.assertEqual((await daemon.get("/status")).json()["status"], "ok")
        self.assertIsNone((await daemon.get()).json()["self"]["blind"])
        await daemon.stop()

    async def test_2000_clients_and_1024_descriptors(self) -> None:
        await self.attack(1024, 2000)

    async def test_6000_clients_and_4096_descriptors(self) -> None:
        await self.attack(4096, 6000)
