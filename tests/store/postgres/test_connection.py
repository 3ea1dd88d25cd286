"""Connecting to PostgreSQL: errors in one line without the password, and sessions that end by themselves."""

from __future__ import annotations

import time
from collections.abc import Generator
from threading import Timer
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import waiting
from twisted.trial.unittest import SynchronousTestCase

from pypinger.ports.storing import StoreError
from pypinger.store.postgres import connection, source
from pypinger.store.postgres.connection import connect, unusable, words_of
from pypinger.store.postgres.link import Link
from pypinger.store.postgres.source import PostgresSource
from pypinger.store.postgres.upgrading import scripts, upgrade
from tests import postgres


class ErrorTests(SynchronousTestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = postgres.server().url()

    def said(self, url: str) -> str:
        """The words of errors for the operator."""
        try:
            upgrade(connect(url, "a"), url, scripts())
        except psycopg.Error as error:
            words = str(unusable(url, error))
        except StoreError as error:
            words = str(error)
        else:
            raise AssertionError("it can be used")
        for secret in (postgres.PASSWORD, quote(postgres.PASSWORD, safe=""), "pa55w0rd"):
            self.assertNotIn(secret, words)
        self.assertTrue(words.isprintable(), words)
        self.assertTrue(words.startswith("[store] url postgresql://"), words)
        return words

    def test_what_is_wrong_and_what_to_do(self) -> None:
        server = postgres.server()
        server.execute("CREATE ROLE guest LOGIN PASSWORD 'pa55w0rd'")
        self.addCleanup(server.execute, "DROP ROLE guest")
        for url, words in (
            (self.url.replace("w0rd", "word"), 'password authentication failed for user "pinger"; correct the user'),
            (self.url + "x", 'database "postgresx" does not exist; create it: createdb'),
            (
                f"postgresql://guest:pa55w0rd@127.0.0.1:{server.port}/postgres",
                "permission denied for schema public; let",
            ),
            ("postgresql://u:pa55w0rd@127.0.0.1:1/d", "onnection refused"),
            ("postgresql://u:pa55w0rd@no.invalid/d", "; correct the host's name"),
            ("postgresql:///d?host=/nowhere", "; start PostgreSQL, or correct the URL"),
            (self.url + "?sslmode=require", "; correct sslmode and the certificates"),
            (self.url + "?nonsense=1", 'invalid URI query parameter: "nonsense"; correct the URL'),
            ("postgresql://u:pa55w0rd@127.0.0.1:port/d", "; correct the URL"),
        ):
            self.assertIn(words, self.said(url), url)

    def test_rows_are_not_quoted(self) -> None:
        with connect(self.url, "a") as opened:
            opened.execute("CREATE TEMP TABLE t (url text UNIQUE)")
            for query in ("INSERT INTO t VALUES (%s), (%s)", "SELECT %s::json, %s"):
                with self.assertRaises(psycopg.Error) as caught:
                    opened.execute(query, ['{"url": "hidden", x}'] * 2)
                self.assertIn("hidden", str(caught.exception))
                self.assertNotIn("hidden", words_of(caught.exception, self.url))

    def test_a_database_that_is_locked(self) -> None:
        """``pypinger migrate`` is at work, say."""
        url = postgres.database(self)
        with connect(url, "a") as first, connect(url, "b") as second:
            upgrade(first, url, scripts())
            second.execute("SET lock_timeout = 100")
            with first.transaction():
                first.execute("LOCK TABLE instance")
                with self.assertRaises(psycopg.Error) as caught:
                    second.execute("DELETE FROM instance")
            words = str(unusable(url, caught.exception))
        self.assertIn("lock timeout; try again when nothing else changes the database", words)

    def test_an_encoding_that_does_not_hold_all_texts(self) -> None:
        server = postgres.server()
        server.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 STRATEGY file_copy")
        self.addCleanup(server.drop, "ascii")
        self.assertIn("the encoding of the database is SQL_ASCII; create one with", self.said(server.url("ascii")))

    def test_an_old_server(self) -> None:
        self.patch(connection, "OLDEST_SERVER", 99)
        self.assertRegex(self.said(self.url), r": PostgreSQL \d+ is too old; use 99 or a later one\Z")

    def test_a_server_that_is_full(self) -> None:
        server = postgres.Server(max_connections="4", superuser_reserved_connections="0")
        self.addCleanup(server.remove)
        server.start()
        held = []
        for _ in range(10):
            try:
                held.append(connect(server.url(), "a"))
            except psycopg.OperationalError as error:
                self.assertIn("raise max_connections of the server", str(unusable(server.url(), error)))
                break
        else:
            self.fail("it is never full")
        for each in held:
            each.close()


class SessionTests(SynchronousTestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = postgres.database(self)

    def test_settings(self) -> None:
        opened = connect(f"{self.url}?options=-c%20work_mem%3D8MB", "x" * 100)
        self.addCleanup(opened.close)

        def setting(name: str) -> str:
            row = opened.execute("SELECT current_setting(%s)", (name,)).fetchone()
            assert row is not None
            return str(row[0])

        self.assertEqual(
            [
                setting(name)
                for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "work_mem")
            ],
            ["4s", "3s", "2s", "8MB"],
        )
        self.assertEqual(setting("default_transaction_isolation"), "read committed")
        self.assertTrue(setting("application_name").startswith("pypinger xxx"))
        self.assertTrue(opened.autocommit)
        parameters = opened.info.get_parameters()
        self.assertEqual(
            (parameters["connect_timeout"], parameters["tcp_user_timeout"], parameters["keepalives_idle"]),
            ("3", "3000", "2"),
        )

    def test_a_transaction_that_stays_open_ends(self) -> None:
        opened = connect(self.url, "a")
        self.addCleanup(opened.close)
        with self.assertRaises(psycopg.Error):
            with opened.transaction():
                opened.execute("SELECT 1")
                time.sleep(2.5)
                opened.execute("SELECT 1")
        self.assertTrue(opened.closed)


class SourceTests(SynchronousTestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = postgres.database(self)
        self.source = PostgresSource(self.url, "a")
        self.addCleanup(self.source.close)

    def test_it_connects_again(self) -> None:
        self.assertEqual(self.source.all("SELECT ?::integer", 1), [(1,)])
        postgres.server().restart()
        self.assertEqual(self.source.all("SELECT ?::integer", 2), [(2,)])
        postgres.server().stop()
        try:
            with self.assertRaises(StoreError) as caught:
                self.source.all("SELECT 3")
        finally:
            postgres.server().start()
        self.assertRegex(str(caught.exception), r"\A\[store\] url postgresql://pinger@[^ ]*: .*; start PostgreSQL")
        self.patch(source, "PAUSE", 0.0)
        self.assertEqual(self.source.all("SELECT 4"), [(4,)])

    def test_it_does_not_try_again_at_once(self) -> None:
        """A server whose packets are lost would delay each page."""
        attempts = []

        def connect(url: str, name: str) -> psycopg.Connection:
            attempts.append(name)
            raise psycopg.OperationalError("connection timeout expired")

        self.patch(source, "connect", connect)
        for _ in range(5):
            with self.assertRaises(StoreError) as caught:
                self.source.all("SELECT 1")
            self.assertIn("connection timeout expired; start PostgreSQL", str(caught.exception))
        self.assertEqual(attempts, ["a"])

    def test_texts_that_it_cannot_hold(self) -> None:
        self.assertEqual(self.source.all("SELECT ?::text", "a\0b"), [("a\N{REPLACEMENT CHARACTER}b",)])

    def test_a_query_that_fails_is_not_made_again(self) -> None:
        self.source.all("SELECT 1")
        pid = self.source.all("SELECT pg_backend_pid()")
        with self.assertRaises(StoreError) as caught:
            self.source.all("SELECT nonsense")
        self.assertIn('column "nonsense" does not exist', str(caught.exception))
        with self.assertRaises(StoreError):
            self.source.all("SET statement_timeout = 10")
        with self.assertRaises(StoreError) as caught:
            self.source.all("SELECT pg_sleep(30)")
        self.assertIn("statement timeout", str(caught.exception))
        self.assertEqual(self.source.all("SELECT pg_backend_pid()"), pid)

    def test_a_call_is_interrupted(self) -> None:
        self.source.all("SELECT 1")
        Timer(0.2, self.source.interrupt).start()
        began = time.monotonic()
        with self.assertRaises(StoreError):
            self.source.all("SELECT pg_sleep(3.5)")
        self.assertLess(time.monotonic() - began, 3)

    def test_a_backup_is_for_pg_dump(self) -> None:
        for copy in (lambda: self.source.backup("/tmp/x"), lambda: self.source.copy_to(1)):
            with self.assertRaises(StoreError) as caught:
                copy()
            self.assertRegex(
                str(caught.exception), r"\Athe store is in postgresql://pinger@[^ ]*: back it up with pg_dump\Z"
            )


class AnswerTests(SynchronousTestCase):
    """A thread waits for the interpreter each time that it reads something: see Note [Long answers]."""

    skip = postgres.missing()

    def setUp(self) -> None:
        self.reads = 0

    def wait(self, connection: psycopg.Connection, steps: Generator[Any, Any, Any]) -> Any:
        """Read as slowly as beside a busy reactor."""

        def slowly() -> Generator[Any, Any, Any]:
            try:
                wanted = next(steps)
                while True:
                    ready = yield wanted
                    self.reads += 1
                    time.sleep(0.002)
                    wanted = steps.send(ready)
            except StopIteration as end:
                return end.value

        return waiting.wait(slowly(), connection.pgconn.socket, interval=0.1)

    def reads_of(self, connection: psycopg.Connection) -> int:
        """How often the rows of about a thousand tasks are read from."""
        self.reads = 0
        rows = connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 1000)").fetchall()
        self.assertEqual(len(rows), 1000)
        return self.reads

    def test_thousands_of_rows_are_read_in_few_parts(self) -> None:
        url = postgres.server().url()
        link = Link(url, "a")
        self.addCleanup(link.drop)
        linked = link.connection()
        with connect(url, "b") as plain:
            self.patch(psycopg.Connection, "wait", lambda connection, steps, *_, **__: self.wait(connection, steps))
            self.assertLess(self.reads_of(linked), 0.4 * self.reads_of(plain))
