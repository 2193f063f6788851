"""The rules file of a command: which one, what it says, and changes to it that are whole or not at all."""

import time
from collections.abc import Callable
from pathlib import Path

from steering.catalog import load_categories
from steering.cli.replacing import Replacement, replacing
from steering.cli.running import configuration
from steering.cli.terminal import complain, wrong_use
from steering.control.policystore import read_bounded
from steering.policy.document import Reading, as_line, read_document
from steering.policy.document_edit import with_rule
from steering.policy.errors import RulesError
from steering.policy.findings import Finding, printable
from steering.policy.json_text import MAX_BYTES
from steering.policy.lint import lint
from steering.policy.rules import RuleSet


def find_rules(named: Path | None, config: Path | None = None) -> Path:
    """The file named, else the configured one, as ``steering serve`` would take it.  Exits with 2 where none is."""
    if named is not None:
        return named
    rules = _shown(configuration(config).rules)
    if not rules.exists():
        wrong_use(f"there is no rules file at {rules}: name one, or make a folder with 'steering init DIR'")
    return rules


def _shown(path: Path) -> Path:
    """As short as it can be said here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def read_bytes(path: Path) -> bytes:
    """The file's bytes, one more than may be read at most.  Exits with 2 where it cannot be read."""
    try:
        return read_bounded(path)
    except OSError as exc:
        wrong_use(f"{path}: {exc.strerror or exc}")


def read_rules_file(path: Path) -> Reading:
    return read_document(read_bytes(path), load_categories())


def load_rules_file(path: Path) -> tuple[RuleSet, Reading]:
    """The rule set of the file.  Exits with 2, its errors printed, where it has none."""
    reading = read_rules_file(path)
    return _rule_set(reading, path), reading


def _rule_set(reading: Reading, path: Path) -> RuleSet:
    if reading.rule_set is None:
        for finding in reading.findings:
            complain(f"{path}:{as_line(finding)}")
        wrong_use(f"{path} cannot be enforced; steering check says more")
    return reading.rule_set


def add_rule(path: Path, rule: dict[str, object]) -> None:
    """Write the file with ``rule`` as its last one, and say what is to be remarked about it.

    Exits with 2, the file untouched, if it could not be enforced.
    """
    reading = change(path, lambda text: with_rule(text, rule))
    for finding in _remarks(reading, str(rule["name"])):
        complain(f"{path}:{as_line(finding)}")


def _remarks(reading: Reading, name: str) -> list[Finding]:
    """The warnings and notes about the rule ``name``."""
    linted = reading.placed(lint(reading.rule_set, time.time())) if reading.rule_set else ()
    return [finding for finding in (*reading.findings, *linted) if finding.rule == name]


def change(path: Path, edit: Callable[[str], str]) -> Reading:
    """Replace the file's text by what ``edit`` makes of it, if that can be enforced; else exits with 2."""
    try:
        with replacing(path, MAX_BYTES) as replacement:
            return _change(path, replacement, edit)
    except OSError as exc:
        wrong_use(f"{path}: {exc.strerror or exc}; nothing was written")


def _change(path: Path, replacement: Replacement, edit: Callable[[str], str]) -> Reading:
    _rule_set(read_document(replacement.old, load_categories()), path)
    try:
        edited = edit(replacement.old.decode("utf-8"))
    except RulesError as exc:
        wrong_use(printable(str(exc)))
    reading = read_document(edited, load_categories())
    if reading.rule_set is None:
        for finding in reading.findings:
            complain(as_line(finding))
        wrong_use(f"with this change {path} could not be enforced; nothing was written")
    replacement.write(edited.encode("utf-8"))
    return reading
