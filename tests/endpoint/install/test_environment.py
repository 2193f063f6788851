"""Variables for sessions and shells: as text, and as a real shell reads them."""

import subprocess
from pathlib import Path

import pytest

from steering.endpoint.install import environment
from steering.endpoint.install.actions import Edit, RegistryValue
from tests.endpoint.install.ground import ground

PROXY = environment.proxy_variables("127.0.0.1:3129", ("corp.example",))
NEVER = "localhost,127.0.0.1,::1,.corp.example"


def test_proxy_variables() -> None:
    assert PROXY == {
        "http_proxy": "http://127.0.0.1:3129",
        "https_proxy": "http://127.0.0.1:3129",
        "no_proxy": NEVER,
        "HTTP_PROXY": "http://127.0.0.1:3129",
        "HTTPS_PROXY": "http://127.0.0.1:3129",
        "NO_PROXY": NEVER,
        "NODE_USE_ENV_PROXY": "1",
    }


@pytest.mark.parametrize("value", ["plain", "with space", 'quote " here', "$HOME `id` \\ end"])
def test_a_shell_reads_what_was_meant(value: str) -> None:
    script = environment.shell({"X": value}) + 'printf %s "$X"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout == value


FILES = {
    ("linux", True): ["etc/environment.d/60-steering-endpoint.conf", "etc/profile.d/60-steering-endpoint.sh"],
    ("linux", False): ["home/alice/.config/environment.d/60-steering-endpoint.conf", "home/alice/.profile"],
    ("macos", True): ["etc/zprofile"],
    ("macos", False): ["home/alice/.zprofile"],
}


@pytest.mark.parametrize(("system", "everybody"), FILES)
def test_where_it_is_written(tmp_path: Path, system: str, everybody: bool) -> None:
    machine = ground(tmp_path / "root", system="linux" if system == "linux" else "macos", everybody=everybody).machine
    (step,) = environment.steps(machine, PROXY)
    paths = [Path(action.path) for action in step.actions if isinstance(action, Edit)]
    assert [str(path.relative_to(machine.root)) for path in paths] == FILES[system, everybody]


def test_session_file(tmp_path: Path) -> None:
    here = ground(tmp_path / "root")
    assert here.install(environment.steps(here.machine, {"A": "1", "B": 'x"y'})) == []
    assert here.machine.at("/etc/environment.d/60-steering-endpoint.conf").read_text() == 'A="1"\nB="x\\"y"\n'
    assert here.machine.at("/etc/profile.d/60-steering-endpoint.sh").read_text() == 'export A="1"\nexport B="x\\"y"\n'


@pytest.mark.parametrize(
    ("everybody", "key"),
    [(True, r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"), (False, r"HKCU\Environment")],
)
def test_windows_plan(tmp_path: Path, everybody: bool, key: str) -> None:
    """Constructed, not recorded.  Names differ there by more than case."""
    machine = ground(tmp_path / "root", system="windows", everybody=everybody).machine
    (step,) = environment.steps(machine, {"http_proxy": "x", "HTTP_PROXY": "x", "NO_PROXY": "y"})
    assert step.actions == tuple(
        RegistryValue(key=key, value_name=name, type="REG_SZ", value=value)
        for name, value in (("HTTP_PROXY", "x"), ("NO_PROXY", "y"))
    )


GENERATOR = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("value", ["plain", "a$HOME", "a$$b", 'say "x"', "back\\slash", "tick`s", "a b"])
def test_what_systemd_reads_is_what_was_meant(tmp_path: Path, value: str) -> None:
    folder = tmp_path / "environment.d"
    folder.mkdir()
    (folder / "10-x.conf").write_text(environment.session({"STEERING_X": value}))
    around = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/h", "PATH": "/usr/bin:/bin"}
    ended = subprocess.run([GENERATOR], env=around, capture_output=True, text=True, check=True)
    shown = next(line for line in ended.stdout.splitlines() if line.startswith("STEERING_X="))
    read = subprocess.run(["sh", "-c", f'{shown}; printf %s "$STEERING_X"'], capture_output=True, text=True, check=True)
    assert read.stdout == value
