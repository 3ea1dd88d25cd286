"""The ini file, its sections and the forms of their values."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from msgspec.structs import replace

import pypinger
from pypinger.config import ConfigErrors, ConfigProblem, load, storing
from pypinger.config.endpoint import endpoint_problem
from pypinger.config.settings import HeartbeatSettings, Settings, StoreSettings, TokenAuth, WebSettings
from pypinger.config.web import ANY_HOST
from tests.config.samples import ORIGINAL, LoadingTestCase


class FileTests(LoadingTestCase):
    def test_missing(self) -> None:
        """A missing file is a problem with advice."""
        errors = self.assertRaises(ConfigErrors, load, "no.ini", channels={}, environ={}, cwd=self.cwd)
        self.assertEqual(
            str(errors),
            "no.ini: cannot read the ini file: no such file or directory; copy pinger_template.ini to start with, "
            "or name another file with --config",
        )
        self.assertEqual(len(errors.problems), 1)

    def test_unusable_paths(self) -> None:
        """Directories and impossible paths are problems of one printable line."""
        for path in (self.cwd, "a\0b", "a\nb", "x" * 5000, "\udce9"):
            errors = self.assertRaises(ConfigErrors, load, path, channels={}, environ={}, cwd=self.cwd)
            self.assertIn(": cannot read the ini file: ", str(errors))
            self.assertTrue(str(errors).isprintable())

    def test_working_directory(self) -> None:
        """`cwd` defaults to the process's working directory."""
        self.write("pinger.ini", "")
        settings = load(os.path.join(self.cwd, "pinger.ini"), channels={}, environ={})
        self.assertEqual(settings.store.path, os.path.join(os.getcwd(), "pypinger.sqlite"))

    def test_empty(self) -> None:
        """An empty file is valid: all options have their defaults, and a warning says that there is no task."""
        path = os.path.join(self.cwd, "pypinger.sqlite")
        warnings = ("pinger.ini: [urls] prod: there is no task to check", f"pinger.ini: [web] hosts: {ANY_HOST}")
        expected = Settings(
            path="pinger.ini", store=StoreSettings(path=path), warnings=tuple(sorted(warnings, reverse=True))
        )
        self.assertEqual(self.load(""), expected)
        self.assertEqual(self.load(b"\xef\xbb\xbf# only a comment\r\n"), expected)

    def test_not_utf8(self) -> None:
        """A byte that is not UTF-8 is reported together with the other problems."""
        self.assertEqual(
            self.problems(b"[main]\n# caf\xe9\ninterval = x\n"),
            [
                "2: byte 0xe9 is not UTF-8; save the file as UTF-8",
                '3: [main] interval: must be a length of time greater than 0 (90, 90s, 5m, 1h 30m), not "x"',
            ],
        )

    def test_nul(self) -> None:
        """A file with NUL bytes, such as UTF-16, is refused."""
        words = "the file contains a NUL byte; save it as plain UTF-8 text"
        self.assertEqual(self.problem(b"[main]\na = \0"), f"2: {words}")
        self.assertEqual(self.problem("[main]\n".encode("utf-16")), f"1: {words}")

    def test_too_large(self) -> None:
        """A file of more than 16 MiB is a problem of one line."""
        path = os.path.join(self.cwd, "pinger.ini")
        with open(path, "wb") as file:
            file.truncate(16_777_217)
        errors = self.assertRaises(ConfigErrors, load, path, channels={}, environ={}, cwd=self.cwd)
        self.assertIn("it is larger than 16,777,216 bytes", str(errors))

    def test_not_regular(self) -> None:
        """A FIFO without a writer and a device are refused at once, also as the file of a value."""
        fifo = os.path.join(self.cwd, "fifo")
        os.mkfifo(fifo)
        for path in (fifo, "/dev/zero"):
            errors = self.assertRaises(ConfigErrors, load, path, channels={}, environ={}, cwd=self.cwd)
            self.assertIn("cannot read the ini file: it is not a regular file", str(errors))
        self.assertEqual(
            self.problems("[main]\ngreeting = ${file:fifo}\nca_file = fifo\n"),
            [
                "2: [main] greeting: cannot read the file fifo: it is not a regular file",
                f"3: [main] ca_file: cannot read {fifo}: it is not a regular file",
            ],
        )

    def test_every_problem_at_once(self) -> None:
        """Problems of syntax, sections, options and values are listed together, by line."""
        text = "[web]\nendpoint = x\n[main]\ninterval = abc\njunk\nintervall = 1\n[Urls]\n[main]\ngrace = -1\n"
        errors = self.errors(text)
        self.assertEqual([problem.line for problem in errors.problems], [2, 4, 5, 6, 7, 8, 9])
        self.assertEqual(str(errors).split("\n"), [str(problem) for problem in errors.problems])
        self.assertEqual(
            errors.problems[1],
            ConfigProblem(
                "pinger.ini",
                4,
                "main",
                "interval",
                'must be a length of time greater than 0 (90, 90s, 5m, 1h 30m), not "abc"',
            ),
        )

    def test_no_reactor(self) -> None:
        """Checking a file, its endpoint included, installs no reactor."""
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
        """The nearest known name is suggested; if none is near, all are listed."""
        self.assertEqual(
            self.problem("[main]\nintervall = 1\n"), '2: [main] intervall: unknown option; did you mean "interval"?'
        )
        self.assertEqual(
            self.problem("[store]\nxyz = 1\n"),
            "2: [store] xyz: unknown option; [store] has path, keep_days, url, instance",
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
            "3: [urls] http: unknown option; indent a URL that stands on its own line",
        )

    def test_letter_case(self) -> None:
        """Letter case matters in section names, not in option names."""
        self.assertEqual(self.load("[main]\nInterval = 5\n").task_defaults.interval, 5)
        self.assertEqual(self.problem("[Main]\nx = 5\n"), "1: [Main]: unknown section; did you mean [main]?")
        self.assertEqual(
            self.problem("[Task http://h/]\n"),
            "1: […]: unknown section; a task section starts with the word task, as in "
            "[task https://example.com/report]",
        )

    def test_section(self) -> None:
        self.assertEqual(self.problem("[slakc]\n"), "1: [slakc]: unknown section; did you mean [slack]?")
        self.assertEqual(
            self.problem("[xyz]\n"),
            "1: [xyz]: unknown section; known are [main], [urls], [token_auth], [heartbeat], [web], [push], [store], "
            "[slack], [hipchat], [sentry], [task NAME or URL], [group SELECTOR] and [maintenance NAME]",
        )

    def test_named_section(self) -> None:
        """Of sections with a name of their own the first word is compared."""
        for header, words in (
            ("Task orders", "[task NAME or URL]"),
            ("maintainance some night of the year", "[maintenance NAME]"),
        ):
            self.assertEqual(self.problem(f"[{header}]\n"), f"1: [{header}]: unknown section; did you mean {words}?")

    def test_default_section(self) -> None:
        self.assertEqual(
            self.problem("[DEFAULT]\ninterval = 5\n"),
            "1: [DEFAULT]: unknown section; sections inherit nothing from it, so set each option in its own section",
        )


class LogTests(LoadingTestCase):
    def test_format(self) -> None:
        self.assertEqual(self.load("").log, "text")
        self.assertEqual(self.load("[main]\nlog = JSON\n").log, "json")
        self.assertEqual(self.problem("[main]\nlog = xml\n"), '2: [main] log: must be text or json, not "xml"')


class HeartbeatTests(LoadingTestCase):
    def test_off(self) -> None:
        self.assertIsNone(self.load("").heartbeat)
        self.assertIsNone(self.load("[heartbeat]\nurl =\ninterval = 30\n").heartbeat)

    def test_on(self) -> None:
        """The path identifies the sender, so the URL is secret as a whole."""
        url = "https://hc.example/ping/0c6b9f0e-5d1c-4a3f-a0f5-6c1f6a1b2c3d"
        settings = self.load(f"[heartbeat]\nurl = {url}\n")
        self.assertEqual(settings.heartbeat, HeartbeatSettings(url, 60.0))
        self.assertIn(url, settings.secrets)
        self.assertIn("0c6b9f0e-5d1c-4a3f-a0f5-6c1f6a1b2c3d", settings.secrets)
        self.assertEqual(
            self.load(f"[heartbeat]\nurl = {url}\ninterval = 5m\n").heartbeat, HeartbeatSettings(url, 300.0)
        )

    def test_invalid(self) -> None:
        self.assertEqual(
            self.problems("[heartbeat]\nurl = ftp://S3CRET/\ninterval = 0.5\n"),
            [
                "2: [heartbeat] url: the URL's scheme must be http or https",
                '3: [heartbeat] interval: must be at least 1 s, not "0.5"',
            ],
        )


class DigestTests(LoadingTestCase):
    def digest(self, text: str) -> str:
        return self.load(text).digest

    def test_of_a_shared_store(self) -> None:
        """Instances compare the contents of their files, whatever variables stand for."""
        text = "[urls]\nprod = http://a/b\n[store]\nurl = postgresql://u:p@h/d\ninstance = ${env:NAME}\n"
        self.environ = {"NAME": "one"}
        one = self.digest(text)
        self.environ = {"NAME": "two"}
        self.assertEqual(self.digest(text), one)
        self.assertNotEqual(self.digest(text + "[main]\ngrace = 1\n"), one)
        self.assertRegex(one, r"\A[0-9a-f]{16}\Z")

    def test_of_one_machine(self) -> None:
        self.assertEqual(self.digest("[urls]\nprod = http://a/b\n"), "")


class ValueTests(LoadingTestCase):
    def main(self, option: str, value: str) -> object:
        settings = self.load(f"[main]\n{option} = {value}\n[urls]\nprod = http://h/\n")
        if not hasattr(settings.task_defaults, option):
            return getattr(settings, option)
        self.assertEqual(getattr(settings.task_defaults, option), getattr(settings.tasks[0], option))
        return getattr(settings.task_defaults, option)

    def words(self, option: str, value: str) -> str:
        return self.problem(f"[main]\n{option} = {value}\n").removeprefix(f"2: [main] {option}: ")

    def test_seconds(self) -> None:
        for option in ("interval", "timeout", "retry_for"):
            for value, seconds in (("5", 5.0), ("0.25", 0.25), ("1e3", 1000.0), ("+7.", 7.0), (".5", 0.5)):
                self.assertEqual(self.main(option, value), seconds)
            for value, seconds in (
                ("90s", 90.0),
                ("5m", 300.0),
                ("1h 30m", 5400.0),
                ("2d", 172_800.0),
                ("5 min", 300.0),
            ):
                self.assertEqual(self.main(option, value), seconds)
            for value in ("abc", "0", "0s", "-1", "nan", "inf", "1_0", "60x", "5m 5m", "٣", "5,5"):
                self.assertEqual(
                    self.words(option, value),
                    f'must be a length of time greater than 0 (90, 90s, 5m, 1h 30m), not "{value}"',
                )

    def test_seconds_or_none(self) -> None:
        for option in ("error_interval", "error_interval_max", "unreachable_for", "grace", "group_wait"):
            self.assertEqual(self.main(option, "0"), 0)
            self.assertEqual(self.main(option, "1.5"), 1.5)
            self.assertEqual(
                self.words(option, "-1"), 'must be a length of time of 0 or more (90, 90s, 5m, 1h 30m), not "-1"'
            )

    def test_seconds_out_of_range(self) -> None:
        for value in ("1e-9", "31622401", "367d", "1e999"):
            self.assertEqual(
                self.words("interval", value), f'must be between 0.001 seconds and 366 days, not "{value}"'
            )

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
        """Any value that the original Py Pinger accepted is accepted, with a warning."""
        self.assertIs(self.main("debug_now", "true"), True)
        self.assertIs(self.main("debug_now", ""), False)
        text = "[main]\ndebug_now = 2017-01-01\n"
        self.assertIs(self.load(text).debug_now, True)
        self.assertEqual(
            self.warnings_of(text)[-1],
            '2: [main] debug_now: should be true or false; "2017-01-01" counts as true',
        )

    def test_empty_is_default(self) -> None:
        text = "[main]\n" + "".join(
            f"{name} =\n" for name in ("interval", "grace", "failures", "only_log", "greeting", "proxy", "ca_file")
        )
        text += "[web]\nendpoint =\nhosts =\n[store]\npath=\nkeep_days =\n"
        self.assertEqual(replace(self.load(text), warnings=()), replace(self.load(""), warnings=()))

    def test_several_lines(self) -> None:
        """An option indented by mistake belongs to the value above it: a problem that does not quote it."""
        self.assertEqual(
            self.problem("[main]\ninterval = 60\n  token = S3CRET\n"),
            "2: [main] interval: must be on one line; indented lines below an option belong to its value",
        )
        self.assertEqual(self.load("[main]\ngreeting = a\n\n  b\n").greeting, "a\nb")
        self.assertEqual(self.load("[main]\ninterval =\n  60\n").task_defaults.interval, 60)

    def test_control_character(self) -> None:
        self.assertEqual(self.words("proxy", "http://\x1b[31m/"), "contains a control character")

    def test_long_value(self) -> None:
        """A quoted value is cut at 60 characters."""
        self.assertEqual(
            self.words("interval", "x" * 99),
            f'must be a length of time greater than 0 (90, 90s, 5m, 1h 30m), not "{"x" * 60}…"',
        )


class TokenAuthTests(LoadingTestCase):
    def test_off(self) -> None:
        self.assertIsNone(self.load("[token_auth]\ntoken =\nurl =\nusername =\npassword =\nheader = X-T\n").token_auth)

    def test_token(self) -> None:
        settings = self.load("[token_auth]\ntoken = Bearer abcdef\nusername = me\n")
        self.assertEqual(settings.token_auth, TokenAuth(token="Bearer abcdef"))
        self.assertEqual(settings.secrets, {"Bearer abcdef", "abcdef"})

    def test_login(self) -> None:
        """Spaces at the ends of a password are kept."""
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
        """A static token is used instead of the login, with a warning."""
        text = "[token_auth]\ntoken = abc\nurl = https://h/\nusername = me\npassword = secret\n"
        self.assertEqual(self.load(text).token_auth, TokenAuth(token="abc"))
        self.assertEqual(
            self.warnings_of(text)[-1],
            "2: [token_auth] token: is sent as it stands; url, username and password are not used while it is set",
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

    def test_in_urls(self) -> None:
        """``[urls] auth_token`` of the original's first template is the token, unless there is one already."""
        text = "[urls]\nauth_token = S3CRET-1\nprod = http://h/\n"
        settings = self.load(text)
        self.assertEqual(settings.token_auth, TokenAuth(token="S3CRET-1"))
        self.assertEqual(self.warnings_of(text), ["2: [urls] auth_token: taken as [token_auth] token; move it there"])
        self.assertEqual(settings.secrets, {"S3CRET-1"})
        text += "[token_auth]\ntoken = S3CRET-2\n"
        self.assertEqual(self.load(text).token_auth, TokenAuth(token="S3CRET-2"))
        self.assertEqual(
            self.warnings_of(text),
            ["2: [urls] auth_token: ignored, because [token_auth] token is set; delete this line"],
        )
        self.assertIn("S3CRET-1", self.load(text).secrets)
        self.assertEqual(self.load("[urls]\nauth_token =\n").token_auth, None)
        self.assertEqual(
            self.problem("[urls]\nauth_token = S3CRÉT\n"),
            "2: [urls] auth_token: must be printable ASCII without spaces at its ends, to be sent in a header",
        )

    def test_unreadable_is_not_missing(self) -> None:
        """An option whose value cannot be read is not reported as missing too."""
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

    def test_headers_that_are_ours(self) -> None:
        """A second Accept or Host would be sent, or the token dropped."""
        for header in ("Accept", "user-agent", "HOST", "Content-Length", "Connection", "Transfer-Encoding"):
            self.assertEqual(
                self.problem(f"[token_auth]\ntoken = abc\nheader = {header}\n"),
                f"3: [token_auth] header: must not be {header}, which Py Pinger sets itself; name the header for the"
                " token, such as X-Auth-Token",
            )
        for header in ("Authorization", "Cookie", "X-Auth-Token"):
            self.assertIsNotNone(self.load(f"[token_auth]\ntoken = abc\nheader = {header}\n").token_auth)

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
            WebSettings("tcp:0", ("status.example.com", "a_b", "[::1]", "localhost"), "https://h/pinger", False),
        )
        (task,) = settings.tasks
        self.assertEqual(task.page, f"https://h/pinger/task/{task.id}")

    def test_endpoint(self) -> None:
        for endpoint in (
            "tcp:3002:interface=127.0.0.1",
            r"tcp:port=0:interface=\:\:1",
            "tcp6:65535",
            "unix:/tmp/pypinger.sock:mode=660",
            "unix:address=pypinger.sock",
            "tcp:0:127.0.0.1",
            "tcp:interface=localhost:port=0",
            "haproxy:tcp:0:interface=127.0.0.1",
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
            "tcp:-1",
            "ssl:443",
            "ssl:443:privateKey=/no/such",
            "unix:/nope/x.sock",
            "unix:pinger.ini/x.sock",
            f"unix:/tmp/{'x' * 108}",
            "tcp:0:interface=192.0.2.1",
            "tcp:0:interface=a b",
            r"tcp6:0:interface=2001\:db8\:\:1",
            "systemd:domain=MOON:name=http",
            "systemd:name=http",
            "systemd:domain=INET",
            "nonsense:1",
            ":",
            "\\",
        ):
            words = endpoint_problem(endpoint)
            self.assertTrue(words.startswith(("must be a Twisted server endpoint", "must have a")), endpoint)
            shown = json.dumps(endpoint if len(endpoint) <= 60 else f"{endpoint[:60]}…", ensure_ascii=False)
            self.assertTrue(
                self.problem(f"[web]\nendpoint = {endpoint}").startswith(f"2: [web] endpoint: {shown} must")
            )

    def test_any_host_on_the_loopback(self) -> None:
        """A warning, unless ``hosts`` or ``public_url`` is set or other machines reach the pages anyway."""
        for web in ("", "endpoint = tcp:80:interface=127.0.0.1", r"endpoint = tcp6:80:interface=\:\:1"):
            self.assertIn(
                "[web] hosts: empty, so pages on the loopback", "".join(self.load(f"[web]\n{web}\n").warnings)
            )
        for web, loopback in (
            ("", True),
            (r"endpoint = tcp6:80:interface=\:\:1", True),
            ("endpoint = tcp:80", False),
            ("endpoint = unix:/run/x", False),
        ):
            self.assertIs(self.load(f"[web]\n{web}\n").web.loopback, loopback, web)
        for web in ("hosts = localhost", "public_url = https://h/", "endpoint = tcp:80", "endpoint = unix:/run/x"):
            self.assertNotIn("hosts", "".join(self.load(f"[web]\n{web}\n").warnings))

    def test_hosts(self) -> None:
        words = "must be a host name, such as status.example.com, without scheme, port or path"
        self.assertEqual(
            self.problems("[web]\nhosts = http://h/\n  fine, h:80\n"),
            [f"2: [web] hosts: http://h/ {words}", f"3: [web] hosts: h:80 {words}"],
        )
        umlaut = "\N{LATIN SMALL LETTER U WITH DIAERESIS}"
        self.assertEqual(self.load(f"[web]\nhosts = B{umlaut}cher.example.\n").web.hosts, ("xn--bcher-kva.example",))
        self.assertEqual(len(self.problems(f"[web]\nhosts = {umlaut}:80 a/{umlaut} x@{umlaut}\n")), 3)

    def test_public_url(self) -> None:
        for url, shown in (("https://u:p@h/", ""), ("https://h/?a=b", "?…"), ("https://h/#a", "")):
            self.assertEqual(
                self.problem(f"[web]\npublic_url = {url}\n"),
                f"2: [web] public_url: https://h/{shown}: the URL must have no user name, query or fragment",
            )
        self.assertEqual(
            self.problem("[web]\npublic_url = ftp://h/\n"),
            "2: [web] public_url: ftp://h/: the URL's scheme must be http or https",
        )

    def test_public(self) -> None:
        tasks = "[urls]\nprod = http://h/a\n[task Shop]\nurl = http://h/shop\n"
        for text in ("", "[web]\n", "[web]\npublic =\n"):
            self.assertIsNone(self.load(tasks + text).web.public)
        for selector in ("*", "Shop", "server:web-1"):
            settings = self.load(f"{tasks}[web]\nhosts = h\npublic = {selector}\n")
            assert settings.web.public is not None
            self.assertEqual((settings.web.public.text, settings.warnings), (selector, ()))
        for selector in ("http://h/a", "group:x"):
            (warning,) = self.load(f"{tasks}[web]\nhosts = h\npublic = {selector}\n").warnings
            self.assertIn("matches no task with a configured name", warning)
        self.assertIn("[web] public: unknown prefix srever:", self.problem("[web]\npublic = srever:x\n"))


class StoreTests(LoadingTestCase):
    def path(self, value: str) -> str:
        return self.load(f"[store]\npath = {value}\n").store.path

    def test_path(self) -> None:
        self.assertEqual(self.path(":memory:"), ":memory:")
        self.assertEqual(self.path("/tmp/y.db"), "/tmp/y.db")
        self.assertEqual(self.path(""), f"{self.cwd}/pypinger.sqlite")
        os.mkdir(os.path.join(self.cwd, "a"))
        self.assertEqual(self.path("a/y.db"), f"{self.cwd}/a/y.db")

    def test_unusable_path(self) -> None:
        """What would stop the daemon is a problem: no directory, something else there, a directory as the file."""
        self.write("file", "")
        for path, words in (
            ("/nope/x.sqlite", "the directory /nope cannot be used: no such file or directory"),
            ("file/x.sqlite", f"{self.cwd}/file is not a directory"),
            (self.cwd, f"{self.cwd} is a directory; name a file"),
            ("/dev/null", "/dev/null is not a regular file"),
            ("x" * 300, f"{self.cwd}/{'x' * 300} cannot be used: file name too long"),
        ):
            self.assertEqual(self.problem(f"[store]\npath = {path}\n"), f"2: [store] path: {words}")

    def test_state_directory(self) -> None:
        """The first of several directories is used."""
        state = os.path.join(self.cwd, "a")
        os.mkdir(state)
        self.environ = {"STATE_DIRECTORY": f"{state}:/var/lib/b"}
        self.assertEqual(self.path(""), f"{state}/pypinger.sqlite")
        self.assertEqual(self.path("y.db"), f"{state}/y.db")
        self.assertEqual(self.path("/tmp/y.db"), "/tmp/y.db")
        self.assertEqual(self.path(":memory:"), ":memory:")

    def test_url(self) -> None:
        store = self.load("[store]\nurl = postgresql://u:s%40cret-1@h/d\ninstance = a.b:1_x-y\n")
        self.assertEqual((store.store.url, store.store.instance), ("postgresql://u:s%40cret-1@h/d", "a.b:1_x-y"))
        self.assertLessEqual({"s%40cret-1", "s@cret-1"}, store.secrets)
        without = self.load("[store]\ninstance = x\n").store
        self.assertEqual((without.url, without.instance), ("", ""))

    def test_the_password_of_a_url_can_be_kept_elsewhere(self) -> None:
        self.environ = {"PW": "s3cret-from-env"}
        settings = self.load("[store]\nurl = postgresql://u:${env:PW}@h/d\n")
        self.assertEqual(settings.store.url, "postgresql://u:s3cret-from-env@h/d")
        self.assertIn("s3cret-from-env", settings.secrets)

    def test_an_instance_is_named_by_host_and_port(self) -> None:
        host = socket.gethostname()
        url = "[store]\nurl = postgresql://h/d\n"
        self.assertEqual(self.load(url).store.instance, host)
        self.assertEqual(self.load(f"{url}[web]\nendpoint = tcp:3004\n").store.instance, f"{host}:3004")
        self.assertEqual(self.load(f"{url}[web]\nendpoint = unix:/run/x\n").store.instance, host)

    def test_unusable_url(self) -> None:
        problem = self.problem("[store]\nurl = postgresql://u:s3cret@h@b/d\n")
        self.assertTrue(problem.startswith("2: [store] url: must be a URL such as postgresql://USER:PASS"), problem)
        self.assertNotIn("s3cret", problem)
        words = "2: [store] instance: must be at most 64 letters, digits and any of . _ : -, not "
        for name in ("a b", "x" * 65, "a/b"):
            self.assertIn(f'{words}"{name[:60]}', self.problem(f"[store]\ninstance = {name}\nurl = postgresql://h/d\n"))
        self.patch(storing, "find_spec", lambda name: None)
        self.assertEqual(
            self.problem("[store]\nurl = postgresql://h/d\n"),
            '2: [store] url: needs psycopg: pip install "py-pinger[postgres]"',
        )

    def test_keep_days(self) -> None:
        for value, days in (("0.5", 0.5), ("30", 30.0), ("30d", 30.0), ("36h", 1.5)):
            self.assertEqual(self.load(f"[store]\nkeep_days = {value}\n").store.keep_days, days)
        self.assertEqual(
            self.problem("[store]\nkeep_days = 0\n"),
            '2: [store] keep_days: must be a length of time greater than 0 (90, 90d, 36h), not "0"',
        )
        self.assertEqual(
            self.problem("[store]\nkeep_days = 40000\n"),
            '2: [store] keep_days: must be between 0.001 seconds and 36525 days, not "40000"',
        )


class OriginalTests(LoadingTestCase):
    def test_unchanged(self) -> None:
        """An ini file of the original Py Pinger is valid, without warnings."""
        settings = self.load(ORIGINAL)
        self.assertEqual(self.warnings_of(ORIGINAL), [])
        self.assertEqual(settings.greeting, "Py Pinger is up: 100% ready")
        self.assertEqual((settings.task_defaults.interval, settings.tasks[0].error_interval), (60, 480))
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
        """Empty options count as absent."""
        lines = (line if line.startswith("[") else f"{line.partition('=')[0]} =" for line in ORIGINAL.splitlines())
        text = "\n".join(line for line in lines if line.startswith("[") or (line[0].isalpha() and ":" not in line))
        settings = self.load(text)
        self.assertEqual((settings.tasks, settings.channels, settings.token_auth), ((), (), None))
