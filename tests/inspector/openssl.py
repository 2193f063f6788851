"""The openssl program as a second opinion on certificates, and PEM for it to read."""

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def openssl(*arguments: str, cwd: Path) -> str:
    """What it says, on both channels."""
    done = subprocess.run(["openssl", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout + done.stderr).strip()
