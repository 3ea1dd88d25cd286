"""What trial's processes make once for all of them."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from fcntl import LOCK_EX, flock
from functools import wraps
from pathlib import Path

# They inherit it from the process that starts them, which has imported the tests. Other users, such as the one that
# PostgreSQL runs as, can enter it.
if "PYPINGER_TESTS" not in os.environ:
    os.environ["PYPINGER_TESTS"] = tempfile.mkdtemp(prefix="pypinger-tests-", dir="/tmp")
    os.chmod(os.environ["PYPINGER_TESTS"], 0o711)
    atexit.register(shutil.rmtree, os.environ["PYPINGER_TESTS"], ignore_errors=True)


def directory() -> Path:
    """A temporary directory outside the checkout."""
    return Path(os.environ["PYPINGER_TESTS"])


def once(make: Callable[[], Path]) -> Callable[[], Path]:
    """Let the first process that asks make it, and the others wait for it."""

    @wraps(make)
    def made() -> Path:
        note = directory() / f"path of {make.__name__}"
        with open(directory() / f"lock of {make.__name__}", "w") as lock:
            flock(lock, LOCK_EX)
            if not note.exists():
                note.write_text(str(make()))
        return Path(note.read_text())

    return made
