"""Group tokens: random bearer claims in a PAC's URL, kept as hashes."""

import json
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from steering.control.errors import StateError
from steering.control.state import write_whole

MAX_TOKENS = 10_000


@dataclass(slots=True)
class Tokens:
    """hash of a token -> [group, id].  The id names a token to people; the token itself is shown once."""

    path: Path
    _known: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Tokens":
        """Raises StateError for a file that is broken: forgetting tokens would widen or narrow who is what."""
        if not path.exists():
            return cls(path)
        try:
            content = json.loads(path.read_text("utf-8"))
            return cls(path, {str(digest): (str(group), str(name)) for digest, (group, name) in content.items()})
        except (OSError, ValueError, TypeError, AttributeError) as exc:
            raise StateError(f"{path} cannot be read: {exc}") from exc

    def add(self, group: str) -> str:
        """Make a token for ``group``: 192 random bits."""
        if len(self._known) >= MAX_TOKENS:
            raise StateError(f"there are {MAX_TOKENS} tokens already: revoke some")
        token = secrets.token_urlsafe(24)
        known = self._known | {_digest(token): (group, secrets.token_hex(4))}
        self._save(known)
        self._known = known
        return token

    def group_of(self, token: str) -> str | None:
        """The group that ``token`` claims.  Looked up by hash, so that the time it takes tells nothing of any token."""
        group, _ = self._known.get(_digest(token), (None, ""))
        return group

    def listed(self) -> list[dict[str, str]]:
        return [{"id": name, "group": group} for group, name in self._known.values()]

    def revoke(self, which: str) -> int:
        """Revoke by id or by group; how many were.  At once, whatever becomes of the file: StateError says so."""
        kept = {digest: row for digest, row in self._known.items() if which not in row}
        revoked = len(self._known) - len(kept)
        self._known = kept
        if revoked:
            self._save(kept)
        return revoked

    def _save(self, known: dict[str, tuple[str, str]]) -> None:
        try:
            write_whole(self.path, json.dumps(known, indent=1).encode())
        except OSError as exc:
            raise StateError(f"{self.path} cannot be written: {exc.strerror}") from exc


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "replace")).hexdigest()
