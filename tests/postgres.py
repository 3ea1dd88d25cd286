"""
A PostgreSQL server for tests: Debian's binaries in a temporary directory.

:func:`server` starts one in each test process when it is first asked for. A test makes a database of its own on it::

    class SomeTests(TestCase):
        skip = postgres.missing()

        def setUp(self) -> None:
            self.url = postgres.database(self)

PostgreSQL does not run as root, so as root it runs as the user ``postgres``. It listens on the loopback interface and
on a Unix socket in its directory, and dies with the process that started it.
"""

from __future__ import annotations

import atexit
import hashlib
import hmac
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import b64encode
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.ports import free_port
from tests.shared import directory, once

#: The superuser of the server, and its password, which no log and no page may show.
USER = "pinger"
PASSWORD = "pass:w0rd/of@tests"

#: Seconds that the server may take to start or stop.
LIMIT = 60.0

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "jit": "off",
    "autovacuum_naptime": "10s",
    "log_min_messages": "warning",
}

_numbers = count(1)


@cache
def binaries() -> Path | None:
    """The directory of ``initdb`` and ``postgres``; None if they are not installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found.sort(key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    return next((path for path in reversed(found) if (path / "postgres").exists()), None)


def missing() -> str | None:
    """Why no server can be started; None if one can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    if binaries() is None:
        return "PostgreSQL is not installed (Debian: postgresql)"
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            return "setpriv is not installed, and PostgreSQL does not run as root"
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "there is no user postgres, and PostgreSQL does not run as root"
    return None


class Server:
    """
    A server with a data directory of its own.

    :ivar port: of its listener on 127.0.0.1, and of its Unix socket.
    :ivar directory: holds the data, the socket and the log.
    """

    def __init__(self, **settings: str) -> None:
        self._bin = _required_binaries()
        self.directory = Path(tempfile.mkdtemp(prefix="pypinger-postgres-", dir="/tmp"))
        self._settings = {**_SETTINGS, **settings}
        # It stays free while the server is away.
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        _give_to_postgres(self.directory)
        _run_as_postgres("cp", "-R", str(_fresh_data()), str(self.data))

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, as ``[store] url`` takes it."""
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._process is not None

    def start(self) -> None:
        """
        Start it, and wait until it takes connections.

        Call this in the main thread: the server is ended with the thread that started it.
        """
        settings = {**self._settings, "port": str(self.port), "listen_addresses": "127.0.0.1"}
        settings["unix_socket_directories"] = str(self.directory)
        command = [str(self._bin / "postgres"), "-D", str(self.data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open(self.directory / "log", "ab") as log:
            # A session of its own: the interrupts of a terminal are for the tests.
            self._process = subprocess.Popen(
                [*_as_postgres(), *command], stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        deadline = time.monotonic() + LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once: sessions end, and what was committed is kept."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill all its processes; the next start recovers what was committed."""
        assert self._process is not None
        for pid in [*_children(self._process.pid), self._process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait(LIMIT)
        self._process = None

    def restart(self) -> None:
        """Stop it, and start it again."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End it for good, and remove its directory."""
        if self._process is not None:
            self._end(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def execute(self, query: str, *values: object, database: str = "postgres") -> list[Any]:
        """Run one statement as the superuser; returns its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(query, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def create(self) -> str:
        """Make an empty database; returns its name."""
        name = f"test{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        return name

    def drop(self, name: str) -> None:
        """Remove a database and end its sessions, if the server runs."""
        if self._process is not None:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        process.wait(LIMIT)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@cache
def server() -> Server:
    """The server of this process, which runs."""
    made = Server()
    atexit.register(made.remove)
    made.start()
    return made


@once
def _fresh_data() -> Path:
    """The data directory of a server that never ran; a copy of it is ten times cheaper than ``initdb``."""
    place = Path(tempfile.mkdtemp(prefix="postgres-", dir=directory()))
    data, password = place / "data", place / "password"
    password.write_text(f"{_verifier()}\n")
    for path in (place, password):
        _give_to_postgres(path)
    command = [str(_required_binaries() / "initdb"), "-D", str(data), "-U", USER, "--pwfile", str(password)]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
    # 16 MB less to copy.
    command += ["--wal-segsize=1"]
    _run_as_postgres(*command)
    return data


def _verifier() -> str:
    """The password as PostgreSQL keeps it, of one round of hashing: 4096 are half the time of each connection."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = [b64encode(each).decode() for each in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return f"SCRAM-SHA-256$1:{parts[0]}${parts[1]}:{parts[2]}"


def database(case: Any) -> str:
    """Make a database for one test, which is removed after it; returns its URL."""
    running = server()
    name = running.create()
    case.addCleanup(running.drop, name)
    return running.url(name)


def _required_binaries() -> Path:
    found = binaries()
    assert found is not None, missing()
    return found


def _give_to_postgres(path: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(path, user.pw_uid, user.pw_gid)


def _run_as_postgres(*command: str) -> None:
    subprocess.run([*_as_postgres(), *command], check=True, stdout=subprocess.PIPE, cwd="/", timeout=LIMIT)


def _as_postgres() -> list[str]:
    """The beginning of a command that runs as an ordinary user, and is ended when this process ends."""
    if shutil.which("setpriv") is None:
        return []
    if os.geteuid() != 0:
        return ["setpriv", "--pdeathsig", "QUIT"]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "QUIT"]


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
