"""What an importer makes of a text: rules, and each piece it could not take with its line and the reason.

Nothing is guessed.  What an importer leaves out may only make a bypass narrower, never wider: a condition that cannot
be taken costs the whole rule, an entry of a list costs that entry, and a list that lost its last one its rule.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from steering.policy.domains import Domain, Reach, parse_domain
from steering.policy.errors import DomainError
from steering.policy.findings import printable
from steering.policy.model import Action, GroupModel, RuleModel, RulesModel
from steering.policy.rules import NO_CATEGORIES, CategoryTable, read_rules

MAX_NAME = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the rules are to fit into.

    title: what the text is called, for rules that bring no name.  groups: those of the rules file.
    """

    title: str = "Imported"
    categories: CategoryTable = NO_CATEGORIES
    groups: Collection[str] = ()


@dataclass(frozen=True, slots=True, order=True)
class Untaken:
    """line: from 1.  text: the piece as it was written."""

    line: int
    text: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """rules: in the order of the text, none of which is refused by itself.  problems: in the order of lines."""

    rules: tuple[RuleModel, ...]
    problems: tuple[Untaken, ...]


@dataclass(slots=True)
class Collected:
    """What an importer fills while it reads."""

    known: Known
    rules: list[RuleModel] = field(default_factory=list)
    problems: list[Untaken] = field(default_factory=list)

    def problem(self, line: int, text: str, why: str) -> None:
        self.problems.append(Untaken(line, printable(text.strip()), printable(why, 500)))

    def usable(self, line: int, action: Action, key: str, entry: str, text: str = "") -> bool:
        """Whether a rule may hold ``entry`` in its list ``key``; else says why.  text: the entry as it stands there."""
        why = refusal({"action": action, key: [entry]}, self.known)
        if why:
            self.problem(line, text or entry, why)
        return not why

    def add(self, line: int, text: str, rule: Mapping[str, object]) -> None:
        """Take a whole rule, or say why not."""
        why = refusal(rule, self.known)
        if why:
            self.problem(line, text, why)
        else:
            self.rules.append(RuleModel.model_validate(rule))

    def done(self) -> Imported:
        return Imported(rules=apart(self.rules, ()), problems=tuple(sorted(set(self.problems))))


def refusal(rule: Mapping[str, object], known: Known) -> str:
    """Why a rule of these keys cannot be enforced, "" where it can."""
    try:
        model = RuleModel.model_validate({"name": "imported", **rule})
        groups = {name: GroupModel() for name in known.groups}
        _, problems = read_rules(RulesModel(groups=groups, rules=[model]), known.categories)
    except ValidationError as exc:
        return f"cannot stand in a rule: {exc.errors(include_url=False)[0]['msg']}"
    return "; ".join(problem.message for problem in problems)


def rule_name(text: str) -> str:
    """A name that a rule may have."""
    return printable(" ".join(text.split()), MAX_NAME) or "Imported"


def apart(rules: Sequence[RuleModel], taken: Collection[str]) -> tuple[RuleModel, ...]:
    """``rules`` with names that differ from each other and from those taken: "x", "x (2)", ..."""
    names = set(taken)
    named = []
    for rule in rules:
        name, count = rule.name, 1
        while name in names:
            count += 1
            name = f"{rule.name} ({count})"
        names.add(name)
        named.append(rule if name == rule.name else rule.model_copy(update={"name": name}))
    return tuple(named)


def tidy(entries: Sequence[str]) -> list[str]:
    """Domain entries, normalised and once each; a name and what is below it become the one entry for both.

    Entries that are none stay as they are.
    """
    parsed: dict[Domain | str, None] = {}
    for entry in entries:
        try:
            parsed[parse_domain(entry)] = None
        except DomainError:
            parsed[entry] = None
    kept: dict[str, None] = {}
    for domain in parsed:
        if isinstance(domain, Domain) and domain.reach in (Reach.EXACT, Reach.BELOW):
            other = Reach.BELOW if domain.reach is Reach.EXACT else Reach.EXACT
            tree = Domain(Reach.TREE, domain.name)
            kept[str(tree if tree in parsed or Domain(other, domain.name) in parsed else domain)] = None
        else:
            kept[str(domain)] = None
    return list(kept)
