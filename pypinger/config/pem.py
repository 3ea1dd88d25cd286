"""Checks of PEM files, so that an unusable one is reported at the start and not by every check."""

from __future__ import annotations

import ssl

from pypinger.config.substitution import Unreadable, read_bytes


def check_ca(path: str) -> str:
    """Return what is wrong with a file of CA certificates; empty if nothing."""
    return _readable(path) or _loads(path)


def check_pair(certificate: str, key: str | None) -> tuple[str, str]:
    """Return what is wrong with a client certificate, and with its key (in the same file if None)."""
    unreadable = _readable(certificate), _readable(key) if key else ""
    if any(unreadable):
        return unreadable
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Without a password function OpenSSL would prompt for a passphrase.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or ""
        if "MISMATCH" in reason:
            return "", f"the private key does not match the certificate in {certificate}"
        if _loads(certificate):
            return f"{certificate} contains no PEM certificate", ""
        words = f"{key or certificate} contains no PEM private key without a passphrase"
        return ("", words) if key else (words, "")
    return "", ""


def _readable(path: str) -> str:
    try:
        read_bytes(path)
    except Unreadable as error:
        return f"cannot read {path}: {error}"
    return ""


def _loads(path: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError):
        return f"{path} contains no PEM certificate"
    return ""
