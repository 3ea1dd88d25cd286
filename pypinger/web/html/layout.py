"""
What all HTML pages have in common: head, banner, and the small parts that tell of moments and facts.

There is no inline script and no inline style, so that the Content-Security-Policy can forbid both. Without script a
page renews itself by a ``meta`` element; with it, ``live.js`` keeps it up to date in place.

Note [The same page]
~~~~~~~~~~~~~~~~~~~~
Every page says when it was made: to the script in ``data-now``, to people in its footer. But for these two stamps it
is often what it was a moment ago, and then a client that has it is told so. So the tag that stands for a page is made
before the stamps are put in. What such a client goes on to show is stamped with an earlier moment, though by less than
a minute, for the minute belongs to the tag; and the words of all its times are right, for they belong to it too. Only
the script's clock would be slow by as much: it fetches the page once more soon after it was loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.web.iweb import IRequest
from twisted.web.template import Tag, XMLString, flattenString, tags

from pypinger.domain.model import Instant, Seconds
from pypinger.domain.times import MINUTE, clock, iso
from pypinger.web.formatting import coming, relative, shown, stamp
from pypinger.web.serving.responses import tag_of

#: After how many seconds a page without script is loaded anew.
RENEWED: Seconds = 30

# Marks what the script compares to see whether the page needs another script or stylesheet than it has.
_PART = {"data-part": "yes"}

# Where the stamps go. Nothing else can look like these: every other "<" was escaped.
_MADE = b'<body data-now="'
_AS_OF = b'<time datetime="" class="fixed">'


async def page(
    request: IRequest,
    title: str,
    body: list[Tag],
    root: str,
    static: Mapping[str, str],
    look: str,
    now: Instant,
    links: tuple[Tag, ...] = (),
    rows: Mapping[str, Sequence[bytes]] | None = None,
) -> tuple[bytes, bytes]:
    """
    A whole page, and the tag that stands for it: see Note [The same page].

    :param root: what leads from this page to the overview: empty, ``../`` or a path.
    :param static: name -> path of the static files, see :mod:`pypinger.web.serving.assets`.
    :param look: whose icon stands in the browser's tab.
    :param links: more for the head.
    :param rows: what is rendered already and goes in the place of a comment, by the comment's words, in the same order.
    """
    html = tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.title(title),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="color-scheme", content="light dark"),
            tags.link(rel="stylesheet", href=root + static["style.css"], **_PART),
            tags.link(rel="icon", type="image/svg+xml", href=root + static[f"{look}.svg"], id="icon"),
            *links,
            Tag("noscript")(tags.meta(**{"http-equiv": "refresh", "content": f"{RENEWED:.0f}"})),
            tags.script(src=root + static["live.js"], defer="defer", **_PART),
        ),
        # The browser's clock may be wrong; what the server called now lets the script tell.
        tags.body(
            tags.a("Skip to the tasks" if not root else "Skip to the content", href="#main", class_="skip"),
            body,
            **{"data-now": ""},
        ),
        lang="en",
    )
    rest = b"<!DOCTYPE html>\n" + await flattenString(request, html)
    pieces: list[bytes] = []
    for comment, rendered in (rows or {}).items():
        # Nothing but our own comments can look like this either.
        before, _, rest = rest.partition(f"<!--{comment}-->".encode("ascii"))
        pieces += before, *rendered
    pieces.append(rest)
    tag = tag_of(b"%d" % (now // MINUTE), *pieces)
    made = (iso(now) or "").encode("ascii")
    pieces[0] = pieces[0].replace(_MADE, _MADE + made, 1)
    as_of = b'<time datetime="%s" class="fixed">%s' % (made, stamp(now).encode("ascii"))
    pieces[-1] = pieces[-1].replace(_AS_OF, as_of, 1)
    return b"".join(pieces), tag


def top(*parts: Tag, look: str) -> Tag:
    """The banner."""
    return tags.header(*parts, class_=f"banner {look}", id="banner")


def brand(*link: Tag | str) -> Tag:
    """The line above the banner's heading: where this is, and whether the page is live."""
    return tags.p(tags.span(*link), tags.span(id="live", class_="live"), class_="brand")


def foot(*parts: Tag | str) -> Tag:
    """The footer; :func:`page` puts in when it was made."""
    return tags.footer(
        tags.p(
            *parts,
            "Shown as of ",
            tags.time(datetime="", class_="fixed"),
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
