"""Enrolment tokens: so many uses, until then, kept as hashes; guessers wait."""

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from steering.control import enrolment as module
from steering.control.enrolment import (
    FAILURES_S,
    MAX_FAILURES,
    MAX_HOURS,
    MAX_USES,
    Attempts,
    Invitations,
    TokenRefused,
)
from steering.control.errors import ControlError, StateError

NOW = 1_800_000_000.0


async def spent(invitations: Invitations, secret: str, now: float = NOW) -> str:
    """ "" where it lets in, else why not."""
    try:
        await invitations.spend(secret, now)
    except TokenRefused as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize("uses", [1, 2, 5])
async def test_it_lets_in_as_many_as_it_says(tmp_path: Path, uses: int) -> None:
    invitations = Invitations(tmp_path / "t")
    secret, _ = await invitations.add("sales", uses, 1.0, NOW)
    assert [await spent(invitations, secret) for _ in range(uses)] == [""] * uses
    assert "used up" in await spent(invitations, secret)
    assert "used up" in await spent(Invitations.load(tmp_path / "t"), secret), "and is remembered"
    assert invitations.listed(NOW) == []


async def test_many_at_once_are_not_more(tmp_path: Path) -> None:
    invitations = Invitations(tmp_path / "t")
    secret, _ = await invitations.add("", 3, 1.0, NOW)
    found = await asyncio.gather(*(spent(invitations, secret) for _ in range(20)))
    assert found.count("") == 3


@pytest.mark.parametrize(("after_s", "why"), [(3599, ""), (3600, "expired"), (3601, "expired")])
async def test_it_ends(tmp_path: Path, after_s: float, why: str) -> None:
    invitations = Invitations(tmp_path / "t")
    secret, made = await invitations.add("sales", 1, 1.0, NOW)
    assert made.expires_at == NOW + 3600
    assert why in await spent(invitations, secret, NOW + after_s)


@pytest.mark.parametrize("secret", ["", "x", "\x00", "\udce4", "a" * 100_000])
async def test_what_is_no_token_lets_nobody_in(tmp_path: Path, secret: str) -> None:
    invitations = Invitations(tmp_path / "t")
    await invitations.add("", 1, 1.0, NOW)
    assert "not known here" in await spent(invitations, secret)


@pytest.mark.parametrize(
    ("uses", "hours", "fits"),
    [
        (0, 1, False),
        (1, 1, True),
        (MAX_USES, 1, True),
        (MAX_USES + 1, 1, False),
        (1, 0, False),
        (1, MAX_HOURS, True),
        (1, MAX_HOURS + 0.1, False),
        (1, float("nan"), False),
    ],
)
async def test_limits_of_a_token(tmp_path: Path, uses: int, hours: float, fits: bool) -> None:
    invitations = Invitations(tmp_path / "t")
    if fits:
        await invitations.add("", uses, hours, NOW)
    else:
        with pytest.raises(ControlError, match="a token is good for"):
            await invitations.add("", uses, hours, NOW)


async def test_it_is_kept_as_a_hash_with_its_group(tmp_path: Path) -> None:
    invitations = Invitations(tmp_path / "t")
    secret, made = await invitations.add("sales", 2, 1.0, NOW)
    assert secret not in (tmp_path / "t").read_text()
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o600
    again = Invitations.load(tmp_path / "t")
    (row,) = again.listed(NOW)
    assert row == {"token_id": made.token_id, "group": "sales", "uses": 2, "expires_at": NOW + 3600}
    assert (await again.spend(secret, NOW)).group == "sales"


async def test_revoked_by_id_and_by_group(tmp_path: Path) -> None:
    invitations = Invitations(tmp_path / "t")
    first, made = await invitations.add("a", 1, 1.0, NOW)
    second, _ = await invitations.add("b", 1, 1.0, NOW)
    none, _ = await invitations.add("", 1, 1.0, NOW)
    assert await invitations.revoke("") == 0
    assert await invitations.revoke(made.token_id) == 1
    assert await invitations.revoke("b") == 1
    assert [bool(await spent(Invitations.load(tmp_path / "t"), s)) for s in (first, second, none)] == [
        True,
        True,
        False,
    ]


async def test_the_number_ends_somewhere_and_expired_ones_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 2)
    invitations = Invitations(tmp_path / "t")
    for _ in range(2):
        await invitations.add("", 1, 1.0, NOW)
    with pytest.raises(StateError, match="revoke some"):
        await invitations.add("", 1, 1.0, NOW + 3599)
    await invitations.add("", 1, 1.0, NOW + 3600)


async def test_a_full_disk_makes_no_token_and_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    invitations = Invitations(tmp_path / "t")
    secret, _ = await invitations.add("", 1, 1.0, NOW)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("steering.control.keeping.write_whole", full)
    with pytest.raises(StateError, match="No space left"):
        await invitations.add("", 1, 1.0, NOW)
    assert len(invitations.listed(NOW)) == 1
    with pytest.raises(StateError, match="No space left"):
        await invitations.spend(secret, NOW)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', '{"x": {"uses": 1}}'])
def test_a_broken_file_is_no_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(StateError, match="cannot be read"):
        Invitations.load(tmp_path / "t")


# Guessing


def test_an_address_that_fails_too_often_waits() -> None:
    attempts, address = Attempts(), ip_address("192.0.2.1")
    for failures in range(MAX_FAILURES + 1):
        assert attempts.may_try(address, NOW) == (failures < MAX_FAILURES)
        attempts.failed(address, NOW)
    assert attempts.may_try(ip_address("192.0.2.2"), NOW)
    assert [attempts.may_try(address, NOW + FAILURES_S + off) for off in (-1, 0, 1)] == [False, True, True]
    attempts.failed(address, NOW + FAILURES_S)
    assert attempts.may_try(address, NOW + FAILURES_S), "it begins anew"


def test_a_network_of_ipv6_is_one_address() -> None:
    attempts = Attempts()
    for number in range(MAX_FAILURES):
        attempts.failed(ip_address(f"2001:db8::{number:x}"), NOW)
    assert not attempts.may_try(ip_address("2001:db8::ffff:1"), NOW)
    assert attempts.may_try(ip_address("2001:db8:0:1::1"), NOW)


def test_addresses_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDRESSES", 2)
    attempts = Attempts()
    for host in (1, 2, 3):
        for _ in range(MAX_FAILURES):
            attempts.failed(ip_address(f"192.0.2.{host}"), NOW)
    assert [attempts.may_try(ip_address(f"192.0.2.{host}"), NOW) for host in (1, 2, 3)] == [True, False, False]
