"""The CA as the service uses it: there, or missed with a reason; warned of before it ends."""

import plistlib
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from steering.control.cafiles import NAME, files_of, load_ca, load_shared_ca, passphrase, warnings_of
from steering.policy.hosts import parse_host
from steering_inspector.authority import mint
from steering_inspector.keystore import Keystore, forget_previous, rotate

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


@pytest.mark.needs("openssl")
def test_during_a_rotation_clients_are_offered_both(tmp_path: Path) -> None:
    """By the service that still signs with the old one, and by the one that signs with the new."""
    now = time.time()
    old, _ = load_ca(tmp_path)
    assert old is not None
    rotate(tmp_path, now, name=NAME)
    new, _ = load_ca(tmp_path)
    assert new is not None
    leaves = []
    for number, store in enumerate((old, new)):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = mint(store.authority, parse_host("www.example"), key.public_key(), now)
        leaves.append(tmp_path / f"{number}.leaf")
        leaves[-1].write_bytes(leaf.public_bytes(Encoding.PEM))

    def accepted(store: Keystore) -> list[bool]:
        (tmp_path / "ca-file").write_bytes(files_of(store, now)["/ca.pem"][0])
        verify = ("openssl", "verify", "-no-CApath", "-CAfile", str(tmp_path / "ca-file"))
        return [subprocess.run((*verify, str(leaf)), capture_output=True).returncode == 0 for leaf in leaves]

    for store in (old, new):
        files = files_of(store, now)
        assert accepted(store) == [True, True]
        assert files["/ca.crt"][0] == store.der, "what is in use"
        payloads = plistlib.loads(files["/ca.mobileconfig"][0])["PayloadContent"]
        assert [payload["PayloadContent"] for payload in payloads] == [store.der, (old if store is new else new).der]
    forget_previous(tmp_path)
    again, _ = load_ca(tmp_path)
    assert again is not None and accepted(again) == [False, True]
    assert accepted(old) == [True, True], "never without what is in use"
