"""The shape of ``rules.json``: what may be written, not yet what it means.

The JSON Schema that editors complete from is generated from these classes (``json_schema``).
"""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

SCHEMA_VERSION = 1

Text = Annotated[str, StringConstraints(max_length=1000)]
Entry = Annotated[str, StringConstraints(min_length=1, max_length=600)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Action(Enum):
    """What the administrator wants.  Precedence is block, inspect, bypass, then the default (inspect)."""

    BYPASS = "bypass"
    INSPECT = "inspect"
    BLOCK = "block"


class Reason(Enum):
    PINNED = "pinned"
    MTLS = "mtls"
    PRIVACY = "privacy"
    PERFORMANCE = "performance"
    VENDOR = "vendor"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProgramModel(_Strict):
    """A program with conditions stronger than its name."""

    name: Entry | None = Field(None, description="As in the short form: optional windows:, macos: or linux: in front.")
    path: Entry | None = Field(None, description="Glob over the executable's path; ** crosses folders.")
    root_owned: bool | None = Field(
        None, description="The file and its folders are writable by the administrator only."
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    signer: Entry | None = Field(None, description="Team id, certificate subject or package, as the helper reports it.")


class RuleModel(_Strict):
    """One rule: enabled AND in time AND source AND programs AND destination; within a list any entry will do."""

    name: Name
    enabled: bool = True
    action: Action = Action.BYPASS
    source: list[Entry] = Field(default=[], description="IP, CIDR, group:NAME or user:NAME; empty: any.")
    programs: list[Entry | ProgramModel] = Field(default=[], description="Empty: any program.")
    domains: list[Entry] = Field(default=[], description="example.com, *.example.com, =example.com, api-*.example.com.")
    categories: list[Entry] = Field(default=[], description="Names from the category table.")
    addresses: list[Entry] = Field(default=[], description="Destination IP or CIDR; matches address literals only.")
    not_before: AwareDatetime | None = Field(None, description="RFC 3339, inclusive.")
    expires_at: AwareDatetime | None = Field(None, description="RFC 3339, exclusive.")
    preconfigured: bool = Field(False, description="Shipped with the product: may be disabled, not edited.")
    reason: Reason | None = None
    owner: Text = ""
    ticket: Text = ""
    source_url: Text = ""
    note: Text = ""


class GroupModel(_Strict):
    """Who belongs to a group; an empty group matches nothing."""

    networks: list[Entry] = []
    users: list[Entry] = []


class RulesModel(_Strict):
    """The whole of rules.json."""

    schema_: str | None = Field(None, alias="$schema")
    version: Literal[1] = 1
    groups: dict[Name, GroupModel] = {}
    rules: list[RuleModel]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``rules.json`` (draft 2020-12)."""
    return RulesModel.model_json_schema() | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Steering rules",
    }


def instant(moment: datetime | None) -> float | None:
    """Seconds since the epoch, the only form of time that the engine compares."""
    return None if moment is None else moment.timestamp()
