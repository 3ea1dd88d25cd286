"""Templates of message bodies: what is wrong with one, and what it becomes."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from pypinger.notify.template import MAX_TEMPLATE, BodyTemplate, TemplateError, read_template

FIELDS = ("id", "task_name", "task_url")


class TemplateTests(SynchronousTestCase):
    def problem(self, text: str) -> str:
        return str(self.assertRaises(TemplateError, BodyTemplate, text, FIELDS))

    def test_fill(self) -> None:
        template = BodyTemplate('{"t": "$task_name", "u": "${task_url}x", "c": "$$5"}', FIELDS)
        values = {"id": "1", "task_name": "a $id", "task_url": "u"}
        self.assertEqual(template.fill(values), '{"t": "a $id", "u": "ux", "c": "$5"}')

    def test_unknown_fields(self) -> None:
        self.assertEqual(
            self.problem("$id\n$task_nam ${Task_Name}"),
            "line 2: unknown field $task_nam; did you mean $task_name?; "
            "line 2: unknown field $Task_Name; did you mean $task_name?",
        )
        self.assertEqual(self.problem("${zzzz}"), "line 1: unknown field $zzzz; known are id, task_name, task_url")

    def test_broken_dollars(self) -> None:
        words = 'a "$" before no field; write "$$" for a dollar sign'
        for text in ("x\n\n costs $5", "\n\n${id", "\n\n$", "\n\n$ id", "\n\n${}"):
            self.assertEqual(self.problem(text), f"line 3: {words}", text)


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def problem(self) -> str:
        words = str(self.assertRaises(TemplateError, read_template, str(self.path), FIELDS))
        self.assertIn(str(self.path), words)
        self.assertNotIn("\n", words)
        return words.replace(str(self.path), "F")

    def test_read(self) -> None:
        self.path.write_bytes("\ufeff${id} ü".encode())
        self.assertEqual(read_template(str(self.path), FIELDS).fill(dict.fromkeys(FIELDS, "7")), "7 ü")

    def test_unreadable(self) -> None:
        self.assertEqual(self.problem(), "cannot read F: no such file or directory")
        self.path.mkdir()
        self.assertEqual(self.problem(), "cannot read F: it is not a regular file")
        self.path.rmdir()
        os.mkfifo(self.path)
        self.assertEqual(self.problem(), "cannot read F: it is not a regular file")
        self.path.unlink()
        self.path.write_bytes(b"\xff")
        self.assertEqual(self.problem(), "cannot read F: it is not UTF-8 text")
        self.path.write_bytes(b"x" * (MAX_TEMPLATE + 1))
        self.assertEqual(self.problem(), "cannot read F: it is larger than 262,144 bytes")
        self.path.write_text("$no")
        self.assertEqual(self.problem()[:30], "F: line 1: unknown field $no; ")
        nowhere = self.assertRaises(TemplateError, read_template, "a\0b", FIELDS)
        self.assertIn("null", str(nowhere))
