"""The newest policy bundle from the service, as TUF proves it: the service's own, whole, and none that is older.

The trust begins at ``root.json``, which enrolment brought; everything else in the folder is TUF's memory of what it
has seen, by which it knows an old bundle from a new one.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, TargetFile, Timestamp
from tuf.ngclient import Updater, UpdaterConfig

from steering.endpoint.bundle.content import CA_TARGET, POLICY_TARGET
from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.endpoint.errors import BundleError, ServiceUnreachable

FOLDER, ROOT = "bundle", "root.json"
MAX_BUNDLE_BYTES = 64 << 20
REFRESH_S = 60.0


class BundleExpired(BundleError):
    """What the service shows is signed for a time that is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A bundle as fetched, with what proves it.  digest: of the contents together.  ca_pem: b"" for none."""

    policy: bytes
    ca_pem: bytes
    root: bytes
    targets: bytes

    @property
    def digest(self) -> str:
        return digest_of(sha256(self.policy).hexdigest(), sha256(self.ca_pem).hexdigest() if self.ca_pem else "")


def digest_of(policy_sha256: str, ca_sha256: str) -> str:
    return f"{policy_sha256}:{ca_sha256}"


class BundleClient:
    """folder: ``bundle`` in the helper's state.  One refresh at a time."""

    def __init__(self, folder: Path, url: str, fetcher: ServiceFetcher) -> None:
        self._folder = folder
        self._url = url
        self._fetcher = fetcher

    def refresh(self, known: str) -> Fetched | None:
        """The bundle that the service shows now; None where its digest is ``known``.  Blocks.

        Raises ServiceUnreachable, BundleError for what is not to be believed, OSError.
        """
        try:
            with self._fetcher.session(REFRESH_S):
                return self._refresh(known)
        except ExpiredMetadataError as exc:
            raise BundleExpired(
                f"the service's signatures have expired ({exc}): an old state is replayed, the service no longer "
                "signs, or this computer's clock is wrong"
            ) from exc
        except DownloadHTTPError as exc:
            if exc.status_code == 404:
                raise BundleError("the service's bundle is not whole") from exc
            raise ServiceUnreachable(str(exc)) from exc
        except DownloadLengthMismatchError as exc:
            raise BundleError(f"what the service shows is not to be believed: {exc}") from exc
        except DownloadError as exc:
            raise ServiceUnreachable(str(exc)) from exc
        except RepositoryError as exc:
            raise BundleError(f"what the service shows is not to be believed: {exc}") from exc

    def _refresh(self, known: str) -> Fetched | None:
        metadata, targets = self._folder / "metadata", self._folder / "targets"
        for folder in (metadata, targets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        updater = Updater(
            metadata_dir=str(metadata),
            metadata_base_url=f"{self._url}/bundle/metadata/",
            target_dir=str(targets),
            target_base_url=f"{self._url}/bundle/targets/",
            fetcher=self._fetcher,
            config=UpdaterConfig(),
            bootstrap=(self._folder / ROOT).read_bytes(),
        )
        updater.refresh()
        policy, authority = updater.get_targetinfo(POLICY_TARGET), updater.get_targetinfo(CA_TARGET)
        if policy is None:
            raise BundleError("the service shows no policy")
        if digest_of(policy.hashes["sha256"], authority.hashes["sha256"] if authority else "") == known:
            return None
        return Fetched(
            policy=_download(updater, policy),
            ca_pem=_download(updater, authority) if authority else b"",
            root=(metadata / "root.json").read_bytes(),
            targets=(metadata / "targets.json").read_bytes(),
        )

    def fresh_until(self) -> float:
        """Until when the newest signed time that was seen holds; 0 before the first."""
        try:
            seen = Metadata[Timestamp].from_bytes((self._folder / "metadata" / "timestamp.json").read_bytes())
        except (OSError, RepositoryError):
            return 0.0
        return seen.signed.expires.timestamp()


def _download(updater: Updater, target: TargetFile) -> bytes:
    if target.length > MAX_BUNDLE_BYTES:
        raise BundleError(f"{target.path} has {target.length} bytes, at most {MAX_BUNDLE_BYTES} are taken")
    content = Path(updater.find_cached_target(target) or updater.download_target(target)).read_bytes()
    target.verify_length_and_hashes(content)
    return content
