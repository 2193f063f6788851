"""An enrolment token is read back as it was made, and a damaged one is said to be damaged."""

import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.formats.enrolment import MAX_TEXT, PREFIX, EnrolmentToken, TokenError, parse_token

TOKEN = EnrolmentToken(
    url="https://steering.example:8444", authority_sha256="ab" * 32, secret="s3cret", expires_at=1_800_000_000.0
)


def written(**changed: object) -> str:
    content = {"u": TOKEN.url, "h": TOKEN.authority_sha256, "t": TOKEN.secret, "e": 1} | changed
    raw = json.dumps({key: value for key, value in content.items() if value is not None}).encode()
    return PREFIX + urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_it_is_read_back_as_it_was_made() -> None:
    assert parse_token(TOKEN.text()) == TOKEN
    assert parse_token(f"  {TOKEN.text()}\n") == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "st1.",
        "st2." + TOKEN.text()[4:],
        TOKEN.text()[:-5],
        TOKEN.text()[4:],
        PREFIX + "ä",
        PREFIX + "A" * MAX_TEXT,
        written(u="http://steering.example:8444"),
        written(u="https://steering.example"),
        written(u="https://:8444"),
        written(u="https://steering.example:99999"),
        written(h="ab"),
        written(h="AB" * 32),
        written(t=None),
        written(e="soon"),
        written(e=[]),
    ],
)
def test_a_damaged_one_is_refused(text: str) -> None:
    with pytest.raises(TokenError):
        parse_token(text)


@given(st.text(max_size=300))
def test_whatever_is_pasted_is_an_error_or_a_token(text: str) -> None:
    with pytest.raises(TokenError):
        parse_token(PREFIX + text)
