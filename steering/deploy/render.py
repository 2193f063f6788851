"""The files of a target, made from their templates.

A template prints ``Quoted`` values alone (``formats.quoting``): a value that no filter has seen is an error, so a name
in a rule file, a certificate or a URL cannot become a line of somebody's configuration.
"""

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, FunctionLoader, StrictUndefined, TemplateError

from steering import resources
from steering.deploy.errors import DeployError
from steering.deploy.facts import Ca, Facts
from steering.deploy.targets import TARGETS, Target, lacking
from steering.formats.quoting import FILTERS, Quoted, Unquotable


def files_of(target: Target, facts: Facts) -> dict[str, str]:
    """File name -> content, without those that would be empty.

    Raises DeployError where ``facts`` lacks something or a format cannot hold it.
    """
    wanting = lacking(target, facts)
    if wanting:
        raise DeployError(f"{target.name}: {'; '.join(need.value for need in wanting)}")
    try:
        made = {file: environment().get_template(template).render(f=facts) for file, template in target.files.items()}
        return {file: content for file, content in made.items() if content}
    except (TemplateError, Unquotable) as exc:
        raise DeployError(f"{target.name}: {exc}") from exc


def ca_profile(trusted: Sequence[Ca], *, organisation: str, identifier: str) -> str:
    """The Apple profile of the target ``ca-ios`` for those who have nothing but certificates."""
    ca, before = (*trusted, None, None)[:2]
    facts = Facts(
        pac_url="",
        zone="",
        addresses=(),
        resolvers=(),
        proxy="",
        internal_zones=(),
        ca=ca,
        ca_before=before,
        organisation=organisation,
        identifier=identifier,
        notes=(),
    )
    (profile,) = files_of(TARGETS["ca-ios"], facts).values()
    return profile


@cache
def environment() -> Environment:
    """In which the shipped templates are rendered."""
    made = Environment(
        loader=FunctionLoader(_shipped),
        undefined=StrictUndefined,
        finalize=_quoted_only,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # a dozen formats; ``finalize`` lets quoted values through alone
    )
    made.filters.update(FILTERS)
    return made


def _shipped(name: str) -> str | None:
    template = resources.deploy_templates().joinpath(name)
    return template.read_text("utf-8") if template.is_file() else None


def _quoted_only(value: object) -> object:
    if isinstance(value, Quoted):
        return value
    raise DeployError(f"a template printed {value!r}, which was not quoted for its format")
