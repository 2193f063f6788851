"""The text of an enrolment token: where the service is, how to know it, and the secret that lets a device in.

Pure.  The hash of the device CA travels with the token, so the first connection already proves whom it is made to.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit

PREFIX = "st1."
MAX_TEXT = 4096
_HASH = re.compile(r"[0-9a-f]{64}")


class TokenError(ValueError):
    """A text that is no enrolment token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentToken:
    """url: "https://HOST:PORT".  authority_sha256: of the device CA's DER.  expires_at: epoch seconds, as promised."""

    url: str
    authority_sha256: str
    secret: str
    expires_at: float

    def text(self) -> str:
        content = {"u": self.url, "h": self.authority_sha256, "t": self.secret, "e": int(self.expires_at)}
        raw = json.dumps(content, separators=(",", ":")).encode("utf-8")
        return PREFIX + urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def parse_token(text: str) -> EnrolmentToken:
    """Raises TokenError."""
    text = text.strip()
    if not text.startswith(PREFIX) or len(text) > MAX_TEXT:
        raise TokenError(f"that is no enrolment token: one begins with {PREFIX!r}; 'steering endpoint token' makes one")
    body = text.removeprefix(PREFIX)
    try:
        content = json.loads(urlsafe_b64decode(body.encode("ascii") + b"=" * (-len(body) % 4)))
        token = EnrolmentToken(
            url=str(content["u"]),
            authority_sha256=str(content["h"]),
            secret=str(content["t"]),
            expires_at=float(content["e"]),
        )
        port = urlsplit(token.url).port
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise TokenError("the enrolment token is damaged: copy it again, whole") from exc
    parts = urlsplit(token.url)
    if parts.scheme != "https" or not parts.hostname or port is None or not _HASH.fullmatch(token.authority_sha256):
        raise TokenError("the enrolment token is damaged: copy it again, whole")
    return token
