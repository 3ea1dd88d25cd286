"""No problem and no warning shows a secret, wherever in a file it stands and however wrong the file is."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from pypinger.config import ConfigErrors, load
from pypinger.domain.redaction import Secrets
from tests.config.samples import LoadingTestCase, fake_channels, new_directory

MARK = "S3CRET"

#: Lines that hold a secret, some of them sound.
LINES = [
    f"token = {MARK}",
    f"token = Bearer {MARK}é",
    f"token {MARK}",
    f"  {MARK}",
    f"{MARK}==",
    MARK,
    f"tokn = {MARK}",
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
    "[token_auth]",
    "[web]",
]


class SecretTests(LoadingTestCase):
    @settings(deadline=None, max_examples=250)
    @given(st.lists(st.sampled_from(LINES), max_size=10).map("\n".join))
    def test_never_shown(self, text: str) -> None:
        """Any mixture of such lines, in any section."""
        directory = new_directory()
        with open(os.path.join(directory, "pinger.ini"), "w") as file:
            file.write(text)
        environ = {"SECRET": f"{MARK}\x00\n{MARK}"}
        try:
            said = load("pinger.ini", channels=fake_channels(), environ=environ, cwd=directory).warnings
        except ConfigErrors as errors:
            said = tuple(str(errors).split("\n"))
        for line in said:
            self.assertTrue(line.isprintable())
            self.assertNotIn(MARK.lower(), line.lower())

    def test_all_known(self) -> None:
        """Whatever is secret in a sound file is among the secrets, so that others can mask it."""
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
        """Those that a server may repeat alone, but no ordinary word of reports."""
        for query, value in (
            ("pwd=abcd", "abcd"),
            ("id_JWT=abcd", "abcd"),
            ("apiKey=abcd", "abcd"),
            ("API-KEY=abcd", "abcd"),
            ("myauthtoken=abcd", "abcd"),
            ("dbPassword=abcd", "abcd"),
            ("X-Amz-Signature=abcd", "abcd"),
            ("oauth=abcd", "abcd"),
            ("xAuthCode=abcd", "abcd"),
            ("authtoken=abcd", "abcd"),
            ("authorization=abcd", "abcd"),
            ("mykey=abcd", "abcd"),
            ("licensekeys=abcd", "abcd"),
            ("userpass=abcd", "abcd"),
            ("passcode=abcd", "abcd"),
            ("sig=abcd", "abcd"),
            ("token=abcd;task=backup", "abcd"),
            ("token=abcd;efgh", "abcd;efgh"),
            ("a=1&code=AzureFunctionK3y==", "AzureFunctionK3y=="),
            ("PHPSESSID=abcdefg8abcdefg8&b=1", "abcdefg8abcdefg8"),
            ("sessionId=01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"),
            ("hash=12345abc12345abc", "12345abc12345abc"),
            ("sid=abcdefghijabcdefghij", "abcdefghijabcdefghij"),
        ):
            self.assertEqual(self.scrubbed(query, value), "x *** y", query)
        for query, value in (
            ("zipcode=12345678", "12345678"),
            ("code=2026-11-22", "2026-11-22"),
            ("session=nightly-run", "nightly-run"),
            ("session=nightly-backup-2024", "nightly-backup-2024"),
            ("sid=abc123", "abc123"),
            ("sid=ORCLPROD1", "ORCLPROD1"),
            ("token=abcd;task=backup", "backup"),
            ("sort_key=lastrun", "lastrun"),
            ("keyword=backup", "backup"),
            ("author=alice", "alice"),
            ("authority=north", "north"),
            ("design=blue", "blue"),
            ("signal=green", "green"),
            ("passive=true", "true"),
            ("compass=north", "north"),
            ("monkey=bananas", "bananas"),
            ("residency=eu-west-1", "eu-west-1"),
            ("server_side=backend01", "backend01"),
            ("decode=base64url0123456", "base64url0123456"),
            ("page=abc12345", "abc12345"),
        ):
            self.assertEqual(self.scrubbed(query, value), f"x {value} y", query)

    def scrubbed(self, query: str, value: str) -> str:
        return Secrets(self.load(f"[urls]\nprod = http://a/?b=1&{query}\n").secrets).scrub(f"x {value} y")
