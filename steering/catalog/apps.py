"""Applications that are known to refuse inspection: what they reach, and by which programs.

One JSON file an application, shipped in ``apps/``.  An entry that nobody has checked on a real machine stands under
``unverified`` too, and becomes part of a rule only when it is asked for.
"""

from collections.abc import Iterable
from datetime import date
from enum import Enum
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steering.catalog.categories import first_error
from steering.catalog.errors import CatalogError
from steering.policy.model import Action, Reason, RulesModel
from steering.policy.rules import read_rules


class Kind(Enum):
    PINNED = "pinned"  # it refuses every certificate but its own
    VENDOR_NO_INSPECT = "vendor-no-inspect"  # its vendor asks for it not to be inspected
    ALLOWLIST = "allowlist"  # its vendor asks for it to be reachable, no more


class By(Enum):
    """What a rule made of an application goes by."""

    DOMAINS = "domains"
    PROGRAMS = "programs"
    BOTH = "both"


class Programs(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    windows: list[str] = []
    macos: list[str] = []
    linux: list[str] = []


class App(BaseModel):
    """One application.

    by: what a rule goes by unless told otherwise.  fix: what makes it work with inspection, if anything does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    name: str = Field(min_length=1, max_length=150)
    vendor: str
    kind: Kind
    by: By | None = None
    programs: Programs = Programs()
    domains: list[str] = []
    addresses: list[str] = []
    sources: list[str] = Field(min_length=1)
    date: date
    unverified: list[str] = []
    fix: str = ""
    note: str = ""

    def entries(self) -> list[str]:
        """Every program, domain and network as a rule would write it, without prefixes."""
        return [*self.programs.windows, *self.programs.macos, *self.programs.linux, *self.domains, *self.addresses]


@cache
def load_apps() -> dict[str, App]:
    """Every application of the catalog by its id, in the order of the ids.  Raises CatalogError."""
    folder = files("steering.catalog").joinpath("apps")
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return {app.id: app for app in map(_load, found)}


def rule_for(app: App, by: By | None = None, *, unverified: bool = False) -> dict[str, object]:
    """A rule that bypasses ``app``, as it stands in rules.json.

    by: by default what the application asks for, else the domains, which every point can enforce, or the programs
    where no domain is known.  A list of what must be reachable is no reason for a bypass: that rule comes disabled.
    Raises CatalogError where nothing is left to go by.
    """
    left = set(app.entries()) - (set() if unverified else set(app.unverified))
    domains = [entry for entry in app.domains if entry in left]
    addresses = [entry for entry in app.addresses if entry in left]
    programs = [
        f"{system}:{entry}"
        for system in ("windows", "macos", "linux")
        for entry in getattr(app.programs, system)
        if entry in left
    ]
    chosen = by or app.by or (By.DOMAINS if domains else By.PROGRAMS)
    enabled = app.kind is not Kind.ALLOWLIST
    rule: dict[str, object] = {"name": f"Bypass {app.name}", "enabled": enabled, "action": Action.BYPASS.value}
    if chosen in (By.PROGRAMS, By.BOTH):
        rule["programs"] = _some(programs, "program", app)
    if chosen in (By.DOMAINS, By.BOTH):
        rule["domains"] = _some(domains, "domain", app)
        if addresses:
            rule["addresses"] = addresses
    rule["reason"] = (Reason.PINNED if app.kind is Kind.PINNED else Reason.VENDOR).value
    pages = [source for source in app.sources if source.startswith("https://")]
    return rule | ({"source_url": pages[0]} if pages else {})


def _some(entries: list[str], what: str, app: App) -> list[str]:
    if not entries:
        raise CatalogError(f"the catalog knows no verified {what} of '{app.id}'; --unverified takes the others too")
    return entries


def find_app(name: str) -> App:
    """The application by its id or its name.  Raises CatalogError with what comes near."""
    wanted = name.strip().casefold()
    apps = load_apps()
    if wanted in apps:
        return apps[wanted]
    named = [app for app in apps.values() if app.name.casefold() == wanted]
    if named:
        return named[0]
    near = [app.id for app in apps.values() if wanted and (wanted in app.id or wanted in app.name.casefold())]
    hint = f"did you mean {' or '.join(near[:5])}?" if near else "steering catalog list shows all"
    raise CatalogError(f"the catalog has no application {name!r}; {hint}")


def _load(file: Traversable) -> App:
    try:
        app = App.model_validate_json(file.read_bytes())
    except ValidationError as exc:
        raise CatalogError(f"{file.name}: {first_error(exc)}") from exc
    if app.id != file.name.removesuffix(".json"):
        raise CatalogError(f"{file.name}: its id is '{app.id}'")
    unknown = set(app.unverified) - set(app.entries())
    if unknown:
        raise CatalogError(f"{file.name}: unverified, but no entry: {', '.join(sorted(unknown))}")
    for problem in _problems(app):
        raise CatalogError(f"{file.name}: {problem}")
    return app


def _problems(app: App) -> Iterable[str]:
    for by, known in ((By.DOMAINS, bool(app.domains)), (By.PROGRAMS, app.programs != Programs())):
        if known:
            rule = rule_for(app, by, unverified=True)
            yield from (problem.message for problem in read_rules(RulesModel.model_validate({"rules": [rule]}))[1])
