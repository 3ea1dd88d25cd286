"""Standard output and standard error of a command, as streams that never raise."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

#: The exit code of a command that would have ended with 0 but could not write its output.
NOT_WRITTEN = 3


class _Raw(io.RawIOBase):
    """
    Writes to a file descriptor, and drops what cannot be written.

    :ivar failure: the first error.
    """

    def __init__(self, descriptor: int) -> None:
        self.failure: OSError | None = None
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        if self.failure is None:
            try:
                return os.write(self._descriptor, data)
            except OSError as error:
                self.failure = error
        return len(data)


class Output:
    """
    Replaces standard output and standard error for one command.

    A reader that goes away (``pypinger check URL | head -1``) is no error; a full device is. Characters that the
    locale's encoding lacks are written as escapes.
    """

    def __init__(self) -> None:
        self._before = sys.stdout, sys.stderr
        self._out, self._err = _raw(sys.stdout), _raw(sys.stderr)
        if self._out is not None:
            sys.stdout = _text(self._out, sys.stdout)
        if self._err is not None:
            sys.stderr = _text(self._err, sys.stderr)

    def finish(self, code: int) -> int:
        """
        Write what is buffered, and restore the streams.

        :param code: the exit code of the command.
        :returns: the exit code, which is not 0 if output was lost on a full or broken device.
        """
        if self._out is not None:
            sys.stdout.flush()
        failure = None if self._out is None else self._out.failure
        if failure is not None and failure.errno != errno.EPIPE:
            print(f"pypinger: cannot write to standard output: {failure.strerror}", file=sys.stderr)
            code = code or NOT_WRITTEN
        if self._err is not None:
            sys.stderr.flush()
        sys.stdout, sys.stderr = self._before
        return code


def _raw(stream: TextIO | None) -> _Raw | None:
    """Return a raw stream; None if `stream` is closed, or not a stream of the process."""
    try:
        return _Raw(stream.fileno()) if isinstance(stream, io.TextIOWrapper) else None
    except (OSError, ValueError):
        return None


def _text(raw: _Raw, stream: TextIO) -> TextIO:
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=raw.isatty() or stream is sys.stderr,
    )
