"""Starting, refusing to start and stopping the daemon (contract, sections 6 and 8)."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

import pypinger
from tests.acceptance.channels import HipChat, SlackWebApi
from tests.acceptance.endpoints import Endpoints, body, hang, report
from tests.acceptance.process import TWISTD, Daemon, Process, ask, free_port, ini, pause, until
from tests.config.samples import ORIGINAL
from tests.stopwatch import Stopwatch

#: A file with problems of every kind.
BAD = """\
[main]
debug = perhaps
interval = 0
error_interval = -1
timeout = soon
failures = 1.5
ca_file = /nonexistent/ca.pem
proxy = ftp://proxy
intervall = 5
[urls]
prod = ftp://x/, http://, http://h:70000/, http://ok.invalid/
dev = http://ok.invalid/${env:NO_SUCH_VARIABLE_AT_ALL}
[slack]
token = only-a-token
[hipchat]
room = lonely
[sentry]
url = no DSN
crons = sometimes
[token_auth]
url = http://127.0.0.1/login
username = me
header = X Token
[web]
endpoint = tcp:notaport
public_url = pinger.example.com
[store]
keep_days = -3
[task http://ok.invalid/]
grace = a while
colour = red
[slak]
token = x
[urls]
prod = http://twice.invalid/
this is no option
"""

BAD_LINES = [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 18, 19, 20, 23, 25, 26, 28, 30, 31, 32, 34, 35, 36]


class StartTests(TestCase):
    timeout = 300

    async def test_all_problems_at_once(self) -> None:
        daemon = Daemon(self, BAD, command=TWISTD)
        self.assertEqual(await daemon.end(), 1)
        self.assertEqual(daemon.out, b"")
        lines = daemon.err.decode().splitlines()
        for line in lines:
            self.assertRegex(line, r"\Apinger\.ini:\d+: ")
        numbers = {int(line.split(":")[1]) for line in lines}
        self.assertEqual(sorted(numbers), BAD_LINES, daemon.log)
        for words in ("[main] intervall", 'mean "interval"?', "[slak]", "[slack]?", "NO_SUCH_VARIABLE_AT_ALL"):
            self.assertIn(words, daemon.log)
        self.assertNotIn("only-a-token", daemon.log)

    async def test_unreadable_files(self) -> None:
        refused = {
            Daemon(self, None, command=TWISTD): r"pinger\.ini: .*no such file.*",
            Daemon(self, b"[main]\ngreeting = caf\xe9\n"): r"pinger\.ini:2: .*UTF-8.*",
            Daemon(self, b"[main]\ndebug = \x00\n"): r"pinger\.ini:2: .*NUL.*",
            Daemon(self, "debug = true\n"): r"pinger\.ini:1: .*section.*",
            Daemon(self, "[main\ndebug = true\n"): r"pinger\.ini:1: .*header.*",
        }
        for daemon, words in refused.items():
            self.assertEqual(await daemon.end(), 1, words)
            self.assertEqual(daemon.out, b"")
            self.assertRegex(daemon.err.decode(), rf"\A{words}\n\Z")
            self.assertNotIn("Traceback", daemon.log)

    async def test_busy_port(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            daemon = Daemon(self, ini(port, [f"http://127.0.0.1:{free_port()}/"]), command=TWISTD)
            self.assertEqual(await daemon.end(), 1)
        self.assertRegex(daemon.err.decode(), rf"\A[^\n]*{port}[^\n]*in use[^\n]*\n\Z")
        self.assertNotIn("Traceback", daemon.log)

    async def test_options(self) -> None:
        # Twisted 25.5 exits with 0 after an unknown option, later versions with 1.
        expected = {
            Process(self, *TWISTD, "pypinger", "--help"): ("--config", (0,)),
            Process(self, *TWISTD, "pypinger", "--version"): (f"Py Pinger {pypinger.__version__}", (0,)),
            Process(self, *TWISTD, "--help"): ("pypinger", (0,)),
            Process(self, *TWISTD, "pypinger", "--no-such-option"): ("--no-such-option not recognized", (0, 1)),
        }
        for process, (words, codes) in expected.items():
            self.assertIn(await process.end(), codes, process.log)
            self.assertIn(words, process.log)
            self.assertNotIn("Traceback", process.log)

    async def test_original_ini_file(self) -> None:
        """The file has no [web] section, so that the default port must be free."""
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 3002)) == 0:
                raise SkipTest("port 3002 of this machine is in use")
        tasks, slack = Endpoints(self), SlackWebApi(self)
        for name in "abcd":
            tasks.paths[f"/cron/{name}"] = report()
        tasks.paths["/api/login"] = body('{"auth_token": "abc"}')
        text = ORIGINAL.replace("https://slack.com", slack.origin).replace("https://example.com", tasks.origin)
        daemon = Daemon(self, text, 3002, command=TWISTD)
        task = await daemon.becomes(tasks.url("/cron/b?only=1%2C2"), kind="ok")
        self.assertEqual(task["pings"], 1)
        self.assertEqual(tasks.asked("/cron/a")[0].headers["x-auth-token"], "abc")
        self.assertIn(b'"password":"original%password"', tasks.asked("/api/login")[0].body.replace(b" ", b""))
        await until(lambda: slack.events() == ["started"])
        self.assertIn("Py Pinger is up: 100% ready", slack.messages()[0].text)
        self.assertEqual(slack.messages()[0].payload["icon_emoji"], ":boom:")
        self.assertEqual(len((await daemon.get()).json()["data"]), 4)
        await daemon.stop()


class StopTests(TestCase):
    timeout = 300

    async def test_signals(self) -> None:
        """Hanging checks and a hanging channel do not delay the stop."""
        daemons = []
        for name in ("TERM", "INT"):
            tasks, slack, hipchat = Endpoints(self), SlackWebApi(self), HipChat(self)
            slack.always = hang
            urls = [tasks.url(f"/{number}", hang) for number in range(5)]
            port = free_port()
            main = "interval = 1\ntimeout = 60\ngroup_wait = 0"
            daemon = Daemon(self, ini(port, urls, main, slack.section() + hipchat.section()), port, command=TWISTD)
            daemons.append((name, daemon, tasks, slack, hipchat))
        for _, _, tasks, slack, _ in daemons:
            await until(lambda t=tasks, s=slack: len(t.requests) == 5 and s.requests)
        stopwatch = Stopwatch(*(daemon.pid for _, daemon, *_ in daemons))
        for name, daemon, *_ in daemons:
            daemon.signal(name)
        await until(lambda: stopwatch.seconds() > 10 or all(daemon.ended is not None for _, daemon, *_ in daemons))
        self.assertLess(stopwatch.seconds(), 10)
        for _, daemon, tasks, slack, hipchat in daemons:
            self.assertEqual(await daemon.end(), 0, daemon.log)
            self.assertEqual(hipchat.events(), ["started", "stopped"])
            self.assertEqual(slack.events(), ["started"])
            self.assertEqual(len(tasks.requests), 5)
            await until(lambda t=tasks: not t.connections)

    async def test_in_the_background(self) -> None:
        tasks = Endpoints(self)
        url = tasks.url("/task", report())
        port = free_port()
        daemon = Daemon(
            self,
            ini(port, [url], "only_log = 1").replace(":memory:", "state.sqlite"),
            port,
            command=TWISTD,
            twistd=("--pidfile=the.pid", "--logfile=the.log"),
        )
        pid_file, log = Path(daemon.directory, "the.pid"), Path(daemon.directory, "the.log")
        self.addCleanup(lambda: os.kill(int(pid_file.read_text()), signal.SIGKILL) if pid_file.exists() else None)
        self.assertEqual(await daemon.end(), 0, daemon.log)
        await until(lambda: pid_file.exists() and "Py Pinger started" in log.read_text())
        while (await ask(port, "/readyz")).code != 200:
            await pause(0.05)
        self.assertEqual((await daemon.task(url))["kind"], "ok")
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        await until(lambda: not pid_file.exists(), "the stop of the daemon")
        text = log.read_text()
        self.assertIn("Py Pinger stopped", text)
        self.assertIn("Server Shut Down", text)
        self.assertNotIn("Traceback", text)
        self.assertEqual((daemon.out, daemon.err), (b"", b""))
