"""A certificate that nobody signed: the vendor's drive socket is an address without a name (section 5.4)."""

import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = timedelta(days=30)
_CLOCK_SLACK = timedelta(hours=1)


def server_context(host: str) -> ssl.SSLContext:
    """TLS for a server at an IP address, with a key and a self-signed certificate made just now."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(host, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The library loads keys from files only; nobody else may enter this folder, and it is gone at once.
    with tempfile.TemporaryDirectory() as folder:
        both = Path(folder) / "server.pem"
        both.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context.load_cert_chain(both)
    return context


def _self_signed(host: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
