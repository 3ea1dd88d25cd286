"""
TLS: one context per trust setting, sessions resumed, names and addresses verified with service-identity.

A private CA is added to the system's trust and never replaces it, and verification cannot be turned off. A context is
made once, and again when one of its files has changed, so that a renewed client certificate is noticed.
"""

from __future__ import annotations

import os
from typing import Any, Protocol, TypeAlias

import msgspec
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IProtocol, IReactorTime, ITransport
from twisted.internet.protocol import ClientFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from pypinger.domain.model import Fault, Seconds
from pypinger.http.wire.certificates import ServiceId, refusal, service_id
from pypinger.http.wire.errors import ExchangeFailed

#: Seconds for which a session is resumed. A resumed session shows no certificate, so it must not last for long.
SESSION_FOR: Seconds = 600.0

_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]

# OpenSSL's words when the other side does not speak TLS, or only old versions of it.
_NO_TLS = ("wrong version number", "packet length too long", "http request", "unknown protocol", "record layer failure")
_OLD_TLS = ("unsupported protocol", "protocol version", "no protocols available")
_WANTS_CERTIFICATE = ("certificate required", "handshake failure", "bad certificate")


class TrustSetting(msgspec.Struct, frozen=True):
    """
    Whom to trust and which certificate to show, as paths of PEM files (contract, section 6).

    :ivar ca_file: a private CA, added to the system's trust.
    :ivar client_key: the key of `client_cert`, if it is not in the same file.
    """

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are set."""
        return tuple(path for path in (self.ca_file, self.client_cert, self.client_key) if path)


#: The system's trust alone.
NO_FILES = TrustSetting()


def _tls(words: str) -> ExchangeFailed:
    return ExchangeFailed(Fault.TLS, words)


class Contexts:
    """One context for each trust setting."""

    def __init__(self) -> None:
        self._known: dict[TrustSetting, tuple[_Stamp, SSL.Context]] = {}

    def get(self, setting: TrustSetting) -> SSL.Context:
        """
        Return the context of a setting.

        :raises ExchangeFailed: one of its files cannot be used; the words name it.
        """
        try:
            stats = [os.stat(path) for path in setting.files]
        except OSError as error:
            raise _tls(f"cannot read {error.filename}: {error.strerror}") from None
        stamp = tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)
        known = self._known.get(setting)
        if known is None or known[0] != stamp:
            self._known[setting] = known = (stamp, _context(setting))
        return known[1]


def _context(setting: TrustSetting) -> SSL.Context:
    _check_descriptors()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_PEER, _verify)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # each route keeps its own session
    # Without this, an encrypted key would ask for its passphrase at the terminal.
    context.set_passwd_cb(_no_passphrase)
    if setting.ca_file is not None:
        try:
            context.load_verify_locations(setting.ca_file)
        except SSL.Error:
            raise _tls(f"ca_file {setting.ca_file} holds no valid PEM certificates") from None
    if setting.client_cert is not None:
        try:
            context.use_certificate_chain_file(setting.client_cert)
        except SSL.Error:
            raise _tls(f"client_cert {setting.client_cert} holds no valid PEM certificate") from None
        key = setting.client_key or setting.client_cert
        try:
            context.use_privatekey_file(key)
        except (SSL.Error, ValueError):
            raise _tls(f"{key} holds no unencrypted PEM key that fits the client certificate") from None
    context.set_default_verify_paths()
    store = context.get_cert_store()
    if store is not None:
        # An intermediate authority, or a server's own certificate, may be what is trusted.
        store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    return context


def _check_descriptors() -> None:
    """Check that files can be opened: OpenSSL would take the system's trust for empty, and every task would fail."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise ExchangeFailed(Fault.OWN, f"this process cannot open files: {error.strerror}") from None


def _no_passphrase(size: int, verify: bool, data: object) -> bytes:
    return b""


class Verified(Protocol):
    """
    A connection whose other side is verified.

    :ivar service: what its certificate must be for.
    :ivar refusal: what is wrong with the certificate.
    """

    service: ServiceId
    refusal: str | None


def _verify(connection: SSL.Connection, certificate: X509, error: int, depth: int, ok: int) -> bool:
    # OpenSSL calls this for each certificate of the chain. Contexts are shared, so the connection is found through the
    # TLS protocol that is its app data.
    verified: Verified = connection.get_app_data().wrappedProtocol
    problem = refusal(certificate, error, depth, bool(ok), verified.service)
    if problem is not None and verified.refusal is None:
        verified.refusal = problem
    return problem is None


class _ClientConnection(SSL.Connection):
    """A connection that reports a close_notify in the handshake in a way that Twisted knows."""

    def do_handshake(self) -> None:
        """
        Continue the handshake.

        :raises SSL.SysCallError: the other side has ended TLS.
        """
        try:
            super().do_handshake()
        except SSL.ZeroReturnError:
            raise SSL.SysCallError(-1, "Unexpected EOF") from None


@implementer(IOpenSSLClientConnectionCreator)
class TlsClient:
    """
    TLS for the connections of one route: to one host, with one trust setting.

    :param host: the name or IP address that certificates must be for.
    :ivar service: `host` for service-identity.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_context",
        "_contexts",
        "_factory",
        "_name",
        "_session",
        "_setting",
        "service",
    )

    def __init__(
        self, clock: IReactorTime, contexts: Contexts, setting: TrustSetting, host: str, *, is_ip: bool
    ) -> None:
        self._clock = clock
        self._contexts = contexts
        self._setting = setting
        self._context: SSL.Context | None = None
        self._session: tuple[Seconds, SSL.Session] | None = None
        self.service = service_id(host, is_ip=is_ip)
        # Addresses are not sent as server names (RFC 6066).
        self._name = None if is_ip else host.encode("ascii")
        self._factory = TLSMemoryBIOFactory(self, True, ClientFactory())

    def load(self) -> None:
        """
        Make the context, or a new one if its files have changed; to be called before each connection.

        :raises ExchangeFailed: it cannot be made.
        """
        context = self._contexts.get(self._setting)
        if context is not self._context:
            self._context = context
            self._session = None

    def wrap(self, connection: IProtocol) -> IProtocol:
        """Return the protocol that speaks TLS between a transport and `connection`."""
        # The factory's own protocol holds small writes back for a turn of the reactor.
        wrapped: IProtocol = TLSMemoryBIOProtocol(self._factory, connection)
        return wrapped

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Return the OpenSSL side of a connection, for Twisted."""
        assert self._context is not None, "load() comes first"
        connection = _ClientConnection(self._context, None)
        connection.set_app_data(tlsProtocol)
        if self._name is not None:
            connection.set_tlsext_host_name(self._name)
        if self._session is not None:
            until, session = self._session
            if self._clock.seconds() < until:
                connection.set_session(session)
            else:
                self._session = None
        connection.set_connect_state()
        return connection

    def remember(self, transport: ITransport) -> None:
        """Keep the session of a transport for the next one; with TLS 1.3 it comes before the first answer."""
        handle: Any = transport.getHandle()  # type: ignore[attr-defined]
        if handle is None:
            return
        session = handle.get_session()
        if session is not None:
            until = self._clock.seconds() + SESSION_FOR if self._session is None else self._session[0]
            self._session = (until, session)


def handshake_failed(refusal: str | None, error: BaseException | None) -> ExchangeFailed:
    """Explain a connection that was lost in the TLS handshake."""
    if refusal is not None:
        return _tls(refusal)
    if isinstance(error, SSL.Error):
        return _tls(f"the TLS handshake failed: {_words(error)}")
    return _tls("the server closed the connection in the TLS handshake")


def tls_failed(error: SSL.Error) -> ExchangeFailed:
    """Explain an error of TLS after the handshake, where TLS 1.3 also refuses client certificates."""
    return _tls(f"TLS failed: {_words(error)}")


def _words(error: SSL.Error) -> str:
    reasons = error.args[0] if error.args else ()
    reason = str(reasons[-1][-1]) if isinstance(reasons, list) and reasons else "no reason given"
    if any(words in reason for words in _NO_TLS):
        return f"the server does not speak TLS on this port ({reason})"
    if any(words in reason for words in _OLD_TLS):
        return f"the server does not speak TLS 1.2 or newer ({reason})"
    if "alert" in reason and any(words in reason for words in _WANTS_CERTIFICATE):
        return f"the server does not accept us, perhaps it wants a client certificate ({reason})"
    return reason
