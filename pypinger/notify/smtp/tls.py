"""TLS to a mail server: its certificate must be valid, and for its host by service-identity."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from pypinger.domain.url import is_ip_address

# OpenSSL's X509_V_ERR numbers, from x509_vfy.h; they are part of its ABI.
_REFUSALS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    **dict.fromkeys((2, 19, 20, 21), "was issued by an unknown authority"),
}


class TlsError(Exception):
    """TLS cannot be used with these settings; ``str()`` says why."""


@implementer(IOpenSSLClientConnectionCreator)
class MailTls:
    """
    TLS for one connection.

    :param host: the name or IP address that the certificate must be for.
    :param ca_file: a private CA, trusted as well as those of the system.
    :ivar refusal: what is wrong with the certificate; empty if nothing is.
    :raises TlsError: `ca_file` cannot be used.
    """

    def __init__(self, host: str, ca_file: str | None) -> None:
        self.refusal = ""
        self._host = host
        self._is_ip = is_ip_address(host)
        self._service = IPAddress_ID(host.partition("%")[0]) if self._is_ip else DNS_ID(host)
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_2_VERSION)
        self._context.set_verify(SSL.VERIFY_PEER, self._verify)
        if ca_file is not None:
            try:
                self._context.load_verify_locations(ca_file)
            except SSL.Error:
                raise TlsError(f"ca_file {ca_file} holds no valid PEM certificates, or cannot be read") from None
        self._context.set_default_verify_paths()
        store = self._context.get_cert_store()
        if store is not None:
            # An intermediate authority, or the server's own certificate, may be what is trusted.
            store.set_flags(X509StoreFlags.PARTIAL_CHAIN)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Return the OpenSSL side of the connection, for Twisted."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        if not self._is_ip:
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        connection.set_connect_state()
        return connection

    def _verify(self, connection: SSL.Connection, certificate: X509, error: int, depth: int, ok: int) -> bool:
        # OpenSSL calls this from C for each certificate of the chain, so it must not raise.
        try:
            self.refusal = self.refusal or self._problem(certificate, error, depth, bool(ok))
        except Exception:
            self.refusal = "the server's certificate cannot be read"
        return not self.refusal

    def _problem(self, certificate: X509, error: int, depth: int, ok: bool) -> str:
        which = "the server's certificate" if depth == 0 else "the certificate of the server's issuer"
        if not ok:
            return f"{which} {_REFUSALS.get(error, f'is not accepted (OpenSSL error {error})')}"
        if depth == 0:
            try:
                verify_service_identity(extract_patterns(certificate), [self._service], [])
            except (VerificationError, CertificateError):
                return f"{which} is not for {self._host}"
        return ""
