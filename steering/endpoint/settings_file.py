"""``endpoint.toml``: the helper's settings from file, environment and command line, checked before anything starts.

Precedence: command line, environment (``STEERING_ENDPOINT_KEY``), file (table ``[endpoint]``), default.
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from steering.endpoint.bundle.content import Modes
from steering.endpoint.errors import EndpointError
from steering.endpoint.settings import EndpointSettings, parse_listen

FILE = "endpoint.toml"
PREFIX = "STEERING_ENDPOINT_"
MIN_POLL_S, MAX_POLL_S = 1.0, 86400.0
_FORMATS = ("console", "json")
# Ours are the simple ones; the service, on whose machine a helper may run too, has an [endpoint] of its own.
_KEYS = ("listen", "transparent_listen", "capture", "log_format", "access", "poll_s")
_OF_THE_SERVICE = frozenset(Modes.model_fields)


def load_settings(
    folder: Path, environment: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> EndpointSettings:
    """The settings for the state folder.  A file of access lines is relative to it.  Raises EndpointError."""
    given: dict[str, object] = {**_from_file(folder / FILE), **_from_environment(environment), **(overrides or {})}
    defaults = EndpointSettings()
    settings = EndpointSettings(
        listen=_text("listen", given, defaults.listen),
        transparent_listen=_text("transparent_listen", given, defaults.transparent_listen),
        capture=_switch("capture", given, defaults.capture),
        log_format=_text("log_format", given, defaults.log_format),
        access=_access(_text("access", given, defaults.access), folder),
        poll_s=_seconds("poll_s", given, defaults.poll_s),
    )
    parse_listen(settings.listen)
    parse_listen(settings.transparent_listen)
    if settings.log_format not in _FORMATS:
        raise EndpointError(f"log_format is {' or '.join(_FORMATS)}, not {settings.log_format!r}")
    return settings


def _from_file(file: Path) -> dict[str, object]:
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise EndpointError(f"{file} cannot be read: {exc}") from exc
    table = content.pop("endpoint", {})
    if content or not isinstance(table, dict):
        raise EndpointError(f"{file}: settings stand in one table: write [endpoint], and below it KEY = VALUE")
    for key in table:
        if key not in _KEYS:
            raise EndpointError(f"{file}: there is no setting {key!r}; {_advice(key, _KEYS)}")
    return table


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    found = {}
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX).lower()
        if key in _KEYS:
            found[key] = value
        elif key not in _OF_THE_SERVICE:
            names = [PREFIX + known.upper() for known in _KEYS]
            raise EndpointError(f"environment: there is no setting {name}; {_advice(name, names)}")
    return dict[str, object](found)


def _advice(word: str, known: tuple[str, ...] | list[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def _text(key: str, given: Mapping[str, object], default: str) -> str:
    value = given.get(key, default)
    if not isinstance(value, str) or not value:
        raise EndpointError(f'{key} is a text, as {key} = "{default}"')
    return value


def _switch(key: str, given: Mapping[str, object], default: bool) -> bool:
    value = given.get(key, default)
    if isinstance(value, str):
        value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(value.lower())
    if not isinstance(value, bool):
        raise EndpointError(f"{key} is true or false")
    return value


def _seconds(key: str, given: Mapping[str, object], default: float) -> float:
    value = given.get(key, default)
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        seconds = 0.0
    if not MIN_POLL_S <= seconds <= MAX_POLL_S:
        raise EndpointError(f"{key} is a number of seconds from {MIN_POLL_S:g} to {MAX_POLL_S:g}")
    return seconds


def _access(text: str, folder: Path) -> str:
    return text if text in ("-", "off") else str((folder / text).absolute())
