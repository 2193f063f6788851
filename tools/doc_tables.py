"""The tables in the documentation that are printed from the code: ``make docs`` writes them, a test holds them equal.

A table stands between two comments, ``<!-- printed: NAME -->`` and ``<!-- /printed -->``; whatever stands between is
replaced.  PRINTED says what NAME is; words behind it are its arguments.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import typer
from pydantic import BaseModel

from steering.cli.commands import app
from steering.control.config import PREFIX, Config
from steering.deploy.targets import TARGETS
from steering.policy import EFFECTS, RESERVED, VISIBLE, Action, Effect, Fact, Point, Reserved
from steering_dns.settings import Limits as DnsLimits
from steering_inspector.destination import REFUSED
from steering_inspector.pages import REASONS
from steering_inspector.settings import Limits as InspectorLimits
from tools import doc_measurements

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"(<!-- printed: ([\w -]+?) -->\n).*?(<!-- /printed -->)", re.DOTALL)


def pages() -> list[Path]:
    """Everything that people read."""
    return [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted(
            path for part in ("deploy", "dns", "inspector", "pac_templates") for path in (ROOT / part).glob("*.md")
        ),
    ]


def printed(text: str) -> str:
    """``text`` with every table as the code has it now.  Raises KeyError for a name that PRINTED lacks."""

    def block(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        return f"{match[1]}{PRINTED[name](*arguments)}\n{match[3]}"

    return _BLOCK.sub(block, text)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    return f"`{text}`"


# Settings

# What the name of a setting says already, and a stranger still wants to read.
_PLAIN_MEANINGS = {
    "control.listen": "PAC files, the CA, health, metrics, the page",
    "inspector.origin_http_port": "the same for plain HTTP",
    "log.format": '"console" for people, "json" for machines',
}
_SECTIONS: dict[str, type[BaseModel]] = {
    section: field.annotation
    for section, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


def _settings(section: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning."""
    for key, field in _SECTIONS[section].model_fields.items():
        meaning = field.description or _PLAIN_MEANINGS[f"{section}.{key}"]
        yield key, json.dumps(field.get_default(call_default_factory=True)), meaning


def settings_of(section: str) -> str:
    return table(
        ("key", "environment", "default", "meaning"),
        (
            (code(key), code(f"{PREFIX}{section}_{key}".upper()), code(default), text)
            for key, default, text in _settings(section)
        ),
    )


_PORTS = {
    "control.listen": ("TCP", "control service"),
    "control.endpoint_listen": ("TCP", "control service for endpoint helpers, TLS"),
    "inspector.endpoint_listen": ("TCP", "inspector for endpoint helpers, TLS"),
    "inspector.listen": ("TCP", "inspector as explicit proxy: CONNECT and plain HTTP"),
    "inspector.tls_listen": ("TCP", "inspector, transparent TLS, by SNI"),
    "inspector.http_listen": ("TCP", "inspector, transparent HTTP, by Host"),
    "dns.listen": ("UDP and TCP", "resolver"),
    "dns.tls_listen": ("TCP", "resolver, DNS over TLS"),
    "dns.https_listen": ("TCP", "resolver, DNS over HTTPS"),
}


def ports() -> str:
    config = Config()
    listeners = {
        f"{section}.{key}": str(getattr(getattr(config, section), key))
        for section, model in _SECTIONS.items()
        for key in model.model_fields
        if key.endswith("listen")
    }
    rows = ((code(address) if address else "off", *_PORTS[key], code(key)) for key, address in listeners.items())
    return table(("default", "protocol", "what", "setting"), rows)


# Policy

POINTS = {
    Point.PAC: "PAC file",
    Point.DNS: "resolver",
    Point.INSPECTOR: "inspector",
    Point.ENDPOINT: "endpoint helper",
}
_DOING = {
    Effect.PAC_DIRECT: "`DIRECT`",
    Effect.PAC_PROXY: "`PROXY` inspector",
    Effect.DNS_REAL: "real answer",
    Effect.DNS_INSPECTOR: "inspector's address",
    Effect.DNS_NXDOMAIN: "no such name",
    Effect.DNS_NODATA: "no address",
    Effect.TUNNEL: "tunnel, unopened",
    Effect.OPEN: "open",
    Effect.BLOCK_PAGE: "block page",
    Effect.REFUSE: "refuse",
    Effect.ENDPOINT_DIRECT: "direct",
    Effect.ENDPOINT_PROXY: "through the inspector",
}


def effects() -> str:
    return table(
        ("decision", *POINTS.values()),
        (
            (action.value if isinstance(action, Action) else action, *(_DOING[done[point]] for point in POINTS))
            for action, done in EFFECTS.items()
        ),
    )


def visible() -> str:
    return table(
        ("stage", *(fact.value for fact in Fact)),
        ((stage.value, *("yes" if fact in seen else "" for fact in Fact)) for stage, seen in VISIBLE.items()),
    )


_NO_NAMES = {
    "single-label": "any name without a dot",
    "internal": "`policy.internal_zones`, `policy.internal_networks`, zones of `[dns]`",
    "own-name": "the hosts of `control.public_url` and `inspector.advertise`",
}


def reserved() -> str:
    return table(
        ("entry", "names and networks", *(POINTS[p] for p in POINTS), "why"),
        ((code(entry.key), _stands_for(entry), *_effects_of(entry), entry.why) for entry in RESERVED),
    )


def _stands_for(entry: Reserved) -> str:
    return ", ".join(map(code, [*entry.names, *map(str, entry.networks)])) or _NO_NAMES[entry.key]


def _effects_of(entry: Reserved) -> Iterator[str]:
    for point in POINTS:
        done = entry.effect(point)
        yield _DOING[done] if done else "-"


# Inspector and resolver


def reasons() -> str:
    return table(
        ("reason", "status", "what people read"),
        ((code(key), str(reason.status), f"{reason.title}. {reason.meaning}") for key, reason in REASONS.items()),
    )


def refused_destinations() -> str:
    kinds: dict[str, list[str]] = {}
    for network, kind in REFUSED:
        kinds.setdefault(kind, []).append(code(network))
    return table(("kind", "networks"), ((kind, ", ".join(networks)) for kind, networks in kinds.items()))


def limits(part: str) -> str:
    chosen: InspectorLimits | DnsLimits = InspectorLimits() if part == "inspector" else DnsLimits()
    return table(("limit", "value"), ((code(f.name), f"{getattr(chosen, f.name):,}") for f in fields(chosen)))


# Command line


def commands() -> str:
    return table(("command", "what it does"), _commands(app, "steering"))


def _commands(part: typer.Typer, name: str) -> Iterator[tuple[str, str]]:
    for command in part.registered_commands:
        assert command.callback is not None
        word = command.name or command.callback.__name__
        yield code(f"{name} {word}"), _first_line(command.callback)
    for group in part.registered_groups:
        below = group.typer_instance
        assert below is not None
        if below.info.invoke_without_command is True and below.registered_callback is not None:
            assert below.registered_callback.callback is not None
            yield code(f"{name} {group.name}"), _first_line(below.registered_callback.callback)
        yield from _commands(below, f"{name} {group.name}")


def _first_line(function: Callable[..., object]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


def figures() -> str:
    return table(("what", "steering", "beside it"), doc_measurements.figures())


def targets() -> str:
    return table(("name", "what", "does"), ((code(t.name), t.title, t.does) for t in TARGETS.values()))


PRINTED: dict[str, Callable[..., str]] = {
    "settings-of": settings_of,
    "ports": ports,
    "effects": effects,
    "visible": visible,
    "reserved": reserved,
    "reasons": reasons,
    "refused-destinations": refused_destinations,
    "limits": limits,
    "commands": commands,
    "targets": targets,
    "figures": figures,
    "measured": doc_measurements.measured,
}


def main() -> None:
    for page in pages():
        text = page.read_text("utf-8")
        fresh = printed(text)
        if fresh != text:
            page.write_text(fresh, "utf-8")
            print(f"wrote {page.relative_to(ROOT)}")
    for picture, drawn in doc_measurements.charts().items():
        picture.parent.mkdir(exist_ok=True)
        picture.write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
