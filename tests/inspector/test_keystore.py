"""The CA on disk: who may read it, what is refused, and that no killed writer leaves it broken."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from steering.policy import parse_host
from steering_inspector.authority import mint, new_authority
from steering_inspector.keystore import (
    WARN_BEFORE_S,
    Keystore,
    KeystoreError,
    forget_previous,
    load,
    load_mounted,
    load_or_create,
    rotate,
)
from tests.inspector.openssl import openssl, pem
from tests.kit import ROOT

NOW = 1_800_000_000.0
YEARS_10 = 3650 * 86400


def made(state: Path, passphrase: bytes | None = None) -> Keystore:
    return load_or_create(state, NOW, name="test CA", passphrase=passphrase)


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


def test_it_is_made_once_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first = made(tmp_path)
    finally:
        os.umask(old)
    assert {path.name: mode(path) for path in (tmp_path / "ca").iterdir()} == {
        "ca.key": "-rw-------",
        "ca.pem": "-rw-------",
    }
    assert mode(tmp_path / "ca") == "drwx------"
    again = made(tmp_path)
    assert again.pem == first.pem == (tmp_path / "ca" / "ca.pem").read_bytes()
    assert again.previous is None and again.bundle(NOW) == again.pem
    assert x509.load_der_x509_certificate(again.der) == first.authority.certificate
    assert load(tmp_path, NOW).pem == first.pem


@pytest.mark.needs("openssl")
def test_openssl_reads_the_pair(tmp_path: Path) -> None:
    made(tmp_path)
    key = openssl("pkey", "-in", "ca.key", "-pubout", cwd=tmp_path / "ca")
    assert key.startswith("-----BEGIN PUBLIC KEY-----")
    assert openssl("x509", "-in", "ca.pem", "-noout", "-pubkey", cwd=tmp_path / "ca") == key


def test_a_passphrase_encrypts_the_key(tmp_path: Path) -> None:
    made(tmp_path, b"correct horse")
    assert (tmp_path / "ca" / "ca.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert made(tmp_path, b"correct horse").pem == (tmp_path / "ca" / "ca.pem").read_bytes()
    for wrong in (None, b"", b"battery staple"):
        with pytest.raises(KeystoreError, match="cannot be read"):
            load(tmp_path, NOW, passphrase=wrong)
        with pytest.raises(KeystoreError, match="cannot be read"):
            rotate(tmp_path, NOW, name="test CA", passphrase=wrong)


def test_a_passphrase_for_a_key_without_one_is_not_passed_over(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(KeystoreError, match="cannot be read"):
        load(tmp_path, NOW, passphrase=b"correct horse")


def link_away(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


def written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip


OTHER = new_authority(NOW, name="other")
DAMAGED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "readable by a group": ("ca.key", lambda path: path.chmod(0o640), "can be read by others .*chmod 600"),
    "readable by all": ("ca.key", lambda path: path.chmod(0o604), "can be read by others"),
    "a folder open to others": ("", lambda path: path.chmod(0o750), "can be read by others .*chmod 700"),
    "a key that is a link": ("ca.key", link_away, "symbolic link"),
    "a folder that is a link": ("", link_away, "symbolic link"),
    "no key": ("ca.key", Path.unlink, "ca.key is missing"),
    "no certificate": ("ca.pem", Path.unlink, "ca.pem is missing"),
    "an empty key": ("ca.key", written(b""), "cannot be read"),
    "an empty certificate": ("ca.pem", written(b""), "holds no certificate"),
    "rubbish": ("ca.pem", written(b"\xff" * 100), "holds no certificate"),
    "the key of another": ("ca.key", written(private(OTHER.key)), "does not belong"),
    "the certificate of another": ("ca.pem", written(pem(OTHER.certificate)), "does not belong"),
    "an RSA key": ("ca.key", written(private(rsa.generate_private_key(65537, 2048))), "no EC key"),
    "an Ed25519 key": ("ca.key", written(private(ed25519.Ed25519PrivateKey.generate())), "no EC key"),
    "a curve that no browser takes": ("ca.key", written(private(ec.generate_private_key(ec.SECP256K1()))), "no EC key"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_in_doubt_is_refused_and_not_replaced(name: str, tmp_path: Path) -> None:
    made(tmp_path)
    part, damage, words = DAMAGED[name]
    damage(tmp_path / "ca" / part if part else tmp_path / "ca")
    before = {path: path.read_bytes() for path in (tmp_path / "ca").iterdir()}
    attempts: list[Callable[[], Keystore]] = [lambda: load(tmp_path, NOW), lambda: made(tmp_path)]
    if name != "no key":  # a rotation that has no key to lose makes a new CA
        attempts.append(lambda: rotate(tmp_path, NOW, name="test CA"))
    for attempt in attempts:
        with pytest.raises(KeystoreError, match=words):
            attempt()
    assert {path: path.read_bytes() for path in (tmp_path / "ca").iterdir()} == before


@pytest.mark.needs("root")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    made(tmp_path)
    os.chown(tmp_path / "ca" / "ca.key", 12345, 12345)
    with pytest.raises(KeystoreError, match="belongs to user 12345"):
        load(tmp_path, NOW)


def test_no_folder_is_no_ca(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="missing"):
        load(tmp_path, NOW)


def test_a_leaf_is_no_ca(tmp_path: Path) -> None:
    store = made(tmp_path)
    certificate = mint(store.authority, parse_host("a.example"), store.authority.key.public_key(), NOW)
    (tmp_path / "ca" / "ca.pem").write_bytes(pem(certificate))
    with pytest.raises(KeystoreError, match="no CA certificate"):
        load(tmp_path, NOW)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (NOW - 86400 - 1, "not valid yet"),
        (NOW - 86400, ""),
        (NOW + YEARS_10 - 1, ""),
        (NOW + YEARS_10, "ended on .*steering ca rotate"),
    ],
)
def test_a_ca_outside_its_time_is_refused(tmp_path: Path, at: float, words: str) -> None:
    made(tmp_path)
    if not words:
        assert load(tmp_path, at)
        return
    with pytest.raises(KeystoreError, match=words):
        load(tmp_path, at)


def test_a_ca_that_has_ended_can_be_rotated(tmp_path: Path) -> None:
    old, late = made(tmp_path), NOW + YEARS_10 + 1
    new = rotate(tmp_path, late, name="test CA")
    assert load(tmp_path, late).pem == new.pem != old.pem


@pytest.mark.parametrize(
    ("left_s", "expected"),
    [
        (WARN_BEFORE_S + 1, []),
        (WARN_BEFORE_S, ["the CA certificate ends in 90 days: run 'steering ca rotate' and distribute the new one"]),
        (86400, ["the CA certificate ends in 1 days: run 'steering ca rotate' and distribute the new one"]),
    ],
)
def test_the_end_is_warned_of(tmp_path: Path, left_s: float, expected: list[str]) -> None:
    assert made(tmp_path).warnings(NOW + YEARS_10 - left_s) == expected


def test_an_overlap_ends(tmp_path: Path) -> None:
    first = made(tmp_path)
    assert not forget_previous(tmp_path), "there is none"
    second = rotate(tmp_path, NOW + 86400, name="test CA")
    end = first.authority.certificate.not_valid_after_utc.timestamp()
    assert second.bundle(end - 1) == second.pem + first.pem
    assert second.bundle(end) == second.pem, "the one before has ended"
    assert first.bundle(end) == first.pem + second.pem, "but not for whoever signs with it"
    assert forget_previous(tmp_path)
    left = load(tmp_path, NOW + 86400)
    assert (left.bundle(NOW + 86400), left.previous) == (second.pem, None)
    assert first.bundle(NOW + 86400) == first.pem + second.pem
    (tmp_path / "ca" / "ca.pem").write_text("broken")
    assert first.bundle(NOW) == first.pem, "what cannot be read is nobody's"


def test_a_rotation_keeps_the_certificate_before(tmp_path: Path) -> None:
    first = made(tmp_path)
    second = rotate(tmp_path, NOW, name="test CA")
    assert second.previous == first.authority.certificate
    assert second.bundle(NOW) == second.pem + first.pem
    assert load(tmp_path, NOW).bundle(NOW) == second.bundle(NOW)
    assert first.bundle(NOW) == first.pem + second.pem, "what was loaded before tells of the new one too"
    third = rotate(tmp_path, NOW, name="test CA")
    assert load(tmp_path, NOW).bundle(NOW) == third.pem + second.pem
    assert first.bundle(NOW) == first.pem + third.pem + second.pem
    assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == ["ca.key", "ca.pem", "previous.pem"]


def test_it_says_what_it_is(tmp_path: Path) -> None:
    store = made(tmp_path)
    facts = store.describe()
    assert facts["sha256"].replace(":", "").lower() == store.authority.id
    assert (facts["subject"], facts["certificate"]) == ("CN=test CA,O=Steering", str(tmp_path / "ca" / "ca.pem"))


class Killed(BaseException):
    """Ends a writer where a signal would."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the nth call that touches the disk raise Killed before it does anything."""
    state = {"left": 0}

    def counted(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            state["left"] -= 1
            if state["left"] == 0:
                raise Killed
            return inner(*args, **more)

        return call

    monkeypatch.setattr(os, "open", counted(os.open))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    return lambda call: state.update(left=call)


@pytest.mark.parametrize("act", ["create", "rotate"])
def test_a_writer_killed_anywhere_leaves_a_whole_ca(act: str, tmp_path: Path, killed_at: Callable[[int], None]) -> None:
    ended, call = False, 0
    while not ended:
        call += 1
        state = tmp_path / str(call)
        old = made(state) if act == "rotate" else None
        killed_at(call)
        try:
            rotate(state, NOW, name="test CA") if old else made(state)
            ended = True
        except Killed:
            pass
        killed_at(0)
        left = made(state)
        if old is not None:
            assert left.pem == old.pem or left.previous == old.authority.certificate
        new = rotate(state, NOW, name="test CA")
        assert new.previous == left.authority.certificate
        assert load(state, NOW).pem == new.pem
    assert call > 8


KILLS_ITSELF = """
import os, pathlib, signal, sys
sys.path[:0] = sys.argv[1:3]
from steering_inspector import keystore
replace = pathlib.Path.replace
def once(self, target):
    replace(self, target)
    if pathlib.Path(target).name == sys.argv[4]:
        os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.replace = once
keystore.rotate(pathlib.Path(sys.argv[3]), 1_800_000_000.0, name="test CA")
"""


@pytest.mark.parametrize(("behind", "new"), [("next.pem", False), ("ca.key", True)])
def test_the_new_key_is_the_instant_of_a_rotation(behind: str, new: bool, tmp_path: Path) -> None:
    """With a real kill -9, right behind the replacement of a file."""
    old = made(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", KILLS_ITSELF, str(ROOT), str(ROOT / "inspector"), str(tmp_path), behind],
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = load(tmp_path, NOW)
    assert (left.pem != old.pem) is new
    assert left.previous == (old.authority.certificate if new else None)


# A CA that somebody else has mounted: owner and mode of the key -> what is said, "" where it is taken.
MOUNTED = {
    (0, 0o400): "",
    (0, 0o600): "",
    (0, 0o440): "",
    (0, 0o640): "",
    (0, 0o660): "can be read by others",
    (0, 0o444): "can be read by others",
    (0, 0o450): "can be read by others",
}


@pytest.mark.needs("root")
@pytest.mark.parametrize("given", MOUNTED)
def test_a_mounted_ca(tmp_path: Path, given: tuple[int, int]) -> None:
    """As orchestrators mount secrets: symbolic links into a folder that anybody may look into."""
    store = made(tmp_path)
    hidden, mounted = tmp_path / "mount/..data", tmp_path / "mount"
    hidden.mkdir(parents=True, mode=0o755)
    for name in ("ca.key", "ca.pem"):
        (hidden / name).write_bytes((tmp_path / "ca" / name).read_bytes())
        (mounted / name).symlink_to(f"..data/{name}")
    os.chown(hidden / "ca.key", given[0], 0)
    (hidden / "ca.key").chmod(given[1])
    said = MOUNTED[given]
    if not said:
        assert load_mounted(mounted, NOW).pem == store.pem
        return
    with pytest.raises(KeystoreError, match=said):
        load_mounted(mounted, NOW)


@pytest.mark.needs("root")
def test_a_mounted_ca_of_somebody_else(tmp_path: Path) -> None:
    made(tmp_path)
    os.chown(tmp_path / "ca" / "ca.key", 12345, 0)
    with pytest.raises(KeystoreError, match="belongs to user 12345"):
        load_mounted(tmp_path / "ca", NOW)


def test_a_mounted_ca_is_judged_as_ours_is(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(KeystoreError, match="ended on"):
        load_mounted(tmp_path / "ca", NOW + 2 * YEARS_10)
    (tmp_path / "ca" / "ca.pem").write_text("no certificate")
    with pytest.raises(KeystoreError, match="holds no certificate"):
        load_mounted(tmp_path / "ca", NOW)
    with pytest.raises(KeystoreError, match="is missing: mount the control service's CA there"):
        load_mounted(tmp_path, NOW)
