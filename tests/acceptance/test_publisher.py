"""From the crontab to the page: what the publisher reports, and what a daemon makes of it (contract, section 9)."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.server import Site
from twisted.web.static import File

from pypinger.domain import report as reports
from pypinger.domain.model import Report
from tests.acceptance.process import PATIENCE, PYPINGER, Daemon, Process, free_port, ini, new_directory, pause, until
from tests.forked import CHECKOUT
from tests.report.endpoint import KEY, Endpoint

SINGLE_FILE = Path(CHECKOUT, "contrib", "pypinger-report.py")

#: Debian's Python, which cron's PATH leads to.
PYTHON = "/usr/bin/python3"


def crontab(page: str, name: str) -> list[str]:
    """The lines of the block of code that follows the mark ``<!-- test: name -->``."""
    text = Path(CHECKOUT, page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- test: {name} -->\n```crontab\n(.*?)\n```", text, re.DOTALL)
    assert found is not None, name
    return found[1].splitlines()


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class CronTests(TestCase):
    """
    Debian's cron runs the lines of the README and of docs/publishing.md as an unprivileged user.

    cron sees its own /usr/local/bin, /var/www and crontabs. The five fields of time are replaced by @reboot, so that
    the jobs run at once; all else is as written.
    """

    timeout = 200
    user = "nobody"

    def setUp(self) -> None:
        if os.getuid() != 0:
            raise SkipTest("only root can run cron")
        for name in ("cron", "crontab", "unshare", "mount"):
            if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
                raise SkipTest(f"{name} is not installed here (Debian: cron, util-linux)")
        if not os.access(PYTHON, os.X_OK):
            raise SkipTest(f"{PYTHON} is not installed here (Debian: python3)")
        self.directory = Path(new_directory(self))
        self.directory.chmod(0o755)
        for name in ("bin", "www", "spool", "run", "cron.d"):
            (self.directory / name).mkdir(mode=0o755)
        shutil.copy(SINGLE_FILE, self.directory / "bin")
        # What the README does as root.
        (self.directory / "www" / "html" / "tasks").mkdir(parents=True)
        shutil.chown(self.directory / "www" / "html" / "tasks", self.user)
        Path("/var/www").mkdir(exist_ok=True)

    async def cron(self, lines: list[str]) -> Process:
        """Start cron with a crontab of the user."""
        jobs = []
        for line in lines:
            fields = line.split(None, 5)
            jobs.append(line if "=" in fields[0] else f"@reboot {fields[5]}")
        (self.directory / "crontab").write_text("\n".join([*jobs, ""]))
        places = {
            "bin": "/usr/local/bin",
            "www": "/var/www",
            "spool": "/var/spool/cron",
            "run": "/run",
            "cron.d": "/etc/cron.d",
        }
        mounts = "\n".join(f"mount --bind {self.directory}/{name} {place}" for name, place in places.items())
        script = f"""
            set -e
            {mounts}
            mount --bind /dev/null /etc/crontab
            install -d -m 1730 -g crontab /var/spool/cron/crontabs
            crontab -u {self.user} {self.directory}/crontab
            exec cron -f
        """
        environ = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        process = Process(
            self,
            shutil.which("unshare") or "",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            environ=environ,
        )
        await until(lambda: process.ended is not None or (self.directory / "run" / "crond.pid").exists(), "cron")
        if process.ended is not None:
            raise SkipTest(f"cron does not run here: {process.log.strip()}")
        return process

    async def report(self, name: str, log: Process) -> dict[str, Any]:
        """The report of a job, once it has ended."""
        path = self.directory / "www" / "html" / "tasks" / name
        found: dict[str, Any] = {}

        def ended() -> bool:
            if path.exists():
                found.update(json.loads(path.read_bytes()))
            return "lastrun" in found

        await until(ended, f"the report {name} ({log.log})")
        report = reports.parse(path.read_bytes())
        assert isinstance(report, Report), report
        self.assertEqual((path.stat().st_mode & 0o777, path.owner()), (0o644, self.user))
        return found

    def job(self, name: str, text: str) -> None:
        program(self.directory / "bin" / name, text)

    async def test_readme(self) -> None:
        self.job("import-prices", 'echo "I am $(id -un), PATH=$PATH" >&2; exit 3')
        log = await self.cron(crontab("README.md", "cron"))
        report = await self.report("import.json", log)
        self.assertEqual((report["status"], report["frequency"], report["process"]), ("error", 10, "import-prices"))
        self.assertEqual(report["reason"], "exit code 3: I am nobody, PATH=/usr/bin:/bin")
        self.assertLess(report["started"], report["lastrun"])

    async def test_schedules(self) -> None:
        """Quotes and the options of the command pass through cron's shell."""
        self.job("import-prices", "exit 0")
        self.job("backup", 'echo "$*" >&2; exit 1')
        log = await self.cron(crontab("docs/publishing.md", "cron"))
        self.assertEqual((await self.report("import.json", log))["status"], "ok")
        report = await self.report("backup.json", log)
        self.assertEqual(report["reason"], "exit code 1: --all")
        self.assertEqual((report["schedule"], report["max_runtime"]), ("0 3 * * 1-5", 120))
        lines = crontab("docs/publishing.md", "cron")
        self.assertIn(f"--schedule '{' '.join(lines[1].split()[:5])}'", lines[1])

    async def test_push(self) -> None:
        endpoint = Endpoint(self)
        self.job("backup", "exit 0")
        lines = crontab("docs/publishing.md", "cron-push")
        lines[0] = f"PYPINGER_PUSH_URL={endpoint.url}"
        await self.cron(lines)
        await until(lambda: len(endpoint.reports) == 2, "the pushes")
        self.assertEqual([("lastrun" in report) for report in endpoint.reports], [False, True])


class VerdictTests(TestCase):
    """A daemon polls reports that ``pypinger run`` writes, and its pages say what happened."""

    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(new_directory(self))
        port = reactor.listenTCP(0, Site(File(str(self.folder))), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.base = f"http://127.0.0.1:{port.getHost().port}"

    async def daemon(self, *names: str, main: str = "interval = 0.3\ngrace = 0") -> Daemon:
        port = free_port()
        daemon = Daemon(self, ini(port, [self.url(name) for name in names], main), port)
        await daemon.serves()
        return daemon

    def url(self, name: str) -> str:
        return f"{self.base}/{name}.json"

    def run_it(self, name: str, *arguments: str) -> Process:
        return Process(self, *PYPINGER, "run", "--report", str(self.folder / f"{name}.json"), *arguments)

    async def becomes(self, daemon: Daemon, name: str, kind: str, explanation: str) -> None:
        """Wait until a task is of this kind, with an explanation that matches; its page has the same status."""
        found: dict[str, Any] = {}
        deadline = reactor.seconds() + PATIENCE
        while found.get("kind") != kind or not re.search(explanation, found["explanation"]):
            assert reactor.seconds() < deadline, found
            await pause(0.05)
            found = await daemon.task(self.url(name))
        page = await daemon.get(f"/task/{found['id']}", headers=("Accept: text/html",))
        self.assertEqual(page.code, 500 if found["status"] == "error" else 200)

    async def test_ends(self) -> None:
        """How a command ended is what the page says."""
        script = program(self.folder / "bin" / "job", 'echo "disk full" >&2; exit 3')
        cases = {
            "ok": (("true",), 0, "ok", "^last ran .* UTC, runs every hour, due"),
            "failed": ((str(script),), 3, "failed", '^the task reports an error: "exit code 3: disk full"; last ran'),
            "killed": (("sh", "-c", "kill -KILL $$"), 137, "failed", '"killed by SIGKILL"; last ran'),
            "missing": (("no-such-command",), 127, "failed", '"no-such-command: not found"; last ran'),
            "denied": ((str(self.folder),), 126, "failed", 'permission denied"; last ran'),
        }
        processes = {name: self.run_it(name, "--every", "1h", "--", *command) for name, (command, *_) in cases.items()}
        for name, (_, code, *_) in cases.items():
            self.assertEqual(await processes[name].end(), code, name)
        daemon = await self.daemon(*cases)
        for name, (_, _, kind, explanation) in cases.items():
            await self.becomes(daemon, name, kind, explanation)
        await daemon.stop()

    async def test_terminated(self) -> None:
        daemon = await self.daemon("task")
        process = self.run_it("task", "--every", "1h", "--", "sleep", "600")
        await self.becomes(daemon, "task", "ok", "no run has ended yet.*running since")
        process.signal("TERM")
        self.assertEqual(await process.end(), 128 + signal.SIGTERM)
        await self.becomes(daemon, "task", "failed", '"killed by SIGTERM"; last ran')
        await daemon.stop()

    async def test_wrapper_killed(self) -> None:
        """A run without an end is late once its time has passed."""
        await self.run_it("task", "--every", "1h", "--max-runtime", "5s", "--", "true").end()
        daemon = await self.daemon("task")
        await self.becomes(daemon, "task", "ok", "due")
        process = self.run_it(
            "task", "--every", "1h", "--max-runtime", "5s", "--", "sh", "-c", "echo $$; exec sleep 600 >/dev/null"
        )
        await until(lambda: process.out.endswith(b"\n"), "the command")
        self.addCleanup(os.kill, int(process.out), signal.SIGKILL)
        process.signal("KILL")
        await process.end()
        await self.becomes(daemon, "task", "late", "running since .*longer than its 5 s")
        await daemon.stop()

    async def test_runs_for_long(self) -> None:
        """A run under way is not late before its time has passed, however long ago the task was due."""
        for name in ("with", "without"):
            await self.run_it(name, "--every", "1s", "--", "true").end()
        daemon = await self.daemon("with", "without")
        for name in ("with", "without"):
            await self.becomes(daemon, name, "late", "was due")
        processes = [await self.runs_in_time("with", "--max-runtime", "1h"), await self.runs_in_time("without")]
        await self.becomes(daemon, "with", "ok", "running since .*may take 1 h")
        await self.becomes(daemon, "without", "late", "running since .*was due")
        await self.becomes(daemon, "with", "ok", "running since .*may take 1 h")
        for process in processes:
            process.signal("TERM")
            await process.end()
        await daemon.stop()

    async def runs_in_time(self, name: str, *options: str) -> Process:
        """
        Start a long run before the task is due.

        A run that begins later changes nothing, so another one ends first, and the task gets more time on a machine
        that is too busy to start a process in time.
        """
        report: dict[str, Any] = {}
        every = 5
        while True:
            limits = ("--every", f"{every}s", *options)
            await self.run_it(name, *limits, "--", "true").end()
            process = self.run_it(name, *limits, "--", "sleep", "600")

            def began() -> bool:
                report.update(json.loads((self.folder / f"{name}.json").read_bytes()))
                return report["started"] > report["lastrun"]

            await until(began, "the run")
            started, ended = (datetime.fromisoformat(report[key]) for key in ("started", "lastrun"))
            if started - ended < timedelta(seconds=every):
                return process
            process.signal("TERM")
            await process.end()
            every *= 2

    async def test_two_at_once(self) -> None:
        """The later end is what the page shows."""
        daemon = await self.daemon("task")
        go = self.folder / "go"
        os.mkfifo(go)
        first = self.run_it(
            "task",
            "--every",
            "1h",
            "--",
            "sh",
            "-c",
            f"echo ready; exec >/dev/null; read line <{go}; echo one >&2; exit 1",
        )
        await until(lambda: first.out, "the first run")
        second = self.run_it("task", "--every", "1h", "--", "sh", "-c", "echo two >&2; exit 2")
        self.assertEqual(await second.end(), 2)
        await self.becomes(daemon, "task", "failed", '"exit code 2: two"; last ran')
        go.write_text("\n")
        self.assertEqual(await first.end(), 1)
        await self.becomes(daemon, "task", "failed", '"exit code 1: one"; last ran')
        await daemon.stop()

    async def test_full_disk(self) -> None:
        """On a real file system without room the old report stays, and becomes late in time."""
        if os.getuid() != 0 or shutil.which("unshare") is None:
            raise SkipTest("only root can mount a small file system")
        small = self.folder / "small"
        small.mkdir()
        published = str(small / "task.json")
        run_it = shlex.join([str(SINGLE_FILE), "--every", "5s", "--report", published, "--"])
        script = f"""
            set -e
            mount -t tmpfs -o size=16k tmpfs {small}
            {run_it} true
            cp {published} {self.folder}/before
            head -c 100k /dev/zero >{small}/filler || true
            {run_it} sh -c 'exit 3' || echo "exit code $?"
            cp {published} {self.folder}/task.json
            ls -A {small}
        """
        process = Process(
            self, shutil.which("unshare") or "", "--mount", "--propagation", "private", "sh", "-c", script
        )
        code = await process.end()
        if b"unshare: " in process.err or b"mount: " in process.err:
            raise SkipTest(f"no file system can be mounted here: {process.log.strip()}")
        self.assertEqual(code, 0, process.log)
        line = (
            f"pypinger-report.py: cannot write {published}: No space left on device; the report of the run before stays"
        )
        self.assertEqual([each for each in process.err.decode().splitlines() if "pypinger" in each], [line] * 2)
        self.assertEqual(process.out.decode().split("\n"), ["exit code 3", "filler", "task.json", ""])
        self.assertEqual((self.folder / "task.json").read_bytes(), (self.folder / "before").read_bytes())
        daemon = await self.daemon("task")
        await self.becomes(daemon, "task", "late", "^last ran .* was due")
        await daemon.stop()


class PushTests(TestCase):
    """``pypinger run --push`` and a daemon that the task's machine can reach, but not the reverse."""

    timeout = 300

    def setUp(self) -> None:
        if find_spec("pypinger.config.pushing") is None:
            raise SkipTest("this version takes no pushes")
        self.port = free_port()
        self.directory = new_directory(self)

    def daemon(self) -> Daemon:
        text = (
            "[main]\ngrace = 0\n[store]\npath = store.sqlite\n"
            f"[web]\nendpoint = tcp:{self.port}:interface=127.0.0.1\n[task nightly]\npush_key = {KEY}\n"
        )
        return Daemon(self, text, self.port, directory=self.directory)

    def run_it(self, *command: str, key: str = KEY) -> Process:
        url = f"http://127.0.0.1:{self.port}/push/{key}"
        options = ("--schedule", "0 3 * * *", "--timezone", "UTC", "--max-runtime", "3s")
        return Process(self, *PYPINGER, "run", *options, "--", *command, environ={"PYPINGER_PUSH_URL": url})

    async def becomes(self, daemon: Daemon, kind: str, explanation: str) -> None:
        found: dict[str, Any] = {}
        deadline = reactor.seconds() + PATIENCE
        while found.get("kind") != kind or not re.search(explanation, found["explanation"]):
            assert reactor.seconds() < deadline, found
            await pause(0.05)
            found = (await daemon.get("/task/nightly")).json()["data"]

    async def test_runs(self) -> None:
        daemon = self.daemon()
        await daemon.serves()
        first = self.run_it("sh", "-c", "echo no >&2; exit 3")
        self.assertEqual((await first.end(), first.log), (3, "no\n"))
        await self.becomes(daemon, "failed", '^the task reports an error: "exit code 3: no"; last ran')
        self.assertEqual(await self.run_it("true").end(), 0)
        await self.becomes(daemon, "ok", "runs at 03:00 UTC every day; due")
        long = self.run_it("sleep", "600")
        await self.becomes(daemon, "ok", "running since .*may take 3 s")
        await self.becomes(daemon, "late", "running since .*longer than its 3 s")
        long.signal("TERM")
        self.assertEqual(await long.end(), 128 + signal.SIGTERM)
        await self.becomes(daemon, "failed", '"killed by SIGTERM"')
        await daemon.stop()

    async def test_daemon_is_restarted(self) -> None:
        """The report arrives once the daemon is back."""
        process = self.run_it("sh", "-c", "echo no >&2; exit 3")
        await until(lambda: process.err, "the command")
        daemon = self.daemon()
        await daemon.serves()
        self.assertEqual(await process.end(), 3)
        await self.becomes(daemon, "failed", '"exit code 3: no"')
        self.assertEqual(process.log, "no\n")
        await daemon.stop()

    async def test_unknown_key(self) -> None:
        """The exit code stays, and one line says what the daemon answered, without the key."""
        daemon = self.daemon()
        await daemon.serves()
        process = self.run_it("sh", "-c", "exit 3", key=KEY.replace("5", "6"))
        self.assertEqual(await process.end(), 3)
        line = f"pypinger run: cannot push to http://127.0.0.1:{self.port}/***: HTTP 404 Not Found: not found\n"
        self.assertIn(line, process.log)
        self.assertNotIn("cannot push", process.log.replace(line, ""))
        await daemon.stop()
