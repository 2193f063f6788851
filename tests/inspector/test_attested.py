"""What is believed of a certificate and of an attestation, and why the rest is not."""

import datetime
import itertools
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from steering.formats.attestation import MAX_AGE_S, MAX_AHEAD_S
from steering.policy import UNSEEN, parse_host
from steering_inspector.attested import (
    MAX_NONCE_AGE_S,
    Device,
    DeviceError,
    Introduction,
    asks_for_nonce,
    authority_text,
    device_of,
)
from steering_inspector.conversation import Attested
from steering_inspector.fields import HeadError
from steering_inspector.heads import parse_request_head
from steering_inspector.request import Authority, Request, check_request
from steering_inspector.settings import Limits
from tests.inspector.devices import ALICES, BOBS, SLACK, alices, bobs, device_ca, token_of

NOW = 1_800_000_000.0  # of the wall
SOON = 5000.0  # of the loop
SECOND = datetime.timedelta(seconds=1)


def request_of(line: str, *tokens: str, host: str = "www.example") -> Request:
    lines = "".join(f"Steering-Attestation: {token}\r\n" for token in tokens)
    head = f"{line} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()
    return check_request(parse_request_head(head, Limits()))


def introduction(group: str = "sales") -> Introduction:
    numbers = itertools.count()
    device = Device(id=ALICES, group=group, key=alices().key.public_key())
    return Introduction(device, lambda: f"nonce-{next(numbers)}")


def greeted() -> Introduction:
    there = introduction()
    there.greeting(SOON, "r1", "192.0.2.7")
    return there


def token(authority: str = "www.example:443", **claimed: Any) -> str:
    return token_of(alices(), authority, **{"nonce": "nonce-1", "issued_at": NOW, "revision": "r0", **claimed})


def refusal(there: Introduction, request: Request, before: Attested | None = None, now: float = SOON) -> str:
    with pytest.raises(HeadError) as caught:
        there.attested(request, before, NOW, now)
    return f"{caught.value.status} {caught.value.reason}"


# The certificate


def test_a_certificate_names_its_device_and_group() -> None:
    found = device_of(alices().der, alices().certificate.not_valid_before_utc.timestamp())
    assert (found.id, found.group, found.key) == (ALICES, "sales", alices().key.public_key())
    assert device_of(bobs().der, bobs().certificate.not_valid_after_utc.timestamp()).group == ""


@pytest.mark.parametrize(
    ("name", "groups"),
    [("a" * 31, ()), ("a" * 33, ()), ("A" * 32, ()), ("g" * 32, ()), ("127.0.0.1", ()), (ALICES, ("sales", "staff"))],
)
def test_what_names_no_device_is_refused(name: str, groups: tuple[str, ...]) -> None:
    with pytest.raises(DeviceError, match="names no device"):
        device_of(device_ca().device(name, *groups).der, datetime.datetime.now(datetime.UTC).timestamp())


def test_only_keys_that_attest_are_taken() -> None:
    with pytest.raises(DeviceError, match="P-256"):
        device_of(device_ca().device(ALICES, curve=ec.SECP384R1()).der, NOW)


@pytest.mark.parametrize("after", [False, True])
def test_a_certificate_is_good_for_its_time_alone(after: bool) -> None:
    certificate = alices().certificate
    limit = certificate.not_valid_after_utc if after else certificate.not_valid_before_utc
    outside = limit + SECOND if after else limit - SECOND
    assert device_of(alices().der, limit.timestamp()).id == ALICES
    with pytest.raises(DeviceError, match="expired"):
        device_of(alices().der, outside.timestamp())


@pytest.mark.parametrize("der", [b"", b"rubbish", b"\x30\x03\x02\x01\x01"])
def test_rubbish_is_no_certificate(der: bytes) -> None:
    with pytest.raises(DeviceError, match="cannot be read"):
        device_of(der, NOW)


# The greeting


def test_the_greeting_whole() -> None:
    assert introduction().greeting(SOON, "r1", "192.0.2.7") == (
        b"HTTP/1.1 200 OK\r\nSteering-Nonce: nonce-1\r\nSteering-Revision: r1\r\nSteering-Source: 192.0.2.7\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("OPTIONS *", True),
        ("OPTIONS /", False),
        ("GET /", False),
        ("OPTIONS http://www.example", False),  # the origin's own *
        ("OPTIONS http://www.example/*", False),
    ],
)
def test_what_asks_for_a_nonce(line: str, asks: bool) -> None:
    assert asks_for_nonce(request_of(line)) is asks


# Attestations


@pytest.mark.parametrize(
    ("line", "authority"),
    [
        ("CONNECT www.example:443", Authority(parse_host("www.example"), 443)),
        ("CONNECT WWW.example.:8443", Authority(parse_host("www.example"), 8443)),
        ("CONNECT [2001:db8::1]:443", Authority(parse_host("2001:db8::1"), 443)),
        ("GET http://www.example/a", Authority(parse_host("www.example"), 80)),
        ("GET http://www.example:8080/a", Authority(parse_host("www.example"), 8080)),
    ],
)
def test_a_genuine_attestation_is_believed(line: str, authority: Authority) -> None:
    request = request_of(line, token(authority_text(authority)))
    assert greeted().attested(request, None, NOW, SOON) == (
        Attested(authority=authority, groups=frozenset({"sales"}), user="alice", program=SLACK),
        "r0",
    )


def test_what_is_not_attested_is_unseen() -> None:
    """Not established is unknown, which is not the same as nobody: it matches no bypass."""
    there = introduction(group="")
    there.greeting(SOON, "r1", "192.0.2.7")
    request = request_of("CONNECT www.example:443", token(user=None, program=UNSEEN))
    attested, _ = there.attested(request, None, NOW, SOON)
    assert (attested.user, attested.program, attested.groups) == (UNSEEN, UNSEEN, frozenset())


REFUSALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "none": ("missing", ()),
    "empty": ("malformed", ("",)),
    "rubbish": ("malformed", ("rubbish",)),
    "two": ("malformed", (token(), token())),
    "another key": ("signature", (token(key=bobs().key),)),
    "another device's, whole": ("signature", (token_of(bobs(), "www.example:443", nonce="nonce-1", issued_at=NOW),)),
    "another device": ("device", (token(device=BOBS),)),
    "another host": ("authority", (token("other.example:443"),)),
    "another port": ("authority", (token("www.example:8443"),)),
    "no port": ("authority", (token("www.example"),)),
    "another connection": ("nonce", (token(nonce="nonce-2"),)),
    "the nonce before the greeting": ("nonce", (token(nonce="nonce-0"),)),
    "no nonce": ("nonce", (token(nonce=""),)),
    "too old": ("expired", (token(issued_at=NOW - MAX_AGE_S - 0.01),)),
    "of the future": ("expired", (token(issued_at=NOW + MAX_AHEAD_S + 0.01),)),
    "of no time": ("expired", (token(issued_at=float("nan")),)),
}


@pytest.mark.parametrize(("reason", "tokens"), REFUSALS.values(), ids=REFUSALS)
def test_why_an_attestation_is_not_believed(reason: str, tokens: tuple[str, ...]) -> None:
    assert refusal(greeted(), request_of("CONNECT www.example:443", *tokens)) == f"403 attestation-{reason}"


@pytest.mark.parametrize("at", [NOW - MAX_AGE_S, NOW + MAX_AHEAD_S])
def test_clocks_may_differ_a_little(at: float) -> None:
    request = request_of("CONNECT www.example:443", token(issued_at=at))
    assert greeted().attested(request, None, NOW, SOON)[0].program == SLACK


def test_nothing_is_believed_before_the_greeting() -> None:
    for nonce in ("", "nonce-0"):
        assert refusal(introduction(), request_of("CONNECT www.example:443", token(nonce=nonce))) == (
            "403 attestation-nonce"
        )


@pytest.mark.parametrize(("late_s", "believed"), [(-1, True), (0, True), (1, False)])
def test_a_nonce_does_not_live_for_ever(late_s: float, believed: bool) -> None:
    request, now = request_of("CONNECT www.example:443", token()), SOON + MAX_NONCE_AGE_S + late_s
    if believed:
        assert greeted().attested(request, None, NOW, now)[0].user == "alice"
    else:
        assert refusal(greeted(), request, now=now) == "403 attestation-nonce"


@pytest.mark.parametrize("first", [token(), token(device=BOBS), "rubbish"])
def test_a_nonce_is_used_up_by_the_first_attestation(first: str) -> None:
    there = greeted()
    with suppress(HeadError):
        there.attested(request_of("CONNECT www.example:443", first), None, NOW, SOON)
    assert refusal(there, request_of("CONNECT www.example:443", token())) == "403 attestation-nonce"


def test_a_second_greeting_replaces_the_nonce() -> None:
    there = greeted()
    assert b"Steering-Nonce: nonce-2\r\n" in there.greeting(SOON, "r1", "192.0.2.7")
    assert refusal(there, request_of("CONNECT www.example:443", token())) == "403 attestation-nonce"


# Later requests of the same connection

BEFORE = Attested(authority=Authority(parse_host("www.example"), 80), user="alice", program=SLACK)


def test_an_attestation_goes_on_to_count_for_its_authority() -> None:
    for line in ("GET http://www.example/b", "GET http://WWW.example:80/"):
        assert introduction().attested(request_of(line), BEFORE, NOW, SOON) == (BEFORE, "")


@pytest.mark.parametrize(
    ("line", "tokens", "reason"),
    [
        ("GET http://other.example/", (), "authority"),
        ("GET http://www.example:8080/", (), "authority"),
        ("CONNECT www.example:80", (), "missing"),
        ("CONNECT www.example:443", (token(),), "nonce"),
        ("GET http://www.example/", (token("www.example:80"),), "nonce"),
        ("GET http://other.example/", (token("other.example:80"),), "nonce"),
    ],
)
def test_and_for_nothing_else(line: str, tokens: tuple[str, ...], reason: str) -> None:
    there = greeted()
    there.attested(request_of("GET http://www.example/", token("www.example:80")), None, NOW, SOON)
    assert refusal(there, request_of(line, *tokens), BEFORE) == f"403 attestation-{reason}"


def test_a_request_without_an_authority_is_refused() -> None:
    connect = replace(request_of("CONNECT www.example:443"), authority=Authority(parse_host("www.example"), None))
    nowhere = replace(request_of("GET /"), authority=None)
    assert [refusal(greeted(), request) for request in (connect, nowhere)] == ["400 bad-request"] * 2
