"""openssl verifies what was signed; what cannot sign says why."""

import subprocess
from pathlib import Path

import pytest

from steering.deploy.errors import DeployError
from steering.deploy.signing import signed
from tests.deploy.ground import ca, made

pytestmark = pytest.mark.needs("openssl")


def openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr


KEYS = {"RSA": ("rsa:2048",), "EC": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")}


def pair(folder: Path, *kind: str) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key."""
    certificate, key = folder / "signer.pem", folder / "signer.key"
    rest = ("-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=Example AG", "-days", "2")
    openssl("req", "-x509", "-newkey", *kind, *rest)
    return certificate.read_bytes(), key.read_bytes()


@pytest.mark.parametrize("kind", KEYS)
def test_openssl_verifies(kind: str, tmp_path: Path) -> None:
    chain, key = pair(tmp_path, *KEYS[kind])
    profile = made("apple-macos", "steering-macos.mobileconfig").encode()
    file, out = tmp_path / "signed", tmp_path / "out"
    verify = ("cms", "-verify", "-binary", "-inform", "DER", "-in", file, "-out", out)
    trusted = ("-CAfile", tmp_path / "signer.pem", "-purpose", "any")
    file.write_bytes(signed(profile, chain_pem=chain + ca().pem.encode(), key_pem=key))
    openssl(*verify, *trusted)
    assert out.read_bytes() == profile
    file.write_bytes(file.read_bytes().replace(b"Example", b"Exbmple"))
    with pytest.raises(AssertionError):
        openssl(*verify, *trusted)


def test_what_cannot_sign(tmp_path: Path) -> None:
    chain, key = pair(tmp_path, *KEYS["EC"])
    other = tmp_path / "other"
    other.mkdir()
    openssl("genpkey", "-algorithm", "ed25519", "-out", other / "ed25519")
    openssl("ec", "-in", tmp_path / "signer.key", "-aes128", "-passout", "pass:secret", "-out", other / "encrypted")
    wrong = {
        "is not that of the first": (ca().pem.encode(), key),
        "no certificate": (b"nonsense", key),
        "no private key": (chain, b"nonsense"),
        "is encrypted": (chain, (other / "encrypted").read_bytes()),
        "neither RSA": (chain, (other / "ed25519").read_bytes()),
    }
    for words, (certificates, private) in wrong.items():
        with pytest.raises(DeployError, match=words):
            signed(b"profile", chain_pem=certificates, key_pem=private)
