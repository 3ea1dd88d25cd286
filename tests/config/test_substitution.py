"""Values from environment variables, files and systemd credentials."""

from __future__ import annotations

import os

from pypinger.config import ConfigErrors, load
from tests.config.samples import LoadingTestCase


class SubstitutionTests(LoadingTestCase):
    def greeting(self, value: str) -> str:
        return self.load(f"[main]\ngreeting = {value}\n").greeting

    def test_env(self) -> None:
        self.environ = {"A": "one", "B": "", "C": "ü"}
        self.assertEqual(self.greeting("${env:A}"), "one")
        self.assertEqual(self.greeting("x${env:A}y${env:C}${env:B}z"), "xoneyüz")

    def test_env_default(self) -> None:
        """The default is used if the variable is unset or empty, as in a shell."""
        self.environ = {"A": "one", "B": ""}
        self.assertEqual(self.greeting("${env:A:-d} ${env:B:-d} ${env:C:-d:-e} ${env:C:-}."), "one d d:-e .")

    def test_not_recursive(self) -> None:
        """Substituted text is not substituted again, and ``%`` is literal."""
        self.environ = {"A": "${env:B} %(x)s", "B": "no"}
        self.assertEqual(self.greeting("${env:A}"), "${env:B} %(x)s")

    def test_file(self) -> None:
        """A BOM and final line ends are dropped; a relative path starts from the working directory."""
        path = self.write("value", b"\xef\xbb\xbf from a file\r\n\n")
        self.assertEqual(self.greeting(f"x ${{file:{path}}}"), "x  from a file")
        self.assertEqual(self.greeting("x ${file:value}"), "x  from a file")

    def test_credential(self) -> None:
        self.environ = {"CREDENTIALS_DIRECTORY": self.cwd}
        self.write("slack.token", "abc\n")
        self.assertEqual(self.greeting("${credential:slack.token}"), "abc")

    def test_literal(self) -> None:
        """Any other ``$`` is literal."""
        for value in ("$", "a$b", "${", "${}", "$env:A", "${env}", "$${x}", "pa${s"):
            self.assertEqual(self.greeting(value), value)

    def test_unknown_source(self) -> None:
        """An unknown source is taken literally, with a warning."""
        text = "[main]\ngreeting = ${ENV:A}\n"
        self.assertEqual(self.load(text).greeting, "${ENV:A}")
        self.assertEqual(
            self.warnings_of(text)[-1],
            "2: [main] greeting: contains a ${...} with a source other than env, file and credential; "
            "it is taken literally",
        )

    def test_missing(self) -> None:
        """Each missing source is a problem that names it."""
        self.assertEqual(
            self.problems("[main]\ngreeting = ${env:NO} ${file:/no/such}\n   ${credential:nope}\n"),
            [
                "2: [main] greeting: environment variable NO is not set; ${env:NO:-...} sets a default",
                "2: [main] greeting: cannot read the file /no/such: no such file or directory",
                "3: [main] greeting: credential nope is missing: $CREDENTIALS_DIRECTORY is not set; systemd sets it "
                "for services with LoadCredential=",
            ],
        )
        self.environ = {"CREDENTIALS_DIRECTORY": self.cwd}
        self.assertEqual(
            self.problem("[main]\ngreeting = ${credential:nope}\n"),
            "2: [main] greeting: credential nope cannot be read: no such file or directory",
        )

    def test_missing_credential_outside_the_service(self) -> None:
        """A command that does without it gets a warning, and the placeholder is no secret."""
        path = self.write(
            "pinger.ini",
            "[main]\ninterval = ${credential:a}\nca_file = ${credential:b}\nproxy = ${credential:c}\n"
            "only_log = ${credential:d}\n"
            "[urls]\nprod = http://h/\n[slack]\nchannel = #x\ntoken = ${credential:e}\n"
            "[store]\npath = ${credential:f}/x\n"
            "[task http://h/]\nfailures = ${credential:g}\nclient_cert = ${credential:h}\n"
            "[web]\nendpoint = ${credential:i}\npublic_url = ${credential:j}\n",
        )
        settings = load(path, channels=self.channels, environ={}, cwd=self.cwd, credentials=False)
        self.assertEqual(settings.secrets, frozenset())
        self.assertEqual([channel.name for channel in settings.channels], ["slack"])
        warnings = [warning for warning in settings.warnings if "is missing" in warning]
        self.assertEqual(len(warnings), 10)
        self.assertRaises(ConfigErrors, load, path, channels=self.channels, environ={}, cwd=self.cwd)

    def test_tasks_that_need_a_missing_credential(self) -> None:
        for text, expected in (
            ("[urls]\nprod = http://me:${credential:a}@a/, http://b/\n", [True, False]),
            ("[urls]\nprod = http://a/, http://b/?${credential:a@b}\n", [False, True]),
            ("[main]\nproxy = http://me:${credential:a}@p:1\n[urls]\nprod = http://a/, http://b/\n", [True, True]),
            ("[token_auth]\ntoken = Bearer ${credential:a}\n[urls]\nprod = http://a/\n", [True]),
            (
                "[token_auth]\nurl = http://l/\nusername = me\npassword = ${credential:a}\n[urls]\nprod = http://a/\n"
                "[task http://b/]\ntoken_auth = no\n",
                [True, False],
            ),
            ("[slack]\nchannel = x\ntoken = ${credential:a}\n[urls]\nprod = http://a/\n", [False]),
        ):
            path = self.write("pinger.ini", text)
            settings = load(path, channels=self.channels, environ={}, cwd=self.cwd, credentials=False)
            self.assertEqual([settings.lacks_credential(task) for task in settings.tasks], expected)

    def test_missing_credential_of_the_service(self) -> None:
        """Within the service it is a problem to every command."""
        path = self.write("pinger.ini", "[main]\ngreeting = ${credential:nope}\n")
        environ = {"CREDENTIALS_DIRECTORY": self.cwd}
        self.assertRaises(
            ConfigErrors, load, path, channels=self.channels, environ=environ, cwd=self.cwd, credentials=False
        )

    def test_malformed(self) -> None:
        """An invalid name is a problem that does not quote it."""
        for value, words in (
            ("${env:}", "${env:NAME} needs the name of an environment variable: letters, digits and _"),
            ("${env:S3CRET-1}", "${env:NAME} needs the name of an environment variable: letters, digits and _"),
            ("${env:S3CRET", "${env: has no closing }"),
            ("${file:}", "${file:/path} needs the path of a file"),
            ("${credential:../S3CRET}", "${credential:NAME} needs the name of a credential, without a /"),
            ("${credential:..}", "${credential:NAME} needs the name of a credential, without a /"),
        ):
            self.assertEqual(self.problem(f"[main]\ngreeting = {value}"), f"2: [main] greeting: {words}")

    def test_unusable_file(self) -> None:
        os.mkdir(os.path.join(self.cwd, "directory"))
        self.write("latin", b"\xe9")
        self.write("nul", b"a\0b")
        for name, words in (
            ("directory", "it is a directory"),
            ("latin", "it is not UTF-8 text"),
            ("nul", "it contains a NUL byte"),
        ):
            problem = self.problem(f"[main]\ngreeting = ${{file:{name}}}")
            self.assertEqual(problem, f"2: [main] greeting: cannot read the file {name}: {words}")

    def test_env_not_utf8(self) -> None:
        """A variable that is not UTF-8 is a problem."""
        self.environ = {"A": "\udce9"}
        self.assertEqual(
            self.problem("[main]\ngreeting = ${env:A}"), "2: [main] greeting: environment variable A is not UTF-8"
        )

    def test_values_are_not_shown(self) -> None:
        """A problem quotes the value as it stands in the file, before substitution."""
        self.environ = {"A": "S3CRET"}
        self.assertEqual(
            self.problem("[main]\ninterval = ${env:A}"),
            '2: [main] interval: must be a length of time greater than 0 (90, 90s, 5m, 1h 30m), not "${env:A}"',
        )

    def test_list_in_a_file(self) -> None:
        """A file may contain several lines; all have the line number of the substitution."""
        self.write("list", "http://a/\nhttp://b/, http://c/\n\nx\n")
        problem = self.problem("[urls]\nprod =\n  ${file:list}\n")
        self.assertEqual(problem, "3: [urls] prod: the URL must start with http:// or https://")
        self.write("list", "http://a/\nhttp://b/, http://c/\n")
        self.assertEqual(len(self.load("[urls]\nprod =\n  ${file:list}\n").tasks), 3)
