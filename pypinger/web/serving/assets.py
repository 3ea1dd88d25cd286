"""
The static files: the stylesheet, the script, and the icons of pages.

Their names are fixed, so that no request names a file of the machine. Pages link them with a hash of their content, so
that clients may cache them and still see a new release at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import msgspec

_FOLDER = Path(__file__).parent.parent / "static"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_NAMES = (
    "style.css",
    "lists.css",
    "live.js",
    "times.js",
    "keys.js",
    "ok.svg",
    "error.svg",
    "sleeping.svg",
    "new.svg",
    "degraded.svg",
)


class Asset(msgspec.Struct, frozen=True):
    """
    One static file.

    :ivar path: how pages link it, relative to the overview.
    """

    path: str
    media_type: str
    content: bytes


def load() -> Mapping[str, Asset]:
    """Read the static files; name -> file."""
    return {name: _asset(name, (_FOLDER / name).read_bytes()) for name in _NAMES}


def _asset(name: str, content: bytes) -> Asset:
    version = blake2b(content, digest_size=4).hexdigest()
    return Asset(f"static/{name}?v={version}", _TYPES[name.rpartition(".")[2]], content)
