"""Managed policies: whole files, others' policies kept, and undo to the byte."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from steering.endpoint.install import browsers
from tests.endpoint.install.ground import Authority, Ground, bare_environment, ground

PAC = "http://127.0.0.1:3129/proxy.pac"
CA = "/etc/steering/inspection-ca.pem"


def test_chromium_policy(authority: Authority) -> None:
    found = json.loads(browsers.chromium(PAC, authority.pem))
    base64 = "".join(authority.pem.splitlines()[1:-1])
    assert found == {
        "CACertificates": [base64],
        "ProxySettings": {"ProxyMode": "pac_script", "ProxyPacMandatory": True, "ProxyPacUrl": PAC},
    }


def test_firefox_keeps_the_policies_of_others(tmp_path: Path, authority: Authority) -> None:
    here = ground(tmp_path / "root", has=("firefox-esr",))
    theirs = {"policies": {"DisableTelemetry": True, "Certificates": {"Install": ["/theirs.pem"]}}}
    here.file(browsers.FIREFOX_POLICIES, json.dumps(theirs))
    before = here.snapshot()
    assert here.install(browsers.steps(here.machine, PAC, authority.pem, CA)) == []
    assert json.loads(here.machine.at(browsers.FIREFOX_POLICIES).read_text()) == {
        "policies": {
            "DisableTelemetry": True,
            "Certificates": {"Install": ["/theirs.pem", CA]},
            "Proxy": {"AutoConfigURL": PAC, "Locked": True, "Mode": "autoConfig"},
        }
    }
    assert here.uninstall() == []
    assert here.snapshot() == before


THERE = {
    "nothing": ((), (), []),
    "Chromium by its program": (("chromium",), (), ["etc/chromium/policies/managed/steering-endpoint.json"]),
    "Chrome by its folder": ((), ("/opt/google/chrome",), ["etc/opt/chrome/policies/managed/steering-endpoint.json"]),
    "Edge and Firefox": (
        ("microsoft-edge", "firefox"),
        (),
        ["etc/firefox/policies/policies.json", "etc/opt/edge/policies/managed/steering-endpoint.json"],
    ),
}


@pytest.mark.parametrize(("programs", "folders", "files"), THERE.values(), ids=THERE.keys())
def test_for_browsers_that_are_there(
    tmp_path: Path, authority: Authority, programs: tuple[str, ...], folders: tuple[str, ...], files: list[str]
) -> None:
    here = ground(tmp_path / "root", has=programs)
    for folder in folders:
        here.machine.at(folder).mkdir(parents=True)
    before = here.snapshot()
    assert here.install(browsers.steps(here.machine, PAC, authority.pem, CA)) == []
    written = [path for path, (_, content) in here.snapshot().items() if content is not None]
    assert [path for path in written if not path.startswith("var/")] == files
    here.uninstall()
    assert here.snapshot() == before


def test_one_user_alone_has_no_managed_policies(tmp_path: Path, authority: Authority) -> None:
    here = ground(tmp_path / "root", everybody=False, has=("chromium", "firefox"))
    assert browsers.steps(here.machine, PAC, authority.pem, CA) == ()


def browse(etc: Path, home: Path, *command: str) -> str:
    """What a browser prints that finds ``etc`` in place of this machine's."""
    home.mkdir(exist_ok=True)
    argv = ("unshare", "--mount", "sh", "-c", f'mount --bind {etc} /etc && exec "$@"', "sh", *command)
    return subprocess.run(argv, env=bare_environment(home), capture_output=True, text=True, timeout=120).stdout


def with_policies(tmp_path: Path, authority: Authority) -> Ground:
    """A machine whose /etc is a copy of this one's, with our policies for whatever browser there is."""
    here = ground(tmp_path / "root", has=("chromium", "firefox-esr"))
    subprocess.run(["cp", "-a", "/etc", str(here.machine.at("/etc"))], check=True)
    ca = here.machine.root / "ca.pem"
    ca.write_text(authority.pem)
    pac = "data:application/x-ns-proxy-autoconfig,function FindProxyForURL(){return 'DIRECT'}"
    assert here.install(browsers.steps(here.machine, pac, authority.pem, str(ca))) == []
    return here


@pytest.mark.needs("chromium", "unshare")
def test_chromium_trusts_by_policy(tmp_path: Path, authority: Authority, port: int) -> None:
    here = with_policies(tmp_path, authority)
    etc = here.machine.at("/etc")

    def page(name: str) -> str:
        flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / name}", "--dump-dom")
        return browse(etc, tmp_path / "home", "chromium", *flags, f"https://localhost:{port}/")

    assert ">ok<" in page("with")
    assert here.uninstall() == []
    assert ">ok<" not in page("without")


@pytest.mark.needs("firefox", "unshare")
def test_firefox_trusts_by_policy(tmp_path: Path, authority: Authority, port: int) -> None:
    """It takes the picture of a page that was loaded; of one that was not it takes none and waits."""
    here, picture, profile = with_policies(tmp_path, authority), tmp_path / "page.png", tmp_path / "profile"
    profile.mkdir()
    firefox = next(name for name in browsers.FIREFOX if shutil.which(name))
    words = (firefox, "--headless", "--no-remote", "--profile", str(profile), "--screenshot", str(picture))
    browse(here.machine.at("/etc"), tmp_path / "home", *words, f"https://localhost:{port}/")
    assert picture.stat().st_size > 0
