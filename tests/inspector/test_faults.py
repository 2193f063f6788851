"""From a failed dial to what its page says; the certificate's own words only where it was the certificate."""

import ssl
from ipaddress import ip_address

import pytest

from steering.policy import parse_host
from steering_inspector.faults import Fault, describe
from steering_inspector.upstream import DialError
from tests.inspector.origin import inspector_ca, running_origin

HOST = parse_host("www.example")
LOOPBACK = ip_address("127.0.0.1")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            DialError("name-unknown", "the name has no address"),
            Fault(502, "name-unknown", "www.example: the name has no address"),
        ),
        (DialError("origin-timeout", "too late"), Fault(504, "origin-timeout", "www.example: too late")),
        (DialError("destination", "loopback"), Fault(403, "destination", "www.example: loopback")),
        (
            DialError("origin-handshake", "it closed", ssl.SSLError(1, "x"), LOOPBACK),
            Fault(502, "origin-handshake", "www.example: it closed"),
        ),
        # The address is not known, or nobody answers there any more.
        (
            DialError("origin-expired", "ended", ssl.SSLCertVerificationError(1, "x")),
            Fault(502, "origin-expired", "www.example: ended"),
        ),
        (
            DialError("origin-expired", "ended", ssl.SSLCertVerificationError(1, "x"), LOOPBACK),
            Fault(502, "origin-expired", "www.example: ended"),
        ),
        (DialError("something new", "odd"), Fault(502, "something new", "www.example: odd")),
    ],
)
async def test_a_fault_has_a_status_a_reason_and_words(error: DialError, expected: Fault) -> None:
    assert await describe(error, HOST, 1) == expected


async def test_a_certificate_that_was_not_believed_is_shown() -> None:
    async with running_origin(inspector_ca().context("other.example")) as origin:
        error = DialError("origin-wrong-name", "for others", ssl.SSLCertVerificationError(1, "x"), LOOPBACK)
        fault = await describe(error, HOST, origin.port)
        details = dict(fault.details)
        assert fault[:3] == (502, "origin-wrong-name", "www.example: for others")
        assert "other.example" in details["Names in the certificate"] and "test inspector" in details["Issued by"]
        assert origin.heads == []
