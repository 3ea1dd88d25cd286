"""How a push task is fed, on its page: the requests that it sends, its key masked."""

from __future__ import annotations

from twisted.web.template import Tag, tags

from pypinger.domain.model import Task
from pypinger.domain.redaction import MASK
from pypinger.web.formatting import shown
from pypinger.web.html.layout import card

#: Stands for the address where that is not known.
_SOMEWHERE = "http://HOST:PORT"


def how_to_push(task: Task) -> list[Tag]:
    """The block for a push task; nothing for others."""
    if task.url is not None:
        return []
    # The page is at /task/ID below the address that people use.
    base = _SOMEWHERE if task.page is None else task.page.removesuffix(f"/task/{task.id}")
    ping = f"curl -fsS -m 10 --retry 5 {base}/ping/{MASK}"
    lines = (
        (ping, "It has run"),
        (f"{ping}/start", "It begins to run"),
        (f"{ping}/fail", "It has failed; a body (--data-binary) says why. An exit code in place of fail does as well"),
        (f"curl -fsS -m 10 --retry 5 --data-binary @report.json {base}/push/{MASK}", "A whole report"),
    )
    items = [
        tags.li(tags.code(shown(line), class_="command"), " ", tags.span(words, class_="quiet"))
        for line, words in lines
    ]
    words = f"{MASK} stands for its push_key. Pushes go to [push] endpoint, where that is set."
    return [card("How to push", tags.ul(items, class_="commands"), tags.p(words, class_="quiet"))]
