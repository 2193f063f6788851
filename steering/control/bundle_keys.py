"""The keys that sign policy bundles, one for each role of TUF, in ``bundle-keys`` of the state folder, 0600.

Root vouches for the other three.  A rotation replaces all four and two files cannot be replaced at once: the new keys
are first written to ``next-keys.json``, and the root metadata that names them is the instant at which they come into
force; whoever loads next moves the file after it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from steering.control.errors import StateError
from steering.control.state import write_whole

FOLDER, KEYS, NEXT = "bundle-keys", "keys.json", "next-keys.json"
ROLES = ("root", "targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True)
class BundleKeys:
    """Role -> signer."""

    signers: Mapping[str, CryptoSigner]

    @property
    def root_id(self) -> str:
        return self.signers["root"].public_key.keyid


class KeyFolder:
    """Where they lie.  passphrase: encrypts them on disk."""

    def __init__(self, state: Path, passphrase: bytes | None = None) -> None:
        self._folder = state / FOLDER
        self._passphrase = passphrase

    def load_or_make(self, trusted_root_id: str = "") -> BundleKeys:
        """trusted_root_id: of the root key that the newest root metadata names, "" where there is none yet.

        Raises StateError for keys that are lost or damaged: new ones would lock out every helper, in silence.
        """
        current, coming = self._folder / KEYS, self._folder / NEXT
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if coming.exists():
                keys = self._read(coming)
                if keys.root_id == trusted_root_id:
                    coming.replace(current)
                else:
                    coming.unlink()
            if not current.exists():
                if trusted_root_id:
                    raise StateError(f"{current} is missing: restore it, or helpers must be enrolled again")
                self._write(current, new_keys())
            return self._read(current)
        except OSError as exc:
            raise StateError(f"the keys of policy bundles cannot be used: {exc}") from exc

    def prepare(self, keys: BundleKeys) -> None:
        """Write keys that are to come into force by the next root.  Raises OSError."""
        self._write(self._folder / NEXT, keys)

    def settle(self) -> None:
        """The next root is out: its keys are the keys.  Raises OSError."""
        (self._folder / NEXT).replace(self._folder / KEYS)

    def _read(self, path: Path) -> BundleKeys:
        if path.stat().st_mode & 0o077:
            raise StateError(f"{path} can be read by others: run 'chmod 600 {path}'")
        try:
            content = json.loads(path.read_text("ascii"))
            return BundleKeys({role: _signer(content[role], self._passphrase) for role in ROLES})
        except (ValueError, TypeError, KeyError) as exc:
            raise StateError(f"{path} holds no keys: {exc}; restore it") from exc

    def _write(self, path: Path, keys: BundleKeys) -> None:
        write_whole(path, json.dumps({r: _pem(s, self._passphrase) for r, s in keys.signers.items()}).encode())


def new_keys() -> BundleKeys:
    return BundleKeys({role: CryptoSigner(Ed25519PrivateKey.generate()) for role in ROLES})


def _signer(pem: str, passphrase: bytes | None) -> CryptoSigner:
    key = serialization.load_pem_private_key(pem.encode("ascii"), passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("they are no Ed25519 keys")
    return CryptoSigner(key)


def _pem(signer: CryptoSigner, passphrase: bytes | None) -> str:
    plain = serialization.load_pem_private_key(signer.private_bytes, None)
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem = plain.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return pem.decode("ascii")
