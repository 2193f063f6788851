"""``steering deploy``: every file for the configuration that is there, printed, written or listed."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from steering.cli.deploy import PLACEHOLDER
from steering.deploy.targets import TARGETS
from tests.cli.runner import nowhere, run

SERVICE = """
[policy]
internal_zones = ["corp.test-zone.example"]
[control]
listen = "192.0.2.5:80"
public_url = "http://steering.corp.test-zone.example"
[inspector]
listen = "192.0.2.5:3128"
[dns]
listen = "192.0.2.5:53"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of a whole service, with a CA."""
    nowhere(tmp_path, monkeypatch)
    monkeypatch.delenv("STEERING_CA_PASSPHRASE", raising=False)
    monkeypatch.setattr("steering.deploy.facts.HIDDEN", ())  # where the tests' folders lie
    assert run("init", "var").exit_code == 0
    (tmp_path / "var" / "steering.toml").unlink()
    (tmp_path / "steering.toml").write_text(SERVICE)
    return tmp_path


def test_the_list_names_all() -> None:
    result = run("deploy", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(TARGETS)
    assert "not yet" not in result.stdout
    rows = json.loads(run("deploy", "list", "--json").stdout)
    assert [row["name"] for row in rows] == list(TARGETS)
    assert list(rows[0]) == ["name", "title", "does", "use", "undo", "lacking"]


def test_one_file_can_be_sent_where_it_belongs() -> None:
    result = run("deploy", "dhcp-dnsmasq")
    assert result.stdout == 'dhcp-option=252,"http://steering.corp.test-zone.example/proxy.pac"\n'
    target = TARGETS["dhcp-dnsmasq"]
    assert result.stderr == f"{target.does}\nUse: {target.use}\nUndo: {target.undo}\n"


def test_several_files_are_told_apart() -> None:
    lines = run("deploy", "wpad-bind").stdout.splitlines()
    assert [line for line in lines if line.startswith("==>")] == ["==> db.wpad <==", "==> named.conf.wpad <=="]
    assert "@ IN A 192.0.2.5" in lines
    assert 'zone "wpad.corp.test-zone.example" {' in lines


def test_units_of_this_very_service(folder: Path) -> None:
    (folder / "steering.toml").write_text(SERVICE + '[log]\naccess = "logs/access.log"\n')
    document = json.loads(run("deploy", "systemd", "--json").stdout)
    files = document["targets"][0]["files"]
    lines = files["steering.service"].splitlines()
    program = Path(sys.executable).with_name("steering")
    assert f"ExecStart={program} serve --config {folder}/steering.toml" in lines
    assert [line for line in lines if "Path" in line or "State" in line] == [
        f"ReadWritePaths={folder}/var",
        f"ReadWritePaths={folder}/logs",
    ]
    assert [line for line in files["steering.socket"].splitlines() if line.startswith("Listen")] == [
        "ListenStream=192.0.2.5:80",
        "ListenStream=192.0.2.5:3128",
        "ListenStream=127.0.0.1:8443",
        "ListenStream=127.0.0.1:8081",
        "ListenDatagram=192.0.2.5:53",
        "ListenStream=192.0.2.5:53",
    ]
    elsewhere = run("deploy", "systemd", "--program", "/opt/steering/bin/steering").stdout
    assert "ExecStart=/opt/steering/bin/steering serve" in elsewhere


def test_all_of_them() -> None:
    result = run("deploy")
    assert (result.exit_code, result.stderr) == (0, "")
    for target in TARGETS.values():
        assert (
            f"# {target.name}: {target.title}\n{target.does}\nUse: {target.use}\nUndo: {target.undo}\n" in result.stdout
        )
    assert "PRIVATE KEY" not in result.stdout


def test_json() -> None:
    document = json.loads(run("deploy", "--json").stdout)
    assert (document["pac_url"], document["notes"]) == ("http://steering.corp.test-zone.example/proxy.pac", [])
    assert [row["name"] for row in document["targets"]] == list(TARGETS)
    assert all(row["files"] for row in document["targets"])


def test_a_rotation_gives_both(folder: Path) -> None:
    before = run("ca", "export").stdout
    assert run("ca", "rotate", "--yes").exit_code == 0
    both = run("ca", "export").stdout
    assert both.endswith(before) and both.count("BEGIN") == 2
    files = json.loads(run("deploy", "firefox", "--json").stdout)["targets"][0]["files"]
    assert files["steering-ca.pem"] + files["steering-ca-before.pem"] == both
    done = run("ca", "rotate", "--finish")
    assert (done.exit_code, done.stderr) == (0, "")
    files = json.loads(run("deploy", "firefox", "--json").stdout)["targets"][0]["files"]
    assert "steering-ca-before.pem" not in files and files["steering-ca.pem"] == both.removesuffix(before)
    again = run("ca", "rotate", "--finish")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "no rotation to finish" in again.stderr


def test_written() -> None:
    result = run("deploy", "--write", "out")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{len(TARGETS)} folders in out: begin with out/README.md\n"
    files = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    every = {f"{name}/{file}" for name, target in TARGETS.items() for file in target.files}
    assert files == {"README.md", *(file for file in every if "before" not in file)}
    readme = Path("out/README.md").read_text()
    assert all(f"]({file})" in readme for file in files - {"README.md"})
    assert all(target.undo in readme for target in TARGETS.values())
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in Path("out").rglob("*") if path.is_file()}
    assert (modes[".sh"], modes[".json"], stat.S_IMODE(Path("out").stat().st_mode)) == (0o700, 0o600, 0o700)
    assert run("deploy", "gnome", "--write", "out", "--zone", "x.example").exit_code == 0, "once more over it"


@pytest.mark.needs("openssl")
def test_profiles_are_signed(folder: Path) -> None:
    key, certificate = folder / "key", folder / "certificate"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x")
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    signing = ("--sign-key", key, "--sign-certificate", certificate)
    assert run("deploy", "--write", "out", *signing).exit_code == 0
    for name in ("apple-macos", "apple-ios", "ca-ios"):
        (file,) = (folder / "out" / name).iterdir()
        verify = ("openssl", "cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", file)
        done = subprocess.run(verify, check=True, capture_output=True)
        assert done.stdout == run("deploy", name).stdout_bytes
    missing = run("deploy", "--write", "out", "--sign-key", folder / "none", "--sign-certificate", certificate)
    assert missing.exit_code != 0


def test_a_groups_pac() -> None:
    for token in ("s3cret", "/p/s3cret/proxy.pac"):  # as 'steering pac token add' prints it
        assert "example/p/s3cret/proxy.pac\n" in run("deploy", "kde", "--token", token).stdout
    result = run("deploy", "kde", "--group", "sales")
    assert f"/p/{PLACEHOLDER}/proxy.pac" in result.stdout
    assert f"note: {PLACEHOLDER} stands for the token that 'steering pac token add sales' makes\n" in result.stderr


def test_given_on_the_command_line() -> None:
    given = ("--address", "198.51.100.1", "--zone", "other.example", "--resolver", "198.51.100.2")
    assert run("deploy", "wpad-dnsmasq", *given).stdout == "host-record=wpad.other.example,wpad,198.51.100.1\n"
    assert run("deploy", "resolver-isc", *given).stdout == "option domain-name-servers 198.51.100.2;\n"
    assert "<string>Example AG</string>" in run("deploy", "ca-ios", "--organisation", "Example AG").stdout


def test_what_lacks_is_left_out_of_all_and_an_error_alone(folder: Path) -> None:
    (folder / "steering.toml").write_text("")
    (folder / "var" / "ca").rename(folder / "ca")
    result = run("deploy")
    assert result.exit_code == 0
    assert "left out ca-git: there is no certificate authority yet" in result.stderr
    assert "note: no other machine reaches a loopback address" in result.stderr
    assert "not yet" in run("deploy", "list").stdout
    alone = run("deploy", "ca-git")
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert alone.stderr.startswith("ca-git: there is no certificate authority yet")


def test_every_address_is_no_address(folder: Path) -> None:
    (folder / "steering.toml").write_text(SERVICE.replace('"192.0.2.5:80"', '"0.0.0.0:80"'))
    result = run("deploy", "wpad-bind")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--address" in result.stderr


WRONG = {
    "no such target": ("nonsense",),
    "two claims": ("kde", "--token", "a", "--group", "b"),
    "a list in a folder": ("list", "--write", "out"),
    "a key alone": ("--write", "out", "--sign-key", "x"),
    "nothing to sign into": ("apple-ios", "--sign-key", "x", "--sign-certificate", "y"),
    "no address": ("wpad-bind", "--address", "here"),
    "no zone": ("wpad-bind", "--zone", "a b"),
    "no name": ("ca-ios", "--organisation", "a\nb"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use(case: str) -> None:
    result = run("deploy", *WRONG[case])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_a_ca_that_cannot_be_used_is_no_missing_ca(folder: Path) -> None:
    (folder / "var" / "ca" / "ca.pem").write_text("broken")
    result = run("deploy", "ca-git")
    assert (result.exit_code, result.stdout) == (1, "")
