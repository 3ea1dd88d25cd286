"""Runs a command: passes signals and standard error on, and keeps the last lines (contract, section 9)."""

from __future__ import annotations

import errno
import os
import re
import select
import shutil
import signal
import subprocess
import threading
from typing import Callable, NamedTuple, Sequence

from pypinger.report.content import REASON

#: The exit codes of shells for a command that cannot be run, and for one that is not there.
CANNOT_RUN, NOT_FOUND = 126, 127

#: What a shell adds to the number of the signal that ended a command.
SIGNALLED = 128

# How much of standard error is kept, in bytes, and how much is read at once.
_TAIL = 8192
_CHUNK = 65_536

# How long the report waits for the end of standard error after that of the command, in seconds. What the command left
# running in the background may keep it open.
_LINGER = 1.0

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Colours and the like, and control characters that end no line.
_UNSHOWN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])|[\x00-\x08\x0e-\x1b\x7f]")


class CommandEnd(NamedTuple):
    """
    How a command ended.

    :ivar code: the exit code as shells have it.
    :ivar reason: why it failed, if it did; what ended it early.
    :ivar problem: why it could not be run at all.
    """

    code: int
    reason: str | None = None
    problem: str | None = None


class SignalGate:
    """
    Holds back the signals for a command, until :meth:`next` takes them.

    Nothing is lost between two steps, and none of them interrupts a report. Signals that are ignored, as under nohup,
    stay ignored.
    """

    def __init__(self) -> None:
        self._forwarded = {each for each in _FORWARDED if signal.getsignal(each) != signal.SIG_IGN}
        self._child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {*self._forwarded, signal.SIGCHLD})

    def open_in_child(self) -> None:
        """Give a new process the signals that this one had."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def pass_on(self, child: subprocess.Popen[bytes]) -> signal.Signals | None:
        """
        Wait for a signal and send it to a child; None for the end of a child.

        What is typed at the terminal the kernel has sent to the command as well.
        """
        held: set[int] = {*self._forwarded, signal.SIGCHLD}
        if hasattr(signal, "sigwaitinfo"):
            found = signal.sigwaitinfo(held)
            number, typed = found.si_signo, found.si_code > 0
        else:  # macOS
            number, typed = signal.sigwait(held), False
        if number == signal.SIGCHLD:
            return None
        if not typed:
            child.send_signal(number)
        return signal.Signals(number)

    def asked_to_end(self) -> bool:
        """Whether a signal waits."""
        return not self._forwarded.isdisjoint(signal.sigpending())

    def close(self) -> None:
        """Restore what was before; what waits is dropped."""
        while not {*self._forwarded, signal.SIGCHLD}.isdisjoint(signal.sigpending()):
            signal.sigwait({*self._forwarded, signal.SIGCHLD})
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
        if self._child is not None:
            signal.signal(signal.SIGCHLD, self._child)


class _Tail:
    """The last bytes of standard error, which it passes on as they come."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._kept = bytearray()
        self._complete = False
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._pump, name="pypinger-stderr", daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        passing = True
        ready = select.poll()
        ready.register(self._source, select.POLLIN)
        ready.register(self._stopped, select.POLLIN)
        while self._stopped not in dict(ready.poll()):
            data = os.read(self._source, _CHUNK)
            if not data:
                self._complete = True
                return
            self._kept += data[-_TAIL:]
            del self._kept[:-_TAIL]
            passing = passing and _pass_on(data)

    def end(self) -> bytes:
        """Return the last bytes, once the command has ended."""
        self._thread.join(_LINGER)
        return bytes(self._kept)

    def leave(self, gate: SignalGate) -> None:
        """
        Wait until all that was read is passed on.

        What the command left running would be killed by SIGPIPE without a reader: cat(1) reads on.
        """
        os.close(self._stop)
        while self._thread.is_alive() and not gate.asked_to_end():
            self._thread.join(0.1)
        if not self._complete:
            try:
                subprocess.Popen(
                    ["/bin/sh", "-c", "exec cat"],
                    stdin=self._source,
                    stdout=2,
                    cwd="/",
                    start_new_session=True,
                    preexec_fn=gate.open_in_child,
                )
            except OSError:
                pass


def _pass_on(data: bytes) -> bool:
    """Write to standard error; whether there is one."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(2, rest) :]
        except BlockingIOError:
            select.select([], [2], [])
        except OSError:
            return False
    return True


def run_command(
    command: Sequence[str],
    gate: SignalGate,
    keep_stderr: bool,
    begun: Callable[[], None],
    ended: Callable[[CommandEnd], None],
) -> int:
    """
    Run a command to its end; return its exit code.

    :param keep_stderr: whether the last lines of standard error are part of the reason.
    :param begun: called once it runs, or cannot.
    :param ended: called once it has ended, or cannot run; standard error may still be passed on then.
    """
    _fill_standard_streams()
    stderr = subprocess.PIPE if keep_stderr else None
    try:
        child = _spawn(command, gate, stderr)
    except OSError as error:
        begun()
        outcome = _not_run(command[0], error)
        ended(outcome)
        return outcome.code
    tail = None if child.stderr is None else _Tail(child.stderr.fileno())
    begun()
    received: list[signal.Signals] = []
    while child.poll() is None:
        number = gate.pass_on(child)
        if number is not None:
            received.append(number)
    outcome = _outcome(child.returncode, received, b"" if tail is None else tail.end())
    ended(outcome)
    if tail is not None:
        tail.leave(gate)
    return outcome.code


def _spawn(command: Sequence[str], gate: SignalGate, stderr: int | None) -> subprocess.Popen[bytes]:
    """
    Start a command with the descriptors of this process, such as the lock of flock(1).

    :raises OSError: it cannot be run.
    """

    def start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        # No thread runs yet that the child could miss.
        return subprocess.Popen(arguments, stderr=stderr, close_fds=False, preexec_fn=gate.open_in_child)

    try:
        return start(command)
    except OSError as error:
        script = shutil.which(command[0])
        if error.errno != errno.ENOEXEC or script is None:
            raise
        # As execvp(3) does for a script whose first line names no interpreter.
        return start(["/bin/sh", script, *command[1:]])


def _not_run(name: str, error: OSError) -> CommandEnd:
    shown = name or "''"
    # A folder of PATH that cannot be entered fails with EACCES, although it may hold no such command.
    unknown = "/" not in name and shutil.which(name, os.F_OK) is None
    if isinstance(error, FileNotFoundError) or unknown:
        words = "its interpreter is not found" if "/" in name and os.path.exists(name) else "not found"
        return CommandEnd(NOT_FOUND, f"{shown}: {words}"[:REASON], f"{shown}: {words}")
    words = "permission denied" if isinstance(error, PermissionError) else str(error.strerror)
    return CommandEnd(CANNOT_RUN, f"{shown}: {words}"[:REASON], f"{shown}: {words}")


def _outcome(returncode: int, received: Sequence[signal.Signals], stderr: bytes) -> CommandEnd:
    after = " after " + ", ".join(dict.fromkeys(each.name for each in received)) if received else ""
    if returncode == 0:
        return CommandEnd(0, f"ended{after}" if received else None)
    if returncode < 0:
        return CommandEnd(SIGNALLED - returncode, with_last_lines(f"killed by {_signal_name(-returncode)}", stderr))
    # What a shell says of a command that a signal ended.
    by = f" ({_signal_name(returncode - SIGNALLED)})" if SIGNALLED < returncode <= SIGNALLED + 31 else ""
    return CommandEnd(returncode, with_last_lines(f"exit code {returncode}{by}{after}", stderr))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def with_last_lines(why: str, stderr: bytes) -> str:
    """Return a reason of at most 500 characters with as many of the last lines as it has room for."""
    text = _UNSHOWN.sub("", stderr.decode("utf-8", "replace").lstrip("\N{REPLACEMENT CHARACTER}"))
    lines: list[str] = []
    room = REASON - len(why) - 1
    for line in reversed([line.strip() for line in text.splitlines() if line.strip()]):
        if len(line) >= room:
            if not lines:
                lines.append(line[: room - 2] + "…")
            break
        lines.append(line)
        room -= len(line) + 1
    return why + (": " + "\n".join(reversed(lines)) if lines else "")


def _fill_standard_streams() -> None:
    """Keep a new descriptor from becoming a standard stream that is closed; the command does not inherit it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
