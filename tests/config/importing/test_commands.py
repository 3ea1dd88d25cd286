"""Shell commands of crontabs: what they are called, and that they do the same within another command."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config.importing import commands

#: A stand-in for "pypinger run": it runs what follows "--".
RUN = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'

#: Commands that say what they do on standard output.
COMMANDS = (
    "2>&1 >/dev/null cd / && pwd",
    "2>/dev/null cd /",
    "2>&1 export A=1",
    "echo one two",
    "echo 'a  b' \"c  d\" e\\ f",
    "echo one; echo two",
    "cd / && pwd",
    "cat%first%second \\% third",
    "X=1 Y='two words' sh -c 'echo $X $Y'",
    "X=1; echo $X",
    "echo $(echo inner) `echo other`",
    "echo \"$(echo 'quoted (in it)')\"",
    "echo it\\'s \"it's\" 'a;b' 'c&d'",
    "ls /nowhere 2>/dev/null || echo failed",
    "ls /nowhere 2>&1 | wc -l",
    "if true; then echo yes; fi",
    "[ -x /bin/sh ] && echo there",
    "test -x /nowhere || { cd / && pwd; }",
    "(exit 7)",
    "exit 3",
    "sh -c 'exit 5'",
    "echo hidden >/dev/null 2>&1",
    "echo to standard error >&2",
    ". /dev/null; echo sourced",
    "exec echo executed",
    "! true",
    'printf "\\%s\\n" 100\\%',
    "date -d @0 +\\%F-\\%s",
    "echo $HOME ~",
    "echo # no comment",
    "true & wait",
    "nosuchcommand",
    "echo \\\\\\%",
)

WORDS = (
    "echo a",
    "cat",
    "'q r'",
    '"$X"',
    "X=1",
    "$(echo i)",
    *(";", "&&", "||", "|", "(", ")"),
    "%",
    "\\%",
    ">&2",
    "\\",
)

_COMMAND = re.compile(r"(?:\\.|[^%\\]|\\\Z)*", re.DOTALL)


def as_cron(command: str, shell: str, cwd: str) -> tuple[bytes, int]:
    """Run a command as cron does: up to its first bare percent sign, which begins its standard input."""
    rest = _COMMAND.sub("", command, count=1)
    text, rest = command.removesuffix(rest), rest[1:]
    given = re.sub(r"(?<!\\)%", "\n", rest).replace("\\%", "%") + ("\n" if rest else "")
    run = subprocess.run(
        [shell, "-c", text.replace("\\%", "%")],
        input=given.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=cwd,
        env={"HOME": "/root", "PATH": "/usr/bin:/bin", "SHELL": shell},
        check=False,
    )
    return run.stdout, run.returncode


class WrappedTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        self.cwd, self.run = str(directory), str(directory / "run")
        Path(self.run).write_text(RUN)
        os.chmod(self.run, 0o755)

    def same(self, command: str, shell: str) -> None:
        parsed = commands.parse(command)
        wrapped = commands.wrapped(parsed, f"{self.run} run --schedule '0 3 * * *'", shell)
        self.assertIn(self.run, wrapped)
        before, after = as_cron(command, shell, self.cwd), as_cron(wrapped, shell, self.cwd)
        self.assertEqual(after, before, f"{command!r} {wrapped}")

    def test_they_do_the_same(self) -> None:
        for shell in ("/bin/sh", "/bin/bash"):
            for command in COMMANDS:
                self.same(command, shell)

    @settings(deadline=None, max_examples=40)
    @given(
        st.lists(
            st.sampled_from(WORDS),
            min_size=1,
            max_size=6,
        )
    )
    def test_any_command_does_the_same(self, words: list[str]) -> None:
        command = " ".join(words)
        # What follows the first bare percent sign is input; a command that cannot be parsed fails in both.
        before = as_cron(command, "/bin/sh", self.cwd)
        parsed = commands.parse(command)
        if parsed.text and before[1] not in (2, 127):
            self.same(command, "/bin/sh")

    def test_simple_commands_need_no_shell(self) -> None:
        for command in (
            "/x/a --b 'c d' >/dev/null 2>&1",
            "X=1 /x/a $HOME",
            "/x/a%in%put",
            "/x/a &> /tmp/log",
            "~/a *.c",
        ):
            wrapped = commands.wrapped(commands.parse(command), "run", "/bin/sh")
            self.assertNotIn("/bin/sh", wrapped)
        self.assertEqual(commands.wrapped(commands.parse("X=1 a b%c"), "run", "sh"), "X=1 run -- a b%c")
        for command in ("PATH+=:/opt/bin a", "A[1]=2", "2>&1 cd /x"):
            self.assertEqual(commands.wrapped(commands.parse(command), "run", "sh"), f"run -- sh -c '{command}'")

    def test_marks(self) -> None:
        self.assertTrue(commands.parse("a | b").piped)
        self.assertFalse(commands.parse("a || b").piped)
        self.assertTrue(commands.parse("cd /x && a >/dev/null 2>&1").silenced)
        self.assertTrue(commands.parse("cd /x; a 2>/dev/null").silenced)
        self.assertFalse(commands.parse("a >/dev/null 2>&1").silenced)
        self.assertFalse(commands.parse("cd /x; a >/dev/null").silenced)


class NameTests(SynchronousTestCase):
    def test_names(self) -> None:
        for command, name in (
            ("/usr/local/bin/import-prices --all >/dev/null 2>&1", "import-prices"),
            ("cd /srv/app && ./manage.py clearsessions", "manage.py clearsessions"),
            ("cd /srv/app && venv/bin/python manage.py clearsessions --noinput", "manage.py clearsessions"),
            ("python3 -u /srv/x/backup.py -v", "backup.py"),
            ("python3 -m shop.prices", "shop.prices"),
            ("python3 -c 'print(1)'", "python3"),
            ("/usr/bin/php -q -f /var/www/x/cron.php", "cron.php"),
            ("bash", "bash"),
            ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "run-parts cron.daily"),
            ("[ -x /a ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi", "sessionclean"),
            ("FOO=bar nice -n 10 ionice -c2 -n7 flock -n /tmp/l /opt/run.sh", "run.sh"),
            ("timeout -k 5 10m env A=b /x/y", "y"),
            ("sudo -u www-data php /var/www/artisan schedule:run >> /dev/null 2>&1", "artisan schedule:run"),
            ("curl -fsS 'https://example.com/cron.php?key=s3cret' | logger", "example.com/cron.php"),
            ("wget -q", "wget"),
            ("runitor -uuid 31365bce-8da9-4729-8ff3-aaa71d56b712 -- /x/z", "z"),
            ("restic backup /home", "restic backup"),
            ("sleep 30; /x/late", "late"),
            ("cd /x", "cd"),
            ("echo it's", "echo"),
            ("X=1", ""),
        ):
            self.assertEqual(commands.name(commands.parse(command)), name, command)

    @settings(deadline=None)
    @given(st.text(st.sampled_from("ab /=;&|(){}'\"\\%$`<>-!.\n")) | st.text())
    def test_any_text(self, text: str) -> None:
        parsed = commands.parse(text)
        commands.name(parsed)
        commands.words(parsed)
        commands.wrapped(parsed, "run", "/bin/sh")
