"""What a helper attests of one connection, signed by its device's key: which program opened it, for which user.

Pure.  An attestation is good for one connection to one inspector (its nonce), one device, one authority and a short
time.  It is believed only from a connection whose client certificate is that device's; here the token is made and
judged, the certificate is the caller's business.

Token: ``base64url(claims) "." base64url(signature)``, the signature ECDSA P-256 with SHA-256 over
CONTEXT and the claims' bytes as they stand, so that nothing has to be written the same way twice.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from steering.policy.facts import UNSEEN, Program, System, Unseen

HEADER = "Steering-Attestation"
NONCE_HEADER = "Steering-Nonce"
REVISION_HEADER = "Steering-Revision"
SOURCE_HEADER = "Steering-Source"
PREFIX = b"steering-"  # of every header of ours, lower case: stripped from what clients send

CONTEXT = b"steering attestation 1\0"
MAX_TOKEN = 8192
MAX_NAMES = 32
MAX_TEXT = 1024  # characters
MAX_AGE_S = 60.0
MAX_AHEAD_S = 30.0  # of the helper's clock before ours


class AttestationError(ValueError):
    """An attestation that is not believed.  reason: malformed, signature, device, authority, nonce or expired."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """authority: "host:port", host normalised.  issued_at: epoch seconds.  program: UNSEEN where not established.

    user: None where not established.  revision: of the helper's policy, for the log.
    """

    device: str
    authority: str
    nonce: str
    revision: str
    issued_at: float
    user: str | None = None
    program: Program | Unseen = UNSEEN
    package: str = ""


def sign(claims: Claims, key: ec.EllipticCurvePrivateKey) -> str:
    """The token for ``claims``."""
    body = json.dumps(_as_json(claims), separators=(",", ":")).encode("ascii")
    return f"{_encode(body)}.{_encode(key.sign(CONTEXT + body, ec.ECDSA(hashes.SHA256())))}"


def verify(
    token: str,
    key: ec.EllipticCurvePublicKey,
    *,
    device: str,
    authority: str,
    nonce: str,
    now: float,
    max_age_s: float = MAX_AGE_S,
) -> Claims:
    """What ``token`` claims, if it was signed by ``key`` for exactly this.  Raises AttestationError.

    device: of the connection's certificate.  authority: what the request asks for.  nonce: the connection's.
    """
    body, signature = _parts(token)
    try:
        key.verify(signature, CONTEXT + body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as exc:
        raise AttestationError("signature", "it was not signed by the key of this device") from exc
    claims = _read(body)
    for reason, mine, theirs in (
        ("device", device, claims.device),
        ("authority", authority, claims.authority),
        ("nonce", nonce, claims.nonce),
    ):
        if mine != theirs:
            raise AttestationError(reason, f"it was made for another {reason}")
    if not now - max_age_s <= claims.issued_at <= now + MAX_AHEAD_S:
        raise AttestationError("expired", "it is too old, or the clocks differ")
    return claims


def _parts(token: str) -> tuple[bytes, bytes]:
    if len(token) > MAX_TOKEN:
        raise AttestationError("malformed", f"it is longer than {MAX_TOKEN} characters")
    body, dot, signature = token.partition(".")
    if not dot:
        raise AttestationError("malformed", "it has no signature")
    return _decode(body), _decode(signature)


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError as exc:
        raise AttestationError("malformed", "it is no base64") from exc


def _as_json(claims: Claims) -> dict[str, object]:
    program = claims.program
    return {
        "device": claims.device,
        "authority": claims.authority,
        "nonce": claims.nonce,
        "revision": claims.revision,
        "issued_at": claims.issued_at,
        "user": claims.user,
        "package": claims.package,
        "program": None
        if isinstance(program, Unseen)
        else {
            "system": program.system.value if program.system else None,
            "names": list(program.names),
            "path": program.path,
            "root_owned": program.root_owned,
            "sha256": program.sha256,
            "signer": program.signer,
        },
    }


def _read(body: bytes) -> Claims:
    try:
        content = json.loads(body)
        return Claims(
            device=_text(content["device"]),
            authority=_text(content["authority"]),
            nonce=_text(content["nonce"]),
            revision=_text(content["revision"]),
            issued_at=_number(content["issued_at"]),
            user=_optional(content["user"]),
            package=_text(content["package"]),
            program=_program(content["program"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise AttestationError("malformed", "its claims cannot be read") from exc


def _program(content: object) -> Program | Unseen:
    if content is None:
        return UNSEEN
    if not isinstance(content, dict):
        raise TypeError("program")
    names = content["names"]
    if not isinstance(names, list) or not 0 < len(names) <= MAX_NAMES:
        raise ValueError("names")
    owned = content["root_owned"]
    if not (owned is None or isinstance(owned, bool)):
        raise TypeError("root_owned")
    return Program(
        system=None if content["system"] is None else System(content["system"]),
        names=tuple(map(_text, names)),
        path=_optional(content["path"]),
        root_owned=owned,
        sha256=_optional(content["sha256"]),
        signer=_optional(content["signer"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise TypeError("no text, or too long a one")
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no number")
    return float(value)
