"""The origin's certificate is one that a strict client takes."""

import subprocess
from pathlib import Path

import pytest

from bench.certificates import make_ca, make_leaf


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(("host", "good"), [("www.x.example", True), ("c1.x.example", True), ("x.example", False)])
def test_openssl_verifies_it(host: str, good: bool, tmp_path: Path) -> None:
    ca, both = make_ca(tmp_path, "some-ca")
    leaf, _ = make_leaf(tmp_path, both, "www.x.example", "*.x.example")
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-CAfile",
        str(ca),
        "-purpose",
        "sslserver",
        "-verify_hostname",
        host,
    ]
    done = subprocess.run([*command, str(leaf)], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is good, done.stderr
