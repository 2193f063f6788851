"""What a helper proves by its certificate, and attests of a connection: is it believed, and what is known then?

Pure.  A connection is introduced in three steps: the certificate says which device it is; ``OPTIONS *`` is answered
with a nonce; the one request that opens the connection's use carries an attestation of the device's key over that
nonce and over what is asked for.  A nonce is used up by the first attestation, believed or not.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from steering.formats.attestation import NONCE_HEADER, REVISION_HEADER, SOURCE_HEADER, AttestationError, verify
from steering.policy import UNSEEN
from steering_inspector.conversation import Attested
from steering_inspector.fields import HeadError
from steering_inspector.request import Authority, Request

MAX_NONCE_AGE_S = 600.0
_DEVICE = re.compile(r"[0-9a-f]{32}")


class DeviceError(ValueError):
    """A certificate of the device CA that is no device's, or not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Who holds a connection.  group: "" for none."""

    id: str
    group: str
    key: ec.EllipticCurvePublicKey


def device_of(der: bytes, now: float) -> Device:
    """The device of a certificate that TLS has verified.  Raises DeviceError.

    The validity is looked at again: a resumed session is not verified anew.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        names, groups = _texts(certificate, NameOID.COMMON_NAME), _texts(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
    except ValueError as exc:
        raise DeviceError("the certificate cannot be read") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise DeviceError("the certificate's key is not of P-256")
    if len(names) != 1 or not _DEVICE.fullmatch(names[0]) or len(groups) > 1:
        raise DeviceError("the certificate names no device")
    if not certificate.not_valid_before_utc <= datetime.fromtimestamp(now, UTC) <= certificate.not_valid_after_utc:
        raise DeviceError("the certificate has expired, or is not valid yet")
    return Device(id=names[0], group=groups[0] if groups else "", key=key)


def _texts(certificate: x509.Certificate, oid: ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]


def asks_for_nonce(request: Request) -> bool:
    return request.method == "OPTIONS" and request.path == "*" and not request.scheme and request.body is None


class Introduction:
    """One connection of a device.  new_nonce: gives one that nobody can guess."""

    def __init__(self, device: Device, new_nonce: Callable[[], str]) -> None:
        self._device = device
        self._new_nonce = new_nonce
        self._nonce = new_nonce()  # told to nobody: what is attested before the greeting, is attested of another
        self._until = 0.0

    def greeting(self, now: float, revision: str, source: str) -> bytes:
        """The answer to ``OPTIONS *``, with a new nonce.  now: of a clock that is never set."""
        self._nonce, self._until = self._new_nonce(), now + MAX_NONCE_AGE_S
        return (
            f"HTTP/1.1 200 OK\r\n{NONCE_HEADER}: {self._nonce}\r\n{REVISION_HEADER}: {revision}\r\n"
            f"{SOURCE_HEADER}: {source}\r\nContent-Length: 0\r\n\r\n"
        ).encode("ascii")

    def attested(self, request: Request, before: Attested | None, at: float, now: float) -> tuple[Attested, str]:
        """What is known once ``request`` has come, and the revision that the helper decides by.  Raises HeadError.

        before: what an earlier request of the same connection has attested, which goes on to count for plain
        requests to the same authority.  at: the time; now: as for ``greeting``.
        """
        authority = _authority(request)
        if not request.attestations and before is not None and request.method != "CONNECT":
            if authority != before.authority:
                raise _not_believed("authority", "this connection was attested for another authority")
            return before, ""
        if not request.attestations:
            raise _not_believed("missing", "the request carries no attestation")
        nonce, self._nonce = self._nonce, self._new_nonce()
        if len(request.attestations) > 1:
            raise _not_believed("malformed", "the request carries more than one attestation")
        if now > self._until:
            raise _not_believed("nonce", "this connection has no nonce, or one that is too old")
        try:
            claims = verify(
                request.attestations[0].decode("latin-1"),
                self._device.key,
                device=self._device.id,
                authority=authority_text(authority),
                nonce=nonce,
                now=at,
            )
        except AttestationError as exc:
            raise _not_believed(exc.reason, str(exc)) from exc
        attested = Attested(
            authority=authority,
            groups=frozenset((self._device.group,)) if self._device.group else frozenset(),
            user=UNSEEN if claims.user is None else claims.user,
            program=claims.program,
        )
        return attested, claims.revision


def authority_text(authority: Authority) -> str:
    """As an attestation spells it; the port is always there."""
    text = authority.host.text
    return f"[{text}]:{authority.port}" if ":" in text else f"{text}:{authority.port}"


def _authority(request: Request) -> Authority:
    """With its port.  Raises HeadError."""
    asked = request.authority
    if asked is None or (request.method == "CONNECT" and asked.port is None):
        raise HeadError(400, "bad-request", "the request names no host and port")
    return asked if asked.port is not None else Authority(asked.host, 443 if request.scheme == "https" else 80)


def _not_believed(reason: str, why: str) -> HeadError:
    return HeadError(403, f"attestation-{reason}", why)
