"""Policy bundles as a TUF repository: signed, numbered, dated, so that no helper takes an old, mixed or foreign one.

Files by path, as served: ``metadata/timestamp.json``, ``metadata/N.root.json``, ``targets/SHA256.policy.json`` ...
The three newest publications stay, for helpers that are in the middle of fetching one; every root stays.

A version is one more than the last, and never less than the seconds of the epoch: a state folder that was lost and
restored goes on from where it must be, instead of numbers that helpers have seen and refuse.
"""

import contextlib
import gzip
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from steering.control.bundle_keys import ROLES, BundleKeys, KeyFolder, new_keys
from steering.control.errors import StateError
from steering.control.state import write_whole

FOLDER = "bundle"
ROOT_LIFE = timedelta(days=365)
TARGETS_LIFE = timedelta(days=30)
SNAPSHOT_LIFE = timedelta(days=7)
TIMESTAMP_LIFE = timedelta(hours=24)
RESIGN_TIMESTAMP_AFTER = timedelta(hours=1)
KEPT_PUBLICATIONS = 3
MIN_ZIPPED_BYTES = 1024

_Signed = TypeVar("_Signed", Root, Targets, Snapshot, Timestamp)
_JSON = JSONSerializer(compact=True)


@dataclass(frozen=True, slots=True)
class File:
    """Bytes to serve.  gzip: b"" where it is not worth it."""

    body: bytes
    gzip: bytes = b""


class BundleRepository:
    """Not to be used by two threads at once; ``files`` may be read from any, it is replaced as a whole."""

    def __init__(self, state: Path, now: float, passphrase: bytes | None = None) -> None:
        """Raises StateError."""
        self._folder = state / FOLDER
        self._key_folder = KeyFolder(state, passphrase)
        self.files: Mapping[str, File] = {}
        self.problem = ""  # why what is served could not be kept on disk
        self._roots: dict[str, File] = {}
        self._publications: deque[dict[str, File]] = deque(maxlen=KEPT_PUBLICATIONS)
        self._root = self._load_roots()
        self._keys = self._key_folder.load_or_make(_root_id(self._root))
        self._targets = self._load(Targets)
        self._snapshot = self._load(Snapshot)
        self._timestamp = self._load(Timestamp)
        self._contents = self._load_contents()
        if self._root is None:
            self._make_root(now)

    @property
    def root(self) -> bytes:
        """The newest root: what a new helper starts to trust from."""
        assert self._root is not None, "made at the latest by the constructor"
        return self._roots[f"metadata/{self._root.version}.root.json"].body

    def content(self, name: str) -> bytes:
        """What is published under ``name``; b"" where nothing is."""
        return self._contents.get(name, b"")

    def publish(self, contents: Mapping[str, bytes], now: float) -> bool:
        """Make ``contents`` the bundle; whether it is another one than before."""
        changed = self._targets is None or dict(contents) != self._contents
        self._contents = dict(contents)
        self.refresh(now, changed=changed)
        return changed

    def refresh(self, now: float, *, changed: bool = False) -> None:
        """Sign again what is due, from the top: half of its life is over, or what it lists has changed."""
        at = _moment(now)
        if self._root is None or _is_due(self._root, ROOT_LIFE / 2, at):
            self._make_root(now)
        if changed or self._targets is None or _is_due(self._targets, TARGETS_LIFE / 2, at):
            listed = {name: TargetFile.from_data(name, body) for name, body in self._contents.items()}
            self._targets = Targets(_next(self._targets, now), None, at + TARGETS_LIFE, listed)
            changed = True
        if changed or self._snapshot is None or _is_due(self._snapshot, SNAPSHOT_LIFE / 2, at):
            meta = {"targets.json": MetaFile(self._targets.version)}
            self._snapshot = Snapshot(_next(self._snapshot, now), None, at + SNAPSHOT_LIFE, meta)
            changed = True
        rest = TIMESTAMP_LIFE - RESIGN_TIMESTAMP_AFTER
        if changed or self._timestamp is None or not self.files or _is_due(self._timestamp, rest, at):
            listed_snapshot = MetaFile(self._snapshot.version)
            self._timestamp = Timestamp(_next(self._timestamp, now), None, at + TIMESTAMP_LIFE, listed_snapshot)
            self._serve(self._targets, self._snapshot, self._timestamp)

    def rotate_keys(self, now: float) -> None:
        """New keys for all four roles; the new root is signed by the old root key too, so that helpers follow.

        Raises OSError where they cannot be kept: then the old ones stay.
        """
        coming = new_keys()
        self._key_folder.prepare(coming)
        self._make_root(now, coming)
        self._key_folder.settle()
        self._keys = coming
        self.refresh(now, changed=True)

    # Making

    def _make_root(self, now: float, coming: BundleKeys | None = None) -> None:
        keys = coming or self._keys
        root = Root(self._root.version + 1 if self._root else 1, None, _moment(now) + ROOT_LIFE)
        for role in ROLES:
            root.add_key(keys.signers[role].public_key, role)
        signers = [keys.signers["root"], *([self._keys.signers["root"]] if coming else [])]
        name, body = f"metadata/{root.version}.root.json", _sign(root, *signers)
        self._keep({name: body}, must=coming is not None)
        self._root = root
        self._roots[name] = File(body)
        self.files = {**self.files, name: File(body)} if self.files else {}

    def _serve(self, targets: Targets, snapshot: Snapshot, timestamp: Timestamp) -> None:
        """The timestamp goes to disk last: it makes the others count."""
        signers = self._keys.signers
        made = {f"targets/{targets.targets[n].hashes['sha256']}.{n}": body for n, body in self._contents.items()}
        made |= {
            f"metadata/{targets.version}.targets.json": _sign(targets, signers["targets"]),
            f"metadata/{snapshot.version}.snapshot.json": _sign(snapshot, signers["snapshot"]),
        }
        newest = {"metadata/timestamp.json": _sign(timestamp, signers["timestamp"])}
        known = self._publications[-1] if self._publications else {}
        self._publications.append({name: known.get(name) or _file(body) for name, body in made.items()})
        served = {name: file for publication in self._publications for name, file in publication.items()}
        self.files = self._roots | served | {name: File(body) for name, body in newest.items()}
        self._keep({name: body for name, body in made.items() if name not in known} | newest)

    # On disk

    def _keep(self, made: Mapping[str, bytes], *, must: bool = False) -> None:
        """must: OSError is raised instead of noted."""
        try:
            for name, body in made.items():
                path = self._folder / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(path, body)
            self.problem = ""
            self._sweep()
        except OSError as exc:
            if must:
                raise
            self.problem = f"the policy bundle for helpers is served, but cannot be kept in {self._folder}: {exc}"

    def _sweep(self) -> None:
        for path in (*self._folder.glob("metadata/*.json"), *self._folder.glob("targets/*")):
            name = path.relative_to(self._folder).as_posix()
            if self.files and name not in self.files and not name.endswith(".root.json"):
                path.unlink(missing_ok=True)

    def _load_roots(self) -> Root | None:
        """Every root that is there, in order, and the newest of them."""
        newest: Root | None = None
        while True:
            path = self._folder / f"metadata/{newest.version + 1 if newest else 1}.root.json"
            try:
                body = path.read_bytes()
            except FileNotFoundError:
                return newest
            except OSError as exc:
                raise StateError(f"{path} cannot be read: {exc}") from exc
            try:
                newest = Metadata[Root].from_bytes(body).signed
            except RepositoryError as exc:
                raise StateError(f"{path} is damaged: restore it from a backup") from exc
            self._roots[f"metadata/{newest.version}.root.json"] = File(body)

    def _load(self, kind: type[_Signed]) -> _Signed | None:
        """The newest of a kind, None where there is none that can be read: then it is made anew."""
        pattern = "timestamp.json" if kind is Timestamp else f"*.{kind.type}.json"
        found: list[_Signed] = []
        for path in (self._folder / "metadata").glob(pattern):
            with contextlib.suppress(OSError, RepositoryError):
                found.append(Metadata[_Signed].from_bytes(path.read_bytes()).signed)
        return max(found, key=lambda signed: signed.version, default=None)

    def _load_contents(self) -> dict[str, bytes]:
        """What the newest targets list, if it is there whole."""
        contents = {}
        for name, listed in self._targets.targets.items() if self._targets else ():
            try:
                body = (self._folder / f"targets/{listed.hashes['sha256']}.{name}").read_bytes()
                listed.verify_length_and_hashes(body)
            except (OSError, RepositoryError, KeyError):
                return {}
            contents[name] = body
        return contents


def _sign(signed: _Signed, *signers: CryptoSigner) -> bytes:
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes(_JSON)


def _file(body: bytes) -> File:
    zipped = gzip.compress(body, 6, mtime=0) if len(body) >= MIN_ZIPPED_BYTES else b""
    return File(body, zipped if len(zipped) < len(body) else b"")


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(int(now), UTC)


def _is_due(signed: Root | Targets | Snapshot | Timestamp, rest: timedelta, at: datetime) -> bool:
    return signed.expires - at <= rest


def _next(before: Targets | Snapshot | Timestamp | None, now: float) -> int:
    return max(before.version + 1 if before else 1, int(now))


def _root_id(root: Root | None) -> str:
    return root.roles[Root.type].keyids[0] if root else ""
