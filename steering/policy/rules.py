"""The meaning of ``rules.json``: every entry parsed, or a problem that says where and what to do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TypeVar

from steering.policy.domains import Domain, Reach, parse_domain
from steering.policy.errors import PolicyError, RulesError, SourceError
from steering.policy.model import Action, ProgramModel, RuleModel, RulesModel, instant
from steering.policy.programs import ProgramEntry, parse_program
from steering.policy.suffixes import holds_icann_suffix, is_icann_suffix

Network = IPv4Network | IPv6Network
Pointer = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that makes the rule set unusable.  pointer: JSON pointer tokens of the offending value."""

    pointer: Pointer
    message: str


@dataclass(frozen=True, slots=True)
class GroupSource:
    """``group:NAME`` with its members; user names are case-folded."""

    name: str
    networks: tuple[Network, ...]
    users: frozenset[str]

    def __str__(self) -> str:
        return f"group:{self.name}"


@dataclass(frozen=True, slots=True)
class UserSource:
    """``user:NAME``; the name is case-folded."""

    name: str

    def __str__(self) -> str:
        return f"user:{self.name}"


Source = IPv4Network | IPv6Network | GroupSource | UserSource


@dataclass(frozen=True, slots=True)
class CategoryTable:
    """Category names as written, each with the domains (normalised, subdomains included) that belong to it."""

    version: str
    domains: Mapping[str, frozenset[str]]

    def canonical(self, name: str) -> str | None:
        """The table's own spelling of ``name``, or None when there is no such category."""
        wanted = name.strip().casefold()
        return next((known for known in self.domains if known.casefold() == wanted), None)


NO_CATEGORIES = CategoryTable("none", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A parsed rule.  index: its place in the file.  Times are seconds since the epoch, half-open."""

    index: int
    name: str
    enabled: bool
    action: Action
    source: tuple[Source, ...]
    programs: tuple[ProgramEntry, ...]
    domains: tuple[Domain, ...]
    categories: tuple[str, ...]
    addresses: tuple[Network, ...]
    not_before: float | None
    expires_at: float | None
    preconfigured: bool

    @property
    def any_destination(self) -> bool:
        return not (self.domains or self.categories or self.addresses)

    def in_time(self, at: float) -> bool:
        return (self.not_before is None or self.not_before <= at) and (self.expires_at is None or at < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """A rule set that can be compiled.  ``model`` is what the file said."""

    model: RulesModel
    rules: tuple[Rule, ...]
    categories: CategoryTable = NO_CATEGORIES


@dataclass(slots=True)
class _Reader:
    """Collects problems instead of stopping at the first."""

    problems: list[Problem] = field(default_factory=list)

    def each(self, pointer: Pointer, entries: Sequence[T], parse: "Callable[[T], object]") -> list[object]:
        parsed: list[object] = []
        for i, entry in enumerate(entries):
            try:
                parsed.append(parse(entry))
            except PolicyError as exc:
                self.problems.append(Problem((*pointer, i), str(exc)))
        return parsed


def read_rules(model: RulesModel, categories: CategoryTable = NO_CATEGORIES) -> tuple[RuleSet | None, list[Problem]]:
    """Parse every entry.  Returns the rule set, or None with all problems of the file."""
    reader = _Reader()
    groups = _read_groups(model, reader)
    rules: list[Rule] = []
    first: dict[str, int] = {}
    for i, rule in enumerate(model.rules):
        if rule.name in first:
            message = f"a rule named '{rule.name}' already stands at /rules/{first[rule.name]}; names must differ"
            reader.problems.append(Problem(("rules", i, "name"), message))
        first.setdefault(rule.name, i)
        parsed = _read_rule(i, rule, groups, categories, reader)
        reader.problems.extend(_too_wide(parsed, rule))
        rules.append(parsed)
    if reader.problems:
        return None, reader.problems
    return RuleSet(model=model, rules=tuple(rules), categories=categories), []


def rule_set(model: RulesModel, categories: CategoryTable = NO_CATEGORIES) -> RuleSet:
    """As ``read_rules``, raising RulesError with all problems."""
    rules, problems = read_rules(model, categories)
    if rules is None:
        raise RulesError("\n".join(f"/{'/'.join(map(str, p.pointer))}: {p.message}" for p in problems))
    return rules


def parse_network(text: str) -> Network:
    """An IP address or CIDR.  Raises SourceError; host bits are refused, they are usually a typing error."""
    try:
        return _plain(ip_network(text.strip()))
    except ValueError as exc:
        if "host bits" in str(exc):
            loose = ip_network(text.strip(), strict=False)
            raise SourceError(f"{text!r} has bits set behind its prefix; did you mean '{loose}'?") from exc
        raise SourceError(f"{text!r} is neither an IP address nor a network such as 10.1.0.0/16") from exc


def _plain(network: Network) -> Network:
    """An IPv4-mapped network as the IPv4 network it carries: that is how addresses are compared."""
    carried = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if carried is None or network.prefixlen < 96:
        return network
    return IPv4Network((carried, network.prefixlen - 96))


def _read_groups(model: RulesModel, reader: _Reader) -> dict[str, GroupSource]:
    groups = {}
    for name, group in model.groups.items():
        networks = reader.each(("groups", name, "networks"), group.networks, parse_network)
        users = reader.each(("groups", name, "users"), group.users, _user_name)
        groups[name] = GroupSource(name, tuple(networks), frozenset(users))  # type: ignore[arg-type]  # parsed
    return groups


def _read_rule(
    i: int, rule: RuleModel, groups: Mapping[str, GroupSource], categories: CategoryTable, reader: _Reader
) -> Rule:
    at: Pointer = ("rules", i)
    if rule.not_before and rule.expires_at and rule.expires_at <= rule.not_before:
        reader.problems.append(Problem((*at, "expires_at"), "ends before it begins (not_before)"))
    return Rule(
        index=i,
        name=rule.name,
        enabled=rule.enabled,
        action=rule.action,
        source=tuple(reader.each((*at, "source"), rule.source, lambda s: _parse_source(s, groups))),  # type: ignore[arg-type]
        programs=tuple(reader.each((*at, "programs"), rule.programs, _parse_program)),  # type: ignore[arg-type]
        domains=tuple(reader.each((*at, "domains"), rule.domains, parse_domain)),  # type: ignore[arg-type]
        categories=tuple(reader.each((*at, "categories"), rule.categories, lambda c: _known(c, categories))),  # type: ignore[arg-type]
        addresses=tuple(reader.each((*at, "addresses"), rule.addresses, parse_network)),  # type: ignore[arg-type]
        not_before=instant(rule.not_before),
        expires_at=instant(rule.expires_at),
        preconfigured=rule.preconfigured,
    )


def _parse_source(text: str, groups: Mapping[str, GroupSource]) -> Source:
    entry = text.strip()
    kind, colon, name = entry.partition(":")
    if colon and kind == "group":
        if name not in groups:
            known = ", ".join(sorted(groups)) or "none is defined"
            raise SourceError(f"there is no group '{name}' under 'groups' ({known})")
        return groups[name]
    if colon and kind == "user":
        return UserSource(_user_name(name))
    return parse_network(entry)


def _user_name(text: str) -> str:
    name = text.strip().casefold()
    if not name:
        raise SourceError(f"{text!r} names no user")
    return name


def _parse_program(entry: str | ProgramModel) -> ProgramEntry:
    if isinstance(entry, str):
        return parse_program(entry)
    conditions = {
        "path": entry.path,
        "root_owned": entry.root_owned,
        "sha256": entry.sha256.lower() if entry.sha256 else None,
        "signer": entry.signer,
    }
    if entry.name is None and all(value is None or _is_any_path(value) for value in conditions.values()):
        raise PolicyError("such a program condition would match every program; leave it out, or name something")
    named = parse_program(entry.name) if entry.name is not None else ProgramEntry()
    return ProgramEntry(name=named.name, family=named.family, system=named.system, **conditions)  # type: ignore[arg-type]


def _is_any_path(value: object) -> bool:
    return isinstance(value, str) and not value.strip("*/\\")


def _known(name: str, categories: CategoryTable) -> str:
    canonical = categories.canonical(name)
    if canonical is None:
        known = ", ".join(sorted(categories.domains)) or "none"
        raise PolicyError(f"there is no category {name!r} in the category table (known: {known})")
    return canonical


def _too_wide(rule: Rule, model: RuleModel) -> list[Problem]:
    """Bypasses and blocks that would cover everything, or more than one owner's names."""
    at: Pointer = ("rules", rule.index)
    empty = not (model.source or model.programs or model.domains or model.categories or model.addresses)
    if rule.action is not Action.INSPECT and empty:
        what = "switch inspection off for everything" if rule.action is Action.BYPASS else "block everything"
        return [
            Problem(
                at,
                f"'{rule.name}' has no condition at all and would {what}; give it a destination, a program or a source",
            )
        ]
    if rule.action is not Action.BYPASS:
        return []
    problems = []
    # Of the model, not of the rule: there, an entry that could not be read is missing and would look like none.
    only_source = not (model.programs or model.domains or model.categories or model.addresses)
    if only_source and _covers_a_family(rule.source):
        message = f"'{rule.name}' bypasses every address of a family; name a destination, a program or smaller networks"
        problems.append(Problem((*at, "source"), message))
    if _covers_a_family(rule.addresses):
        problems.append(Problem((*at, "addresses"), "a bypass cannot cover every address; name smaller networks"))
    for i, domain in enumerate(rule.domains):
        if domain.reach is Reach.EXACT:
            # '=gov.uk' is one site and has one owner.  A name without a dot is no site at all.
            if "." not in domain.name:
                message = f"'{domain}' is a name without a dot, which clients complete: no rule ever gets to see it"
                problems.append(Problem((*at, "domains", i), message))
        elif is_icann_suffix(domain.name) or holds_icann_suffix(domain.name):
            message = f"'{domain}' would bypass names of unknown owners: '{domain.name}' is, or holds, a public suffix"
            problems.append(Problem((*at, "domains", i), message))
    return problems


def _covers_a_family(sources: Sequence[Source]) -> bool:
    networks = [
        n
        for s in sources
        for n in (s.networks if isinstance(s, GroupSource) else (s,))
        if not isinstance(n, UserSource)
    ]
    # Collapsed, the networks of a family are disjoint, and all of it is one network without a prefix.
    v4 = list(collapse_addresses(n for n in networks if isinstance(n, IPv4Network)))
    v6 = list(collapse_addresses(n for n in networks if isinstance(n, IPv6Network)))
    return any(n.prefixlen == 0 for n in v4) or any(n.prefixlen == 0 for n in v6)
