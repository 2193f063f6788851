"""The page at ``/``: what this is and where its files are, for whoever opens the address; no administration."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from steering.control.status import Status


def render_page(status: Status, url: str) -> str:
    return _template().render(status=status, url=url)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("steering.control").joinpath("page.html.j2").read_text("utf-8"))
