"""What tests of importers share: a reading as a short value, and the promise that every importer gives."""

from steering.imports.formats import Read
from steering.imports.imported import Imported, Known
from steering.policy.model import RulesModel
from steering.policy.rules import CategoryTable, read_rules

TABLE = CategoryTable("test", {"Banks": frozenset({"bank.example"})})
KNOWN = Known(title="list.txt", categories=TABLE, groups=("sales",))


def rules_of(found: Imported) -> list[dict[str, object]]:
    return [rule.model_dump(mode="json", exclude_defaults=True) for rule in found.rules]


def problems_of(found: Imported) -> list[tuple[int, str]]:
    return [(problem.line, problem.text) for problem in found.problems]


def holds_for_any_text(read: Read, text: str) -> None:
    """It never raises, says the same again, and what it takes can be enforced."""
    known = Known(title="x", categories=TABLE)
    found = read(text, known)
    assert found == read(text, known)
    if found.rules:
        _, problems = read_rules(RulesModel(rules=list(found.rules)), TABLE)
        assert problems == []
    lines = text.count("\n") + text.count("\r") + 1  # JSON counts both
    assert all(1 <= problem.line <= lines for problem in found.problems)
    assert all(problem.why and problem.text.isprintable() and problem.why.isprintable() for problem in found.problems)
