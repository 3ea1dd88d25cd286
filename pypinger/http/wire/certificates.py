"""Why a server's certificate is refused, in words that say what to renew or configure."""

from __future__ import annotations

from typing import TypeAlias

from cryptography import x509
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.logger import Logger

from pypinger.domain.model import Fault
from pypinger.http.wire.errors import ExchangeFailed, excerpt

#: What a certificate must be for.
ServiceId: TypeAlias = DNS_ID | IPAddress_ID

_log = Logger()

_ISSUER_NAMES = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)

# OpenSSL's X509_V_ERR numbers, from x509_vfy.h; they are part of its ABI.
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = 18
_UNKNOWN_AUTHORITY = frozenset({2, 19, 20, 21})
_OTHERS = {
    7: "has a wrong signature",
    22: "comes with too long a chain",
    23: "is revoked",
    24: "was issued by something that is no authority",
    25: "comes with too long a chain",
    26: "is not meant for servers",
    28: "is rejected",
    66: "has too weak a key",
    67: "was issued with too weak a key",
    68: "is signed with too weak a digest",
}


def service_id(host: str, *, is_ip: bool) -> ServiceId:
    """
    Return what a certificate for this host must name.

    :raises ExchangeFailed: no certificate can name it.
    """
    try:
        return IPAddress_ID(host.partition("%")[0]) if is_ip else DNS_ID(host)
    except ValueError:
        raise ExchangeFailed(Fault.URL, "no certificate can be for the URL's host") from None


def refusal(certificate: X509, error: int, depth: int, ok: bool, service: ServiceId) -> str | None:
    """
    Check one certificate of a chain. It never raises: OpenSSL calls it from C.

    :param error: OpenSSL's error number.
    :param depth: 0 for the server's own certificate, more for those above it.
    :param ok: whether OpenSSL accepts it.
    :returns: what is wrong with it, None if nothing is.
    """
    try:
        if not ok:
            return _refused(certificate.to_cryptography(), error, depth)
        if depth == 0:
            return _for_another(certificate, service)
    except Exception:
        _log.failure("unexpected error while checking a certificate")
        return "the server's certificate cannot be read"
    return None


def _for_another(certificate: X509, service: ServiceId) -> str | None:
    wanted = str(service.ip) if isinstance(service, IPAddress_ID) else service.hostname.decode("ascii")
    try:
        verify_service_identity(extract_patterns(certificate), [service], [])
    except VerificationError:
        names = _names(certificate.to_cryptography())
        return f"the certificate is for {names}, not for {wanted}"
    except CertificateError:
        return f"the certificate names no host (it has no usable subjectAltName), so it is not for {wanted}"
    return None


def _names(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    texts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    shown = ", ".join(excerpt(text.encode(), 80) for text in texts[:3])
    return f"{shown} and {len(texts) - 3} more" if len(texts) > 3 else shown or "something else"


def _refused(certificate: x509.Certificate, error: int, depth: int) -> str:
    which = "certificate" if depth == 0 else "certificate of its issuer"
    if error == _EXPIRED:
        return f"{which} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if error == _NOT_YET_VALID:
        return f"{which} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    if error == _SELF_SIGNED:
        return "certificate is self-signed"
    if error in _UNKNOWN_AUTHORITY:
        return f"certificate was issued by an unknown authority{_issuer(certificate)}"
    return f"{which} {_OTHERS.get(error, f'is not accepted (OpenSSL error {error})')}"


def _issuer(certificate: x509.Certificate) -> str:
    for oid in _ISSUER_NAMES:
        for attribute in certificate.issuer.get_attributes_for_oid(oid):
            return f" ({excerpt(str(attribute.value).encode(), 60)})"
    return ""
