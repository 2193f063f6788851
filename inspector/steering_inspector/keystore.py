"""The CA on disk: made once, kept so that nobody else can read it, refused where that is in doubt.

``ca/ca.key`` and ``ca/ca.pem`` in the state folder, 0600 in a 0700 folder; after a rotation the certificate before
stands beside as ``ca/previous.pem``, so that clients can go on trusting both until the new one has reached them.

Two files cannot be replaced at once.  So a new certificate is first written to ``ca/next.pem``, and the replacement
of ``ca.key`` is the instant at which the new CA comes into force; whoever loads next moves the certificate after it.
Whenever a writer is killed, the folder holds the old CA or the new one.
"""

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from steering_inspector.authority import Authority, new_authority

WARN_BEFORE_S = 90 * 86400
CURVES = ("secp256r1", "secp384r1")  # what browsers verify


class KeystoreError(Exception):
    """The CA cannot be used; the text says why and how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystore:
    """A CA that may be used.  previous: the certificate before the last rotation, or None."""

    authority: Authority
    folder: Path
    previous: x509.Certificate | None = None

    @property
    def pem(self) -> bytes:
        return self.authority.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.authority.certificate.public_bytes(serialization.Encoding.DER)

    def trusted(self, now: float) -> tuple[x509.Certificate, ...]:
        """What clients should trust: the certificate in use, that on disk, which a rotation may have made since, and
        the one before; without those that have ended.
        """
        on_disk = [_readable(self.folder / part) for part in ("ca.pem", "previous.pem")]
        found = dict.fromkeys(filter(None, (self.authority.certificate, *on_disk)))
        moment = datetime.fromtimestamp(now, UTC)
        return tuple(c for c in found if c == self.authority.certificate or c.not_valid_after_utc > moment)

    def bundle(self, now: float) -> bytes:
        """The same as PEM."""
        return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in self.trusted(now))

    def warnings(self, now: float) -> list[str]:
        left_s = self.authority.certificate.not_valid_after_utc.timestamp() - now
        if left_s > WARN_BEFORE_S:
            return []
        days = int(left_s // 86400)
        return [f"the CA certificate ends in {days} days: run 'steering ca rotate' and distribute the new one"]

    def describe(self) -> dict[str, str]:
        """For people: subject, fingerprint, validity, place."""
        certificate = self.authority.certificate
        digest = certificate.fingerprint(hashes.SHA256()).hex().upper()
        return {
            "subject": certificate.subject.rfc4514_string(),
            "sha256": ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)),
            "not_before": certificate.not_valid_before_utc.isoformat(),
            "not_after": certificate.not_valid_after_utc.isoformat(),
            "certificate": str(self.folder / "ca.pem"),
            "previous": self.previous.subject.rfc4514_string() if self.previous else "",
        }


def load_or_create(state: Path, now: float, *, name: str, passphrase: bytes | None = None) -> Keystore:
    """The CA under ``state``/ca; made where there is none.  Raises KeystoreError."""
    folder = state / "ca"
    if any(os.path.lexists(folder / part) for part in ("ca.key", "ca.pem")):
        return load(state, now, passphrase=passphrase)
    return _create(folder, now, name, passphrase)


def load(state: Path, now: float, *, passphrase: bytes | None = None, expired_too: bool = False) -> Keystore:
    """The CA under ``state``/ca.  Raises KeystoreError."""
    folder = state / "ca"
    key_file = folder / "ca.key"
    try:
        _check_private(folder, directory=True)
        _check_private(key_file, directory=False)
        key = serialization.load_pem_private_key(key_file.read_bytes(), passphrase)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
            raise KeystoreError(f"{key_file} is no EC key of {' or '.join(CURVES)}: Steering signs with ECDSA")
        _settle(folder, key)
        certificate = _certificate(folder / "ca.pem")
        previous = _certificate(folder / "previous.pem") if (folder / "previous.pem").exists() else None
    except FileNotFoundError as exc:
        raise KeystoreError(f"{exc.filename} is missing: restore it, or remove {folder} to make a new CA") from exc
    except (OSError, ValueError, TypeError) as exc:
        raise KeystoreError(f"{folder}: the CA cannot be read: {exc}") from exc
    _check_pair(folder, key, certificate)
    if not expired_too:
        _check_time(folder, certificate, now)
    return Keystore(authority=Authority(certificate, key), folder=folder, previous=previous)


def load_mounted(folder: Path, now: float, *, passphrase: bytes | None = None) -> Keystore:
    """The CA of another service in ``folder``, which somebody mounted here: read, never written.  Raises KeystoreError.

    Orchestrators mount secrets as symbolic links to files of root's that a group may read; PostgreSQL takes such keys
    too (libpq, sslkey).
    """
    try:
        key_file = (folder / "ca.key").resolve(strict=True)
        _check_mounted(key_file)
        key = serialization.load_pem_private_key(key_file.read_bytes(), passphrase)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
            raise KeystoreError(f"{key_file} is no EC key of {' or '.join(CURVES)}: Steering signs with ECDSA")
        certificate = _certificate(folder / "ca.pem")
        previous = _certificate(folder / "previous.pem") if (folder / "previous.pem").exists() else None
    except FileNotFoundError as exc:
        raise KeystoreError(f"{exc.filename} is missing: mount the control service's CA there") from exc
    except (OSError, ValueError, TypeError) as exc:
        raise KeystoreError(f"{folder}: the CA cannot be read: {exc}") from exc
    _check_pair(folder, key, certificate)
    _check_time(folder, certificate, now)
    return Keystore(authority=Authority(certificate, key), folder=folder, previous=previous)


def rotate(state: Path, now: float, *, name: str, passphrase: bytes | None = None) -> Keystore:
    """Make a new CA; the certificate before stays in ``previous.pem`` for the overlap.  Raises KeystoreError."""
    folder = state / "ca"
    if os.path.lexists(folder / "ca.key"):
        load(state, now, passphrase=passphrase, expired_too=True)  # a CA that is in doubt is mended, not replaced
    return _create(folder, now, name, passphrase)


def forget_previous(state: Path) -> bool:
    """End the overlap of a rotation: the certificate before is trusted no longer.  Whether there was one."""
    path = state / "ca" / "previous.pem"
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise KeystoreError(f"{path} cannot be removed: {exc}") from exc
    return True


def _create(folder: Path, now: float, name: str, passphrase: bytes | None) -> Keystore:
    authority = new_authority(now, name=name)
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / "next.pem", authority.certificate.public_bytes(serialization.Encoding.PEM))
        _write(
            folder / "ca.key",
            authority.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption),
        )
    except OSError as exc:
        raise KeystoreError(f"{folder}: the CA cannot be written: {exc}") from exc
    return load(folder.parent, now, passphrase=passphrase)


def _settle(folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Finish what a writer began: the certificate of the key in force becomes ``ca.pem``."""
    following, current = folder / "next.pem", folder / "ca.pem"
    if not following.exists() or _certificate(following).public_key() != key.public_key():
        return
    if current.exists() and _certificate(current).public_key() != key.public_key():
        _write(folder / "previous.pem", current.read_bytes())
    following.replace(current)


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as exc:
        raise KeystoreError(f"{path} holds no certificate: restore it") from exc


def _readable(path: Path) -> x509.Certificate | None:
    try:
        return _certificate(path)
    except (OSError, KeystoreError):
        return None


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, 0600 from its first byte."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_private(path: Path, *, directory: bool) -> None:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        raise KeystoreError(f"{path} is a symbolic link: put the file itself there")
    if state.st_mode & 0o077:
        mode = "700" if directory else "600"
        raise KeystoreError(f"{path} can be read by others ({stat.filemode(state.st_mode)}): run 'chmod {mode} {path}'")
    if state.st_uid not in (os.geteuid(), 0):
        raise KeystoreError(f"{path} belongs to user {state.st_uid}: run 'chown' so that this service's user owns it")


def _check_mounted(key_file: Path) -> None:
    state = key_file.stat()
    if state.st_uid not in (os.geteuid(), 0):
        raise KeystoreError(f"{key_file} belongs to user {state.st_uid}: it is to be root's, or this service's user's")
    if state.st_mode & (0o037 if state.st_uid == 0 else 0o077):
        shown = stat.filemode(state.st_mode)
        raise KeystoreError(f"{key_file} can be read by others ({shown}): mount it with mode 0400, or 0440 of root's")


def _check_pair(folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    if key.public_key() != certificate.public_key():
        raise KeystoreError(f"{folder}: ca.key does not belong to ca.pem: restore the pair from one backup")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as exc:
        raise KeystoreError(f"{folder / 'ca.pem'} is no CA certificate: {exc}") from exc
    if not constraints.ca:
        raise KeystoreError(f"{folder / 'ca.pem'} is no CA certificate (basicConstraints CA:FALSE)")
    if not usage.key_cert_sign:
        raise KeystoreError(f"{folder / 'ca.pem'} may not sign certificates (keyUsage without keyCertSign)")


def _check_time(folder: Path, certificate: x509.Certificate, now: float) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    if moment >= certificate.not_valid_after_utc:
        ended = certificate.not_valid_after_utc.date()
        raise KeystoreError(f"{folder / 'ca.pem'} ended on {ended}: run 'steering ca rotate'")
    if moment < certificate.not_valid_before_utc:
        raise KeystoreError(f"{folder / 'ca.pem'} is not valid yet: is this machine's clock right?")
