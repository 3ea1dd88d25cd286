"""
HTTP: treq over agents made for polling.

:class:`~pypinger.http.fetcher.TaskFetcher` fetches reports and :class:`~pypinger.http.messenger.Messenger` posts
messages, both with :class:`treq.client.HTTPClient`. Below treq, :mod:`~pypinger.http.agents` holds ``IAgent`` objects
that wrap one another, and :mod:`~pypinger.http.wire` what the last of them works with: connections, TLS, names, limits.
"""
