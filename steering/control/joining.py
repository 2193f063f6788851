"""How a service that follows another one comes by its credential: an enrolment token, once, as a laptop does.

In ``follow`` of the state folder lie, as at a helper, the credential and the last good bundle.  A credential that is
there and holds is enough: nobody needs to be reached then.
"""

import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from steering.control.config import Loaded
from steering.control.errors import ConfigError
from steering.endpoint import device
from steering.endpoint.device import Credential
from steering.endpoint.enrol import enrol
from steering.endpoint.errors import EndpointError
from steering.formats.enrolment import TokenError, parse_token
from steering.process.logs import logger

FOLDER = "follow"

log = logger("follow")


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPlan:
    """url: of the control service's listener for helpers.  token_file: read each time, as it is kept fresh.

    name: what administrators see in ``steering endpoints list``.
    """

    url: str
    folder: Path
    token: str = ""
    token_file: Path | None = None
    name: str = ""


def follow_plan(loaded: Loaded, parts: Collection[str]) -> FollowPlan | None:
    """None where rules come from a file.  Raises ConfigError for a service that could never begin."""
    follow = loaded.config.follow
    if not follow.url:
        return None
    plan = FollowPlan(
        url=follow.url,
        folder=loaded.state / FOLDER,
        token=follow.token,
        token_file=loaded.path(follow.token_file) if follow.token_file else None,
        name=f"{socket.gethostname()} ({', '.join(parts)})",
    )
    if not (plan.token or plan.token_file or device.is_enrolled(plan.folder)):
        raise ConfigError(
            "follow.url is set: give an enrolment token of that service too, in follow.token or follow.token_file; "
            "'steering endpoint token' makes one there"
        )
    return plan


async def join(plan: FollowPlan, clock: Callable[[], float] = time.time) -> Credential:
    """The credential in the folder, after an enrolment where it is needed.  Raises EndpointError."""
    kept = _kept(plan)
    if kept is not None and clock() < kept.certificate.not_valid_after_utc.timestamp():
        return kept
    try:
        return await enrol(_token(plan), plan.folder, plan.name, "Steering service")
    except EndpointError as exc:
        if kept is None:
            raise
        log.error("the certificate has expired; the last good policy is enforced", error=str(exc))
        return kept


def _kept(plan: FollowPlan) -> Credential | None:
    """None where there is none of this service; one of another service is of no use here."""
    if not device.is_enrolled(plan.folder):
        return None
    credential = device.load(plan.folder)
    return credential if credential.service_url == plan.url else None


def _token(plan: FollowPlan) -> str:
    """Raises EndpointError."""
    try:
        text = plan.token_file.read_text("utf-8").strip() if plan.token_file else plan.token
        url = parse_token(text).url
    except OSError as exc:
        raise EndpointError(f"follow.token_file {plan.token_file} cannot be read yet: {exc.strerror}") from exc
    except (TokenError, UnicodeDecodeError) as exc:
        raise EndpointError(f"the enrolment token for {plan.url}: {exc}") from exc
    if url != plan.url:
        raise EndpointError(
            f"the enrolment token is of {url}, and follow.url is {plan.url}: set control.endpoint_url there, or "
            "follow.url here, so that both call the service the same"
        )
    return text
