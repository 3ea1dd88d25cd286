"""``pypinger run`` and ``pypinger-report.py`` as processes (contract, section 9)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger import __version__
from pypinger.domain import report as reports
from pypinger.domain.model import Report
from pypinger.report.child import with_last_lines
from pypinger.report.command_line import main
from tests.acceptance.process import PYPINGER
from tests.report.endpoint import KEY, Endpoint

CHECKOUT = Path(__file__).parent.parent.parent
SINGLE_FILE = CHECKOUT / "contrib" / "pypinger-report.py"

#: How long a step may take on a busy machine, in seconds.
PATIENCE = 90.0


class DoorContract:
    """
    What both doors do; that the single file is the package, `test_single_file` checks.

    :cvar door: the command.
    :cvar prog: how it names itself.
    """

    door: Sequence[str]
    prog: str
    mktemp: Callable[[], str]
    assertEqual: Any
    assertIn: Any
    assertNotIn: Any
    assertRegex: Any
    assertLess: Any
    addCleanup: Any

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self.environ.pop("PYPINGER_PUSH_URL", None)
        self.environ["PYTHONPATH"] = str(CHECKOUT)

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        defaults = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([*self.door, *arguments], env=self.environ, **{**defaults, **streams})
        self.addCleanup(self.stop, process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def run_it(self, *arguments: str, **streams: Any) -> tuple[int, str, str]:
        """Run it to the end; return its exit code, standard output and standard error."""
        process = self.start(*arguments, **streams)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, (out or b"").decode("utf-8", "replace"), (err or b"").decode("utf-8", "replace")

    def on_file(self, *command: str, **streams: Any) -> tuple[int, str, str]:
        return self.run_it("--report", str(self.path), "--", *command, **streams)

    def report(self) -> dict[str, Any]:
        """The report, which the monitor accepts."""
        body = self.path.read_bytes()
        assert isinstance(reports.parse(body), Report), body
        found: dict[str, Any] = json.loads(body)
        return found

    def said(self, stream: IO[bytes] | None, words: bytes) -> None:
        """Wait until a process has printed a line."""
        assert stream is not None
        self.assertEqual(stream.readline().strip(), words)

    def appears(self, happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def test_failure(self) -> None:
        self.assertEqual(self.on_file("sh", "-c", "echo one >&2; echo two >&2; exit 7"), (7, "", "one\ntwo\n"))
        report = self.report()
        self.assertEqual((report["status"], report["reason"]), ("error", "exit code 7: one\ntwo"))

    def test_not_found(self) -> None:
        for name in ("no-such-command", "/no/such/command"):
            self.assertEqual(self.on_file(name, "-x"), (127, "", f"{self.prog}: {name}: not found\n"))
            report = self.report()
            self.assertEqual((report["status"], report["reason"]), ("error", f"{name}: not found"))
            self.assertIn("lastrun", report)

    def test_not_found_where_path_has_something_else(self) -> None:
        """Execution fails with EACCES, as it does where a folder of PATH cannot be entered."""
        folder = Path(self.mktemp()).absolute()
        (folder / "no-such-command").mkdir(parents=True)
        self.environ["PATH"] = f"{folder}:{self.environ['PATH']}"
        found = self.on_file("no-such-command")
        self.assertEqual(found, (127, "", f"{self.prog}: no-such-command: not found\n"))

    def script(self, text: str, mode: int = 0o755) -> str:
        path = Path(self.mktemp()).absolute()
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def test_forwarded(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = self.start("--report", str(self.path), "--", "sh", "-c", "echo ready; exec sleep 300")
            self.said(process.stdout, b"ready")
            process.send_signal(number)
            process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 128 + number)
            report = self.report()
            self.assertEqual((report["status"], report["reason"]), ("error", f"killed by {number.name}"))

    def test_members(self) -> None:
        result = self.run_it(
            "--schedule=30  3 * * MON-FRI", "--timezone", "Europe/Berlin", "--max-runtime", "1h 30m",
            "--sleep", "22:00 + 450m, 12:00+30", "--sleep", "0:30 + 1m".replace("0:", "00:"), "--name", "the import",
            "--server", "db1", "--report", str(self.path), "true",
        )  # fmt: skip
        self.assertEqual(result, (0, "", ""))
        report = self.report()
        self.assertEqual(
            {name: value for name, value in report.items() if name not in ("lastrun", "started", "status")},
            {
                "schedule": "30 3 * * MON-FRI",
                "timezone": "Europe/Berlin",
                "max_runtime": 90,
                "sleep": [
                    {"start": "22:00", "duration": 450},
                    {"start": "12:00", "duration": 30},
                    {"start": "00:30", "duration": 1},
                ],
                "process": "the import",
                "server": "db1",
            },
        )

    def test_environment_of_cron(self) -> None:
        self.environ = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "PYTHONPATH": str(CHECKOUT), "LC_ALL": "C"}
        self.assertEqual(self.on_file("sh", "-c", "echo '\u00e4' >&2; exit 1"), (1, "", "\u00e4\n"))
        self.assertEqual(self.report()["reason"], "exit code 1: \u00e4")

    def test_full_disk(self) -> None:
        """The old report stays, one line says why, and the exit code is the command's."""
        self.on_file("false")
        before = self.path.read_bytes()
        command = ["sh", "-c", 'ulimit -f 0; exec "$0" "$@"', *self.door, "--report", str(self.path), "--"]
        # Nothing else of the process writes files.
        environ = {name: value for name, value in self.environ.items() if not name.startswith("COVERAGE")}
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
        result = subprocess.run([*command, "sh", "-c", "exit 3"], env=environ, capture_output=True, timeout=PATIENCE)
        self.assertEqual(result.returncode, 3)
        line = f"{self.prog}: cannot write {self.path}: File too large; the report of the run before stays\n"
        self.assertEqual(result.stderr.decode(), line * 2)
        self.assertEqual(self.path.read_bytes(), before)

    def test_push(self) -> None:
        endpoint = Endpoint(self)
        result = self.run_it("--every", "5", "--push", endpoint.url, "--", "sh", "-c", "sleep 0.1; echo no >&2; exit 3")
        self.assertEqual(result, (3, "", "no\n"))
        start, end = endpoint.reports
        self.assertEqual(start.keys(), {"status", "started", "frequency", "process", "server"})
        self.assertEqual((end["status"], end["reason"], end["frequency"]), ("error", "exit code 3: no", 5))
        self.assertEqual(end["started"], start["started"])

    def test_wrong_arguments(self) -> None:
        """One line says what is wrong; the command is not run."""
        ran = str(self.path) + ".ran"
        code, out, err = self.run_it("--every", "soon", "--report", str(self.path), "--", "touch", ran)
        self.assertEqual((code, out), (2, ""))
        self.assertRegex(err, rf"\A{re.escape(self.prog)}: argument --every: 'soon' is no length of time[^\n]*\n\Z")
        self.assertEqual([os.path.exists(path) for path in (ran, self.path)], [False, False])

    def test_help(self) -> None:
        code, out, err = self.run_it("--help")
        self.assertEqual((code, err), (0, ""))
        for option in (
            "--every",
            "--schedule",
            "--timezone",
            "--max-runtime",
            "--sleep",
            "--report",
            "--push",
            "--name",
        ):
            self.assertIn(option, out)
        self.assertEqual(self.run_it("--version"), (0, f"Py Pinger {__version__}\n", ""))


class PypingerRunTests(DoorContract, SynchronousTestCase):
    """Everything that the package does."""

    door = (*PYPINGER, "run")
    prog = "pypinger run"

    # The command

    def test_success(self) -> None:
        self.assertEqual(self.on_file("sh", "-c", "echo out; echo err >&2"), (0, "out\n", "err\n"))
        report = self.report()
        self.assertEqual((report["status"], report["process"]), ("ok", "sh"))
        self.assertEqual(report["server"], os.uname().nodename)
        self.assertEqual(report.keys(), {"status", "lastrun", "started", "process", "server"})
        self.assertLess(report["started"], report["lastrun"])

    def test_quotes(self) -> None:
        """No text of the command breaks the report."""
        words = 'it said "no"\\ \\u0041 {} \' $HOME \t%s'
        self.on_file("sh", "-c", 'printf "%s\\n" "$0" >&2; exit 1', words)
        self.assertEqual(self.report()["reason"], f"exit code 1: {words}")

    def test_bytes_that_are_no_text(self) -> None:
        self.on_file("sh", "-c", r'printf "a\377b\303" >&2; exit 1')
        self.assertEqual(self.report()["reason"], "exit code 1: a\ufffdb\ufffd")

    def test_no_output(self) -> None:
        result = self.run_it("--no-output", "--report", str(self.path), "--", "sh", "-c", "echo secret >&2; exit 7")
        self.assertEqual(result, (7, "", "secret\n"))
        self.assertEqual(self.report()["reason"], "exit code 7")

    def test_standard_input(self) -> None:
        read, write = os.pipe()
        os.write(write, b"hello\n")
        os.close(write)
        self.assertEqual(self.on_file("cat", stdin=read), (0, "hello\n", ""))
        os.close(read)

    def test_standard_error_at_once(self) -> None:
        """It is passed on while the command runs."""
        process = self.start("--report", str(self.path), "--", "sh", "-c", "echo ready >&2; read line", stdin=-1)
        self.said(process.stderr, b"ready")
        self.assertEqual(self.report().keys() & {"lastrun", "started"}, {"started"})
        process.communicate(b"\n", timeout=PATIENCE)
        self.assertIn("lastrun", self.report())

    def test_descriptors_are_inherited(self) -> None:
        """Such as the lock of flock(1)."""
        read, write = os.pipe()
        os.set_inheritable(write, True)
        self.on_file("sh", "-c", f"echo there >/dev/fd/{write}", close_fds=False)
        os.close(write)
        self.assertEqual(os.read(read, 100), b"there\n")
        os.close(read)

    def test_empty_command(self) -> None:
        """Of a variable that is not set, say."""
        self.assertEqual(self.on_file(""), (127, "", f"{self.prog}: '': not found\n"))
        self.assertEqual(self.report()["reason"], "'': not found")

    def test_permission_denied(self) -> None:
        for path in (self.script("#!/bin/sh\n", 0o644), "/"):
            self.assertEqual(self.on_file(path)[0], 126)
            self.assertEqual(self.report()["reason"], f"{path}: permission denied")

    def test_interpreter_not_found(self) -> None:
        path = self.script("#!/no/such/interpreter\n")
        self.assertEqual(self.on_file(path)[0], 127)
        self.assertEqual(self.report()["reason"], f"{path}: its interpreter is not found")

    def test_script_without_interpreter(self) -> None:
        """As cron's shell does, the shell runs it."""
        self.assertEqual(self.on_file(self.script('echo "$1"; exit 3\n'), "a b"), (3, "a b\n", ""))

    # Signals

    def test_killed(self) -> None:
        self.assertEqual(self.on_file("sh", "-c", "echo bye >&2; kill -KILL $$")[0], 137)
        self.assertEqual(self.report()["reason"], "killed by SIGKILL: bye")

    def test_killed_in_a_shell(self) -> None:
        self.assertEqual(self.on_file("sh", "-c", 'sh -c "kill -SEGV \\$\\$"; exit $?')[0], 139)
        self.assertRegex(self.report()["reason"], r"\Aexit code 139 \(SIGSEGV\)")

    def trapping(self, end: str) -> subprocess.Popen[bytes]:
        code = f"trap 'echo cleaning >&2; {end}' TERM; echo ready; while kill -0 $PPID; do sleep 0.05; done"
        process = self.start("--report", str(self.path), "--", "sh", "-c", code)
        self.said(process.stdout, b"ready")
        return process

    def test_command_handles_the_signal(self) -> None:
        for end, code, status, reason in (
            ("exit 5", 5, "error", "exit code 5 after SIGTERM: cleaning"),
            ("exit 0", 0, "ok", "ended after SIGTERM"),
        ):
            process = self.trapping(end)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, code)
            report = self.report()
            self.assertEqual((report["status"], report["reason"]), (status, reason))

    def test_command_does_not_end(self) -> None:
        """Each signal is forwarded; the wrapper waits for the command."""
        process = self.trapping("")
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            self.said(process.stderr, b"cleaning")
        self.assertNotIn("lastrun", self.report())

    def test_ignored(self) -> None:
        """What is ignored, as under nohup, is ignored by the command as well."""
        code = "import signal, sys; sys.exit(signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)"
        command = ["--report", str(self.path), "--", sys.executable, "-c", code]
        process = self.start(*command, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)

    def test_signals_of_the_command(self) -> None:
        """The command is started with no signal blocked or ignored that was not before."""
        code = (
            "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()),"
            "[n for n in range(1, 32) if n not in (9, 19) and signal.getsignal(n) == signal.SIG_IGN])"
        )
        bare = subprocess.run(["/bin/sh", "-c", 'exec "$0" "$@"', sys.executable, "-c", code], capture_output=True)
        out = self.on_file(sys.executable, "-c", code)[1]
        self.assertEqual(out, bare.stdout.decode())

    def test_child_signal_ignored(self) -> None:
        """Some daemons start their children so; the exit code is known all the same."""
        process = self.start(
            "--report",
            str(self.path),
            "--",
            "sh",
            "-c",
            "exit 3",
            preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        )
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 3)

    def test_interrupt_at_the_terminal(self) -> None:
        """The terminal sends Ctrl-C to the command as well, which gets it once."""
        counts = (
            "import signal, time\n"
            "seen = []\n"
            "signal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
            "print('ready', flush=True)\n"
            "while not seen: time.sleep(0.01)\n"
            "time.sleep(0.5)\n"
            "print('interrupts:', len(seen), flush=True)\n"
        )
        process, terminal = pty.fork()
        if process == 0:
            command = [*self.door, "--report", str(self.path), "--", sys.executable, "-c", counts]
            os.execve(command[0], command, self.environ)
        shown = b""
        try:
            while b"ready" not in shown:
                shown += os.read(terminal, 1000)
            os.write(terminal, b"\x03")
            while not re.search(rb"interrupts: .*\n", shown):
                shown += os.read(terminal, 1000)
            self.assertIn(b"interrupts: 1", shown)
            self.appears(lambda: self.report().get("reason") == "ended after SIGINT")
        finally:
            os.close(terminal)
            os.waitpid(process, 0)

    def test_wrapper_killed(self) -> None:
        """The start stays, without an end: the monitor sees a run that takes too long."""
        self.on_file("true")
        before = self.report()
        code = "echo $$; exec sleep 300"
        process = self.start("--report", str(self.path), "--max-runtime", "1h", "--", "sh", "-c", code)
        assert process.stdout is not None
        command = int(process.stdout.readline())
        self.addCleanup(os.kill, command, signal.SIGKILL)
        process.kill()
        process.wait(timeout=PATIENCE)
        report = self.report()
        self.assertEqual((report["status"], report["lastrun"], report["max_runtime"]), ("ok", before["lastrun"], 60))
        self.assertLess(report["lastrun"], report["started"])

    # Output

    def test_much_output(self) -> None:
        """It costs no memory, be it many times what the wrapper may have."""
        much = "head -c 400000000 /dev/zero"
        script = f"{much} >&2; {much} >/dev/null; grep VmHWM /proc/$PPID/status; false"
        code, out, _ = self.on_file("sh", "-c", script, stderr=subprocess.DEVNULL)
        self.assertEqual(code, 1)
        peak = re.search(r"VmHWM:\s+(\d+) kB", out)
        assert peak is not None, out
        self.assertLess(int(peak[1]), 80_000)
        self.assertEqual(self.report()["reason"], "exit code 1")

    def test_background_process_holds_standard_error(self) -> None:
        """It does not keep the wrapper from ending, and can still write when it has ended."""
        go = self.path.parent / "go"
        os.mkfifo(go)
        background = f"(read line <{go}; echo late >&2; sleep 0.1; echo later >&2)"
        process = self.start("--report", str(self.path), "--", "sh", "-c", f"{background} & echo begun >&2; exit 3")
        self.assertEqual(process.wait(timeout=PATIENCE), 3)
        self.assertEqual(self.report()["reason"], "exit code 3: begun")
        go.write_text("\n")
        self.assertEqual(process.communicate(timeout=PATIENCE), (b"", b"begun\nlate\nlater\n"))

    def test_nobody_reads_standard_error(self) -> None:
        """The report does not wait for a reader, and what is read later is whole."""
        read, write = os.pipe()
        capacity = 0
        os.set_blocking(write, False)
        while True:
            try:
                capacity += os.write(write, bytes(4096))
            except BlockingIOError:
                break
        os.set_blocking(write, True)
        code = "head -c 60000 /dev/zero >&2; echo last >&2; exit 3"
        process = self.start("--report", str(self.path), "--", "sh", "-c", code, stderr=write)
        os.close(write)
        self.appears(lambda: self.path.exists() and "lastrun" in self.report())
        self.assertEqual(self.report()["status"], "error")
        # Time to end too early.
        time.sleep(0.3)
        with os.fdopen(read, "rb") as reader:
            received = reader.read()
        self.assertEqual((len(received), received[-5:]), (capacity + 60_005, b"last\n"))
        self.assertEqual(process.wait(timeout=PATIENCE), 3)

    def test_ended_while_nobody_reads(self) -> None:
        """A signal ends the wait for a reader of standard error, as it does that for the monitor."""
        code = "head -c 100000 /dev/zero >&2; exit 3"
        process = self.start("--report", str(self.path), "--", "sh", "-c", code)
        self.appears(lambda: self.path.exists() and "lastrun" in self.report())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=PATIENCE), 3)

    def test_standard_error_cannot_be_written(self) -> None:
        """The report has the last lines, and the command runs to its end."""
        read, gone = os.pipe()
        os.close(read)
        with open("/dev/full", "wb") as full:
            for stream in (full, gone):
                self.assertEqual(
                    self.on_file("sh", "-c", "echo one >&2; sleep 0.1; echo two >&2; exit 3", stderr=stream)[0], 3
                )
                self.assertEqual(self.report()["reason"], "exit code 3: one\ntwo")
        os.close(gone)

    def test_closed_streams(self) -> None:
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            script = f'exec "$0" "$@" {closed}'
            command = [
                "sh",
                "-c",
                script,
                *self.door,
                "--report",
                str(self.path),
                "--",
                "sh",
                "-c",
                "echo x >&2; exit 3",
            ]
            result = subprocess.run(command, env=self.environ, capture_output=True, timeout=PATIENCE)
            self.assertEqual(result.returncode, 3, closed)
            self.assertEqual(self.report()["reason"], "exit code 3: x")
            self.assertNotIn(b"Traceback", result.stderr)

    # Members

    def test_zone_of_the_machine(self) -> None:
        self.environ["TZ"] = "Asia/Tokyo"
        self.run_it("--schedule", "@daily", "--report", str(self.path), "true")
        report = self.report()
        self.assertEqual((report["schedule"], report["timezone"]), ("@daily", "Asia/Tokyo"))

    def test_minutes(self) -> None:
        self.run_it("--every", "90s", "--report", str(self.path), "true")
        self.assertEqual(self.report()["frequency"], 1.5)

    def test_options_of_the_command(self) -> None:
        """Ours end with --, or where the command begins."""
        self.assertEqual(self.run_it("--report", str(self.path), "echo", "--name", "-h", "--")[1], "--name -h --\n")
        self.assertEqual(self.on_file("echo", "--", "--every")[1], "-- --every\n")

    def test_name_that_is_no_text(self) -> None:
        path = os.fsencode(self.script("#!/bin/sh\n")) + b"\xff"
        Path(os.fsdecode(path)).symlink_to("/bin/true")
        self.assertEqual(self.on_file(os.fsdecode(path))[0], 0)
        self.assertEqual(self.report()["process"][-1], "\ufffd")

    # Runs

    def test_start_has_the_outcome_before(self) -> None:
        self.on_file("sh", "-c", "echo broken >&2; exit 1")
        before = self.report()
        self.assertEqual(self.on_file("cat", str(self.path))[0], 0)
        during = json.loads(self.on_file("cat", str(self.path))[1])
        self.assertEqual(during["status"], "ok")
        self.on_file("false")
        self.assertLess(before["lastrun"], during["lastrun"])
        self.assertLess(during["lastrun"], during["started"])

    def test_failure_before(self) -> None:
        self.on_file("sh", "-c", "echo broken >&2; exit 1")
        before = self.report()
        during = json.loads(self.on_file("cat", str(self.path))[1])
        self.assertEqual(
            [during[name] for name in ("status", "reason", "lastrun")],
            list(map(before.get, ("status", "reason", "lastrun"))),
        )
        self.assertNotIn("reason", self.report())

    def test_two_at_once(self) -> None:
        """The later end counts, and a start keeps the outcome of the other."""
        command = ("--report", str(self.path), "--", "sh", "-c", 'echo ready; read line; echo "$0" >&2; exit 1')
        first = self.start(*command, "first", stdin=subprocess.PIPE)
        self.said(first.stdout, b"ready")
        second = self.start(*command, "second", stdin=subprocess.PIPE)
        self.said(second.stdout, b"ready")
        self.assertNotIn("lastrun", self.report())
        second.communicate(b"\n", timeout=PATIENCE)
        self.assertEqual(self.report()["reason"], "exit code 1: second")
        third = self.start(*command, "third", stdin=subprocess.PIPE)
        self.said(third.stdout, b"ready")
        self.assertEqual(self.report()["reason"], "exit code 1: second")
        first.communicate(b"\n", timeout=PATIENCE)
        self.assertEqual(self.report()["reason"], "exit code 1: first")
        third.communicate(b"\n", timeout=PATIENCE)
        self.assertEqual(self.report()["reason"], "exit code 1: third")
        self.assertEqual([name for name in os.listdir(self.path.parent) if name.endswith(".new")], [])

    def test_missing_directory(self) -> None:
        self.path = self.path / "a" / "task.json"
        self.assertEqual(self.on_file("true"), (0, "", ""))
        self.assertEqual(self.report()["status"], "ok")

    # Pushes

    def test_push_of_the_environment(self) -> None:
        endpoint = Endpoint(self)
        self.environ["PYPINGER_PUSH_URL"] = endpoint.url
        self.assertEqual(self.run_it("--", "true"), (0, "", ""))
        self.assertEqual([report["status"] for report in endpoint.reports], ["ok", "ok"])
        self.assertEqual(self.on_file("true"), (0, "", ""))
        self.assertEqual(len(endpoint.reports), 2, "--report was given")

    def test_push_fails(self) -> None:
        """The exit code is the command's, and the key is not shown."""
        endpoint = Endpoint(self, 404, 404, text="not found")  # type: ignore[arg-type]
        code, _, err = self.run_it("--push", endpoint.url, "--", "sh", "-c", "sleep 0.5; exit 3")
        self.assertEqual(code, 3)
        line = f"{self.prog}: cannot push to http://127.0.0.1:{endpoint.port}/***: HTTP 404 Not Found: not found\n"
        self.assertEqual(err, line * 2)

    def test_command_starts_though_the_monitor_is_away(self) -> None:
        process = self.start(
            "--push", f"http://127.0.0.1:1/push/{KEY}", "--", "sh", "-c", "echo ready; read x", stdin=-1
        )
        self.said(process.stdout, b"ready")

    def test_ended_while_it_pushes(self) -> None:
        """A signal ends the wait for the monitor, with the exit code of the command."""
        process = self.start("--push", f"http://127.0.0.1:1/push/{KEY}", "--", "sh", "-c", "echo over; exit 3")
        self.said(process.stdout, b"over")
        self.appears(lambda: not self.children(process.pid))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, err.decode()), (3, f"{self.prog}: the report was not pushed in time\n"))

    def test_ended_at_the_end(self) -> None:
        """A push that is under way when the signal comes has a moment: a stopped service gets one after its command."""
        endpoint = Endpoint(self)

        def before_answer() -> None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)

        process = self.start("--push", endpoint.url, "--", "sh", "-c", "read line; exit 3", stdin=-1)
        self.appears(lambda: endpoint.reports)
        endpoint.before_answer = before_answer
        _, err = process.communicate(b"\n", timeout=PATIENCE)
        self.assertEqual((process.returncode, err.decode()), (3, ""))
        self.assertEqual(len(endpoint.reports), 2)

    def children(self, pid: int) -> str:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text()

    # Arguments

    def test_loads_neither_twisted_nor_msgspec(self) -> None:
        code = (
            "import sys; from pypinger.cli import main; code = main(['run', '--report', sys.argv[1], '--', 'false']);"
            "sys.exit(code + 10 * len({'twisted', 'asyncio', 'msgspec'} & set(sys.modules)))"
        )
        result = subprocess.run([sys.executable, "-c", code, self.path], env=self.environ, timeout=PATIENCE)
        self.assertEqual(result.returncode, 1)


class SingleFileTests(DoorContract, SynchronousTestCase):
    door = (sys.executable, str(SINGLE_FILE))
    prog = "pypinger-report.py"


class ArgumentTests(SynchronousTestCase):
    def refused(self, *arguments: str) -> str:
        """What is said of arguments that are wrong."""
        err = io.StringIO()
        with contextlib.redirect_stderr(err), self.assertRaises(SystemExit) as end:
            main(arguments, "pypinger run")
        self.assertEqual(end.exception.code, 2)
        return err.getvalue()

    def test_one_line(self) -> None:
        path = os.path.abspath(self.mktemp())
        file, command = ["--report", path], ["--", "touch", path]
        url = f"http://127.0.0.1/push/{KEY}"
        self.patch(os, "environ", {"PATH": os.environ["PATH"]})
        for arguments in (
            [],
            ["--"],
            [*file],
            [*file, "--"],
            [*file, "--every"],
            ["--every", "5m", *command],
            ["--every", "soon", *file, *command],
            ["--every", "0", *file, *command],
            ["--every", "367d", *file, *command],
            ["--every", "5%d", *file, *command],
            ["--every=5\n6", *file, *command],
            ["--schedule", "0 3 * *", *file, *command],
            ["--schedule", "0 25 * * *", *file, *command],
            ["--every", "5", "--schedule", "@daily", *file, *command],
            ["--timezone", "Mars/Olympus", *file, *command],
            ["--max-runtime", "-5", *file, *command],
            ["--sleep", "22:00", *file, *command],
            [*file, "--push", url, *command],
            ["--push", url.replace("http", "gopher"), *command],
            ["--push", "", *command],
            ["--report", "/", *command],
            ["--report", "/dev/null", *command],
            ["--colour", "red", *file, *command],
            ["--ever", "5", *file, *command],
            ["--psh", url, *file, *command],
            [f"--psh={url}", *file, *command],
        ):
            words = self.refused(*arguments)
            self.assertRegex(words, r"\Apypinger run: [^\n]+\n\Z", arguments)
            self.assertNotIn(KEY, words)
            self.assertNotIn("%%", words)
        self.assertFalse(os.path.exists(path))


class LastLinesTests(SynchronousTestCase):
    def test_last_lines(self) -> None:
        stderr = b"".join(b"line %d\r\n" % number for number in range(1000))
        reason = with_last_lines("exit code 1", stderr)
        self.assertTrue(reason.startswith("exit code 1: line 9"), reason)
        self.assertTrue(reason.endswith("line 998\nline 999"), reason)
        self.assertLessEqual(len(reason), 500)

    def test_long_line(self) -> None:
        """Its beginning is shown, which says more than its end."""
        reason = with_last_lines("exit code 1", b"first\nError: " + b"x" * 5000)
        self.assertTrue(reason.startswith("exit code 1: Error: xxx"), reason)
        self.assertEqual((len(reason), reason[-1]), (500, "\u2026"))

    def test_cut_within_a_character(self) -> None:
        self.assertEqual(with_last_lines("exit code 1", b"\xa4\n\xc3\xa4"), "exit code 1: \u00e4")

    def test_colours(self) -> None:
        self.assertEqual(
            with_last_lines("exit code 1", b"\x1b[31;1mred\x1b[0m\x07 \x00end\n\n"), "exit code 1: red end"
        )

    @given(st.text(max_size=60), st.binary(max_size=3000))
    def test_fits(self, why: str, stderr: bytes) -> None:
        reason = with_last_lines(why, stderr)
        self.assertTrue(reason.startswith(why))
        self.assertLessEqual(len(reason), 500)
        reason.encode()
