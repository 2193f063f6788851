"""Programs with a CA list of their own, each run for real: untrusted before, trusted after, untrusted after undo."""

import sys
from pathlib import Path

import pytest

from steering.endpoint.install import environment
from steering.endpoint.install.edits import EditError
from steering.endpoint.install.trust import bundle
from tests.endpoint.install.ground import Authority, Ground, bare_environment, ground, succeeds

PUBLIC = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

NODE = "require('https').get('https://localhost:PORT/', r => process.exit(0)).on('error', () => process.exit(1))"
PYTHON = "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('https://localhost:PORT/')"
REQUESTS = "import requests; requests.get('https://localhost:PORT/')"
PIP = ("-m", "pip", "--isolated", "download", "--no-deps", "--disable-pip-version-check", "--retries", "0")

# After reading ~/.profile, as a login shell does.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "curl": ("curl", "-sS", "https://localhost:PORT/"),
    "python": (sys.executable, "-c", PYTHON),
    "requests": (sys.executable, "-c", REQUESTS),
    "node": ("node", "-e", NODE),
}


@pytest.fixture
def here(tmp_path: Path) -> Ground:
    here = ground(tmp_path / "root", everybody=False)
    # The public CAs of this very machine, so that merging is real.
    system = next(Path(name) for name in bundle.SYSTEM_BUNDLES if Path(name).is_file())
    here.file("/etc/ssl/certs/ca-certificates.crt", system.read_text())
    here.file("/home/alice/.profile", "export GREETING=hello")  # no newline at its end
    here.file("/home/alice/.gitconfig", "[user]\n\tname = Alice\n[http]\n\tsslCAInfo = /nowhere.pem\n")
    return here


def in_login_shell(here: Ground, port: int, words: tuple[str, ...]) -> bool:
    home = here.machine.home
    shell = ("sh", "-c", '. "$HOME/.profile" && exec "$@"', "sh")
    argv = (*shell, *(word.replace("PORT", str(port)) for word in words))
    return succeeds(argv, bare_environment(home, no_proxy="localhost"))


@pytest.mark.needs("curl", "node", "git")
def test_every_program_for_real(here: Ground, authority: Authority, port: int) -> None:
    steps = (
        *bundle.steps(here.machine, authority.pem),
        *environment.steps(here.machine, bundle.variables(here.machine)),
    )

    def trusting() -> dict[str, bool]:
        return {name: in_login_shell(here, port, words) for name, words in PROGRAMS.items()}

    def git_ca() -> bool:
        # What it says of a server that holds no repository differs from what it says of one it does not trust.
        probe = f"git ls-remote https://localhost:{port}/x 2>&1 | grep -q 'certificate\\|CA cert'"
        return not succeeds(("sh", "-c", probe), bare_environment(here.machine.home, no_proxy="localhost"))

    before, nobody = here.snapshot(), dict.fromkeys(PROGRAMS, False)
    assert (trusting(), git_ca()) == (nobody, False)
    assert here.install(steps) == []
    assert (trusting(), git_ca()) == (dict.fromkeys(PROGRAMS, True), True)
    assert here.install(steps) == []
    assert here.uninstall() == []
    assert (trusting(), git_ca()) == (nobody, False)
    assert here.snapshot() == before


def test_public_cas_stay_in_the_bundle_and_ours_comes_once(tmp_path: Path, authority: Authority) -> None:
    here = ground(tmp_path / "root", everybody=False)
    here.file("/etc/ssl/cert.pem", PUBLIC)
    assert bundle.merged(here.machine, authority.pem) == PUBLIC + authority.pem
    here.file("/etc/ssl/cert.pem", PUBLIC + authority.pem)
    assert bundle.merged(here.machine, authority.pem) == PUBLIC + authority.pem


def test_without_public_cas_nothing_is_planned(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(EditError, match="ca-certificates"):
        bundle.steps(ground(tmp_path / "root", everybody=False).machine, authority.pem)


def test_for_everybody_it_is_the_system_s_own(tmp_path: Path, authority: Authority) -> None:
    here = ground(tmp_path / "root", has=("update-ca-certificates",))
    here.machine.at("/usr/local/share/ca-certificates").mkdir(parents=True)
    path = str(here.machine.at("/etc/ssl/certs/ca-certificates.crt"))
    assert bundle.variables(here.machine) == {
        "SSL_CERT_FILE": path,
        "REQUESTS_CA_BUNDLE": path,
        "CURL_CA_BUNDLE": path,
        "PIP_CERT": path,
        "CONDA_SSL_VERIFY": path,
        "AWS_CA_BUNDLE": path,
        "CARGO_HTTP_CAINFO": path,
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": path,
        "NODE_EXTRA_CA_CERTS": path,
        "DENO_CERT": path,
        "NODE_USE_SYSTEM_CA": "1",
        "DENO_TLS_CA_STORE": "system,mozilla",
        "UV_SYSTEM_CERTS": "true",
        "UV_NATIVE_TLS": "true",
    }
    assert here.install(bundle.steps(here.machine, authority.pem)) == []
    text = here.machine.at("/etc/gitconfig").read_text()
    assert f'[http]\n\tsslCAInfo = "{path}"\n' in text


def test_an_outdated_bundle_is_told_and_made_anew(here: Ground, authority: Authority) -> None:
    steps = bundle.steps(here.machine, authority.pem)
    here.install(steps)
    here.file("/etc/ssl/certs/ca-certificates.crt", PUBLIC)
    fresh = bundle.steps(here.machine, authority.pem)
    assert here.carrier.verify(fresh[0]) == f"{bundle.bundle_path(here.machine)} is not as it was set"
    assert here.install(fresh) == []
    path = bundle.bundle_path(here.machine)
    assert path is not None
    assert path.read_text() == PUBLIC + authority.pem


def test_windows_has_no_bundle(tmp_path: Path, authority: Authority) -> None:
    machine = ground(tmp_path / "root", system="windows").machine
    assert bundle.steps(machine, authority.pem) == ()
    assert "SSL_CERT_FILE" not in bundle.variables(machine)
