"""Which entries and rules change nothing, because another one covers them."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from steering.policy.decision import STRENGTH
from steering.policy.domains import Domain, Reach
from steering.policy.findings import Finding, Severity
from steering.policy.rules import CategoryTable, GroupSource, Rule, RuleSet, Source, UserSource


class Entry(NamedTuple):
    """A domain in its rule; number: its place in ``domains``, or None for a category's name."""

    rule: Rule
    number: int | None
    domain: Domain
    category: str = ""

    @property
    def place(self) -> tuple[int, int]:
        return self.rule.index, -1 if self.number is None else self.number

    def __str__(self) -> str:
        return f"category {self.category} ({self.domain})" if self.category else f"'{self.domain}'"


Index = dict[str, list[Entry]]


def covered(rule_set: RuleSet, at: float) -> Iterator[Finding]:
    """Entries and whole rules whose removal would change no decision."""
    rules = [r for r in rule_set.rules if r.enabled and (r.expires_at is None or at < r.expires_at)]
    index = _index(rules, rule_set.categories)
    everywhere = [rule for rule in rules if rule.any_destination]  # few; asked of every rule
    for rule in rules:
        yield from _of_rule(rule, everywhere, index)


def _of_rule(rule: Rule, everywhere: list[Rule], index: Index) -> Iterator[Finding]:
    widest = next((other for other in everywhere if _outdoes(other, rule)), None)
    if widest is not None:
        yield _useless(rule, widest, f"rule '{widest.name}' ({widest.action.value}) covers every destination")
        return
    elsewhere: list[Entry] = []
    for i, domain in enumerate(rule.domains):
        entry = Entry(rule, i, domain)
        coverers = [found for found in _covering(entry, index) if _counts(found, entry)]
        if not coverers:
            continue
        others = [found for found in coverers if found.rule.index != rule.index]
        elsewhere += others[:1]
        if all(found.domain != domain or found.rule.index != rule.index for found in coverers):  # else: a duplicate
            yield _entry(entry, min(coverers, key=lambda found: found.rule.index != rule.index), bool(others))
    if rule.domains and len(elsewhere) == len(rule.domains) and not (rule.categories or rule.addresses):
        by = list(dict.fromkeys(f"'{found.rule.name}'" for found in elsewhere))
        named = ", ".join(by[:3]) + (f" and {len(by) - 3} more" if len(by) > 3 else "")
        yield _useless(rule, elsewhere[0].rule, f"{named} cover{'s' if len(by) == 1 else ''} all its domains")


def _entry(entry: Entry, by: Entry, elsewhere: bool) -> Finding:
    own = by.rule.index == entry.rule.index
    if by.rule.action is not entry.rule.action:
        code = "overruled"
        message = f"'{entry.domain}' has no effect: {by} in rule '{by.rule.name}' ({by.rule.action.value}) is stricter"
    elif own:
        code = "covered"
        message = f"'{entry.domain}' changes nothing: {by} in the same rule covers it"
    else:
        code = "duplicate" if by.domain == entry.domain else "covered"
        message = (
            f"disabling this changes nothing for '{entry.domain}', because {by} in rule '{by.rule.name}' covers it"
        )
    advice = "" if elsewhere or entry.rule.preconfigured else "remove it"
    return Finding(
        severity=Severity.WARNING,
        code=code,
        message=message,
        advice=advice,
        pointer=("rules", entry.rule.index, "domains", entry.number or 0),
        rule=entry.rule.name,
    )


def _useless(rule: Rule, by: Rule, because: str) -> Finding:
    stricter = by.action is not rule.action
    return Finding(
        severity=Severity.WARNING,
        code="overruled-rule" if stricter else "covered-rule",
        message=f"disabling '{rule.name}' changes nothing, because {because}",
        pointer=("rules", rule.index),
        rule=rule.name,
    )


def _index(rules: Iterable[Rule], categories: CategoryTable) -> Index:
    index: Index = {}
    for rule in rules:
        for i, domain in enumerate(rule.domains):
            index.setdefault(domain.name, []).append(Entry(rule, i, domain))
        for category in rule.categories:
            for name in categories.domains[category]:
                entry = Entry(rule, None, Domain(Reach.TREE, name), category)
                index.setdefault(name, []).append(entry)
    return index


def _covering(entry: Entry, index: Index) -> Iterator[Entry]:
    """The entries whose names hold all of ``entry``'s, nearest first."""
    name = entry.domain.name
    for other in index.get(name, ()):
        if (other.rule.index, other.number) != (entry.rule.index, entry.number) and _holds(other.domain, entry.domain):
            yield other
    while "." in name:
        name = name.partition(".")[2]
        for other in index.get(name, ()):
            if _holds(other.domain, entry.domain):
                yield other


def _holds(wide: Domain, narrow: Domain) -> bool:
    """Whether every name of ``narrow`` is one of ``wide``."""
    if wide == narrow:
        return True
    if narrow.reach is Reach.EXACT:
        return wide.matches(narrow.name)
    match wide.reach:
        case Reach.TREE:
            return narrow.name == wide.name or narrow.name.endswith("." + wide.name)
        case Reach.BELOW:
            return narrow.name.endswith("." + wide.name) or (narrow.name == wide.name and narrow.reach is Reach.GLOB)
    return False


def _counts(found: Entry, entry: Entry) -> bool:
    """Whether ``found`` makes ``entry`` needless; of two that hold each other, only the later is."""
    if found.rule.index != entry.rule.index and not _outdoes(found.rule, entry.rule):
        return False
    mutual = found.domain == entry.domain and (found.rule.index == entry.rule.index or _outdoes(entry.rule, found.rule))
    return not mutual or found.place < entry.place


def _outdoes(wide: Rule, narrow: Rule) -> bool:
    """Whether ``wide`` is as strict and its conditions (the destination aside) hold whenever ``narrow``'s do."""
    if wide.index == narrow.index or STRENGTH[wide.action] < STRENGTH[narrow.action]:
        return False
    if wide.any_destination and narrow.any_destination and wide.action is narrow.action and wide.index > narrow.index:
        return False
    return (
        _source_holds(wide.source, narrow.source)
        and _list_holds(wide.programs, narrow.programs)
        and (wide.not_before is None or (narrow.not_before is not None and wide.not_before <= narrow.not_before))
        and (wide.expires_at is None or (narrow.expires_at is not None and narrow.expires_at <= wide.expires_at))
    )


def _source_holds(wide: tuple[Source, ...], narrow: tuple[Source, ...]) -> bool:
    return not wide or (bool(narrow) and all(any(_from(w, n) for w in wide) for n in narrow))


def _from(wide: Source, narrow: Source) -> bool:
    """Whether everything that comes from ``narrow`` comes from ``wide``."""
    if wide == narrow:
        return True
    match wide, narrow:
        case _, GroupSource():
            return False  # a token's claim to belong to it says nothing of addresses and users
        case GroupSource(), UserSource():
            return narrow.name in wide.users
        case GroupSource(), _:
            return any(_from(network, narrow) for network in wide.networks)
        case IPv4Network(), IPv4Network():
            return narrow.subnet_of(wide)
        case IPv6Network(), IPv6Network():
            return narrow.subnet_of(wide)
    return False


def _list_holds(wide: tuple[object, ...], narrow: tuple[object, ...]) -> bool:
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


def overlapping(rule: Rule, other: Rule, categories: CategoryTable) -> bool:
    """Whether some destination may be both rules'."""
    if rule.any_destination or other.any_destination:
        return True
    if any(a.overlaps(b) for a in rule.addresses for b in other.addresses if a.version == b.version):
        return True
    mine, others = _names(rule, categories), _names(other, categories)
    return _meets(mine, others) or _meets(others, mine)


def _meets(mine: dict[str, bool], others: dict[str, bool]) -> bool:
    """Whether a name of ``others`` is one of ``mine`` or lies below one that stands for its subdomains."""
    for name in others:
        if name in mine:
            return True
        above = name
        while "." in above:
            above = above.partition(".")[2]
            if mine.get(above):
                return True
    return False


def _names(rule: Rule, categories: CategoryTable) -> dict[str, bool]:
    """The names of a rule's destination, each with whether it stands for more than exactly it."""
    domains: dict[str, bool] = {}
    for domain in rule.domains:
        domains[domain.name] = domains.get(domain.name, False) or domain.reach is not Reach.EXACT
    for category in rule.categories:
        domains.update(dict.fromkeys(categories.domains[category], True))
    return domains
