"""The file itself, the sections and the forms of their values."""

from __future__ import annotations

import os
import subprocess
import sys

import pypinger
from pypinger.config import ConfigErrors, Problem, load
from pypinger.config.settings import Settings, StoreSettings, TokenAuth, WebSettings
from pypinger.config.web import endpoint_problem
from tests.config.samples import ORIGINAL, LoadingTestCase


class FileTests(LoadingTestCase):
    def test_missing(self) -> None:
        """A missing file is a problem that says what to do."""
        errors = self.assertRaises(ConfigErrors, load, "no.ini", channels={}, environ={}, cwd=self.cwd)
        self.assertEqual(
            str(errors),
            "no.ini: cannot read the ini file: no such file or directory; copy pinger_template.ini to begin with, "
            "or name another file with --config",
        )
        self.assertEqual(len(errors.problems), 1)

    def test_no_file(self) -> None:
        """A directory, a path that is none and a path of odd characters are problems of one line."""
        for path in (self.cwd, "a\0b", "a\nb", "x" * 5000, "\udce9"):
            errors = self.assertRaises(ConfigErrors, load, path, channels={}, environ={}, cwd=self.cwd)
            self.assertIn(": cannot read the ini file: ", str(errors))
            self.assertTrue(str(errors).isprintable())

    def test_working_directory(self) -> None:
        """Without `cwd` it is the process's own."""
        self.write("pinger.ini", "")
        settings = load(os.path.join(self.cwd, "pinger.ini"), channels={}, environ={})
        self.assertEqual(settings.store.path, os.path.join(os.getcwd(), "pypinger.sqlite"))

    def test_empty(self) -> None:
        """An empty file is sound: every option has its default, and a warning says that there is nothing to do."""
        path = os.path.join(self.cwd, "pypinger.sqlite")
        warning = "pinger.ini: [urls] prod: there is no task to check"
        expected = Settings(path="pinger.ini", store=StoreSettings(path=path), warnings=(warning,))
        self.assertEqual(self.load(""), expected)
        self.assertEqual(self.load(b"\xef\xbb\xbf# only a comment\r\n"), expected)

    def test_not_utf8(self) -> None:
        """A byte that is no UTF-8 is a problem beside the others."""
        self.assertEqual(
            self.problems(b"[main]\n# caf\xe9\ninterval = x\n"),
            [
                "2: byte 0xe9 is not UTF-8; save the file as UTF-8",
                '3: [main] interval: must be a number of seconds greater than 0, not "x"',
            ],
        )

    def test_nul(self) -> None:
        """A file with NUL bytes, as UTF-16 has, is no text."""
        words = "there is a NUL byte; the file must be plain UTF-8 text"
        self.assertEqual(self.problem(b"[main]\na = \0"), f"2: {words}")
        self.assertEqual(self.problem("[main]\n".encode("utf-16")), f"1: {words}")

    def test_too_large(self) -> None:
        """A device that never ends is given up."""
        errors = self.assertRaises(ConfigErrors, load, "/dev/zero", channels={}, environ={}, cwd=self.cwd)
        self.assertIn("it is larger than 33,554,432 bytes", str(errors))

    def test_every_problem_at_once(self) -> None:
        """Problems of syntax, sections, options and values come together, by line."""
        text = "[web]\nendpoint = x\n[main]\ninterval = abc\njunk\nintervall = 1\n[Urls]\n[main]\ngrace = -1\n"
        errors = self.errors(text)
        self.assertEqual([problem.line for problem in errors.problems], [2, 4, 5, 6, 7, 8, 9])
        self.assertEqual(str(errors).split("\n"), [str(problem) for problem in errors.problems])
        self.assertEqual(
            errors.problems[1],
            Problem("pinger.ini", 4, "main", "interval", 'must be a number of seconds greater than 0, not "abc"'),
        )

    def test_no_reactor(self) -> None:
        """Reading a file, its endpoint included, leaves the choice of the reactor to others."""
        script = (
            "import sys, pypinger.config.web as web\n"
            "for text in 'tcp:1', 'tcp6:1', 'unix:x', 'systemd:domain=INET:name=x', 'haproxy:tcp:1', 'x': "
            "web.endpoint_problem(text)\n"
            "sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        root = os.path.dirname(os.path.dirname(pypinger.__file__))
        environ = os.environ | {"PYTHONPATH": root}
        subprocess.run([sys.executable, "-c", script], check=True, env=environ)


class UnknownTests(LoadingTestCase):
    def test_option(self) -> None:
        """The nearest known name is suggested, or all are listed."""
        self.assertEqual(
            self.problem("[main]\nintervall = 1\n"), '2: [main] intervall: unknown option; did you mean "interval"?'
        )
        self.assertEqual(
            self.problem("[store]\nxyz = 1\n"), "2: [store] xyz: unknown option; [store] has path, keep_days"
        )
        self.assertEqual(
            self.problem("[slack]\nchanel = 1\n"), '2: [slack] chanel: unknown option; did you mean "channel"?'
        )
        self.assertEqual(
            self.problem("[task http://h/]\ninterva = 1\n"),
            '2: [task http://h/] interva: unknown option; did you mean "interval"?',
        )

    def test_url_not_indented(self) -> None:
        self.assertEqual(
            self.problem("[urls]\nprod =\nhttp://u:S3CRET@h/\n"),
            "3: [urls] http: unknown option; a URL on a line of its own must be indented",
        )

    def test_letter_case(self) -> None:
        """Options may be in any letter case, sections may not."""
        self.assertEqual(self.load("[main]\nInterval = 5\n").usual.interval, 5)
        self.assertEqual(self.problem("[Main]\nx = 5\n"), "1: [Main]: unknown section; did you mean [main]?")
        self.assertEqual(
            self.problem("[Task http://h/]\n"),
            "1: […]: unknown section; a task's section begins with the word task, as in "
            "[task https://example.com/report]",
        )

    def test_section(self) -> None:
        self.assertEqual(self.problem("[slakc]\n"), "1: [slakc]: unknown section; did you mean [slack]?")
        self.assertEqual(
            self.problem("[xyz]\n"),
            "1: [xyz]: unknown section; there are [main], [urls], [token_auth], [web], [store], [slack], [hipchat], "
            "[sentry] and [task URL]",
        )

    def test_default_section(self) -> None:
        self.assertEqual(
            self.problem("[DEFAULT]\ninterval = 5\n"),
            "1: [DEFAULT]: unknown section; nothing is shared between sections, so give each option in its own",
        )


class ValueTests(LoadingTestCase):
    def main(self, option: str, value: str) -> object:
        settings = self.load(f"[main]\n{option} = {value}\n[urls]\nprod = http://h/\n")
        if not hasattr(settings.usual, option):
            return getattr(settings, option)
        self.assertEqual(getattr(settings.usual, option), getattr(settings.tasks[0], option))
        return getattr(settings.usual, option)

    def words(self, option: str, value: str) -> str:
        return self.problem(f"[main]\n{option} = {value}\n").removeprefix(f"2: [main] {option}: ")

    def test_seconds(self) -> None:
        for option in ("interval", "timeout", "retry_for"):
            for value, seconds in (("5", 5.0), ("0.25", 0.25), ("1e3", 1000.0), ("+7.", 7.0), (".5", 0.5)):
                self.assertEqual(self.main(option, value), seconds)
            for value in ("abc", "0", "-1", "nan", "inf", "1_0", "60s", "٣", "5,5"):
                self.assertEqual(
                    self.words(option, value), f'must be a number of seconds greater than 0, not "{value}"'
                )

    def test_seconds_or_none(self) -> None:
        for option in ("error_interval", "grace", "group_wait"):
            self.assertEqual(self.main(option, "0"), 0)
            self.assertEqual(self.main(option, "1.5"), 1.5)
            self.assertEqual(self.words(option, "-1"), 'must be a number of seconds 0 or greater, not "-1"')

    def test_seconds_out_of_range(self) -> None:
        for value in ("1e-9", "31622401", "1e999"):
            self.assertEqual(self.words("interval", value), f'must be from 0.001 to 31622400 seconds, not "{value}"')

    def test_whole(self) -> None:
        for option, most in (
            ("failures", 1_000_000),
            ("concurrency", 100_000),
            ("max_body", 1_073_741_824),
        ):
            self.assertEqual(self.main(option, "7"), 7)
            for value in ("0", "-1", "1.5", "x", str(most + 1), "9" * 30):
                self.assertEqual(self.words(option, value), f'must be a whole number from 1 to {most}, not "{value}"')

    def test_flag(self) -> None:
        for option in ("only_log", "debug"):
            for value in ("1", "yes", "TRUE", "On"):
                self.assertIs(getattr(self.load(f"[main]\n{option} = {value}\n"), option), True)
            for value in ("0", "no", "False", "OFF", ""):
                self.assertIs(getattr(self.load(f"[main]\n{option} = {value}\n"), option), False)
            self.assertEqual(self.words(option, "maybe"), 'must be true or false, not "maybe"')

    def test_debug_now_is_lenient(self) -> None:
        """Whatever a file of the original has there is taken."""
        self.assertIs(self.main("debug_now", "true"), True)
        self.assertIs(self.main("debug_now", ""), False)
        text = "[main]\ndebug_now = 2017-01-01\n"
        self.assertIs(self.load(text).debug_now, True)
        self.assertEqual(
            self.warnings_of(text)[-1],
            '2: [main] debug_now: taken as true, though it is neither true nor false, but "2017-01-01"',
        )

    def test_empty_is_default(self) -> None:
        text = "[main]\n" + "".join(
            f"{name} =\n" for name in ("interval", "grace", "failures", "only_log", "greeting", "proxy", "ca_file")
        )
        self.assertEqual(self.load(text + "[web]\nendpoint =\n[store]\npath=\nkeep_days =\n"), self.load(""))

    def test_more_lines(self) -> None:
        """An option indented by mistake goes into the value above it; that is said, and not shown."""
        self.assertEqual(
            self.problem("[main]\ninterval = 60\n  token = S3CRET\n"),
            "2: [main] interval: must be on one line; indented lines below an option belong to its value",
        )
        self.assertEqual(self.load("[main]\ngreeting = a\n\n  b\n").greeting, "a\nb")
        self.assertEqual(self.load("[main]\ninterval =\n  60\n").usual.interval, 60)

    def test_control_character(self) -> None:
        self.assertEqual(self.words("proxy", "http://\x1b[31m/"), "holds a control character")

    def test_long_value(self) -> None:
        """A long value is cut where it is shown."""
        self.assertEqual(
            self.words("interval", "x" * 99), f'must be a number of seconds greater than 0, not "{"x" * 60}…"'
        )


class TokenAuthTests(LoadingTestCase):
    def test_off(self) -> None:
        self.assertIsNone(self.load("[token_auth]\ntoken =\nurl =\nusername =\npassword =\nheader = X-T\n").token_auth)

    def test_token(self) -> None:
        settings = self.load("[token_auth]\ntoken = Bearer abcdef\nusername = me\n")
        self.assertEqual(settings.token_auth, TokenAuth(token="Bearer abcdef"))
        self.assertEqual(settings.secrets, {"Bearer abcdef", "abcdef"})

    def test_login(self) -> None:
        """A password's own spaces are kept."""
        self.environ = {"P": " pass word "}
        settings = self.load(
            "[token_auth]\nurl = https://h/login?k=query\nusername = me\npassword = ${env:P}\nheader = X-T\n"
        )
        self.assertEqual(
            settings.token_auth,
            TokenAuth(header="X-T", url="https://h/login?k=query", username="me", password=" pass word "),
        )
        self.assertEqual(settings.secrets, {" pass word ", "k=query"})

    def test_both(self) -> None:
        """A static token wins, with a warning."""
        text = "[token_auth]\ntoken = abc\nurl = https://h/\nusername = me\npassword = secret\n"
        self.assertEqual(self.load(text).token_auth, TokenAuth(token="abc"))
        self.assertEqual(
            self.warnings_of(text)[-1],
            "2: [token_auth] token: is used as it stands; url, username and password are not used while it is set",
        )

    def test_incomplete(self) -> None:
        self.assertEqual(
            self.problems("[token_auth]\nusername = me\npassword =\n"),
            [
                "1: [token_auth] url: missing; a login needs url, username and password",
                "3: [token_auth] password: missing; a login needs url, username and password",
            ],
        )

    def test_incomplete_and_wrong(self) -> None:
        self.assertEqual(len(self.problems("[token_auth]\nheader = X T\nurl = http://h/\n")), 3)

    def test_no_problem_of_a_problem(self) -> None:
        """A value that cannot be had is not missing as well."""
        self.assertEqual(len(self.problems("[token_auth]\nurl = http://h/\nusername = me\npassword = ${env:NO}\n")), 1)
        self.assertEqual(len(self.problems("[main]\nclient_cert = ${env:NO}\nclient_key = /no/key\n")), 1)
        self.assertEqual(len(self.problems("[slack]\nchannel = x\ntoken = ${env:NO}\n")), 1)
        self.assertIsNone(self.load("[token_auth]\nusername = ${env:NO:-}\npassword = ${env:NO:-}\n").token_auth)

    def test_header(self) -> None:
        for header in ("X T", "X:T", "é", "X\tT"):
            self.assertEqual(
                self.problem(f"[token_auth]\nheader = {header}\n"),
                "2: [token_auth] header: must be the name of an HTTP header, such as X-Auth-Token",
            )

    def test_token_fits_a_header(self) -> None:
        self.environ = {"T": "S3C\rRET"}
        self.assertEqual(
            self.problems("[token_auth]\ntoken = S3CRÉT\n"),
            ["2: [token_auth] token: must be printable ASCII without spaces at its ends, to be sent in a header"],
        )
        self.assertEqual(len(self.problems("[token_auth]\ntoken = ${env:T}\n")), 1)


class WebTests(LoadingTestCase):
    def test_all(self) -> None:
        settings = self.load(
            "[web]\nendpoint = tcp:0\nhosts = Status.Example.com., a_b\n  [::1] localhost\n"
            "public_url = https://h/pinger/\n[urls]\nprod = http://h/x?abc\n"
        )
        self.assertEqual(
            settings.web,
            WebSettings("tcp:0", ("status.example.com", "a_b", "[::1]", "localhost"), "https://h/pinger"),
        )
        (task,) = settings.tasks
        self.assertEqual(task.page, f"https://h/pinger/task/{task.id}")

    def test_endpoint(self) -> None:
        for endpoint in (
            "tcp:3002:interface=127.0.0.1",
            r"tcp:port=0:interface=\:\:1",
            "tcp6:65535",
            "unix:/run/pypinger.sock:mode=660",
            "systemd:domain=INET:name=http",
            "systemd:domain=INET6:index=0",
            "systemd:UNIX:name=http",
        ):
            self.assertEqual(endpoint_problem(endpoint), "", endpoint)
        for endpoint in (
            "3002",
            "tcp",
            "tcp:x",
            "tcp:1:2:3:4:5:6",
            "tcp:70000",
            "tcp:port=99999999999999999999",
            "ssl:443:privateKey=/no/such",
            "systemd:domain=MOON:name=http",
            "systemd:name=http",
            "systemd:domain=INET",
            "nonsense:1",
            ":",
            "\\",
        ):
            words = endpoint_problem(endpoint)
            self.assertTrue(words.startswith(("must be a Twisted server endpoint", "the port must be")), endpoint)
            self.assertTrue(self.problem(f"[web]\nendpoint = {endpoint}").startswith("2: [web] endpoint: "))

    def test_hosts(self) -> None:
        words = "must be names of hosts, such as status.example.com, without scheme, port or path"
        self.assertEqual(
            self.problems("[web]\nhosts = http://h/\n  fine, h:80\n"),
            [f"2: [web] hosts: {words}", f"3: [web] hosts: {words}"],
        )

    def test_public_url(self) -> None:
        for url in ("https://u:p@h/", "https://h/?a=b", "https://h/#a"):
            self.assertEqual(
                self.problem(f"[web]\npublic_url = {url}\n"),
                "2: [web] public_url: must be a URL without user name, query and fragment",
            )
        self.assertEqual(
            self.problem("[web]\npublic_url = ftp://h/\n"),
            "2: [web] public_url: the URL's scheme must be http or https",
        )


class StoreTests(LoadingTestCase):
    def path(self, value: str) -> str:
        return self.load(f"[store]\npath = {value}\n").store.path

    def test_path(self) -> None:
        self.assertEqual(self.path(":memory:"), ":memory:")
        self.assertEqual(self.path("/x/y.db"), "/x/y.db")
        self.assertEqual(self.path(""), f"{self.cwd}/pypinger.sqlite")
        self.assertEqual(self.path("a/y.db"), f"{self.cwd}/a/y.db")

    def test_state_directory(self) -> None:
        """Of several directories the first is taken."""
        self.environ = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}
        self.assertEqual(self.path(""), "/var/lib/a/pypinger.sqlite")
        self.assertEqual(self.path("y.db"), "/var/lib/a/y.db")
        self.assertEqual(self.path("/x/y.db"), "/x/y.db")
        self.assertEqual(self.path(":memory:"), ":memory:")

    def test_keep_days(self) -> None:
        self.assertEqual(self.load("[store]\nkeep_days = 0.5\n").store.keep_days, 0.5)
        self.assertEqual(
            self.problem("[store]\nkeep_days = 0\n"),
            '2: [store] keep_days: must be a number of days greater than 0, not "0"',
        )
        self.assertEqual(
            self.problem("[store]\nkeep_days = 40000\n"),
            '2: [store] keep_days: must be from 0.001 to 36525 days, not "40000"',
        )


class OriginalTests(LoadingTestCase):
    def test_unchanged(self) -> None:
        """An ini file of the original works, and nothing about it is odd."""
        settings = self.load(ORIGINAL)
        self.assertEqual(settings.warnings, ())
        self.assertEqual(settings.greeting, "Py Pinger is up: 100% ready")
        self.assertEqual((settings.usual.interval, settings.tasks[0].error_interval), (60, 480))
        self.assertEqual(
            [task.url for task in settings.tasks],
            [
                "https://example.com/cron/a",
                "https://example.com/cron/b?only=1%2C2",
                "https://example.com/cron/c",
                "https://example.com/cron/d",
            ],
        )
        self.assertEqual([channel.name for channel in settings.channels], ["slack"])
        self.assertEqual(settings.channels[0].values["channel"], "#ops")
        self.assertEqual(
            settings.token_auth,
            TokenAuth(
                header="X-Auth-Token",
                url="https://example.com/api/login?next=%2F",
                username="pinger@example.com",
                password="original%password",
            ),
        )

    def test_debug(self) -> None:
        settings = self.load(ORIGINAL.replace("debug = false", "debug = true"))
        self.assertEqual([task.url for task in settings.tasks], ["http://localhost:8000/cron/a"])

    def test_everything_empty(self) -> None:
        """A file with every option and no value is as good as none."""
        lines = (line if line.startswith("[") else f"{line.partition('=')[0]} =" for line in ORIGINAL.splitlines())
        text = "\n".join(line for line in lines if line.startswith("[") or (line[0].isalpha() and ":" not in line))
        settings = self.load(text)
        self.assertEqual((settings.tasks, settings.channels, settings.token_auth), ((), (), None))
