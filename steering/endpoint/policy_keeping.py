"""The keeper of a device's policy, put together: its folder, its service, and the certificate that it shows."""

import ssl
from collections.abc import Callable
from pathlib import Path

from steering.endpoint.bundle.client import FOLDER, BundleClient
from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.device import Credential, client_context
from steering.endpoint.errors import BundleError


def keeper_of(
    folder: Path, credential: Credential, live: LiveBundle, context: Callable[[], ssl.SSLContext]
) -> BundleKeeper:
    """context: asked for each connection, as certificates are renewed."""
    kept = folder / FOLDER
    return BundleKeeper(kept, live, BundleClient(kept, credential.service_url, ServiceFetcher(context)))


async def fetch_policy(folder: Path, credential: Credential) -> str:
    """Fetch and keep the policy once, as after enrolment; its revision.  Raises EndpointError."""
    context = client_context(folder, credential)
    keeper = keeper_of(folder, credential, LiveBundle(), lambda: context)
    await keeper.update()
    if keeper.error:
        raise BundleError(keeper.error)
    return keeper.revision
