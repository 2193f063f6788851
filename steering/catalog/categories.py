"""The category tables: which domains belong to "Financial Services" and the like.

One JSON file a category, shipped in ``categories/``; a folder of the administrator's own may add to them or
replace one by its name.  A category holds the named domains with their subdomains.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steering.catalog.errors import CatalogError
from steering.policy.domains import Reach, parse_domain
from steering.policy.errors import DomainError
from steering.policy.rules import CategoryTable

MAX_FILE_BYTES = 64 * 1024 * 1024


class Category(BaseModel):
    """One file.  domains: names as in a rule, but without wildcards; each stands for its subdomains too."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, max_length=200)
    version: str = Field(min_length=1, max_length=100)
    description: str = ""
    sources: list[str] = Field(min_length=1)
    domains: list[str]


@cache
def load_categories() -> CategoryTable:
    """The table of the categories that ship with Steering."""
    return table(load_category_files(files("steering.catalog").joinpath("categories")))


def load_category_files(folder: Traversable) -> list[Category]:
    """Every ``*.json`` of ``folder``, by name.  Raises CatalogError."""
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return [_load(file) for file in found]


def table(categories: list[Category]) -> CategoryTable:
    """One table of several categories; a later one replaces an earlier one of the same name.  Raises CatalogError.

    The version changes with anything that is in it, since compiled policies are told apart by it.
    """
    latest = {category.name.casefold(): category for category in categories}
    domains = {category.name: _domains(category) for category in latest.values()}
    digest = sha256()
    for name in sorted(domains):
        digest.update("\n".join([name, *sorted(domains[name]), "\n"]).encode())
    return CategoryTable(digest.hexdigest()[:16], domains)


def _load(file: Traversable) -> Category:
    content = file.read_bytes()
    if len(content) > MAX_FILE_BYTES:
        raise CatalogError(f"{file.name} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
    try:
        return Category.model_validate_json(content)
    except ValidationError as exc:
        raise CatalogError(f"{file.name}: {first_error(exc)}") from exc


def _domains(category: Category) -> frozenset[str]:
    names = set()
    for entry in category.domains:
        try:
            domain = parse_domain(entry)
        except DomainError as exc:
            raise CatalogError(f"category '{category.name}': {exc}") from exc
        if domain.reach is not Reach.TREE:
            raise CatalogError(f"category '{category.name}': {entry!r} must be a plain name; it takes its subdomains")
        names.add(domain.name)
    return frozenset(names)


def first_error(exc: ValidationError) -> str:
    """The first of pydantic's complaints, with its place."""
    error = exc.errors(include_url=False)[0]
    return f"/{'/'.join(map(str, error['loc']))}: {error['msg']}"
