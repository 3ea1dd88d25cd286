"""
What all HTML pages have in common: head, banner, and the small parts that tell of moments and facts.

There is no inline script and no inline style, so that the Content-Security-Policy can forbid both. Without script a
page renews itself by a ``meta`` element; with it, ``live.js`` keeps it up to date in place.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.web.iweb import IRequest
from twisted.web.template import Tag, XMLString, flattenString, tags

from pypinger.domain.model import Instant, Seconds
from pypinger.domain.times import clock, iso
from pypinger.web.words import coming, relative, shown, stamp

#: After how many seconds a page without script is loaded anew.
RENEWED: Seconds = 30


async def page(
    request: IRequest,
    title: str,
    body: list[Tag],
    root: str,
    static: Mapping[str, str],
    look: str,
    now: Instant,
    links: tuple[Tag, ...] = (),
) -> bytes:
    """
    A whole page.

    :param root: what leads from this page to the overview: empty, ``../`` or a path.
    :param static: name -> path of the static files, see :mod:`pypinger.web.assets`.
    :param look: whose icon stands in the browser's tab.
    :param links: more for the head.
    """
    html = tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.title(title),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="color-scheme", content="light dark"),
            tags.link(rel="stylesheet", href=root + static["style.css"]),
            tags.link(rel="icon", type="image/svg+xml", href=root + static[f"{look}.svg"], id="icon"),
            *links,
            Tag("noscript")(tags.meta(**{"http-equiv": "refresh", "content": f"{RENEWED:.0f}"})),
            tags.script(src=root + static["live.js"], defer="defer"),
        ),
        # The browser's clock may be wrong; what the server called now lets the script tell.
        tags.body(
            tags.a("Skip to the tasks" if not root else "Skip to the content", href="#main", class_="skip"),
            body,
            **{"data-now": iso(now) or ""},
        ),
        lang="en",
    )
    return b"<!DOCTYPE html>\n" + await flattenString(request, html)


def top(*parts: Tag, look: str) -> Tag:
    """The banner."""
    return tags.header(*parts, class_=f"banner {look}", id="banner")


def brand(*link: Tag | str) -> Tag:
    """The line above the banner's heading: where this is, and whether the page is live."""
    return tags.p(tags.span(*link), tags.span(id="live", class_="live"), class_="brand")


def foot(now: Instant, *parts: Tag | str) -> Tag:
    """The footer."""
    return tags.footer(
        tags.p(
            *parts,
            "Shown as of ",
            tags.time(stamp(now), datetime=iso(now) or "", class_="fixed"),
            Tag("noscript")(f", renewed every {RENEWED:.0f} s"),
            ".",
        ),
        id="foot",
    )


def picture(svg: str) -> list[Tag]:
    """A picture as part of a template."""
    return XMLString(svg).load() if svg else []  # type: ignore[return-value]


def moment(instant: Instant | None, now: Instant) -> Tag | None:
    """A time in both its forms."""
    if instant is None:
        return None
    return tags.span(since(instant, now), " ", tags.small(clock(instant, now)), class_="moment")


def upcoming(instant: Instant | None, now: Instant) -> Tag | None:
    """A time at which something is to happen, in both its forms."""
    if instant is None:
        return None
    told = tags.time(coming(instant, now), datetime=iso(instant) or "", title=stamp(instant), class_="coming")
    return tags.span(told, " ", tags.small(clock(instant, now)), class_="moment")


def since(instant: Instant, now: Instant) -> Tag:
    """How long ago, or in how long."""
    return tags.time(relative(instant, now), datetime=iso(instant) or "", title=stamp(instant))


def facts(title: str, *known: tuple[str, Tag | str | None], look: str = "") -> Tag:
    """A block of names and values; what is not known or empty is left out."""
    told = [(name, shown(value) if isinstance(value, str) else value) for name, value in known if value]
    listed = tags.dl([tags.div(tags.dt(name), tags.dd(value)) for name, value in told])
    return card(title, listed if told else unknown("Nothing is known yet."), look=look)


def card(title: str, *parts: Tag | list[Tag] | str, look: str = "") -> Tag:
    """A block with a heading."""
    name = title.lower().replace(" ", "-")
    return tags.section(
        tags.h2(title, id=f"{name}-title"),
        *parts,
        class_=f"card {look}".rstrip(),
        id=name,
        **{"aria-labelledby": f"{name}-title"},
    )


def unknown(words: str) -> Tag:
    """What stands where nothing is to be shown."""
    return tags.p(words, class_="unknown")
