"""Doing a step's actions, seeing whether they are in force, and undoing them by the journal."""

import base64
import difflib
import hashlib
import os
import shlex
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from steering.endpoint.errors import EndpointError
from steering.endpoint.install.actions import ACTION, Argv, Command, Edit, Setting, Step
from steering.endpoint.install.journal import Entry, Journal, Kept

_WAIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A program that has ended.  code 127: there is no such program."""

    code: int
    out: str = ""
    err: str = ""


Run = Callable[[Argv], Ended]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """problem: "" where the step is in force (or undone)."""

    step: str
    changed: bool
    problem: str = ""


def run_program(argv: Argv) -> Ended:
    """The one that really runs it, in C locale.  Never raises."""
    try:
        ended = subprocess.run(  # noqa: S603  the words of our own plans
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_WAIT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return Ended(code=127, err=f"there is no program {argv[0]}")
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Ended(code=126, err=str(exc))
    return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)


def is_done(action: Edit | Command | Setting, run: Run = run_program) -> bool:
    """Whether there is nothing to do.  Raises EndpointError where that cannot be seen, or OSError."""
    match action:
        case Edit():
            old = _read(Path(action.path))
            return old is not None and action.change.put(old) == old
        case Command():
            return bool(action.holds) and run(action.holds).code == 0
        case _:
            return _value(action, run) == action.value


def verify(step: Step, run: Run = run_program) -> str:
    """What of the step is not in force, "" for nothing.  Never raises."""
    return "; ".join(_lacking(step.actions, run))


def _lacking(actions: Sequence[Edit | Command | Setting], run: Run) -> Iterator[str]:
    for action in actions:
        if isinstance(action, Command) and not _can_ask(action):
            continue
        try:
            if not is_done(action, run):
                yield f"{action.name} is not as it was set"
        except (EndpointError, OSError) as exc:
            yield f"{action.name}: {exc}"


def _value(action: Setting, run: Run) -> str | None:
    ended = run(action.reading())
    if ended.code in (126, 127):
        raise EndpointError(ended.err)
    return action.parse(ended.code, ended.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """journal: of this machine.  run: runs programs."""

    journal: Journal
    run: Run = run_program

    # Seeing

    def is_done(self, action: Edit | Command | Setting) -> bool:
        return is_done(action, self.run)

    def verify(self, step: Step) -> str:
        return verify(step, self.run)

    def show(self, action: Edit | Command | Setting) -> list[str]:
        """What doing it would change, line by line.  Raises EndpointError."""
        match action:
            case Edit():
                old = _read(Path(action.path))
                return _difference(action.path, old, action.change.put(old))
            case Command():
                return ["run: " + shlex.join(action.do)]
            case _:
                was = _value(action, self.run)
                return [f"set {action.name}: {'not set' if was is None else was} -> {action.value}"]

    # Doing

    def do(self, step: str, action: Edit | Command | Setting) -> None:
        """Raises EndpointError, or OSError."""
        entry = self.journal.find(action) or self._before(step, action)
        entry = replace(entry, step=step, action=ACTION.dump_json(action).decode())
        if not isinstance(action, Command) or action.undo:
            self.journal.put(entry)
        match action:
            case Edit():
                path = Path(action.path)
                _write(path, action.change.put(_read(path)), action.mode)
            case Command():
                self._succeed(action.do)
            case _:
                for argv in action.writing(action.value):
                    self._succeed(argv)
        if entry.files:
            files = tuple(replace(kept, after=_hash(_read(Path(kept.path)))) for kept in entry.files)
            self.journal.put(replace(entry, files=files))

    def _before(self, step: str, action: Edit | Command | Setting) -> Entry:
        text = ACTION.dump_json(action).decode()
        match action:
            case Edit():
                return Entry(step=step, action=text, files=(_keep(Path(action.path)),))
            case Command():
                return Entry(step=step, action=text, files=tuple(_keep(Path(path)) for path in action.keeps))
            case _:
                return Entry(step=step, action=text, value=_value(action, self.run))

    # Undoing

    def undo(self, entry: Entry) -> None:
        """Raises EndpointError, or OSError; then the entry stays in the journal."""
        action = entry.read_action()
        match action:
            case Edit():
                for kept in entry.files:
                    _put_back(kept, lambda current, before: action.change.take(current, before))
            case Command():
                self._undo_command(action, entry)
            case _:
                self._undo_setting(action, entry.value)
        self.journal.forget(entry)

    def _undo_command(self, action: Command, entry: Entry) -> None:
        untouched = [kept for kept in entry.files if kept.after and _hash(_read(Path(kept.path))) == kept.after]
        if entry.files and len(untouched) == len(entry.files):
            for kept in entry.files:
                _put_back(kept, lambda current, before: before)
        elif not action.holds or self.run(action.holds).code == 0:
            self._succeed(action.undo)

    def _undo_setting(self, action: Setting, value: str | None) -> None:
        if _value(action, self.run) != action.value:
            return  # somebody has set it otherwise since
        # A value that was only the default is to be no setting again.
        for wanted in (None, value):
            for argv in action.writing(wanted):
                self._succeed(argv)
            if _value(action, self.run) == value:
                return

    def _succeed(self, argv: Argv) -> None:
        ended = self.run(argv)
        if ended.code != 0:
            said = next((line.strip() for line in (ended.err + ended.out).splitlines() if line.strip()), "nothing said")
            raise EndpointError(f"{shlex.join(argv)} failed: {said}")


def install(steps: Sequence[Step], carrier: Carrier, tell: Tell, *, dry_run: bool = False) -> list[Outcome]:
    """Each step: what is lacking is shown, done, and verified; a step that fails is undone.

    A required step that fails ends it.  What was done before stays, and the journal knows it.
    """
    outcomes: list[Outcome] = []
    for step in steps:
        outcome = _install_step(step, carrier, tell, dry_run)
        outcomes.append(outcome)
        if outcome.problem and step.required:
            tell(f"{step.name} is needed by what would follow: stopping here")
            break
    return outcomes


def _install_step(step: Step, carrier: Carrier, tell: Tell, dry_run: bool) -> Outcome:
    tell(f"{step.name}: {step.why}")
    known = {entry.action for entry in carrier.journal.entries()}
    try:
        lacking = [action for action in step.actions if not carrier.is_done(action)]
        # A command that cannot be asked whether it holds only follows what changed before it in its step.
        if all(isinstance(action, Command) and not action.holds for action in lacking):
            lacking = []
        for action in lacking:
            for line in carrier.show(action):
                tell(f"  {line}")
        if dry_run or not lacking:
            tell("  would be changed" if lacking else "  in force already")
            return Outcome(step=step.name, changed=False)
        for action in lacking:
            carrier.do(step.name, action)
        problem = carrier.verify(step)
    except (EndpointError, OSError) as exc:
        problem = str(exc)
    if problem:
        tell(f"  failed: {problem}")
        new = [entry for entry in carrier.journal.entries() if entry.step == step.name and entry.action not in known]
        for outcome in _undo_entries(step.name, new, carrier, tell, dry_run=False):
            problem += f"; and it could not be undone: {outcome}"
    return Outcome(step=step.name, changed=not problem, problem=problem)


def uninstall(carrier: Carrier, tell: Tell, *, dry_run: bool = False) -> list[Outcome]:
    """Undo all that the journal knows, the last step first.  What fails stays in the journal, and the rest goes on."""
    steps: dict[str, list[Entry]] = {}
    for entry in carrier.journal.entries():
        steps.setdefault(entry.step, []).append(entry)
    outcomes = []
    for step, entries in reversed(steps.items()):
        tell(f"{step}: undo")
        problems = _undo_entries(step, entries, carrier, tell, dry_run=dry_run)
        outcomes.append(Outcome(step=step, changed=not dry_run, problem="; ".join(problems)))
    return outcomes


def _undo_entries(step: str, entries: Sequence[Entry], carrier: Carrier, tell: Tell, *, dry_run: bool) -> list[str]:
    """The last first, those that are late at the very end.  The problems."""
    problems: list[str] = []
    backwards = tuple(reversed(entries))
    for entry in sorted(backwards, key=_is_late):
        tell(f"  put back {entry.read_action().name}")
        if dry_run:
            continue
        try:
            carrier.undo(entry)
        except (EndpointError, OSError) as exc:
            tell(f"  failed: {exc}")
            problems.append(str(exc))
    return problems


def _is_late(entry: Entry) -> bool:
    action = entry.read_action()
    return isinstance(action, Command) and action.late


def _can_ask(action: Command) -> bool:
    """Whether there is a question, and asking it does not take root where we are not."""
    return bool(action.holds) and (action.holds[0] != "runuser" or os.geteuid() == 0)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _hash(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _keep(path: Path) -> Kept:
    content = _read(path)
    folders = [folder for folder in reversed(path.parents) if not folder.exists()]
    return Kept(
        path=str(path),
        content=None if content is None else base64.b64encode(content).decode(),
        folders=tuple(map(str, folders)),
    )


def _put_back(kept: Kept, take: Callable[[bytes, bytes | None], bytes | None]) -> None:
    """The very bytes of before where nobody has touched the file since; else all but ours."""
    path = Path(kept.path)
    current = _read(path)
    if current is not None:
        untouched = not kept.after or _hash(current) == kept.after or current == kept.bytes
        left = kept.bytes if untouched else take(current, kept.bytes)
        if left is None:
            path.unlink()
        elif left != current:
            _write(path, left, 0o644)
    for folder in reversed(kept.folders):
        with suppress(OSError):  # others have put something in, or it is gone
            Path(folder).rmdir()


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all; one that is there keeps its permissions and owner, and a symbolic link its target."""
    path = path.resolve()
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o755)
    was = path.stat() if path.exists() else None
    temporary = path.with_name(f".{path.name}.{os.getpid()}.steering")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if was is not None and hasattr(os, "chown"):
            os.chown(temporary, was.st_uid, was.st_gid)
        temporary.chmod(stat.S_IMODE(was.st_mode) if was is not None else mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _difference(path: str, old: bytes | None, new: bytes) -> list[str]:
    """As a unified diff, at most 40 lines of it."""
    lines = list(
        difflib.unified_diff(
            (old or b"").decode(errors="replace").splitlines(),
            new.decode(errors="replace").splitlines(),
            "nothing" if old is None else path,
            path,
            lineterm="",
            n=1,
        )
    )
    return lines if len(lines) <= 40 else [*lines[:40], f"... and {len(lines) - 40} lines more"]
