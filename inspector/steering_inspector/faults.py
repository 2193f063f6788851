"""Why an origin could not be reached or believed, as a page tells it.

For a certificate that was not believed the names, issuer and dates are read by a second connection that sends no
request: Python's ssl gives up a certificate that failed.
"""

import ssl
from typing import NamedTuple

from steering.policy import Host
from steering_inspector.origin import fetch_certificate
from steering_inspector.pages import reason_of
from steering_inspector.upstream import DialError

PROBE_S = 3.0


class Fault(NamedTuple):
    """status, reason, why, details: as ``pages.page`` takes them."""

    status: int
    reason: str
    why: str
    details: tuple[tuple[str, str], ...] = ()


async def describe(error: DialError, host: Host, port: int) -> Fault:
    """The fault behind ``error``, with the certificate's own words where it was the certificate."""
    details: tuple[tuple[str, str], ...] = ()
    if isinstance(error.cause, ssl.SSLCertVerificationError) and error.address is not None:
        facts = await fetch_certificate(error.address, port, host.text, PROBE_S)
        details = facts.details() if facts is not None else ()
    why = f"{host.text}: {error.why}"
    return Fault(reason_of(error.reason).status, error.reason, why, details)
