"""``include`` in ``[main]`` (contract, section 6)."""

from __future__ import annotations

import os

from pypinger.config import ConfigErrors, load
from pypinger.config.settings import Settings
from tests.config.samples import LoadingTestCase

INCLUDE = "[main]\ninclude = conf.d/*.ini\n"


class IncludeCase(LoadingTestCase):
    def setUp(self) -> None:
        super().setUp()
        os.mkdir(os.path.join(self.cwd, "conf.d"))

    def include(self, **files: str | bytes) -> None:
        for name, content in files.items():
            self.write(f"conf.d/{name}.ini", content)


class IncludeTests(IncludeCase):
    def urls(self, text: str = INCLUDE) -> list[str]:
        return [task.url for task in self.load(text).tasks]

    def test_order(self) -> None:
        """The main file comes first, then the included ones in order of name; their lists of URLs are one."""
        self.include(
            b="[urls]\nprod = http://b/\n  http://b2/\n[task http://own-b/]\n",
            a="[urls]\nprod = http://a/\ndev = http://d/\n[task http://own-a/]\n",
        )
        self.assertEqual(
            self.urls(f"{INCLUDE}[urls]\nprod = http://m/\n[task http://own/]\n"),
            ["http://m/", "http://a/", "http://b/", "http://b2/", "http://own/", "http://own-a/", "http://own-b/"],
        )
        self.assertEqual(self.urls("[main]\ninclude = conf.d/*.ini\ndebug = yes\n"), ["http://d/"])

    def test_names_of_the_files(self) -> None:
        """They are relative to the file that includes them, wherever the process runs."""
        self.include(a="[urls]\nprod = http://a/\n", b="[urls]\nprod = http://b/\n")
        self.write("conf.d/c.txt", "junk")
        self.write("conf.d/.hidden.ini", "junk")
        self.assertEqual(self.load(INCLUDE).included, ("conf.d/a.ini", "conf.d/b.ini"))
        path = os.path.join(self.cwd, "pinger.ini")
        for name, cwd in ((path, os.sep), (os.path.relpath(path), os.getcwd())):
            loaded = load(name, channels=self.channels, environ={}, cwd=cwd)
            directory = os.path.dirname(name)
            self.assertEqual(loaded.included, (f"{directory}/conf.d/a.ini", f"{directory}/conf.d/b.ini"))
        absolute = self.load(f"[main]\ninclude = {self.cwd}/conf.d/b.ini\n")
        self.assertEqual(absolute.included, (f"{self.cwd}/conf.d/b.ini",))

    def test_a_directory_whose_name_is_a_pattern(self) -> None:
        directory = os.path.join(self.cwd, "[x]*")
        os.makedirs(os.path.join(directory, "conf.d"))
        for name, text in (("pinger.ini", INCLUDE), ("conf.d/a.ini", "[urls]\nprod = http://a/\n")):
            self.write(f"[x]*/{name}", text)
        loaded = load("[x]*/pinger.ini", channels={}, environ={}, cwd=self.cwd)
        self.assertEqual(loaded.included, ("[x]*/conf.d/a.ini",))

    def test_several_patterns(self) -> None:
        """Each stands on a line; a file that two of them match is read once."""
        self.include(a="[urls]\nprod = http://a/\n", b="[urls]\nprod = http://b/\n")
        self.assertEqual(self.urls("[main]\ninclude = conf.d/b.ini\n  conf.d/*.ini\n"), ["http://b/", "http://a/"])

    def test_several_spellings(self) -> None:
        """A file is read once, however the patterns spell its name, and shown by the first."""
        self.include(a="[urls]\nprod = http://a/\n", b="[urls]\nprod = http://b/\n[slack]\n")
        os.symlink("conf.d", os.path.join(self.cwd, "link"))
        patterns = (
            "conf.d/b.ini",
            "./conf.d/*.ini",
            f"{self.cwd}/conf.d/a.ini",
            "conf.d/../conf.d/b.ini",
            "link/*.ini",
        )
        text = "[main]\ninclude =\n" + "".join(f"  {pattern}\n" for pattern in patterns)
        self.assertEqual(self.urls(text), ["http://b/", "http://a/"])
        self.assertEqual(self.warnings_of(text), [])
        self.assertEqual(self.load(text).included, ("conf.d/b.ini", "./conf.d/a.ini"))

    def test_the_main_file_does_not_include_itself(self) -> None:
        self.write("other.ini", "[urls]\nprod = http://o/\n")
        self.assertEqual(self.urls("[main]\ninclude = *.ini\n[urls]\nprod = http://m/\n"), ["http://m/", "http://o/"])
        self.assertEqual(
            self.warnings_of("[main]\ninclude = pinger.ini\n[urls]\nprod = http://m/\n"),
            ['2: [main] include: no file matches "pinger.ini"'],
        )

    def test_substitution(self) -> None:
        self.environ = {"NAME": "conf"}
        self.include(a="[urls]\nprod = http://a/\n")
        self.assertEqual(self.urls("[main]\ninclude = ${env:NAME}.d/a.ini\n"), ["http://a/"])
        self.assertIn("environment variable NO is not set", self.problem("[main]\ninclude = ${env:NO}\n"))

    def test_no_match(self) -> None:
        """It is a warning, also without the directory."""
        for pattern in ("conf.d/*.ini", "none/*.ini", "conf.d/a.ini", "pinger.ini/*"):
            self.assertIn(
                f'2: [main] include: no file matches "{pattern}"', self.warnings_of(f"[main]\ninclude = {pattern}\n")
            )

    def test_a_directory_that_cannot_be_read(self) -> None:
        """It is unknown whether a file matches."""
        os.symlink("loop", os.path.join(self.cwd, "loop"))
        words = "the directory loop cannot be read: too many levels of symbolic links"
        self.assertEqual(self.problem("[main]\ninclude = loop/*/*.ini\n"), f"2: [main] include: {words}")

    def test_impossible_patterns(self) -> None:
        self.assertEqual(self.problem("[main]\ninclude = a\x01b\n"), "2: [main] include: contains a control character")
        self.assertLess(len(self.problem(f"[main]\ninclude = {'x' * 5000}/*\n")), 300)

    def test_values_of_every_section(self) -> None:
        """Channels, groups and maintenance may stand in an included file, and their secrets are known."""
        self.environ = {"CREDENTIALS_DIRECTORY": self.cwd}
        self.write("slack", "S3CRET-token\n")
        self.include(
            shop="[slack shop]\nchannel = #shop\ntoken = ${credential:slack}\n[group https://shop/*]\ngrace = 5\n"
            "[maintenance night]\nmatch = *\nschedule = @daily\nduration = 1h\n[web]\nhosts = h\n",
            tasks="[task https://shop/a?key=S3CRET-query]\n",
        )
        loaded = self.load(INCLUDE)
        self.assertEqual([channel.name for channel in loaded.channels], ["slack shop"])
        self.assertEqual([task.grace for task in loaded.tasks], [5])
        self.assertEqual([each.name for each in loaded.maintenance], ["night"])
        self.assertEqual(loaded.web.hosts, ("h",))
        self.assertLessEqual({"S3CRET-token", "key=S3CRET-query"}, loaded.secrets)
        self.assertEqual(loaded.warnings, ())

    def test_paths_start_from_the_working_directory(self) -> None:
        """As in the main file."""
        self.write("name", "Mails")
        self.include(a="[task http://h/]\nname = ${file:name}\n")
        self.assertEqual(self.load(INCLUDE).tasks[0].name, "Mails")


class ProblemTests(IncludeCase):
    def found(self, text: str = INCLUDE) -> list[str]:
        return str(self.errors(text)).split("\n")

    def test_places(self) -> None:
        """Each problem names its own file and line; they are sorted by file and line."""
        self.include(
            a="junk\n[urls]\nprod =\n  ftp://a\n[main.x]\n[web]\nhost = x\n", b="[task http://b/]\nfailures = x\n"
        )
        self.assertEqual(
            self.found(f"{INCLUDE}\n[task http://h/]\nfailures = x\n"),
            [
                'pinger.ini:5: [task http://h/] failures: must be a whole number from 1 to 1000000, not "x"',
                "conf.d/a.ini:1: this line is outside any section; add a header such as [main] above it",
                "conf.d/a.ini:4: [urls] prod: ftp://a: the URL's scheme must be http or https",
                "conf.d/a.ini:5: [main.x]: unknown section; did you mean [main]?",
                'conf.d/a.ini:7: [web] host: unknown option; did you mean "hosts"?',
                'conf.d/b.ini:2: [task http://b/] failures: must be a whole number from 1 to 1000000, not "x"',
            ],
        )
        errors = self.errors(INCLUDE)
        self.assertEqual({problem.file for problem in errors.problems}, {"conf.d/a.ini", "conf.d/b.ini"})

    def test_warnings(self) -> None:
        self.include(
            a="[urls]\nprod = http://h/orders\n\n  http://h/mails\n",
            b="[urls]\nprod = http://h/mails\n[task http://h/ordres]\n[maintenance x]\nmatch = x\nschedule = @daily\n"
            "duration = 1h\n[token_auth]\ntoken = x\nurl = http://h/\nusername = x\npassword = x\n",
        )
        near = "adds a task of its own; did you mean http://h/orders, which is in [urls]?"
        self.assertEqual(
            self.warnings(self.load(INCLUDE)),
            [
                "conf.d/b.ini:2: [urls] prod: http://h/mails is a duplicate, first given in line 4 of conf.d/a.ini",
                f"conf.d/b.ini:3: [task http://h/ordres]: {near}",
                'conf.d/b.ini:5: [maintenance x] match: "x" matches no task',
                "conf.d/b.ini:9: [token_auth] token: is sent as it stands; url, username and password are not used "
                "while it is set",
            ],
        )

    def warnings(self, loaded: Settings) -> list[str]:
        return [warning for warning in loaded.warnings if "[web] hosts" not in warning]

    def test_a_section_in_two_files(self) -> None:
        """It is a problem as in one file; its options are checked nevertheless."""
        self.include(a="\n[slack]\nchannel = x\n", b="[slack]\ntokn = S3CRET\nchannel = y\n[task x]\n")
        self.assertEqual(
            self.found(f"{INCLUDE}[task x]\nurl = http://h/\n"),
            [
                "conf.d/a.ini:2: [slack] token: missing; [slack] needs channel and token",
                "conf.d/b.ini:1: [slack]: duplicate section, first given in line 2 of conf.d/a.ini; merge the two",
                'conf.d/b.ini:2: [slack] tokn: unknown option; did you mean "token"?',
                "conf.d/b.ini:3: [slack] channel: duplicate option, first given in line 3 of conf.d/a.ini",
                "conf.d/b.ini:4: [task x]: duplicate section, first given in line 3 of pinger.ini; merge the two",
            ],
        )

    def test_one_task_in_two_files(self) -> None:
        self.include(a="[task x]\nurl = http://h/\n", b="[task http://h/]\n[task X]\nurl = http://i/\n")
        self.assertEqual(
            self.found(),
            ["conf.d/b.ini:1: [task http://h/]: duplicate section of this task, first given in line 1 of conf.d/a.ini"],
        )
        self.include(b="[task X]\nurl = http://i/\n")
        self.assertEqual(
            self.warnings(self.load(INCLUDE)),
            ["conf.d/b.ini:1: [task X]: the task of line 1 of conf.d/a.ini has this name, too; selectors match both"],
        )

    def test_one_maintenance_in_two_files(self) -> None:
        section = "match = *\nschedule = @daily\nduration = 1h\n"
        self.include(a=f"[maintenance x]\n{section}", b=f"[maintenance  x]\n{section}")
        self.assertEqual(
            self.found(),
            ["conf.d/b.ini:1: [maintenance x]: duplicate maintenance, first given in line 1 of conf.d/a.ini"],
        )

    def test_one_channel_in_two_files(self) -> None:
        self.include(a="[slack ops]\nurl = https://hooks/x\n", b="[slack  ops]\nurl = https://hooks/x\n")
        self.assertEqual(
            self.found(),
            ["conf.d/b.ini:1: [slack ops]: duplicate section, first given in line 1 of conf.d/a.ini; merge the two"],
        )

    def test_an_included_file_includes_none(self) -> None:
        self.include(a="[main]\ninclude = *\n")
        self.assertEqual(
            self.found(),
            [
                "conf.d/a.ini:1: [main]: duplicate section, first given in line 1 of pinger.ini; merge the two",
                "conf.d/a.ini:2: [main] include: an included file includes no others; name them in pinger.ini",
            ],
        )

    def test_auth_token_of_the_original(self) -> None:
        """Only the main file may be one of the original."""
        self.include(a="[urls]\nauth_token = S3CRET\n")
        self.assertEqual(
            self.found(f"{INCLUDE}[urls]\n"),
            ["conf.d/a.ini:2: [urls] auth_token: unknown option; [urls] has prod, dev"],
        )

    def test_unusable_files(self) -> None:
        """Each is one line with its path; the other files are checked."""
        self.include(latin=b"[urls]\n# caf\xe9\nprod = x\n", nul=b"[urls]\n\0", fine="[urls]\nprod = http://h/\n")
        for name in ("directory", "fifo", "loop"):
            path = os.path.join(self.cwd, "conf.d", f"{name}.ini")
            if name == "directory":
                os.mkdir(path)
            elif name == "fifo":
                os.mkfifo(path)
            else:
                os.symlink("loop.ini", path)
        self.assertEqual(
            self.found(),
            [
                "conf.d/directory.ini: cannot read the ini file: it is a directory; pinger.ini includes it",
                "conf.d/fifo.ini: cannot read the ini file: it is not a regular file; pinger.ini includes it",
                "conf.d/latin.ini:2: byte 0xe9 is not UTF-8; save the file as UTF-8",
                "conf.d/latin.ini:3: [urls] prod: the URL must start with http:// or https://",
                "conf.d/loop.ini: cannot read the ini file: too many levels of symbolic links; pinger.ini includes it",
                "conf.d/nul.ini:2: the file contains a NUL byte; save it as plain UTF-8 text",
            ],
        )

    def test_names_that_could_control_a_terminal(self) -> None:
        self.write("conf.d/\x1b[2J\n.ini", "junk")
        for line in self.found():
            self.assertTrue(line.isprintable())

    def test_empty(self) -> None:
        """A file without a section is a warning, so that a reload can refuse it."""
        self.include(a="", b="# nothing\n", c="[urls]\nprod = http://h/\n")
        loaded = self.load(INCLUDE)
        self.assertEqual(loaded.empty, ("conf.d/a.ini", "conf.d/b.ini"))
        self.assertEqual(
            self.warnings(loaded), [f"conf.d/{name}.ini: the included file has no section" for name in "ab"]
        )

    def test_truncated(self) -> None:
        """Any beginning of an included file gives settings or problems of that file."""
        text = "[urls]\nprod = http://h/a?key=S3CRET\n[slack x]\nchannel = c\ntoken = S3CRET\n"
        for length in range(len(text)):
            self.include(a=text[:length])
            try:
                said = self.load(INCLUDE).warnings
            except ConfigErrors as errors:
                said = tuple(str(errors).split("\n"))
                self.assertEqual({problem.file for problem in errors.problems}, {"conf.d/a.ini"})
            self.assertNotIn("S3CRET", " ".join(said))
