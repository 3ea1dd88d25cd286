"""
Connections to PostgreSQL: their settings, and errors in one line without secrets.

A session must end soon after its process or its network has: a transaction that stays open holds locks that other
instances wait for. So the server ends a transaction that is idle, a statement that runs long and a wait for a lock, and
the kernels of both sides end a connection whose packets are not acknowledged, or not read: a server that waits for a
stopped process to read heeds no other limit.
"""

from __future__ import annotations

import logging
import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pypinger.domain.databaseurl import secrets, shown
from pypinger.ports.storing import StoreError

# psycopg warns of errors that it also raises.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

#: Seconds that connecting may take, for each address of the server.
CONNECT = 3

#: The oldest server that can be used.
OLDEST_SERVER = 13

_OPTIONS = (
    "-c idle_in_transaction_session_timeout=2000 -c statement_timeout=4000 -c lock_timeout=3000"
    " -c default_transaction_isolation=read\\ committed"
    " -c tcp_user_timeout=3000 -c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3"
)

# What an error says -> what to do. The first that is found counts.
_ADVICE = (
    (r"password authentication failed|no password supplied", "correct the user and the password"),
    (r'database "[^"]*" does not exist', "create it: createdb --encoding=UTF8 --owner=USER NAME"),
    (r'role "[^"]*" does not exist', "create that user: createuser --pwprompt USER"),
    (r"no pg_hba\.conf entry|authentication failed", "let pg_hba.conf of the server admit this machine and user"),
    (r'relation "[^"]*" does not exist', "start Py Pinger with this URL first"),
    (r"permission denied", "let the user own the database"),
    (r"read-only", "name the primary server, which can be written"),
    (r"could not translate|[Nn]ame or service|resolve", "correct the host's name"),
    (r"the database system is (starting|shutting|in recovery|not)", "try again in a moment"),
    (r"(lock|statement) timeout|deadlock", "try again when nothing else changes the database"),
    (r"sslmode|SSL|certificate", "correct sslmode and the certificates"),
    (r"too many (clients|connections)|remaining connection slots", "raise max_connections of the server"),
    (r"No space left|disk full", "make room on the server's disk"),
    (r"URI|connection option|percent-encoded|invalid port|invalid integer value", "correct the URL"),
)


def words_of(error: Exception, url: str) -> str:
    """An error in one line, without passwords."""
    words = " ".join(str(error).split()) or type(error).__name__
    for secret in sorted(secrets(url), key=len, reverse=True):
        words = words.replace(secret, "***")
    # The first of several addresses says enough.
    words = re.split(r" Multiple connection attempts| connection to server at .* connection to server at ", words)[0]
    words = re.sub(r"^connection (failed|is bad): ", "", words)
    words = re.sub(r"^connection to server [^:]* failed: ", "", words)
    words = re.sub(r" Is the server running [^?]*\?", "", words)
    # These may quote rows, with what people's reports and URLs hold.
    words = re.sub(r" (DETAIL|HINT|CONTEXT|QUERY): .*", "", words)
    words = re.sub(r" This probably means .*| LINE \d+: .*", "", words)
    return re.sub(r"\b(FATAL|ERROR|PANIC): +", "", words).rstrip(".;")


def unusable(url: str, error: Exception) -> StoreError:
    """An error of PostgreSQL, explained to the operator."""
    words = words_of(error, url)
    advice = next((advice for pattern, advice in _ADVICE if re.search(pattern, words)), None)
    if advice is None:
        away = isinstance(error, psycopg.OperationalError)
        advice = "start PostgreSQL, or correct the URL" if away else "see the log of PostgreSQL"
    return StoreError(f"[store] url {shown(url)}: {words}; {advice}")


def connect(url: str, name: str) -> psycopg.Connection:
    """
    Connect, in autocommit mode.

    :param name: what the server shows of this session.
    :raises psycopg.Error: the server cannot be reached, or refuses; see :func:`unusable`.
    :raises StoreError: the server or the database does not fit.
    """
    options = f"{conninfo_to_dict(url).get('options') or ''} {_OPTIONS}".strip()
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT,
        keepalives=1,
        keepalives_idle=2,
        keepalives_interval=1,
        keepalives_count=3,
        tcp_user_timeout=3000,
        client_encoding="UTF8",
        application_name=f"pypinger {name}"[:63],
        options=options,
    )
    try:
        _fits(connection, url)
    except BaseException:
        connection.close()
        raise
    return connection


def _fits(connection: psycopg.Connection, url: str) -> None:
    version = connection.info.server_version // 10000
    if version < OLDEST_SERVER:
        raise StoreError(
            f"[store] url {shown(url)}: PostgreSQL {version} is too old; use {OLDEST_SERVER} or a later one"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(
            f"[store] url {shown(url)}: the encoding of the database is {encoding}; create one with"
            " createdb --encoding=UTF8 --template=template0"
        )
