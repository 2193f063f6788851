"""Why an origin could not be reached or believed, in the words of a page."""

from typing import NamedTuple

from steering.policy import Host
from steering_inspector.upstream import DialError
from steering_inspector.workings import Workings


class Fault(NamedTuple):
    status: int
    reason: str
    why: str
    details: tuple[tuple[str, str], ...] = ()


async def describe(error: DialError, host: Host, port: int, workings: Workings) -> Fault:
    return Fault(502, error.reason, error.why)
