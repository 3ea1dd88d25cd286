"""URLs as bytes for ``IAgent.request``."""

from __future__ import annotations

from pypinger.domain.url import Url


def uri_of(url: Url) -> bytes:
    """Return the URL in ASCII, percent-encoded, without userinfo and fragment."""
    if "%" in url.host:
        # The zone of an IPv6 address says which interface to use; `Host` and a proxy must not see it.
        return url.origin.encode("ascii") + url.target
    return url.absolute
