"""Attestations: what is claimed comes out as it went in, and nothing else is believed."""

import json
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from steering.formats.attestation import (
    CONTEXT,
    MAX_AGE_S,
    MAX_AHEAD_S,
    MAX_NAMES,
    MAX_TEXT,
    MAX_TOKEN,
    AttestationError,
    Claims,
    sign,
    verify,
)
from steering.policy.facts import UNSEEN, Program, System

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = 1_800_000_000.0
SLACK = Program(
    system=System.LINUX, names=("slack",), path="/opt/slack/slack", root_owned=True, sha256="ab" * 32, signer=""
)
CLAIMS = Claims(
    device="d" * 32,
    authority="app.example:443",
    nonce="n" * 22,
    revision="0123456789abcdef",
    issued_at=NOW,
    user="alice",
    program=SLACK,
    package="snap:slack",
)


def judged(token: str, **other: str) -> Claims:
    expected = {"device": CLAIMS.device, "authority": CLAIMS.authority, "nonce": CLAIMS.nonce} | other
    device, authority, nonce = expected.values()
    return verify(token, KEY.public_key(), device=device, authority=authority, nonce=nonce, now=NOW)


def signed_raw(body: bytes) -> str:
    signature = KEY.sign(CONTEXT + body, ec.ECDSA(hashes.SHA256()))
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in (body, signature))


def reason_of(token: str, **other: str) -> str:
    with pytest.raises(AttestationError) as caught:
        judged(token, **other)
    return caught.value.reason


@pytest.mark.parametrize(
    "claims",
    [
        CLAIMS,
        replace(CLAIMS, program=UNSEEN, user=None, package=""),
        replace(CLAIMS, program=Program(system=None, names=("a", "b.c"))),
        replace(CLAIMS, program=Program(system=System.MACOS, names=tuple(map(str, range(MAX_NAMES))))),
        replace(CLAIMS, user="x" * MAX_TEXT, revision="é"),
    ],
)
def test_claims_come_out_as_they_went_in(claims: Claims) -> None:
    assert judged(sign(claims, KEY)) == claims


@pytest.mark.parametrize("fact", ["device", "authority", "nonce"])
def test_it_is_good_for_one_device_one_authority_one_connection(fact: str) -> None:
    assert reason_of(sign(CLAIMS, KEY), **{fact: "another"}) == fact


@pytest.mark.parametrize(
    ("issued_at", "reason"),
    [
        (NOW - MAX_AGE_S - 0.001, "expired"),
        (NOW - MAX_AGE_S, None),
        (NOW + MAX_AHEAD_S, None),
        (NOW + MAX_AHEAD_S + 0.001, "expired"),
        (float("nan"), "expired"),
    ],
)
def test_it_is_good_for_a_short_time(issued_at: float, reason: str | None) -> None:
    token = sign(replace(CLAIMS, issued_at=issued_at), KEY)
    if reason is None:
        assert judged(token).issued_at == issued_at
    else:
        assert reason_of(token) == reason


def test_another_key_is_not_believed() -> None:
    assert reason_of(sign(CLAIMS, ec.generate_private_key(ec.SECP256R1()))) == "signature"


def test_a_signature_for_another_purpose_is_not_believed() -> None:
    body = json.dumps({"device": CLAIMS.device}).encode()
    token = ".".join(
        urlsafe_b64encode(part).rstrip(b"=").decode() for part in (body, KEY.sign(body, ec.ECDSA(hashes.SHA256())))
    )
    assert reason_of(token) == "signature"


FIELDS = json.loads(
    '{"device": "d", "authority": "a", "nonce": "n", "revision": "r", "issued_at": 1, "user": null, "package": "",'
    ' "program": null}'
)
PROGRAM = {"system": "linux", "names": ["x"], "path": None, "root_owned": None, "sha256": None, "signer": None}


@pytest.mark.parametrize(
    "content",
    [
        [],
        "text",
        {k: v for k, v in FIELDS.items() if k != "program"},
        FIELDS | {"issued_at": "1"},
        FIELDS | {"issued_at": True},
        FIELDS | {"issued_at": 10**400},
        FIELDS | {"device": 3},
        FIELDS | {"user": "x" * (MAX_TEXT + 1)},
        FIELDS | {"program": "slack"},
        FIELDS | {"program": PROGRAM | {"names": []}},
        FIELDS | {"program": PROGRAM | {"names": "slack"}},
        FIELDS | {"program": PROGRAM | {"names": ["x"] * (MAX_NAMES + 1)}},
        FIELDS | {"program": PROGRAM | {"system": "beos"}},
        FIELDS | {"program": PROGRAM | {"root_owned": 1}},
        FIELDS | {"program": PROGRAM | {"sha256": 5}},
    ],
)
def test_signed_nonsense_is_malformed(content: object) -> None:
    assert reason_of(signed_raw(json.dumps(content).encode())) == "malformed"


@pytest.mark.parametrize("token", ["", ".", "a", "a.b", "ä.ö", "a" * (MAX_TOKEN + 1), "." * MAX_TOKEN])
def test_unsigned_nonsense_is_never_believed(token: str) -> None:
    assert reason_of(token) in ("malformed", "signature")


@given(st.text(max_size=200))
def test_whatever_arrives_is_an_attestation_error(token: str) -> None:
    with pytest.raises(AttestationError):
        judged(token)


@given(position=st.integers(0, 10_000), character=st.sampled_from("ABCxyz019-_."))
def test_one_changed_character_is_noticed(position: int, character: str) -> None:
    token = sign(CLAIMS, KEY)
    place = position % len(token)
    changed = token[:place] + character + token[place + 1 :]
    with suppress(AttestationError):
        assert judged(changed) == CLAIMS  # the same bits in another spelling of base64, or the same character
