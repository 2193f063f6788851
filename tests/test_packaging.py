"""What is shipped works: a wheel built from the sdist holds everything, an editable install follows the checkout.

The traps behind each case are told in docs/decisions.md, Packaging.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from steering.control.listening import Role
from tests.kit import ROOT, wait_until
from tests.tree import PACKAGE_ROOTS

# What a wheel carries beside the packages, and where.
DATA = {
    "deploy/templates": "steering/_data/deploy/templates",
    "pac_templates": "steering/_data/pac_templates",
    "rules.json": "steering/_data/rules.json",
}


def run(*command: str | Path, cwd: Path, ok: bool = True) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    if ok:
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def tracked(*folders: str) -> list[Path]:
    """The files of the checkout under ``folders``, without what tools leave behind."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*"))]
    return [
        path.relative_to(ROOT)
        for path in found
        if path.is_file() and not {"__pycache__", ".mypy_cache", "node_modules"} & set(path.parts)
    ]


def expected_in_wheel() -> set[str]:
    files = set()
    for folder, packages in PACKAGE_ROOTS.items():
        for package in packages:
            base = Path(folder) / package
            files |= {f"{package}/{path.relative_to(base).as_posix()}" for path in tracked(str(base))}
    for folder in ("deploy/templates", "pac_templates"):
        files |= {f"{DATA[folder]}/{path.relative_to(folder).as_posix()}" for path in tracked(folder)}
    files.add(DATA["rules.json"])
    return files


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and the wheel that was built from that sdist: what ``python -m build`` makes by default."""
    folder = tmp_path_factory.mktemp("dist")
    copy = tmp_path_factory.mktemp("checkout") / "steering"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".deps", "var", ".*_cache", "__pycache__")
    )
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, copy, cwd=copy)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def make_environment(folder: Path) -> Path:
    """A virtual environment that sees the dependencies of this one, but not this checkout.  Returns its python."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    site = Path(
        run(folder / "bin" / "python", "-c", "import site; print(site.getsitepackages()[0])", cwd=folder.parent).strip()
    )
    # Dependencies by link, so that no .pth of an editable install comes along.
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.suffix != ".pth" and not entry.name.lower().startswith(("steering", "_steering", "__pycache__")):
            (site / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment in which the wheel is installed."""
    python = make_environment(tmp_path_factory.mktemp("installed") / "venv")
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=wheel.parent)
    return python


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A python with an editable install, and the checkout that it follows."""
    checkout = tmp_path_factory.mktemp("editable") / "checkout"
    shutil.copytree(
        ROOT, checkout, ignore=shutil.ignore_patterns(".git", ".venv", ".deps", "var", ".*_cache", "__pycache__")
    )
    python = make_environment(checkout.parent / "venv")
    run(
        python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--editable", checkout, cwd=checkout.parent
    )
    return python, checkout


def test_a_wheel_built_from_the_sdist_holds_every_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected_in_wheel()


def test_the_sdist_can_be_tested(dist: Path) -> None:
    """Whoever packages Steering for a distribution runs the tests from the sdist."""
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    folders = ("tests", "tools", "docs", "steering", "dns", "inspector", "pac_templates", "deploy")
    wanted = {str(path) for path in tracked(*folders)}
    assert wanted - names == set()
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "rules.json"} <= names


def test_no_file_of_the_wheel_stands_in_a_foreign_package(wheel: Path) -> None:
    """pip merges a top-level ``dns/`` into dnspython's without a word."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" not in name}
    assert tops == {package for packages in PACKAGE_ROOTS.values() for package in packages}


# Each was lost at least once by somebody's packaging: data of a subpackage, of another import root, of the root folder.
EASILY_LOST = (
    "steering/_data/pac_templates/base.js.j2",
    "steering/_data/rules.json",
    "steering/catalog/apps/zoom.json",
    "steering/control/page.html.j2",
    "steering/policy/rules.schema.json",
    "steering/py.typed",
    "steering_dns/py.typed",
    "steering_inspector/page.html.j2",
)


def test_a_wheel_holds_what_is_easily_lost(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert set(EASILY_LOST) - set(archive.namelist()) == set()


def test_an_installed_wheel_runs_from_any_folder(installed: Path, tmp_path: Path) -> None:
    said = run(installed.parent / "steering", "--help", cwd=tmp_path)
    assert "serve" in said
    assert "explain" in said
    explained = run(installed.parent / "steering", "explain", "--help", cwd=tmp_path)
    assert "--program" in explained


def test_an_installed_wheel_says_its_version(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert run(installed.parent / "steering", "--version", cwd=tmp_path) == f"steering {version}\n"


def test_an_installed_wheel_makes_and_explains_a_policy(installed: Path, tmp_path: Path) -> None:
    """Starter rules, catalog, categories and PAC templates are all read on the way."""
    steering = installed.parent / "steering"
    run(steering, "init", "made", cwd=tmp_path)
    rules = tmp_path / "made" / "rules.json"
    assert rules.read_text("utf-8") == (ROOT / "rules.json").read_text("utf-8")
    assert "can be enforced" in run(steering, "check", rules, cwd=tmp_path)
    assert run(steering, "explain", "zoom.us", "--rules", rules, cwd=tmp_path).startswith("zoom.us: bypass\n")
    assert "FindProxyForURL" in run(steering, "pac", "--rules", rules, cwd=tmp_path)
    assert "signal" in run(steering, "catalog", "list", cwd=tmp_path)


def test_an_installed_wheel_serves(installed: Path, tmp_path: Path) -> None:
    """As docs/deploy/linux.md has it: a program that nobody's checkout is needed for, configuration and state apart."""
    steering, config = installed.parent / "steering", ("--config", "etc/steering.toml")
    run(steering, "init", "etc", "--state", "state", cwd=tmp_path)
    listens = {
        f"STEERING_{name}": "127.0.0.1:0"
        for name in (
            "CONTROL_LISTEN",
            "INSPECTOR_LISTEN",
            "INSPECTOR_TLS_LISTEN",
            "INSPECTOR_HTTP_LISTEN",
            "DNS_LISTEN",
        )
    }
    environment = {"PATH": "/usr/bin:/bin", "STEERING_DNS_UPSTREAMS": "udp://127.0.0.1:9", **listens}
    with (tmp_path / "log").open("wb") as log:
        service = subprocess.Popen([steering, "serve", *config], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: "ready: policy" in run(steering, "status", "--ready", *config, cwd=tmp_path, ok=False), 60)
        told = json.loads(run(steering, "status", "--json", *config, cwd=tmp_path))
        with urllib.request.urlopen(f"http://{told['addresses'][Role.CONTROL.value]}/proxy.pac") as answer:
            assert b"FindProxyForURL" in answer.read()
        assert told["state"] == "ok" and (tmp_path / "state" / "ca" / "ca.key").exists()
    finally:
        service.terminate()
        assert service.wait(30) == 0, (tmp_path / "log").read_text()


SHOWS_PAGES = """
from steering.control.page import render_page
from steering.control.status import Status
from steering_inspector.pages import page
print(render_page(Status(), "http://127.0.0.1:8080"))
print(page(403, "blocked", host="x.example", why="", rule=None, request_id="1").decode())
"""


def test_an_installed_wheel_shows_its_pages(installed: Path, tmp_path: Path) -> None:
    said = run(installed, "-c", SHOWS_PAGES, cwd=tmp_path)
    assert said.count("<!doctype html>") == 2


FINDS = """
from steering import resources
import steering, steering_dns, steering_inspector
print(steering.__file__)
print(len(resources.starter_rules().read_text("utf-8")))
print(sorted(entry.name for entry in resources.pac_templates().iterdir() if entry.name.endswith(".j2")))
"""


def finds(python: Path, cwd: Path) -> list[str]:
    return run(python, "-c", FINDS, cwd=cwd).splitlines()


def shipped() -> list[str]:
    templates = sorted(path.name for path in (ROOT / "pac_templates").glob("*.j2"))
    return [str(len((ROOT / "rules.json").read_text("utf-8"))), str(templates)]


def test_an_installed_wheel_finds_its_files(installed: Path, tmp_path: Path) -> None:
    where, *files = finds(installed, tmp_path)
    assert str(installed.parent.parent) in where
    assert files == shipped()


def test_a_wheel_finds_its_files_without_being_unpacked(wheel: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(wheel)!r})\n" + FINDS.replace("steering_dns, steering_inspector", "os")
    where, *files = run(sys.executable, "-I", "-c", code, cwd=tmp_path).splitlines()
    assert str(wheel) in where
    assert files == shipped()


def test_a_bare_checkout_finds_its_files(tmp_path: Path) -> None:
    """Nothing installed but the dependencies, the three roots on the path: as pytest's ``pythonpath`` has it."""
    python = make_environment(tmp_path / "venv")
    roots = [str(ROOT), str(ROOT / "dns"), str(ROOT / "inspector")]
    where, *files = run(python, "-c", f"import sys; sys.path[:0] = {roots}\n{FINDS}", cwd=tmp_path).splitlines()
    assert where == str(ROOT / "steering" / "__init__.py")
    assert files == shipped()


def test_an_editable_install_follows_the_checkout(editable: tuple[Path, Path], tmp_path: Path) -> None:
    python, checkout = editable
    where, *files = finds(python, tmp_path)
    assert str(checkout) in where
    assert files == shipped()
    rules = checkout / "rules.json"
    rules.write_text("{}")
    try:
        assert finds(python, tmp_path)[1] == "2", "an edit takes effect at once"
    finally:
        shutil.copy(ROOT / "rules.json", rules)


DNSPYTHON = "import dns.resolver, dns.version; print(dns.resolver.__file__)"


@pytest.mark.parametrize("command", [("-c", DNSPYTHON), ("-P", "-c", DNSPYTHON)], ids=["from the root", "isolated"])
def test_dnspython_stays_importable_beside_us(command: tuple[str, ...]) -> None:
    assert "dnspython" not in run(sys.executable, *command, cwd=ROOT)
    assert "site-packages/dns/" in run(sys.executable, *command, cwd=ROOT)


def test_dnspython_stays_importable_beside_an_editable_install(editable: tuple[Path, Path]) -> None:
    python, checkout = editable
    assert "site-packages/dns/" in run(python, "-c", DNSPYTHON, cwd=checkout)


def test_dnspython_survives_our_removal(wheel: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv")
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    run(python, "-m", "pip", "uninstall", "--yes", "steering", cwd=tmp_path)
    assert "site-packages/dns/" in run(python, "-c", DNSPYTHON, cwd=tmp_path)


def hiding(root: Path) -> list[str]:
    """The files that would hide dnspython's package, or make two test modules of one name collide."""
    found: Iterable[Path] = [root / "dns" / "__init__.py", root / "inspector" / "__init__.py"]
    found = [*found, *(root / "tests").rglob("__init__.py")]
    return [str(path.relative_to(root)) for path in found if path.exists()]


def test_nothing_hides_dnspython() -> None:
    assert hiding(ROOT) == []
    assert (ROOT / "steering" / "__init__.py").exists(), "without it an editable install finds a stale copy of _data"


@pytest.mark.parametrize("package", ["steering", "dns/steering_dns", "inspector/steering_inspector"])
def test_packages_are_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
    assert (ROOT / package / "__init__.py").exists()
