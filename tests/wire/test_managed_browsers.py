"""Real browsers that are told nothing but the policies that 'steering deploy' printed: proxy and CA are from there.

The folders of managed policies are laid over those of this machine, within the namespace alone.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steering.deploy.render import files_of
from steering.deploy.targets import TARGETS
from tests.deploy.ground import during_a_rotation
from tests.inspector.origin import origin_ca
from tests.service import STEERING, environment
from tests.wire.chromium import Page, chromium
from tests.wire.firefox import firefox
from tests.wire.world import CLIENT, CONTROL, INSPECTION_CA, ORIGIN_CA, ORIGIN_TEXT, World

pytestmark = pytest.mark.needs("unshare", "certutil")

# Host -> who signed what the browser sees.  Led by its resolver alone a browser would come from another address.
SEEN = {"inspected.example": INSPECTION_CA, "pin.example": ORIGIN_CA}


def deploy(world: World, folder: Path) -> Path:
    """Where the files are."""
    files = folder / "files"
    ended = world.command(
        *(*STEERING, "deploy", "--write", files),
        folder=world.service.folder,
        environment=environment(STEERING_CONTROL_PUBLIC_URL=CONTROL),
    )
    assert ended.code == 0, ended.err
    return files


@contextmanager
def laid_over(world: World, folder: Path, files: dict[str, Path]) -> Iterator[None]:
    """files: place -> what is to be found there, in a copy of /etc or of Mozilla's folder."""
    copies = {"/etc": folder / "etc", "/usr/lib/mozilla": folder / "mozilla"}
    for there, here in copies.items():
        assert world.command("mkdir", "-p", there).code == 0
        assert world.command("cp", "-a", there, here).code == 0
    for place, file in files.items():
        (top,) = (top for top in copies if place.startswith(top + "/"))
        target = copies[top] / place.removeprefix(top + "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    for there, here in copies.items():
        assert world.command("mount", "--bind", here, there).code == 0
    try:
        yield
    finally:
        for there in copies:
            assert world.command("umount", there).code == 0


def check(world: World, host: str, page: Page, place: int) -> None:
    assert (page.status, page.issuer, ORIGIN_TEXT in page.text) == (200, SEEN[host], True), page
    if SEEN[host] == INSPECTION_CA:
        assert world.lines.after(place, point="inspector", host=host, status=200)["client"] == CLIENT
    else:
        assert world.lines.since(place, point="inspector", host=host) == []


@pytest.mark.needs("chromium")
def test_chromium_with_the_managed_policy(world: World, tmp_path: Path) -> None:
    files = {"/etc/chromium/policies/managed/steering.json": deploy(world, tmp_path) / "chromium/steering-policy.json"}
    with (
        laid_over(world, tmp_path, files),
        world.space.holding(chromium(tmp_path / "browser", certificates=(origin_ca().file,))) as browser,
    ):
        for host in SEEN:
            place = world.lines.now()
            check(world, host, world.space.run(browser.load(f"https://{host}/")), place)


@pytest.mark.needs("firefox")
def test_firefox_with_its_policies(world: World, tmp_path: Path) -> None:
    made = deploy(world, tmp_path) / "firefox"
    files = {
        "/etc/firefox/policies/policies.json": made / "policies.json",
        "/usr/lib/mozilla/certificates/steering-ca.pem": made / "steering-ca.pem",
    }
    with (
        laid_over(world, tmp_path, files),
        world.space.holding(firefox(tmp_path / "browser", {}, certificates=(origin_ca().file,))) as browser,
    ):
        for host in SEEN:
            place = world.lines.now()
            check(world, host, world.space.run(browser.load(f"https://{host}/")), place)


@pytest.mark.needs("chromium")
def test_chromium_finds_no_fault_with_the_policy(world: World, tmp_path: Path) -> None:
    """Its own schema is compiled into it, and chrome://policy says what it makes of each policy."""
    made, wrong = tmp_path / "made.json", tmp_path / "wrong.json"
    made.write_text(files_of(TARGETS["chromium"], during_a_rotation())["steering-policy.json"])
    wrong.write_text(json.dumps({"HomepageIsNewTabPage": "perhaps", "NoSuchPolicy": 1}))
    files = {f"/etc/chromium/policies/managed/{path.name}": path for path in (made, wrong)}
    with laid_over(world, tmp_path, files), world.space.holding(chromium(tmp_path / "browser")) as browser:
        told = world.space.run(browser.policies())
    faults = {name: row.keys() & {"error", "warning", "ignored"} for name, row in told.items()}
    assert {name for name, found in faults.items() if found} == {"HomepageIsNewTabPage", "NoSuchPolicy"}
    ours = json.loads(made.read_text())
    assert {name: told[name]["value"] for name in ours} == ours
    assert {(told[name]["level"], told[name]["scope"]) for name in ours} == {("mandatory", "machine")}
    assert len(ours["CACertificates"]) == 2
