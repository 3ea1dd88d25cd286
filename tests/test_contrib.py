"""The pieces in ``contrib/`` work with a running daemon."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.acceptance.channels import HipChat
from tests.acceptance.endpoints import Endpoints, body, report
from tests.acceptance.process import TWISTD, Daemon, Process, free_port, ini, new_directory, pause, until
from tests.test_packaging import run

CHECKOUT = Path(__file__).parent.parent
CONTRIB = CHECKOUT / "contrib"
RULES = CONTRIB / "prometheus" / "pypinger.rules.yml"
DASHBOARD = CONTRIB / "grafana" / "py-pinger.json"

#: Where Debian has Nagios' plugins.
PLUGINS = "/usr/lib/nagios/plugins"

PYPINGER = (sys.executable, "-c", "import sys; from pypinger.cli import main; sys.exit(main(sys.argv[1:]))")


def needed(name: str, path: str | None = None) -> str:
    """Where a program is."""
    found = shutil.which(name, path=path)
    if found is None:
        raise SkipTest(f"{name} is not installed here")
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Title and query of the panels of the dashboard, as Grafana would send them."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", "10s").replace("$instance", ".*")
            assert "$" not in expr, expr
            yield panel["title"], expr


class Fleet:
    """
    A daemon with a task that is OK, one that is late, and a channel that refuses alerts.

    :ivar urls: of the tasks: OK, late.
    """

    def __init__(self, test: TestCase, daemon: type[Daemon] = Daemon, **arguments: Any) -> None:
        tasks, hipchat = Endpoints(test), HipChat(test)
        hipchat.always = body("Invalid OAuth session", 401)
        self.urls = [tasks.url("/ok", report(process="good")), tasks.url("/late", report(ago=3600, process="bad"))]
        port = free_port()
        more = hipchat.section() + "".join(f"[task {url}]\nname = {url.rpartition('/')[2]}\n" for url in self.urls)
        self.daemon = daemon(test, ini(port, self.urls, "interval = 0.5\ngroup_wait = 0", more), port, **arguments)

    async def settles(self) -> None:
        """Wait until the channel is dead."""
        await self.daemon.is_ready()
        deadline = reactor.seconds() + 30
        while "pypinger_channel_dead{" not in (await self.daemon.get("/metrics")).body.decode():
            assert reactor.seconds() < deadline
            await pause(0.1)


class IndexTests(SynchronousTestCase):
    def test_every_file_is_listed(self) -> None:
        listed = re.findall(r"\]\(([^)]+)\)", (CONTRIB / "README.md").read_text(encoding="utf-8"))
        there = {str(path.relative_to(CONTRIB)) for path in CONTRIB.rglob("*") if path.is_file()} - {"README.md"}
        self.assertEqual(there, set(listed))


class PrometheusTests(TestCase):
    timeout = 120

    def test_rules(self) -> None:
        promtool = needed("promtool")
        for command in (("check", "rules", RULES.name), ("test", "rules", "pypinger.test.yml")):
            result = run(promtool, *command, cwd=RULES.parent)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_every_rule_is_tested(self) -> None:
        """Both that it fires and that it does not."""
        names = re.findall(r"- alert: (\w+)", RULES.read_text())
        tests = (RULES.parent / "pypinger.test.yml").read_text()
        for name in names:
            self.assertIn(f"alertname: {name}}}", tests)
            self.assertRegex(tests, rf"alertname: {name}\n +exp_alerts:\n")

    async def test_metrics_exist(self) -> None:
        """Rules and dashboard name metrics that the daemon has."""
        fleet = Fleet(self)
        await fleet.settles()
        metrics = (await fleet.daemon.get("/metrics")).body.decode()
        # Several machines have one more, see tests.web.feeds.test_metrics.
        there = {"pypinger_instance_other_ini", *re.findall(r"^(\w+)[{ ]", metrics, re.MULTILINE)}
        texts = {"rules": " ".join(re.findall(r"expr: (.*)", RULES.read_text())), **dict(expressions())}
        for place, text in texts.items():
            for name in re.findall(r"\b(?:pypinger|process)_\w+", text):
                self.assertIn(name, there, place)
        await fleet.daemon.stop()

    async def test_real_metrics(self) -> None:
        """Prometheus scrapes a daemon: each query of the dashboard has a result, each rule can be evaluated."""
        prometheus, fleet = needed("prometheus"), Fleet(self)
        await fleet.settles()
        port, directory = free_port(), new_directory(self)
        target = f"127.0.0.1:{fleet.daemon.port}"
        Path(directory, "prometheus.yml").write_text(
            f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{RULES}']\n"
            f"scrape_configs: [{{job_name: pypinger, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}")
        server = Process(self, prometheus, *options, directory=directory)

        def fetch(path: str) -> Any:
            try:
                with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
                    return json.load(response)
            except URLError:
                return None

        async def query(path: str) -> Any:
            """The data of an answer; None while the server starts."""
            answer = await deferToThread(fetch, path)
            self.assertIsNone(server.ended, server.log)
            if answer is not None:
                self.assertEqual(answer["status"], "success", answer)
            return answer and answer["data"]

        for title, expr in expressions():
            deadline = reactor.seconds() + 30
            while True:
                data = await query(f"/api/v1/query?query={quote(expr)}")
                if data is not None and data["result"]:
                    break
                self.assertLess(reactor.seconds(), deadline, f"{title}: {expr} has no result\n{server.log}")
                await pause(0.3)
        named = await query(f"/api/v1/query?query={quote(dict(expressions())['Tasks in trouble or not seen'])}")
        self.assertEqual([each["metric"]["name"] for each in named["result"]], ["late"])
        groups = (await query("/api/v1/rules"))["groups"]
        rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
        self.assertEqual({rule["health"] for rule in rules.values()}, {"ok"}, rules)
        self.assertEqual(rules["PyPingerChannelDead"]["state"], "firing")
        self.assertEqual(rules["TaskProblem"]["state"], "pending")
        self.assertEqual(rules["PyPingerBlind"]["state"], "inactive")
        server.signal("TERM")
        await server.end()
        await fleet.daemon.stop()


class DashboardTests(SynchronousTestCase):
    def test_layout(self) -> None:
        """Panels have ids of their own and do not overlap."""
        dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        cells: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            mine = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertFalse(cells & mine, panel["title"])
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells |= mine


class PluginTests(TestCase):
    """The command lines of Nagios' and Icinga's files are run as these would run them."""

    timeout = 120

    def commands(self) -> dict[str, str]:
        text = (CONTRIB / "nagios" / "pypinger.cfg").read_text()
        return dict(re.findall(r"command_name +(\S+)\n +command_line +(.+)\n", text))

    def own_pypinger(self, directory: str) -> str:
        """A ``pypinger`` of this environment, to be put into command lines."""
        path = Path(directory, "pypinger")
        path.write_text(f'#!/bin/sh\nexec {shlex.join(PYPINGER)} "$@"\n')
        path.chmod(0o755)
        return str(path)

    async def plugin(self, command: str, directory: str) -> tuple[int, str]:
        environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYPINGER": self.own_pypinger(directory)}
        result = await deferToThread(
            subprocess.run, ["/bin/sh", "-c", command], env=environ, cwd=directory, capture_output=True, text=True
        )
        self.assertEqual(result.stderr, "")
        return result.returncode, result.stdout

    async def test_nagios_status(self) -> None:
        fleet = Fleet(self)
        await fleet.settles()
        directory = fleet.daemon.directory

        def line(selector: str) -> str:
            command = self.commands()["check_pypinger"].replace("$USER1$", str(CONTRIB / "nagios"))
            self.assertIn("/run/pypinger/pypinger.sock", command)
            return command.replace("/run/pypinger/pypinger.sock", "pypinger.sock").replace("$ARG1$", selector)

        code, out = await self.plugin(line("'*'"), directory)
        self.assertEqual((code, out.splitlines()[0]), (2, "2 tasks: 1 in trouble, 1 on time"))
        self.assertNotIn("|", out)
        self.assertRegex(out, r"\nlate by 50 min +late +1 h ago +50 min ago +runs every 10 min")
        # The channel is dead.
        code, out = await self.plugin(line("'ok'"), directory)
        self.assertEqual((code, out.splitlines()[0]), (1, "1 task: 1 on time"))
        self.assertIn("hipchat", out)
        code, out = await self.plugin(line("'nothing like this'"), directory)
        self.assertEqual(code, 3, out)
        # 2 would be CRITICAL.
        for mistyped, words in (
            ("--sokcet x", "unrecognized arguments: --sokcet"),
            ("--json=yes", "argument --json: "),
        ):
            code, out = await self.plugin(line(mistyped), directory)
            self.assertEqual((code, len(out.splitlines())), (3, 1), out)
            self.assertTrue(out.startswith(f"UNKNOWN - {words}"), out)
        await fleet.daemon.stop()
        code, out = await self.plugin(line("'*'"), directory)
        self.assertEqual(code, 3)
        self.assertIn("no daemon answers", out)

    async def test_nagios_healthy(self) -> None:
        tasks = Endpoints(self)
        port = free_port()
        daemon = Daemon(self, ini(port, [tasks.url("/ok", report())]), port)
        await daemon.is_ready()
        command = f"{CONTRIB}/nagios/check_pypinger --socket pypinger.sock"
        self.assertEqual(await self.plugin(command, daemon.directory), (0, "1 task: 1 on time\n1 task: 1 on time\n"))
        await daemon.stop()

    async def test_nagios_report(self) -> None:
        fleet = Fleet(self)
        await fleet.settles()
        command = self.commands()["check_pypinger_report"]
        command = command.replace("/opt/py-pinger/bin/pypinger", self.own_pypinger(fleet.daemon.directory))
        own = f"http://127.0.0.1:{fleet.daemon.port}/status"
        for url, expected in (*zip(fleet.urls, (0, 2), strict=True), (own, 2)):
            code, out = await self.plugin(command.replace("$ARG1$", url), fleet.daemon.directory)
            self.assertEqual(code, expected, out)
        await fleet.daemon.stop()

    async def test_nagios_task(self) -> None:
        needed("check_http", path=f"{PLUGINS}{os.pathsep}{os.environ['PATH']}")
        fleet = Fleet(self)
        await fleet.settles()
        command = self.commands()["check_pypinger_task"].replace("$USER1$/", "").replace("$HOSTADDRESS$", "127.0.0.1")
        command = f"PATH={PLUGINS}:$PATH {command}".replace(" 3002 ", f" {fleet.daemon.port} ")
        ids = [task["id"] for task in (await fleet.daemon.get()).json()["data"]]
        for task, expected in (*zip(ids, (0, 2), strict=True), ("nothing", 1), (quote(fleet.urls[1], safe=""), 2)):
            code, out = await self.plugin(command.replace("$ARG1$", task), fleet.daemon.directory)
            self.assertEqual(code, expected, out)
        await fleet.daemon.stop()

    async def test_icinga(self) -> None:
        """The check command's arguments make the same command line."""
        text = (CONTRIB / "icinga2" / "pypinger.conf").read_text()
        found = re.search(
            r'object CheckCommand "pypinger" \{\s+command = \[ PluginContribDir \+ "/(?P<plugin>\w+)" \]\s+'
            r'arguments = \{\s+"(?P<flag>--\w+)" = "\$pypinger_socket\$"\s+'
            r'selector = \{ value = "\$pypinger_selector\$"; skip_key = true; order = 1 \}\s+\}\s+'
            r'vars.pypinger_socket = "(?P<socket>[^"]+)"\s+vars.pypinger_selector = "(?P<selector>[^"]+)"',
            text,
        )
        assert found is not None, text
        self.assertEqual(text.count("{"), text.count("}"))
        self.assertEqual(found["socket"], "/run/pypinger/pypinger.sock")
        fleet = Fleet(self)
        await fleet.settles()
        arguments = (str(CONTRIB / "nagios" / found["plugin"]), found["flag"], "pypinger.sock", found["selector"])
        code, out = await self.plugin(shlex.join(arguments), fleet.daemon.directory)
        self.assertEqual(code, 2, out)
        await fleet.daemon.stop()


class ContainerTests(TestCase):
    """There may be no builder here: the instructions are read, and the commands they hold are run."""

    timeout = 120

    def instructions(self) -> list[tuple[str, str]]:
        """Instruction and argument, of all stages."""
        text = (CONTRIB / "container" / "Containerfile").read_text(encoding="utf-8")
        lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
        return [(word, argument.strip()) for word, _, argument in (line.partition(" ") for line in lines) if word]

    def final(self) -> dict[str, str]:
        """The instructions of the last stage that stand once."""
        instructions = self.instructions()
        last = max(number for number, (word, _) in enumerate(instructions) if word == "FROM")
        return dict(instructions[last + 1 :])

    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in self.final()["ENV"].split())

    def test_unprivileged(self) -> None:
        final = self.final()
        self.assertEqual((final["USER"], final["STOPSIGNAL"]), ("pypinger", "SIGTERM"))
        self.assertEqual(final["VOLUME"], self.environment()["STATE_DIRECTORY"])
        self.assertIn(f"-o pypinger -g pypinger -m 0700 {final['VOLUME']} ", final["RUN"])
        self.assertIn(f"-o pypinger -g pypinger -m 0755 {self.environment()['RUNTIME_DIRECTORY']}", final["RUN"])

    def test_shell(self) -> None:
        for word, argument in self.instructions():
            if word == "RUN":
                self.assertEqual(run("/bin/sh", "-n", "-c", argument, cwd=CHECKOUT).returncode, 0, argument)
                # The image has Python; the other commands are those of any Debian.
                for command in set(re.findall(r"(?:^|&& +)(\w+) ", argument)) - {"python"}:
                    self.assertIsNotNone(shutil.which(command, path="/usr/sbin:/usr/bin:/bin"), command)

    def test_copied_files(self) -> None:
        """A wheel can be built from the files that are copied, and it is the whole package."""
        source = Path(self.mktemp()).absolute()
        source.mkdir()
        for word, argument in self.instructions():
            *names, target = argument.split()
            if word != "COPY" or names[0].startswith("--from"):
                continue
            self.assertTrue(target.startswith("/src"), argument)
            for name in names:
                if (CHECKOUT / name).is_dir():
                    shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    folder = source / target.removeprefix("/src").strip("/")
                    folder.mkdir(exist_ok=True)
                    shutil.copy(CHECKOUT / name, folder)
        code = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
        result = run(sys.executable, "-c", code, cwd=source)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        names = run(sys.executable, "-m", "zipfile", "-l", next(source.glob("*.whl")), cwd=source).stdout
        for name in ("pypinger/web/static/style.css", "pypinger/store/schema/", "twisted/plugins/pypinger_plugin.py"):
            self.assertIn(name, names)

    async def test_run_and_health(self) -> None:
        """The image's command, environment and health check, with paths and port of this test."""
        final = self.final()
        command = json.loads(final["CMD"])
        self.assertEqual(command[0], "twistd")
        self.assertEqual(final["EXPOSE"], "3002")
        directory = new_directory(self)
        state, runtime = Path(directory, "state"), Path(directory, "run")
        state.mkdir()
        runtime.mkdir()
        port = free_port()
        text = ini(port, ["http://127.0.0.1:1/"]).replace("path = :memory:", "").replace(":interface=127.0.0.1", "")
        path = Path(directory, "pinger.ini")
        path.write_text(text)
        variables = {**self.environment(), "STATE_DIRECTORY": str(state), "RUNTIME_DIRECTORY": str(runtime)}
        del variables["PATH"]
        arguments = [str(path) if each == "/etc/py-pinger/pinger.ini" else each for each in command[1:]]
        healthcheck = json.loads(final["HEALTHCHECK"].partition("CMD ")[2])
        self.assertEqual(healthcheck[0], "python")
        health = [sys.executable, *(each.replace("3002", str(port)) for each in healthcheck[1:])]

        async def healthy() -> bool:
            return (await Process(self, *health).end()) == 0

        self.assertFalse(await healthy())
        served = Process(self, *TWISTD, *arguments, directory=directory, environ=variables)
        deadline = reactor.seconds() + 30
        while not await healthy():
            self.assertLess(reactor.seconds(), deadline, served.log)
        self.assertTrue((state / "pypinger.sqlite").exists())
        self.assertTrue((runtime / "pypinger.sock").exists())
        served.signal(final["STOPSIGNAL"].removeprefix("SIG"))
        self.assertEqual(await served.end(), 0)


class LogrotateTests(TestCase):
    timeout = 120

    async def test_rotation(self) -> None:
        """After a rotation the daemon writes into a new file."""
        logrotate = needed("logrotate", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
        directory = new_directory(self)
        os.chmod(directory, 0o755)
        log, pidfile = Path(directory, "pypinger.log"), Path(directory, "pypinger.pid")
        text = (CONTRIB / "logrotate" / "py-pinger").read_text()
        for path in (log, pidfile):
            known = {"pypinger.log": "/var/log/pypinger.log", "pypinger.pid": "/run/pypinger.pid"}[path.name]
            self.assertIn(known, text)
            text = text.replace(known, str(path))
        config = Path(directory, "logrotate.conf")
        config.write_text(text)
        config.chmod(0o644)
        tasks = Endpoints(self)
        port = free_port()
        options = ("-n", "--logfile", str(log), "--pidfile", str(pidfile))
        daemon = Daemon(self, ini(port, [tasks.url("/ok", report())]), port, twistd=options, directory=directory)
        await daemon.is_ready()
        state = ("--state", str(Path(directory, "state")))
        dry = await deferToThread(run, logrotate, "-d", *state, config, cwd=Path(directory))
        self.assertEqual(dry.returncode, 0, dry.stderr)
        self.assertNotIn("error", dry.stderr)
        forced = await deferToThread(run, logrotate, "-f", *state, config, cwd=Path(directory))
        self.assertEqual((forced.returncode, forced.stderr), (0, ""))
        await until(log.exists, "a new log file")
        self.assertIn("watching 1 task", Path(f"{log}.1").read_text())
        daemon.signal("TERM")
        await daemon.end()
        self.assertIn("STOPPED: Py Pinger stopped", log.read_text())
        self.assertNotIn("STOPPED: Py Pinger stopped", Path(f"{log}.1").read_text())
