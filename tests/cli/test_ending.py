"""Whatever happens to a command: its code, one line of its own at most, never a traceback."""

import contextlib
import io
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from steering.cli import ending
from steering.cli.commands import app
from steering.control.errors import StateError
from steering.policy.errors import RulesError
from tests.cli.runner import STEERING, a_copy, nowhere
from tests.kit import wait_until
from tests.service import environment


def breaks(name: str) -> Callable[[Path], object]:
    """What is wrong with rules.json or steering.toml in the folder."""
    return {
        "missing": lambda folder: (folder / "rules.json").unlink(),
        "folder": lambda folder: [(folder / "rules.json").unlink(), (folder / "rules.json").mkdir()],
        "loop": lambda folder: [(folder / "rules.json").unlink(), (folder / "rules.json").symlink_to("rules.json")],
        "empty": lambda folder: (folder / "rules.json").write_bytes(b""),
        "binary": lambda folder: (folder / "rules.json").write_bytes(bytes(range(256)) * 40),
        "huge": lambda folder: os.truncate(folder / "rules.json", 64 * 1024 * 1024 + 1),
        "toml": lambda folder: (folder / "steering.toml").write_text("[policy\nrules ="),
        "toml-binary": lambda folder: (folder / "steering.toml").write_bytes(b"\xff\x00"),
        "toml-unknown": lambda folder: (folder / "steering.toml").write_text('[policy]\nrule = "x"'),
        "toml-value": lambda folder: (folder / "steering.toml").write_text('[inspector]\nlisten = "here"'),
    }[name]


RULES = ("missing", "folder", "loop", "empty", "binary", "huge")
TOML = ("toml", "toml-binary", "toml-unknown", "toml-value")
READING = {
    "check": ["check"],
    "explain": ["explain", "zoom.us"],
    "pac": ["pac"],
    "list": ["rules", "list"],
    "disable": ["rules", "disable", "Bypass Zoom - Pre-configured"],
    "add": ["rules", "add", "mine", "--domain", "mine.example.com"],
    "catalog": ["catalog", "add", "zoom"],
}
CONFIGURED = {"status": ["status"], "reload": ["reload"], "ca": ["ca", "show"], "serve": ["serve"]}
CASES = [
    *((command, wrong) for command in READING for wrong in ("missing", "binary", "toml")),
    *((command, wrong) for command in ("check", "add") for wrong in RULES),
    *((command, wrong) for command in CONFIGURED for wrong in ("toml",)),
    *(("explain", wrong) for wrong in TOML),
]
# Errors of a rules file are findings of check's.
ONE = {("check", "empty"), ("check", "binary"), ("check", "huge")}


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run a command in this process as the program would, streams of its own; what is no line of ours is raised."""
    nowhere(tmp_path, monkeypatch)

    def run(*arguments: str) -> Ended:
        return run_it(lambda: app(list(arguments), prog_name="steering"), monkeypatch)

    return run


def run_it(call: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        code = ending.ended(call)
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(("command", "wrong"), list(dict.fromkeys(CASES)))
def test_a_file_that_is_wrong(command: str, wrong: str, tmp_path: Path, end: Callable[..., Ended]) -> None:
    a_copy(tmp_path)
    breaks(wrong)(tmp_path)
    ended = end(*(READING | CONFIGURED)[command])
    assert ended.code == (1 if (command, wrong) in ONE else 2), ended.stderr
    said = ended.stdout if (command, wrong) in ONE else ended.stderr
    assert ("steering.toml" if wrong in TOML else "rules.json") in said
    assert len(said.splitlines()) == 1 or (wrong in ("empty", "binary", "huge") and len(said) < 20_000)


def test_no_service_runs(tmp_path: Path, end: Callable[..., Ended]) -> None:
    a_copy(tmp_path)
    for command in (["status"], ["reload"], ["pac", "token", "list"], ["pac", "token", "add", "g"]):
        ended = end(*command)
        assert ended.code == 1
        assert ended.stderr.startswith(f"no service answers on {tmp_path}/var/steering.sock")
        assert len(ended.stderr.splitlines()) == 1
    assert end("explain", "zoom.us", "--live").code == 2


@pytest.mark.needs("root")
def test_permission_denied(tmp_path: Path) -> None:
    """As a user who may neither read the rules nor write the folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        a_copy(folder).chmod(0o600)
        folder.chmod(0o755)
        for command in (["check"], ["rules", "add", "mine", "--domain", "mine.example.com"], ["init", "there"]):
            ended = subprocess.run(
                [sys.executable, "-P", "-c", AS_NOBODY, *command], cwd=folder, env=environment(),
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert (ended.returncode, ended.stdout) == (2, "")
            assert "Permission denied" in ended.stderr
            assert len(ended.stderr.splitlines()) == 1


# Imports while it may still read the checkout.
AS_NOBODY = """
import os
from steering.cli import main
import steering.cli.commands, steering.catalog
steering.catalog.load_categories()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main()
"""


COMMANDS = [["check"], ["pac"]]  # one prints by rich, the other by typer


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nobody_reads(command: list[str], tmp_path: Path) -> None:
    """The reader is gone before anything is written: no message, and no code that means a finding."""
    a_copy(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        ended = subprocess.run(
            [*STEERING, *command], cwd=tmp_path, env=environment(), stdout=out, stderr=subprocess.PIPE, timeout=60
        )
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.needs("linux")
def test_the_disk_is_full(command: list[str], tmp_path: Path) -> None:
    a_copy(tmp_path)
    with Path("/dev/full").open("wb") as out:
        ended = subprocess.run(
            [*STEERING, *command], cwd=tmp_path, env=environment(), stdout=out, stderr=subprocess.PIPE, timeout=60
        )
    assert (ended.returncode, ended.stderr) == (2, b"steering: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    line = f'"$@" {closed}'
    ended = subprocess.run(
        ["sh", "-c", line, "sh", *STEERING, "rules", "add", "mine", "--domain", "mine.example.com"],
        cwd=tmp_path, env=environment(), capture_output=True, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b'"mine.example.com"' in path.read_bytes()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_letters_that_the_terminal_lacks(encoding: str, tmp_path: Path) -> None:
    a_copy(tmp_path)
    target = "日本.example"
    ended = subprocess.run(
        [*STEERING, "explain", target], cwd=tmp_path, env=environment(PYTHONIOENCODING=encoding),
        capture_output=True, timeout=60,
    )  # fmt: skip
    shown = target.encode(encoding, "backslashreplace")
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (0, b"xn--wgv71a.example (" + shown + b"): inspect")


@contextlib.contextmanager
def on_a_terminal(*arguments: str, cwd: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A command whose standard streams are a terminal, and the terminal's other side."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*STEERING, *arguments], cwd=cwd, env=environment(TERM="xterm"), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


def read_until(descriptor: int, mark: bytes) -> bytes:
    found = b""

    def more() -> bool:
        nonlocal found
        found += os.read(descriptor, 4096)
        return mark in found

    wait_until(more, 30, mark.decode())
    return found


def test_ctrl_c_at_a_question(tmp_path: Path) -> None:
    a_copy(tmp_path)
    with on_a_terminal("ca", "rotate", cwd=tmp_path) as (process, terminal):
        read_until(terminal, b"Go on?")
        assert _interrupted(process) in (1, 130)
        assert b"Traceback" not in os.read(terminal, 4096)
    assert not (tmp_path / "var").exists()


def _interrupted(process: "subprocess.Popen[bytes]") -> int:
    """Ctrl-C as people press it: again where the first came just before the program began to wait."""
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(3)
    raise AssertionError("it does not end")


def test_ctrl_c_while_it_starts(tmp_path: Path) -> None:
    """Importing takes a while; the signal comes in the middle of it."""
    program = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'steering.cli.commands':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from steering.cli import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment(), capture_output=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (None, 0, ""),
        (SystemExit(), 0, ""),
        (SystemExit(1), 1, ""),
        (SystemExit(2), 2, ""),
        (SystemExit("words"), 2, ""),
        (KeyboardInterrupt(), 130, ""),
        (OSError(13, "Permission denied", "/x/y"), 2, "steering: /x/y: Permission denied\n"),
        (OSError(13, "Permission denied", b"/x/y"), 2, "steering: /x/y: Permission denied\n"),
        (OSError(28, "No space left on device"), 2, "steering: No space left on device\n"),
        (OSError("words"), 2, "steering: words\n"),
        (StateError("the folder"), 2, "steering: the folder\n"),
        (RulesError("the rules"), 2, "steering: the rules\n"),
    ],
    ids=repr,
)
def test_codes(raised: BaseException | None, code: int, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> None:
        if raised is not None:
            raise raised

    assert run_it(run, monkeypatch) == Ended(code, "", says)


def test_a_mistake_of_the_program_stays_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_it(run, monkeypatch)
