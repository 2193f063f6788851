"""The CA as the service uses it: there, or missed with a reason; warned of before it ends."""

import time
from pathlib import Path

import pytest

from steering.control.cafiles import files_of, load_ca, load_shared_ca, passphrase, warnings_of

DAY_S = 86400


def test_made_once_and_loaded_again(tmp_path: Path) -> None:
    made, missed = load_ca(tmp_path)
    again, _ = load_ca(tmp_path)
    assert made is not None and again is not None and missed == ""
    assert made.pem == again.pem
    assert set(files_of(made, time.time())) == {"/ca.pem", "/ca.crt", "/ca.crl", "/ca.mobileconfig"}


def test_a_shared_ca_is_loaded_and_never_made(tmp_path: Path) -> None:
    store, missed = load_shared_ca(tmp_path / "ca")
    assert store is None and "is missing" in missed and not (tmp_path / "ca").exists()
    made, _ = load_ca(tmp_path)
    store, missed = load_shared_ca(tmp_path / "ca")
    assert made is not None and store is not None and (store.pem, missed) == (made.pem, "")


def test_an_unsafe_ca_is_missed_with_the_reason(tmp_path: Path) -> None:
    load_ca(tmp_path)
    (tmp_path / "ca" / "ca.key").chmod(0o644)
    store, missed = load_ca(tmp_path)
    assert store is None and "can be read by others" in missed and "chmod 600" in missed
    assert files_of(store, time.time()) == {}
    assert warnings_of(store, missed, time.time()) == [missed]


def test_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passphrase() is None
    monkeypatch.setenv("STEERING_CA_PASSPHRASE", "secret")
    load_ca(tmp_path)
    assert b"ENCRYPTED" in (tmp_path / "ca" / "ca.key").read_bytes()
    assert load_ca(tmp_path)[0] is not None
    monkeypatch.setenv("STEERING_CA_PASSPHRASE", "wrong")
    store, missed = load_ca(tmp_path)
    assert store is None and "cannot be read" in missed


@pytest.mark.parametrize(("left_days", "warned"), [(91, 0), (89, 1), (1, 1)])
def test_warned_before_the_end(tmp_path: Path, left_days: int, warned: int) -> None:
    store, missed = load_ca(tmp_path)
    assert store is not None
    end = store.authority.certificate.not_valid_after_utc.timestamp()
    found = warnings_of(store, missed, end - left_days * DAY_S)
    assert len(found) == warned and all("steering ca rotate" in text for text in found)
