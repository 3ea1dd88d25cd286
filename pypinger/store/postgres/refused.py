"""
Statements that write many rows, and rows that the server refuses.

Note [Refused rows]
~~~~~~~~~~~~~~~~~~~
A row that does not fit would be refused by each attempt, and with it all others. So the attempt after a refusal has a
savepoint for each statement, halves the rows of one that is refused, and leaves out those that are refused alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeAlias

import psycopg
from twisted.logger import Logger

from pypinger.store.rows import encode

#: Errors that say that a row does not fit.
REFUSED = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)

#: The maximum number of refusals that are remembered, so that each is logged once.
REMEMBERED = 100

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

#: The JSON that is the parameter of a statement holds one object for each row.
Row: TypeAlias = Mapping[str, object]


class Written(NamedTuple):
    """
    The result of a statement.

    :ivar number: how many rows it wrote; `rows`: what it returned.
    :ivar refused: rows that were left out.
    """

    number: int = 0
    rows: Sequence[tuple[Any, ...]] = ()
    refused: Sequence[Row] = ()


class ManyRows(Protocol):
    """Executes a statement for many rows; `values` are its other parameters."""

    def __call__(self, query: str, rows: Iterable[Row], *values: object) -> Written: ...


class RefusedRows:
    """See Note [Refused rows]."""

    _log = Logger()

    def __init__(self) -> None:
        self._logged: set[str] = set()
        # Whether a row of the latest attempt was refused.
        self._careful = False

    @contextmanager
    def attempt(self, connection: psycopg.Connection) -> Iterator[ManyRows]:
        """
        Make an attempt, in a transaction of the caller.

        :raises psycopg.Error: a row was refused: try again.
        """

        def many(query: str, rows: Iterable[Row], *values: object) -> Written:
            listed = list(rows)
            if not listed:
                return Written()
            execute = self._carefully if self._careful else _execute
            return execute(connection, query, listed, values)

        try:
            yield many
        except REFUSED:
            self._careful = True
            raise
        self._careful = False

    def _carefully(
        self, connection: psycopg.Connection, query: str, rows: Sequence[Row], values: Sequence[object]
    ) -> Written:
        try:
            with connection.transaction():
                return _execute(connection, query, rows, values)
        except REFUSED as error:
            if len(rows) == 1:
                self._refuse(query, error)
                return Written(refused=rows)
        half = len(rows) // 2
        first, second = (self._carefully(connection, query, part, values) for part in (rows[:half], rows[half:]))
        refused = [*first.refused, *second.refused]
        return Written(first.number + second.number, [*first.rows, *second.rows], refused)

    def _refuse(self, query: str, error: psycopg.Error) -> None:
        words = f"{' '.join(query.split()[:3])}: {error.diag.message_primary or type(error).__name__}"
        if words not in self._logged and len(self._logged) < REMEMBERED:
            self._logged.add(words)
            self._log.error("the database refuses a row, which is left out, as others like it: {words}", words=words)


def _execute(connection: psycopg.Connection, query: str, rows: Sequence[Row], values: Sequence[object]) -> Written:
    cursor = connection.execute(query.encode(), (parameter(rows), *values))
    return Written(cursor.rowcount, cursor.fetchall() if cursor.description else ())


def parameter(rows: Sequence[Row]) -> str:
    """Rows as JSON whose texts PostgreSQL can hold."""
    return without_nul(encode(rows))


def without_nul(words: str) -> str:
    """JSON with ``\N{REPLACEMENT CHARACTER}`` in place of U+0000, which PostgreSQL cannot hold."""
    return _NUL.sub(r"\1\\ufffd", words) if "\\u0000" in words else words
