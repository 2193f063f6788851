"""The keeper of a device's policy, put together: its folder, its service, and who fetches from there."""

from pathlib import Path

from steering.endpoint.bundle.client import FOLDER, BundleClient
from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.device import Credential, client_context
from steering.endpoint.errors import BundleError


def keeper_of(folder: Path, credential: Credential, live: LiveBundle, fetcher: ServiceFetcher) -> BundleKeeper:
    kept = folder / FOLDER
    return BundleKeeper(kept, live, BundleClient(kept, credential.service_url, fetcher))


async def fetch_policy(folder: Path, credential: Credential) -> str:
    """Fetch and keep the policy once, as after enrolment; its revision.  Raises EndpointError."""
    context = client_context(folder, credential)
    keeper = keeper_of(folder, credential, LiveBundle(), ServiceFetcher(lambda: context))
    await keeper.update()
    if keeper.error:
        raise BundleError(keeper.error)
    return keeper.revision
