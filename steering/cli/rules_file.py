"""The rules file of a command: which one, its text, and what to say when there is none."""

import os
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from steering.catalog import load_categories
from steering.policy.document import Reading, as_line, read_document
from steering.policy.document_edit import with_rule
from steering.policy.errors import RulesError
from steering.policy.findings import printable
from steering.policy.json_text import MAX_BYTES
from steering.policy.rules import RuleSet

SETTING = "STEERING_POLICY_RULES"
CONFIGS = ("steering.toml", "var/steering.toml")
PLACES = ("var/rules.json", "rules.json")


def find_rules(named: Path | None) -> Path:
    """The file named, else the environment's, the configuration's, else one in its usual places.  Exits with 2."""
    if named is not None:
        return named
    if SETTING in os.environ:
        return Path(os.environ[SETTING])
    for config in map(Path, CONFIGS):
        if config.is_file():
            return _configured(config)
    place = next((place for place in map(Path, PLACES) if place.is_file()), None)
    return place or wrong_use(f"there is no rules file here ({', '.join(PLACES)}): name one")


def _configured(config: Path) -> Path:
    try:
        rules = tomllib.loads(config.read_text("utf-8")).get("policy", {}).get("rules", "rules.json")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError) as exc:
        wrong_use(f"{config}: {exc}")
    return config.parent / str(rules)


def read_text(path: Path) -> bytes:
    """The file's bytes, one more than may be read at most.  Exits with 2 where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as exc:
        wrong_use(f"{path}: {exc.strerror or exc}")


def read_rules_file(path: Path) -> Reading:
    return read_document(read_text(path), load_categories())


def load_rules_file(path: Path) -> tuple[RuleSet, Reading]:
    """The rule set of the file.  Exits with 2, its errors printed, where it has none."""
    reading = read_rules_file(path)
    if reading.rule_set is None:
        for finding in reading.findings:
            complain(f"{path}:{as_line(finding)}")
        wrong_use(f"{path} cannot be enforced; steering check says more")
    return reading.rule_set, reading


def write_atomically(path: Path, text: str) -> None:
    """Replace the file's content: a reader finds the old or the new, after a power cut too."""
    target = path.resolve()  # through a symbolic link, as in a mounted configuration
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def complain(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(text))


def wrong_use(text: str) -> NoReturn:
    complain(text)
    raise typer.Exit(2)


def add_rule(path: Path, rule: dict[str, object]) -> None:
    """Write the file with ``rule`` as its last one.  Exits with 2, the file untouched, if it could not be enforced."""
    change(path, lambda text: with_rule(text, rule))


def change(path: Path, edit: Callable[[str], str]) -> None:
    """Replace the file's text by what ``edit`` makes of it, if that can be enforced; else exits with 2."""
    load_rules_file(path)
    try:
        edited = edit(read_text(path).decode("utf-8"))
    except RulesError as exc:
        wrong_use(printable(str(exc)))
    reading = read_document(edited, load_categories())
    if reading.rule_set is None:
        for finding in reading.findings:
            complain(as_line(finding))
        wrong_use(f"with this change {path} could not be enforced; nothing was written")
    try:
        write_atomically(path, edited)
    except OSError as exc:
        wrong_use(f"{path}: {exc.strerror or exc}")
