"""Small disks for tests of full ones."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from twisted.python.runtime import platform
from twisted.trial.unittest import SkipTest, SynchronousTestCase


def small_disk(case: SynchronousTestCase, size: str = "1m") -> Path:
    """Mount a disk of this size for the test."""
    if not platform.isLinux() or os.getuid():
        raise SkipTest("only root can mount a small disk")
    directory = Path(tempfile.mkdtemp(prefix="pypinger-disk-"))
    case.addCleanup(directory.rmdir)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", directory], check=False)
    if mounted.returncode:
        raise SkipTest("a small disk cannot be mounted here")
    case.addCleanup(subprocess.run, ["umount", directory], check=True)
    return directory
