"""``steering rules``: look at the rules, switch them, add one, import others, compare two files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steering.catalog import load_categories
from steering.cli.rules_file import add_rule, change, find_rules, load_rules_file, read_bytes
from steering.cli.running import ConfigOption, JsonOption
from steering.cli.terminal import complain, print_json, wrong_use
from steering.cli.terminal import console as new_console
from steering.imports.formats import FORMATS, Format
from steering.imports.imported import Imported, Known, apart
from steering.policy.document_edit import set_enabled, with_rule
from steering.policy.findings import printable
from steering.policy.json_text import MAX_BYTES
from steering.policy.model import Action, Reason, RuleModel
from steering.policy.rules import Rule, RuleSet

app = typer.Typer(no_args_is_help=True, help="Look at the rules and change them.")

RulesOption = Annotated[Path | None, typer.Option("--rules", help="The rules file; by default the configured one.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The rule's name, as 'steering rules list' has it.")]
Entries = list[str] | None


@app.command("list")
def list_(rules: RulesOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the rules in the order of the file."""
    rule_set, _ = load_rules_file(find_rules(rules, config))
    if as_json:
        models = [model.model_dump(mode="json", exclude_defaults=True) for model in rule_set.model.rules]
        full = [{"enabled": rule.enabled, "action": rule.action.value} for rule in rule_set.rules]
        print_json([base | model for base, model in zip(full, models, strict=True)])
        return
    console = new_console()
    for rule in rule_set.rules:
        state = "enabled " if rule.enabled else "disabled"
        console.print(Text(f"{state}  {rule.action.value:7}  {printable(rule.name)}: {_conditions(rule)}"))


def _conditions(rule: Rule) -> str:
    lists = {"source": rule.source, "program": rule.programs, "domain": rule.domains,
             "category": rule.categories, "address": rule.addresses}  # fmt: skip
    counted = [printable(f"{what} {entries[0]}") if len(entries) == 1 else f"{len(entries)} {_plural(what)}"
               for what, entries in lists.items() if entries]  # fmt: skip
    return ", ".join(counted)


def _plural(word: str) -> str:
    return {"category": "categories", "address": "addresses"}.get(word, word + "s")


@app.command()
def enable(name: NameArgument, rules: RulesOption = None, config: ConfigOption = None) -> None:
    """Enable a rule."""
    _switch(find_rules(rules, config), name, True)


@app.command()
def disable(name: NameArgument, rules: RulesOption = None, config: ConfigOption = None) -> None:
    """Disable a rule."""
    _switch(find_rules(rules, config), name, False)


def _switch(path: Path, name: str, enabled: bool) -> None:
    change(path, lambda text: set_enabled(text, name, enabled))
    typer.echo(f"{'enabled' if enabled else 'disabled'} '{printable(name)}' in {path}")


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that no other rule has.")],
    rules: RulesOption = None,
    config: ConfigOption = None,
    action: Annotated[Action, typer.Option(help="What to do with what the rule matches.")] = Action.BYPASS,
    source: Annotated[
        Entries, typer.Option(metavar="SOURCE", help="IP, CIDR, group:NAME or user:NAME; repeatable.")
    ] = None,
    program: Annotated[Entries, typer.Option(metavar="PROGRAM", help="A program's name; repeatable.")] = None,
    domain: Annotated[
        Entries, typer.Option(metavar="DOMAIN", help="example.com, *.example.com or =example.com; repeatable.")
    ] = None,
    category: Annotated[
        Entries, typer.Option(metavar="CATEGORY", help="One that 'steering categories list' has; repeatable.")
    ] = None,
    address: Annotated[Entries, typer.Option(metavar="CIDR", help="Destination IP or CIDR; repeatable.")] = None,
    not_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="From when it holds, as 2026-12-31T18:00:00Z.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when it holds, as 2026-12-31T18:00:00Z.")
    ] = None,
    reason: Annotated[Reason | None, typer.Option(help="Why there is this rule.")] = None,
    owner: Annotated[str, typer.Option(help="Who answers for it.")] = "",
    ticket: Annotated[str, typer.Option(help="Where it was asked for.")] = "",
    note: Annotated[str, typer.Option(help="What else is to be known of it.")] = "",
) -> None:
    """Add a rule at the end of the file."""
    rule: dict[str, object] = {"name": name, "enabled": True, "action": action.value}
    given = {"source": source, "programs": program, "domains": domain, "categories": category, "addresses": address,
             "not_before": not_before, "expires_at": expires_at, "reason": reason.value if reason else None,
             "owner": owner, "ticket": ticket, "note": note}  # fmt: skip
    path = find_rules(rules, config)
    add_rule(path, rule | {key: value for key, value in given.items() if value})
    typer.echo(f"added '{printable(name)}' to {path}")


@app.command("import", epilog="Formats: " + "; ".join(f"{name}: {form.about}" for name, form in FORMATS.items()) + ".")
def import_(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the other product is told.")],
    rules: RulesOption = None,
    config: ConfigOption = None,
    write: Annotated[bool, typer.Option("--write", help="Add the rules; without it they are only shown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the rules that another product's file comes to, and each line that could not be taken: 1 if there is one."""
    if form not in FORMATS:
        wrong_use(f"there is no format {printable(form)}: known are {', '.join(FORMATS)}")
    path = find_rules(rules, config)
    present, _ = load_rules_file(path)
    known = Known(title=file.name, categories=load_categories(), groups=tuple(present.model.groups))
    found = FORMATS[form].read(_text_of(file), known)
    added = [_written(rule) for rule in apart(found.rules, {rule.name for rule in present.rules})]
    if as_json:
        print_json({"format": form, "dialect": FORMATS[form].dialect, "rules": added, "problems": _problems(found)})
    else:
        _print_import(FORMATS[form], file, added, found)
    if write and added:
        change(path, lambda text: _with_rules(text, added))
    if not as_json:
        done = f"added {len(added)} to {path}" if write else f"nothing was written; --write adds them to {path}"
        typer.echo(done if added else f"there is no rule to add to {path}")
    raise typer.Exit(1 if found.problems else 0)


def _text_of(file: Path) -> str:
    content = read_bytes(file)
    if len(content) > MAX_BYTES:
        wrong_use(f"{file} has more than {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        wrong_use(f"{file}:{line}: this is not UTF-8: save it as that first")


def _written(rule: RuleModel) -> dict[str, object]:
    """As ``add`` writes one: name, state and action first, and what is not said left out."""
    first = {"name": rule.name, "enabled": rule.enabled, "action": rule.action.value}
    return first | rule.model_dump(mode="json", exclude_defaults=True)


def _with_rules(text: str, added: Sequence[dict[str, object]]) -> str:
    for rule in added:
        text = with_rule(text, rule)
    return text


def _problems(found: Imported) -> list[dict[str, object]]:
    return [{"line": problem.line, "text": problem.text, "why": problem.why} for problem in found.problems]


def _print_import(form: Format, file: Path, added: Sequence[dict[str, object]], found: Imported) -> None:
    console = new_console()
    console.print(Text(f"dialect: {form.dialect}"))
    for rule in added:
        state = "" if rule["enabled"] else "disabled, "
        console.print(Text(f"+ {printable(str(rule['name']))}: {state}{rule['action']}"))
        for key, value in rule.items():
            for entry in value if isinstance(value, list) else ():
                console.print(Text(f"    {key}: {printable(str(entry), 600)}"))
    for problem in found.problems:
        complain(f"{file}:{problem.line}: not taken: {problem.text}: {problem.why}")


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The rules file before.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The rules file after.")],
    as_json: JsonOption = False,
) -> None:
    """Compare what two files bypass, inspect and block, as sets of names: 0 if alike, 1 if not."""
    before, after = (entries(load_rules_file(path)[0]) for path in (old, new))
    removed, added = sorted(before - after), sorted(after - before)
    if as_json:
        print_json({"removed": [list(r) for r in removed], "added": [list(a) for a in added]})
    else:
        for sign, changed in (("-", removed), ("+", added)):
            for action, entry, condition in changed:
                typer.echo(f"{sign} {action} {printable(entry)}{printable(condition and ' where ' + condition)}")
    raise typer.Exit(1 if removed or added else 0)


def entries(rule_set: RuleSet) -> set[tuple[str, str, str]]:
    """(action, destination, conditions) of every enabled rule, whatever rule it stands in."""
    found: set[tuple[str, str, str]] = set()
    for rule in rule_set.rules:
        if not rule.enabled:
            continue
        model = rule_set.model.rules[rule.index]
        parts = {"source": sorted(map(str, rule.source)), "programs": sorted(map(str, rule.programs))}
        parts |= {"not before": [str(model.not_before)] if model.not_before else [],
                  "until": [str(model.expires_at)] if model.expires_at else []}  # fmt: skip
        condition = "; ".join(f"{key} {', '.join(values)}" for key, values in parts.items() if values)
        destinations = [*map(str, rule.domains), *map(str, rule.addresses), *(f"category {c}" for c in rule.categories)]
        found |= {(rule.action.value, entry, condition) for entry in destinations or ["(any destination)"]}
    return found
