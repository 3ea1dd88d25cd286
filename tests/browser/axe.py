"""Accessibility of a page by axe-core."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SkipTest, TestCase

from tests.browser.chromium import Page

try:
    from axe_playwright_python.base import AXE_SCRIPT, AxeResults
except ImportError:
    AXE_SCRIPT = None

__all__ = ["assert_sound", "require_axe"]


def require_axe() -> None:
    """Skip the test where axe-core is not installed."""
    if AXE_SCRIPT is None:
        raise SkipTest("there is no axe-core")


def assert_sound(test: TestCase, page: Page, where: str, *, dark: bool = False) -> None:
    """
    Assert that axe-core finds no violation.

    :param dark: look at dark mode as well, which differs only in colours. Ask for it at the widest and the narrowest
        size: each shows elements that the other hides.
    """
    # Once per document: the script is large, and its second run is faster than its first.
    if page.evaluate("!window.axe"):
        page.evaluate(AXE_SCRIPT)
    _assert_none(test, page, where, {})
    if dark:
        page.emulate_media(color_scheme="dark")
        _assert_none(test, page, f"{where} in the dark", {"runOnly": ["color-contrast"]})
        page.emulate_media(color_scheme="light")


def _assert_none(test: TestCase, page: Page, where: str, options: dict[str, Any]) -> None:
    run = "options => axe.run(options).then(({ violations }) => ({ violations }))"
    found = AxeResults(page.evaluate(run, {**options, "resultTypes": ["violations"]}))
    test.assertEqual(found.violations_count, 0, f"{where}: {found.generate_report()}")
