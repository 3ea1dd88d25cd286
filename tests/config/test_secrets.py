"""No problem and no warning shows a secret, wherever it stands and however wrong the file is."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from pypinger.config import ConfigErrors, load
from pypinger.domain.redaction import Secrets
from tests.config.samples import LoadingTestCase, fake_channels, new_directory

MARK = "S3CRET"

#: Lines with a secret, some of them valid.
LINES = [
    f"token = {MARK}",
    f"token = Bearer {MARK}é",
    f"token {MARK}",
    f"  {MARK}",
    f"{MARK}==",
    MARK,
    f"tokn = {MARK}",
    f"auth_token = {MARK}é",
    f"prod = http://h/?a=b,{MARK}",
    f"hosts = me:{MARK}@h",
    f"token = ${{env:{MARK}-x}}",
    f"token = ${{env:NONE:-{MARK}",
    "token = ${env:SECRET}\t",
    f"token = ${{foo:{MARK}}}",
    f"url = https://me:{MARK}@h/?{MARK}",
    f"url = https://me:{MARK}@h:x/?{MARK}",
    f"url = {MARK}",
    f"http://me:{MARK}@h/?{MARK}",
    f"password = {MARK}",
    f"auth = {MARK}\x07",
    f"prod = http://me:{MARK}@h/?{MARK}, http://h/?{MARK}, {MARK}, ftp://{MARK}@h",
    f"dev = http://h/?{MARK}, http://{MARK}@h/?{MARK}, http://h/?{MARK}#{MARK}",
    f"proxy = http://me:{MARK}@h/{MARK}",
    f"public_url = https://me:{MARK}@h/?{MARK}",
    f"[task http://me:{MARK}@h/?{MARK}]",
    f"[task http://h/?{MARK}]",
    f"[task http//me:{MARK}@h/?{MARK}]",
    f"[task http://me:{MARK}@h/?{MARK}",
    f"[tsk http://me:{MARK}@h/?{MARK}]",
    f"[https://{MARK}@h/]",
    f"[group http://me:{MARK}@h/?{MARK}]",
    f"[group http://h/?{MARK}*]",
    f"[group name:x|http://h/?{MARK}]",
    f"[group kind:http://h/?{MARK}]",
    f"match = http://me:{MARK}@h/?{MARK}",
    f"match = x|http://h/?a={MARK}|",
    f"public = http://me:{MARK}@h/?{MARK}",
    f"public = x|http://h/?a={MARK}|",
    f"include = http://me:{MARK}@h/?{MARK}",
    f"token = {MARK} ; x",
    f"token = '{MARK}'",
    f"interval = 5 # ${{env:{MARK}",
    f"url = https://discord.com/api/webhooks/1/{MARK}",
    "interval = ${env:SECRET}",
    "crons = ${env:SECRET}",
    "room = 5",
    "channel = x",
    "  x = 1",
    "[main]",
    "[urls]",
    "[slack]",
    "[hipchat]",
    "[sentry]",
    "[maintenance x]",
    "[token_auth]",
    "[web]",
]


class SecretTests(LoadingTestCase):
    @settings(deadline=None, max_examples=250)
    @given(st.lists(st.sampled_from(LINES), max_size=10).map("\n".join))
    def test_never_shown(self, text: str) -> None:
        """A random mixture of such lines, in any section."""
        directory = new_directory()
        with open(os.path.join(directory, "pinger.ini"), "w") as file:
            file.write(text)
        # The text is included, too.
        with open(os.path.join(directory, "main.ini"), "w") as file:
            file.write("[main]\ninclude = pinger.ini\n[slack]\n")
        environ = {"SECRET": f"{MARK}\x00\n{MARK}"}
        said: list[str] = []
        for name in ("pinger.ini", "main.ini"):
            try:
                said += load(name, channels=fake_channels(), environ=environ, cwd=directory).warnings
            except ConfigErrors as errors:
                said += str(errors).split("\n")
        for line in said:
            self.assertTrue(line.isprintable())
            self.assertNotIn(MARK.lower(), line.lower())

    def test_a_line_that_cannot_be_substituted(self) -> None:
        """Another line of its value does not make it shown."""
        self.assertEqual(self.problem(f"[main]\ninterval = 5 # ${{env:{MARK}\n  x = 1\n").count(MARK), 0)

    def test_all_known(self) -> None:
        """All secrets of a valid file are among its secrets, to be masked elsewhere."""
        self.environ = {"T": f"{MARK}-1"}
        loaded = self.load(
            f"[main]\nproxy = http://me:{MARK}-2@p:1\n"
            f"[urls]\nprod = http://me:{MARK}-3@a/?a=b&Access_Token={MARK}-4&c, http://{MARK}-5@b/\ndev = http://c/?{MARK}-6\n"
            f"[task http://me:{MARK}-7@d/?{MARK}-8]\nproxy = http://me:{MARK}-9@p:1\n"
            f"[token_auth]\ntoken = Bearer ${{env:T}}\nurl = http://me:{MARK}-a@h/?{MARK}-b\npassword = {MARK}-c\n"
            f"[slack]\nurl = http://h/{MARK}-d\ntoken = {MARK}-e\n"
            f"[hipchat]\nroom = 5\nauth = {MARK}-f\nurl = http://me:{MARK}-g@h/?{MARK}-h\n"
            f"[sentry]\nurl = http://{MARK}-i@h/1\n"
        )
        secrets = Secrets(loaded.secrets)
        for suffix in "123456789abcefghi":
            self.assertEqual(secrets.scrub(f"x {MARK}-{suffix} y"), "x *** y", suffix)
        self.assertEqual(secrets.scrub(f"http://h/{MARK}-d"), "***")

    def test_values_of_a_query(self) -> None:
        """Each value of 8 characters or more is masked alone too, as written and percent-decoded."""
        for query, value in (
            ("job=abcdefgh", "abcdefgh"),
            ("token=abcdefgh;task=backup", "abcdefgh"),
            ("token=abcdefgh;ijkl", "abcdefgh;ijkl"),
            ("a=1&code=AzureFunctionK3y==", "AzureFunctionK3y=="),
            ("token=abcd%2Fefgh", "abcd%2Fefgh"),
            ("token=abcd%2Fefgh", "abcd/efgh"),
        ):
            self.assertEqual(self.scrubbed(query, value), "x *** y", query)
        for query, value in (
            ("token=abcdefg", "abcdefg"),
            ("zipcode=1234567", "1234567"),
            ("a=b&page=backup", "backup"),
        ):
            self.assertEqual(self.scrubbed(query, value), f"x {value} y", query)

    def scrubbed(self, query: str, value: str) -> str:
        return Secrets(self.load(f"[urls]\nprod = http://a/?b=1&{query}\n").secrets).scrub(f"x {value} y")
