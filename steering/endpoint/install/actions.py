"""What a step does to a machine: a closed set of values, each of which can be written down and undone.

Pure.  ``Edit`` changes a file.  ``Command`` runs a program that has a counterpart.  A setting is read before it is
written: ``GSetting`` of GNOME, ``MacAutoProxy``, ``RegistryValue`` and ``WinHttpProxy``; what was read is what undo
writes.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from steering.endpoint.install.edits import Change

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """path: absolute.  mode: of a new file; one that is there keeps its own, and its owner."""

    path: str
    change: Annotated[Change, Field(discriminator="kind")]
    mode: int = 0o644
    kind: Literal["edit"] = "edit"

    @property
    def name(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """holds: a program that succeeds where it is done already, () where it is to be run each time.

    undo: its counterpart, () where there is none.  It runs when what was done after this is undone, and what was done
    before is not; ``late``: only when that is, too, as ``update-ca-certificates`` after the file it reads is gone.
    keeps: files that it changes; their bytes are put back where nothing else has changed them since.
    """

    name: str
    do: Argv
    holds: Argv = ()
    undo: Argv = ()
    keeps: tuple[str, ...] = ()
    late: bool = False
    kind: Literal["command"] = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class GSetting:
    """value: as GVariant text, the way ``gsettings get`` prints it."""

    schema: str
    key: str
    value: str
    kind: Literal["gsetting"] = "gsetting"

    @property
    def name(self) -> str:
        return f"{self.schema} {self.key}"

    def reading(self) -> Argv:
        return ("gsettings", "get", self.schema, self.key)

    def parse(self, code: int, out: str) -> str | None:
        return out.strip() if code == 0 else None

    def writing(self, value: str | None) -> tuple[Argv, ...]:
        if value is None:
            return (("gsettings", "reset", self.schema, self.key),)
        return (("gsettings", "set", self.schema, self.key, value),)


@dataclass(frozen=True, slots=True, kw_only=True)
class MacAutoProxy:
    """The PAC of one network service, as "Wi-Fi"."""

    service: str
    value: str
    kind: Literal["mac-auto-proxy"] = "mac-auto-proxy"

    @property
    def name(self) -> str:
        return f"automatic proxy of {self.service}"

    def reading(self) -> Argv:
        return ("networksetup", "-getautoproxyurl", self.service)

    def parse(self, code: int, out: str) -> str | None:
        """The URL in force; None where there is none, or it is switched off."""
        found = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)
        return found.get("URL") if code == 0 and found.get("Enabled") == "Yes" else None

    def writing(self, value: str | None) -> tuple[Argv, ...]:
        if value is None:
            return (("networksetup", "-setautoproxystate", self.service, "off"),)
        return (
            ("networksetup", "-setautoproxyurl", self.service, value),
            ("networksetup", "-setautoproxystate", self.service, "on"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryValue:
    """key: as ``HKCU\\Software\\...``.  type: as ``REG_SZ``.  A DWORD's value is written as ``reg.exe`` prints it."""

    key: str
    value_name: str
    type: str
    value: str
    kind: Literal["registry"] = "registry"

    @property
    def name(self) -> str:
        return f"{self.key}\\{self.value_name}"

    def reading(self) -> Argv:
        return ("reg.exe", "query", self.key, "/v", self.value_name)

    def parse(self, code: int, out: str) -> str | None:
        found = re.search(rf"^\s+{re.escape(self.value_name)}\s+(REG_\w+)\s+(.*?)\s*$", out, re.MULTILINE)
        return found[2] if code == 0 and found else None

    def writing(self, value: str | None) -> tuple[Argv, ...]:
        if value is None:
            return (("reg.exe", "delete", self.key, "/v", self.value_name, "/f"),)
        return (("reg.exe", "add", self.key, "/v", self.value_name, "/t", self.type, "/d", value, "/f"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class WinHttpProxy:
    """What services use.  value: JSON, the way ``netsh winhttp show advproxy`` prints it (Windows 11, Server 2022)."""

    value: str
    kind: Literal["winhttp"] = "winhttp"

    @property
    def name(self) -> str:
        return "WinHTTP proxy"

    def reading(self) -> Argv:
        return ("netsh.exe", "winhttp", "show", "advproxy")

    def parse(self, code: int, out: str) -> str | None:
        found = re.search(r"\{.*\}", out, re.DOTALL)
        if code != 0 or not found:
            return None
        try:
            return json.dumps(json.loads(found[0]), separators=(",", ":"), sort_keys=True)
        except ValueError:
            return None

    def writing(self, value: str | None) -> tuple[Argv, ...]:
        if value is None:
            return (("netsh.exe", "winhttp", "reset", "proxy"),)
        return (("netsh.exe", "winhttp", "set", "advproxy", "setting-scope=machine", f"settings={value}"),)


Setting = GSetting | MacAutoProxy | RegistryValue | WinHttpProxy
Action = Annotated[Edit | Command | Setting, Field(discriminator="kind")]
ACTION: TypeAdapter[Edit | Command | Setting] = TypeAdapter(Action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Actions that are done, verified and undone together.

    why: what it is for, in one line.  required: without it nothing after it is tried, as a proxy setting for a helper
    that does not run would cut the machine off.
    """

    name: str
    why: str
    actions: tuple[Edit | Command | Setting, ...]
    required: bool = False
