"""The URL of a database: what is wrong with it, and what of it may be shown."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.databaseurl import problem, secrets, shown


class DatabaseUrlTests(SynchronousTestCase):
    def test_valid(self) -> None:
        for url in (
            "postgresql://pinger:s%40cret@db.example:5433/pypinger",
            "postgres://pinger@db/pypinger?sslmode=verify-full&passfile=/etc/x",
            "postgresql:///pypinger?host=/run/postgresql",
            "postgresql://a:1,b:2/pypinger?target_session_attrs=read-write",
            "postgresql://pinger:@[::1]/pypinger",
        ):
            self.assertEqual(problem(url), "", url)

    def test_what_is_wrong(self) -> None:
        for url, words in (
            ("mysql://h/d", "must be a URL such as postgresql://USER:PASSWORD@HOST/DATABASE"),
            ("dbname=x", "must be a URL such as"),
            ("postgresql://u:p/w@h/d", "%2F for /"),
            ("postgresql://u:p@w@h/d", "%40 for @"),
            ("postgresql://u:p#w@h/d", "special characters"),
            ("postgresql://h/d b", "special characters"),
            ("postgresql://h", "special characters"),
            ("postgresql://h/", "names no database: postgresql://USER:PASSWORD@HOST/DATABASE"),
            ("postgresql://u:100%@h/d", "% is written as %25"),
            ("postgresql://u:%00@h/d", "% is written as %25"),
        ):
            self.assertIn(words, problem(url), url)

    def test_no_password_is_shown(self) -> None:
        for url, expected in (
            ("postgresql://u:pw@h:1/d?sslmode=require", "postgresql://u@h:1/d"),
            ("postgresql://u@h/d", "postgresql://u@h/d"),
            ("postgresql:///d?password=pw", "postgresql:///d"),
            ("postgresql://u:p/w@h/d", "postgresql://u@h/d"),
            ("postgresql://u:p#w@h/d", "postgresql://u@h/d"),
            ("postgresql://u:p@w@h/d", "postgresql://u@h/d"),
        ):
            self.assertEqual(shown(url), expected)

    def test_secrets(self) -> None:
        self.assertEqual(secrets("postgresql://u:s%40cret@h/d"), {"s%40cret", "s@cret"})
        self.assertEqual(secrets("postgresql://h/d?password=a%26b&sslpassword=key&sslmode=x"), {"a%26b", "a&b", "key"})
        self.assertEqual(secrets("postgresql://h/d?password=a+b"), {"a+b"})
        self.assertEqual(secrets("postgresql://u@h/d"), frozenset())
        self.assertEqual(secrets("postgresql://u:p/w@h/d"), {"p/w"})
