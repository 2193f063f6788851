"""Enrolment tokens as the service keeps them: hashes, with a number of uses and an end, and who guesses is slowed.

The text that an administrator hands out is ``formats.enrolment``; only its secret matters here.
"""

import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from steering.control.errors import ControlError, StateError
from steering.control.keeping import Keeping
from steering.policy.hosts import Address

MAX_TOKENS = 10_000
MAX_USES = 100_000
MAX_HOURS = 24.0 * 365
MAX_FAILURES, FAILURES_S = 10, 600.0
MAX_ADDRESSES = 10_000


class TokenRefused(Exception):
    """A secret that lets nobody in.  The text tells its holder, who knows it, what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """token_id: names it to people.  uses: how many devices may still enrol by it.  expires_at: epoch seconds."""

    token_id: str
    group: str
    uses: int
    expires_at: float


class Invitations:
    """All enrolment tokens.  Changes hold at once, and are on disk when the coroutine that made them returns."""

    def __init__(self, path: Path, known: dict[str, Invitation] | None = None) -> None:
        self._known = known or {}
        self._keeping = Keeping(path, self._render)

    @classmethod
    def load(cls, path: Path) -> "Invitations":
        """Raises StateError for a file that is broken: a use that is forgotten could be made twice."""
        if not path.exists():
            return cls(path)
        try:
            content = json.loads(path.read_text("utf-8"))
            return cls(path, {str(digest): _invitation(row) for digest, row in content.items()})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
            raise StateError(f"{path} cannot be read: {exc}; remove it to withdraw every enrolment token") from exc

    async def add(self, group: str, uses: int, hours: float, now: float) -> tuple[str, Invitation]:
        """A new secret of 192 random bits, shown once, and what it is worth.  Raises ControlError."""
        if not 1 <= uses <= MAX_USES:
            raise ControlError(f"a token is good for 1 to {MAX_USES} devices, not {uses}")
        if not 0 < hours <= MAX_HOURS:
            raise ControlError(f"a token is good for up to {MAX_HOURS:.0f} hours, not {hours:g}")
        self._prune(now)
        if len(self._known) >= MAX_TOKENS:
            raise StateError(f"there are {MAX_TOKENS} enrolment tokens already: revoke some")
        secret = secrets.token_urlsafe(24)
        made = Invitation(token_id=secrets.token_hex(4), group=group, uses=uses, expires_at=now + hours * 3600)
        self._known[_digest(secret)] = made
        try:
            await self._keeping.keep()
        except StateError:
            self._known.pop(_digest(secret), None)
            raise
        return secret, made

    async def spend(self, secret: str, now: float) -> Invitation:
        """Take one use of it; it is on disk that it is taken before anybody is let in.

        Looked up by hash, so that the time it takes tells nothing.  Raises TokenRefused, StateError.
        """
        digest = _digest(secret)
        found = self._known.get(digest)
        if found is None:
            raise TokenRefused("this enrolment token is not known here, or it was revoked or has expired")
        if now >= found.expires_at:
            raise TokenRefused("this enrolment token has expired: ask for a new one")
        if found.uses < 1:
            raise TokenRefused("this enrolment token has been used up: ask for a new one")
        self._known[digest] = replace(found, uses=found.uses - 1)
        await self._keeping.keep()
        return found

    def listed(self, now: float) -> list[dict[str, Any]]:
        return [asdict(i) for i in self._known.values() if i.uses > 0 and now < i.expires_at]

    async def revoke(self, which: str) -> int:
        """By id or by group; how many were.  At once, whatever becomes of the file: StateError says so."""
        kept = {d: i for d, i in self._known.items() if not which or which not in (i.token_id, i.group)}
        revoked = len(self._known) - len(kept)
        self._known = kept
        if revoked:
            await self._keeping.keep()
        return revoked

    def _prune(self, now: float) -> None:
        """Spent ones are kept until they expire, so that who comes too late is told why."""
        self._known = {d: i for d, i in self._known.items() if now < i.expires_at}

    def _render(self) -> Callable[[], bytes]:
        rows = {digest: asdict(invitation) for digest, invitation in self._known.items()}
        return lambda: json.dumps(rows, indent=1).encode()


def _invitation(row: dict[str, Any]) -> Invitation:
    return Invitation(
        token_id=str(row["token_id"]),
        group=str(row["group"]),
        uses=int(row["uses"]),
        expires_at=float(row["expires_at"]),
    )


def _digest(secret: str) -> str:
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


class Attempts:
    """Failures by address: after so many in so long, an address is not listened to.

    Nobody guesses 192 bits; this keeps the log readable and the work small.  A network of IPv6 (/64) is one address.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[Address, tuple[int, float]] = OrderedDict()

    def may_try(self, address: Address, now: float) -> bool:
        count, since = self._failures.get(_holder(address), (0, now))
        return count < MAX_FAILURES or now >= since + FAILURES_S

    def failed(self, address: Address, now: float) -> None:
        holder = _holder(address)
        count, since = self._failures.pop(holder, (0, now))
        if now >= since + FAILURES_S:
            count, since = 0, now
        self._failures[holder] = (count + 1, since)
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)


def _holder(address: Address) -> Address:
    return IPv6Address(int(address) >> 64 << 64) if isinstance(address, IPv6Address) else address
