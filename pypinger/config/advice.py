"""Advice about sections that are valid but will not do what they are for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pypinger.config.section import SectionReader
from pypinger.domain import url as urls

_DISCORD = re.compile(r"(?:[a-z]+\.)?discord(?:app)?\.com\Z")


def warn_of_discord(sections: Sequence[SectionReader]) -> None:
    """Warn of ``[slack]`` sections with a webhook of Discord, which takes Slack's messages at another path."""
    for section in sections:
        for _, text in section.lines("url") if section.has("url") else ():
            try:
                url = urls.parse(text.strip())
            except urls.UrlError:
                continue
            path = url.target.partition(b"?")[0].rstrip(b"/")
            if _DISCORD.match(url.host) and not path.endswith(b"/slack"):
                words = "is a webhook of Discord, which takes Slack's messages at the same URL with /slack after it"
                section.warn("url", f"{words}; append that, or use [apprise]")
