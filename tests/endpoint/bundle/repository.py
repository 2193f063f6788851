"""A repository of the service's own code, whose files a fetcher of tests hands over, or others in their place."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError

from steering.control.bundles import BundleRepository, File
from steering.endpoint.bundle.client import ROOT, BundleClient
from steering.endpoint.bundle.content import CA_TARGET, POLICY_TARGET, write_bundle
from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.policy import Policy, ReservedSettings, compile_policy
from steering.policy.document import load_document
from steering.policy.rules import NO_CATEGORIES
from tests.endpoint.device_context import no_context

URL = "https://steering.example:8444"
CA_PEM = b"the inspection CA\n"


def policy_of(*names: str) -> tuple[Policy, str]:
    """Bypasses of these names, and the text of its rules."""
    listed = ", ".join(f'"{name}"' for name in names)
    text = f'{{"rules": [{{"name": "pinned", "domains": [{listed}]}}]}}'
    return compile_policy(load_document(text, NO_CATEGORIES), ReservedSettings()), text


def bundle_of(*names: str) -> bytes:
    policy, text = policy_of(*names)
    return write_bundle(
        source=text,
        policy=policy,
        issued_at=1_800_000_000.0,
        inspectors=["proxy.example:3130"],
        inspector_addresses=[],
        modes={},
    )


class FilesFetcher(ServiceFetcher):
    """files: asked at each fetch.  asked: the paths so far."""

    def __init__(self, files: Callable[[], Mapping[str, File]]) -> None:
        super().__init__(no_context)
        self.files = files
        self.asked: list[str] = []
        self.is_away = False

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix(f"{URL}/bundle/")
        self.asked.append(path)
        if self.is_away:
            raise DownloadError("the service cannot be reached")
        found = self.files().get(path)
        if found is None:
            raise DownloadHTTPError("the service answers with 404", 404)
        return iter([found.body])


@dataclass(kw_only=True)
class Pair:
    """A service's repository and a helper's client of it.  folder: ``bundle`` of the helper."""

    repository: BundleRepository
    folder: Path
    fetcher: FilesFetcher = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / ROOT).write_bytes(self.repository.root)
        self.fetcher = FilesFetcher(lambda: self.repository.files)

    @property
    def client(self) -> BundleClient:
        """A new one, as after a restart."""
        return BundleClient(self.folder, URL, self.fetcher)

    def publish(self, *names: str, now: float | None = None) -> bytes:
        policy = bundle_of(*names)
        self.repository.publish({POLICY_TARGET: policy, CA_TARGET: CA_PEM}, time.time() if now is None else now)
        return policy


def pair(folder: Path, now: float | None = None) -> Pair:
    at = time.time() if now is None else now
    made = Pair(repository=BundleRepository(folder / "service", at), folder=folder / "helper")
    made.publish("a.example", now=at)
    return made
