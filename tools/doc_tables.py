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

ROOT = Path(__file__).parent.parent
MEASUREMENTS = ROOT / "docs" / "measurements.json"
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


def all_settings() -> str:
    return table(
        ("key", "default", "meaning"),
        ((code(f"{s}.{key}"), code(default), text) for s in _SECTIONS for key, default, text in _settings(s)),
    )


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


# Measurements: docs/measurements.json is written by ``python -m bench --write``

# What the README shows: measurement, the row's cells that choose it, the figures (column, unit) and what they say.
_FIGURES: tuple[tuple[str, str, dict[str, str | int], tuple[tuple[str, str], ...]], ...] = (
    (
        "one decision, 100,000 domains",
        "policy",
        {"domains": "100,000", "what": "steering, decide"},
        (("p50 us", "µs median"), ("p99 us", "µs p99")),
    ),
    (
        "a linear scan of the same",
        "policy",
        {"domains": "100,000", "what": "linear scan"},
        (("p50 us", "µs median"),),
    ),
    (
        "reading, checking and compiling 100,000 domains",
        "policy",
        {"domains": "100,000", "what": "steering, decide"},
        (("build CPU s", "s CPU"),),
    ),
    (
        "a PAC of 100,000 names",
        "pac",
        {"names": 100_000, "PAC": "steering", "engine": "V8 jitless"},
        (("bytes", "bytes"), ("load ms", "ms to load"), ("us a decision", "µs a decision, in V8 as Chromium runs it")),
    ),
    (
        "the usual chain of `dnsDomainIs` for 10,000",
        "pac",
        {"names": 10_000, "PAC": "linear dnsDomainIs", "engine": "V8 jitless"},
        (("bytes", "bytes"), ("us a decision", "µs a decision")),
    ),
    (
        "one steered DNS answer",
        "dns",
        {"answers": "steered", "server": "steering"},
        (("cpu_us", "µs CPU"), ("x echo", "times a bare echo in Python"), ("qps", "a second")),
    ),
    (
        "one cached DNS answer",
        "dns",
        {"answers": "cached", "server": "steering"},
        (("cpu_us", "µs CPU"), ("x echo", "times the echo"), ("qps", "a second")),
    ),
    ("dnslib's own server", "dns", {"answers": "steered", "server": "dnslib"}, (("cpu_us", "µs CPU"),)),
    (
        "one request on an opened connection",
        "inspector",
        {"case": "requests, kept alive", "server": "inspector"},
        (("cpu_us", "µs CPU"), ("per_s", "a second")),
    ),
    (
        "one new opened connection",
        "inspector",
        {"case": "new connections", "server": "inspector"},
        (("cpu_us", "µs CPU"), ("per_s", "a second, one after the other")),
    ),
    (
        "a MiB downloaded, opened",
        "inspector",
        {"case": "opened download, MiB", "server": "inspector"},
        (("cpu_us", "µs CPU"),),
    ),
    (
        "a MiB downloaded, tunnelled",
        "inspector",
        {"case": "tunnelled download, MiB", "server": "inspector"},
        (("cpu_us", "µs CPU"),),
    ),
)


def figures() -> str:
    results = json.loads(MEASUREMENTS.read_text("utf-8"))
    return table(
        ("what", "figure"), ((what, _figure(results, name, row, shown)) for what, name, row, shown in _FIGURES)
    )


def _figure(
    results: dict[str, dict[str, object]], name: str, chosen: dict[str, str | int], shown: tuple[tuple[str, str], ...]
) -> str:
    rows = results.get(name, {}).get("rows", [])
    assert isinstance(rows, list)
    row = next((row for row in rows if all(row.get(key) == value for key, value in chosen.items())), None)
    return ", ".join(f"{_number(row[column])} {unit}" for column, unit in shown) if row else "-"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def measured() -> str:
    """Every published measurement as it was printed."""
    results = json.loads(MEASUREMENTS.read_text("utf-8"))
    parts = []
    for name, result in results.items():
        short = ", short rounds" if result["quick"] else ""
        parts.append(f"## {name}\n\n{result['when']}, {result['machine']}{short}.\n\n```\n{result['text']}\n```")
    return "\n" + "\n\n".join(parts) + "\n"


def targets() -> str:
    return table(("name", "what", "does"), ((code(t.name), t.title, t.does) for t in TARGETS.values()))


PRINTED: dict[str, Callable[..., str]] = {
    "settings": all_settings,
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
    "measured": measured,
}


def main() -> None:
    for page in pages():
        text = page.read_text("utf-8")
        fresh = printed(text)
        if fresh != text:
            page.write_text(fresh, "utf-8")
            print(f"wrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
