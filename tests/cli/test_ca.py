"""``steering ca``: shown, exported without its key, made anew; what is unsafe is refused."""

import json
import ssl
from pathlib import Path

import pytest

from tests.cli.runner import nowhere, run


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """var/ with a CA, in the working folder."""
    nowhere(tmp_path, monkeypatch)
    monkeypatch.delenv("STEERING_CA_PASSPHRASE", raising=False)
    assert run("init", "var").exit_code == 0
    return tmp_path / "var"


def test_show(var: Path) -> None:
    facts = json.loads(run("ca", "show", "--json").output)
    assert list(facts) == ["subject", "sha256", "not_before", "not_after", "certificate", "previous", "warnings"]
    assert (facts["subject"].startswith("CN="), facts["warnings"], facts["previous"]) == (True, [], "")
    assert facts["certificate"] == str(var / "ca" / "ca.pem")
    lines = run("ca", "show").output.splitlines()
    assert [line.split()[0] for line in lines] == list(facts)[:6]
    assert f"sha256       {facts['sha256']}" in lines


def test_export(var: Path) -> None:
    pem = run("ca", "export").output
    assert pem == (var / "ca" / "ca.pem").read_text()
    assert "PRIVATE" not in pem
    der = ssl.PEM_cert_to_DER_cert(pem)
    assert run("ca", "export", "--format", "der").stdout_bytes == der
    out = var.parent / "out.crt"
    assert run("ca", "export", "--format", "der", "--out", out).output == ""
    assert out.read_bytes() == der
    result = run("ca", "export", "--format", "p12")
    assert (result.exit_code, result.stderr) == (2, "--format p12: there are pem, der\n")


def test_rotate_keeps_the_certificate_before(var: Path) -> None:
    before = (var / "ca" / "ca.pem").read_text()
    assert run("ca", "rotate").exit_code != 0, "nobody said yes"
    assert (var / "ca" / "ca.pem").read_text() == before
    result = run("ca", "rotate", "--yes")
    assert result.exit_code == 0
    assert result.output == (
        f"made {var}/ca/ca.pem; distribute it with the old one ('steering deploy' writes both),\n"
        "then restart the service, and end with 'steering ca rotate --finish'\n"
    )
    after = (var / "ca" / "ca.pem").read_text()
    assert after != before
    assert (var / "ca" / "previous.pem").read_text() == before
    assert run("ca", "export").output == after + before, "both, for the overlap"


def test_a_passphrase(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERING_CA_PASSPHRASE", "secret")
    other = var.parent / "other"
    assert run("ca", "rotate", "--yes", "--state", other).exit_code == 0
    assert b"ENCRYPTED" in (other / "ca" / "ca.key").read_bytes()
    assert run("ca", "show", "--state", other).exit_code == 0
    monkeypatch.setenv("STEERING_CA_PASSPHRASE", "wrong")
    assert run("ca", "show", "--state", other).exit_code == 1
    monkeypatch.delenv("STEERING_CA_PASSPHRASE")
    result = run("ca", "show", "--state", other)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_without_a_ca(var: Path) -> None:
    for command in ("show", "export"):
        result = run("ca", command, "--state", var.parent / "empty")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"there is no CA in {var.parent}/empty: 'steering init' or 'steering serve' makes one\n"


@pytest.mark.parametrize("file", ["ca.key", "ca.pem"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 100, None], ids=["empty", "binary", "missing"])
def test_what_is_broken_is_said(file: str, content: bytes | None, var: Path) -> None:
    path = var / "ca" / file
    path.unlink() if content is None else path.write_bytes(content)
    result = run("ca", "show")
    assert (result.exit_code, result.stdout) == (1, "")
    assert file in result.stderr or str(var / "ca") in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_key_that_others_can_read_is_refused(var: Path) -> None:
    (var / "ca" / "ca.key").chmod(0o640)
    result = run("ca", "show")
    assert result.exit_code == 1
    assert "can be read by others" in result.stderr
