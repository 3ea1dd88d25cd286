"""The ``[store]`` section."""

from __future__ import annotations

import os
import re
import socket
import stat
from importlib.util import find_spec

from pypinger.config.endpoint import port_of
from pypinger.config.section import SectionReader
from pypinger.config.settings import StoreSettings
from pypinger.domain import databaseurl

#: The port of the pages with which an instance is named by its host alone.
DEFAULT_PORT = "3002"

_LONGEST = 64
_NAME = re.compile(f"[A-Za-z0-9._:-]{{1,{_LONGEST}}}")


def read(section: SectionReader, endpoint: str) -> StoreSettings:
    """Return the settings of the store; `endpoint` is that of the pages."""
    path = section.text("path", "pypinger.sqlite")
    if path != ":memory:":
        # systemd separates several directories by colons.
        directory = section.context.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        path = section.context.absolute(os.path.join(directory, path))
        words = "" if "path" in section.unresolved else _store_problem(path)
        if words:
            section.problem("path", words)
    url = _url(section)
    return StoreSettings(
        path=path,
        keep_days=section.days("keep_days", 90.0),
        url=url,
        instance=_instance(section, endpoint) if url else "",
    )


def _url(section: SectionReader) -> str:
    url = section.text("url")
    if not url or "url" in section.unresolved:
        return url
    section.context.secret(*databaseurl.secrets(url))
    if words := databaseurl.problem(url):
        section.problem("url", words)
    elif find_spec("psycopg") is None:
        section.problem("url", 'needs psycopg: pip install "py-pinger[postgres]"')
    return url


def _instance(section: SectionReader, endpoint: str) -> str:
    name = section.text("instance")
    if not name:
        port = port_of(endpoint)
        return socket.gethostname() if port in ("", DEFAULT_PORT) else f"{socket.gethostname()}:{port}"
    if not _NAME.fullmatch(name):
        words = f"must be at most {_LONGEST} letters, digits and any of . _ : -, not {section.quoted('instance')}"
        section.problem("instance", words)
    return name


def _store_problem(path: str) -> str:
    """
    Return why no store can be at `path`; empty if one can.

    A directory that only the service may enter counts as valid: other processes cannot look into it.
    """
    directory = os.path.dirname(path)
    try:
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            return f"{directory} is not a directory"
    except PermissionError:
        return ""
    except (OSError, ValueError) as error:
        return f"the directory {directory} cannot be used: {_reason(error)}"
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return f"{path} is a directory; name a file"
        if not stat.S_ISREG(mode):
            return f"{path} is not a regular file"
    except (FileNotFoundError, PermissionError):
        pass
    except OSError as error:
        return f"{path} cannot be used: {_reason(error)}"
    return ""


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "not a valid path").lower()
