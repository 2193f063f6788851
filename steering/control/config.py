"""``steering.toml``: every setting with its default, from file and environment, checked before anything starts.

Precedence: command line, environment (``STEERING_SECTION_KEY``, lists comma-separated), file, default.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields
from difflib import get_close_matches
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from steering.control.config_words import words_for
from steering.control.errors import ConfigError
from steering.endpoint.settings import EndpointSettings
from steering.pac.chains import plan_chains
from steering.pac.errors import PacError
from steering.policy.errors import PolicyError
from steering.policy.hosts import normalise_name, parse_host

PREFIX = "STEERING_"
# What every container is given about a Kubernetes Service called steering, steering-dns and the like.
_BY_KUBERNETES = re.compile(r"service_host|(service_)?port(_.*)?")
# A helper on this machine has settings of its own under the same prefix.
_OF_THE_HELPER = frozenset(field.name for field in fields(EndpointSettings))
PRIVATE = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]


def _listen(text: str) -> str:
    if text:
        parse_listen(text)
    return text


def _network(text: str) -> str:
    whole = ip_network(text, strict=False)
    if "/" in text and ip_interface(text).ip != whole.network_address:
        raise ValueError(f"{text} has host bits set: write {whole}")
    return str(whole)


def _address(text: str) -> str:
    return str(ip_address(text))


def _inspector(text: str) -> str:
    try:
        plan_chains([text])
    except PacError as exc:
        raise ValueError(str(exc)) from exc
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError(f"{text!r} is no address of a service: write it as http://steering.example:8080")
    return text


def _helpers_url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme != "https" or not parts.hostname or not parts.port or parts.path.strip("/")):
        raise ValueError(f"{text!r} is no address for helpers: write it as https://steering.example:8444")
    return text.rstrip("/")


def _zone(text: str) -> str:
    try:
        return normalise_name(text)
    except PolicyError as exc:
        raise ValueError(str(exc)) from exc


def _host(text: str) -> str:
    try:
        return parse_host(text).text
    except PolicyError as exc:
        raise ValueError(str(exc)) from exc


HostText = Annotated[str, AfterValidator(_host)]
Listen = Annotated[str, AfterValidator(_listen)]
NetworkText = Annotated[str, AfterValidator(_network)]
AddressText = Annotated[str, AfterValidator(_address)]
ZoneText = Annotated[str, AfterValidator(_zone)]
InspectorText = Annotated[str, AfterValidator(_inspector)]
UrlText = Annotated[str, AfterValidator(_url)]
HelpersUrlText = Annotated[str, AfterValidator(_helpers_url)]
ClosedOrOpen = Annotated[str, Field(pattern="^(closed|open)$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Workers = Annotated[int, Field(ge=0, le=256)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicySection(_Section):
    rules: str = Field("rules.json", description="relative to this file")
    internal_zones: list[ZoneText] = Field([], description="names answered by [dns] zones, never steered")
    internal_networks: list[NetworkText] = Field(
        ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"], description="address literals never steered"
    )


class StateSection(_Section):
    dir: str = Field("var", description="CA, history, activity; relative to this file")


class ControlSection(_Section):
    listen: Listen = "127.0.0.1:8080"
    public_url: UrlText = Field("", description="what clients call it; default from listen")
    endpoint_listen: Listen = Field("", description="for endpoint helpers, over TLS; empty = off")
    endpoint_url: HelpersUrlText = Field(
        "", description="what helpers call it; default from public_url and endpoint_listen"
    )
    token_file: str = Field("", description="where an enrolment token is kept fresh, for split services beside it")


class FollowSection(_Section):
    url: HelpersUrlText = Field("", description="take rules from this control service, not from a file")
    token: str = Field("", description="an enrolment token of it, needed once")
    token_file: str = Field("", description="a file with such a token")
    ca: str = Field("", description="a folder with ca.pem and ca.key of its CA; default: ca in the state folder")


class InspectorSection(_Section):
    listen: Listen = Field("127.0.0.1:3128", description="explicit proxy")
    tls_listen: Listen = Field("127.0.0.1:8443", description="transparent, by SNI")
    http_listen: Listen = Field("127.0.0.1:8081", description="transparent, by Host")
    endpoint_listen: Listen = Field("", description="for endpoint helpers, over TLS; empty = off")
    advertise: list[InspectorText] = Field([], description="what the PAC names, one per inspector; default: listen")
    endpoint_advertise: list[InspectorText] = Field(
        [], description="what helpers are told, one per inspector; default: endpoint_listen"
    )
    allowed: list[NetworkText] = Field(PRIVATE, description="client networks that are served")
    connect_ports: list[Port] = Field([443], description="CONNECT to any other port is refused")
    origin_tls_port: Port = Field(443, description="what transparent connections dial")
    origin_http_port: Port = 80
    trust: list[str] = Field([], description="extra CA files for verifying origins, beside the system's")
    allow_destinations: list[NetworkText] = Field([], description="networks opened up in the SSRF guard")
    allow_no_http1: bool = Field(False, description="tunnel clients that offer no HTTP/1.1 (gRPC)")
    allow_non_tls: bool = Field(False, description="tunnel what is not TLS inside CONNECT")
    allow_no_sni: bool = Field(False, description="open a CONNECT to a name without SNI under that name")
    workers: Workers = Field(0, description="processes; 0 = one per core")


class DnsSection(_Section):
    listen: Listen = Field("127.0.0.1:8053", description="UDP and TCP")
    tls_listen: Listen = Field("", description="DNS over TLS, port 853 as a rule; empty = off")
    https_listen: Listen = Field("", description="DNS over HTTPS, at /dns-query; empty = off")
    server_names: list[HostText] = Field(
        [], description="what clients of DNS over TLS and HTTPS call the resolver, beside its addresses"
    )
    certificate: str = Field("", description="file of a certificate chain for them; empty = one of our CA")
    key: str = Field("", description="file of its private key")
    inspector_addresses: list[AddressText] = Field(["127.0.0.1"], description="what steered names resolve to")
    upstreams: list[str] = Field([], description='"udp://ADDR:PORT", "tls://ADDR:PORT#NAME"; empty = the system\'s')
    zones: dict[ZoneText, list[str]] = Field({}, description="conditional forwarding")
    follow_cname: bool = Field(False, description="remember targets of bypassed chains, per client, <= 300 s")
    steered: list[NetworkText] = Field(["0.0.0.0/0", "::/0"], description="client networks that get the split answer")
    allowed: list[NetworkText] = Field(PRIVATE, description="client networks that are answered")
    query_log: bool = Field(False, description="one access line per query")
    workers: Workers = Field(0, description="counts together with the inspector's: the larger is taken")


class PacSection(_Section):
    fail_open: bool = Field(False, description="end each chain with DIRECT; one failure then sends browsers past us")
    templates: str = Field("", description="a folder whose templates come before the shipped ones")


class EndpointSection(_Section):
    inspector_unreachable: ClosedOrOpen = Field("closed", description="open: helpers then go direct")
    helper_dead: ClosedOrOpen = Field("closed", description="open: captured connections then go direct")
    unknown_process: Annotated[str, Field(pattern="^(inspect|block)$")] = Field(
        "inspect", description="a connection whose program cannot be told: inspect, or block"
    )


class LogSection(_Section):
    format: Annotated[str, Field(pattern="^(console|json)$")] = "console"
    access: str = Field("-", description='"-" standard output, "off", or a file')


class RunSection(_Section):
    user: str = Field("", description="the user to become when started as root; default 'steering' if it exists")


class Config(_Section):
    """All settings.  ``Loaded`` says where they came from."""

    policy: PolicySection = PolicySection()
    state: StateSection = StateSection()
    control: ControlSection = ControlSection()
    follow: FollowSection = FollowSection()
    inspector: InspectorSection = InspectorSection()
    dns: DnsSection = DnsSection()
    pac: PacSection = PacSection()
    endpoint: EndpointSection = EndpointSection()
    log: LogSection = LogSection()
    run: RunSection = RunSection()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration and the folder that its relative paths start from.  file: None without one."""

    config: Config
    base: Path
    file: Path | None

    def path(self, text: str) -> Path:
        return (self.base / text).absolute()

    @property
    def rules(self) -> Path:
        return self.path(self.config.policy.rules)

    @property
    def state(self) -> Path:
        return self.path(self.config.state.dir)

    @property
    def shared_ca(self) -> Path:
        """Where a service that follows finds the CA of the one that it follows."""
        return self.path(self.config.follow.ca) if self.config.follow.ca else self.state / "ca"


def parse_listen(text: str) -> tuple[str, int]:
    """``HOST:PORT`` (IPv6 in brackets).  Raises ValueError; the host must be an address."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ip_address(bare)
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number < 65536 or (":" in bare and not host.startswith("[")):
        raise ValueError(f"{text!r} is no address to listen on: write ADDRESS:PORT, as 127.0.0.1:3128 or [::1]:3128")
    return bare, number


def load_config(
    file: Path | None, environment: Mapping[str, str], overrides: Mapping[tuple[str, str], str] | None = None
) -> Loaded:
    """Read the configuration.  overrides: (section, key) -> value from the command line.  Raises ConfigError."""
    text = _read(file) if file else ""
    table = _parse(text, file)
    _refuse_unknown(table, text, file)
    variables = _from_environment(environment)
    for (section, key), value in variables.items():
        table.setdefault(section, {})[key] = value
    for (section, key), value in (overrides or {}).items():
        table.setdefault(section, {})[key] = value
    try:
        config = Config.model_validate(table)
    except ValidationError as exc:
        raise ConfigError(_words(exc, text, file, variables.keys() - (overrides or {}).keys())) from exc
    _check_together(config)
    base = file.parent.absolute() if file else Path.cwd()
    return Loaded(config=config, base=base, file=file)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file} cannot be read: {exc}") from exc


def _parse(text: str, file: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{file}: {exc}") from exc


def _refuse_unknown(table: Mapping[str, Any], text: str, file: Path | None) -> None:
    problems = []
    for section, content in table.items():
        line = line_of(text, section, None)
        if section not in Config.model_fields:
            problems.append(_unknown(section, list(Config.model_fields), f"[{section}]", line, file))
            continue
        if not isinstance(content, dict):
            problems.append(f"{file}:{line}: {section} is a table: write [{section}] and its settings below")
            continue
        fields = list(type(getattr(Config(), section)).model_fields)
        for key in content:
            if key not in fields:
                problems.append(_unknown(key, fields, f"{section}.{key}", line_of(text, section, key), file))
    if problems:
        raise ConfigError("\n".join(problems))


def _unknown(word: str, known: list[str], shown: str, line: int, file: Path | None) -> str:
    close = get_close_matches(word, known, 1)
    advice = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
    return f"{file}:{line}: there is no setting {shown}; {advice}"


def line_of(text: str, section: str, key: str | None) -> int:
    """The line of a table or of a key in it, as near as a scan of the text can tell; 0 where it is not found."""
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([\w.\"-]+)\s*\]+", line)
        if header:
            current = header[1].strip('"')
            wanted = current.partition(".")[0] == section if key is None else current == f"{section}.{key}"
        elif key is not None and current == section:
            wanted = re.match(rf"\s*\"?{re.escape(key)}\"?\s*[.=]", line) is not None
        elif key is not None:
            wanted = not current and re.match(rf"\s*{re.escape(section)}\s*\.\s*{re.escape(key)}\s*=", line) is not None
        else:
            wanted = not current and re.match(rf"\s*{re.escape(section)}\s*[.=]", line) is not None
        if wanted:
            return number
    return 0


def _from_environment(environment: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        section, _, key = name.removeprefix(PREFIX).lower().partition("_")
        if not key:
            continue
        if section not in Config.model_fields:
            meant = get_close_matches(section, Config.model_fields, 1, 0.75)
            if meant:
                advice = f"did you mean {PREFIX}{meant[0].upper()}_{key.upper()}?"
                raise ConfigError(f"environment: there is no setting {name}; {advice}")
            continue
        fields = type(getattr(Config(), section)).model_fields
        if key not in fields:
            if _BY_KUBERNETES.fullmatch(key) or (section == "endpoint" and key in _OF_THE_HELPER):
                continue
            close = get_close_matches(key, fields, 1)
            advice = f"; did you mean {PREFIX}{section.upper()}_{close[0].upper()}?" if close else ""
            raise ConfigError(f"environment: there is no setting {name}{advice}")
        default = getattr(getattr(Config(), section), key)
        found[section, key] = _typed(name, value, default)
    return found


def _typed(name: str, value: str, default: object) -> object:
    if isinstance(default, list):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(default, dict):
        try:
            return json.loads(value)
        except ValueError as exc:
            raise ConfigError(
                f'environment: {name} must be JSON, as {{"corp.example": ["udp://10.0.0.53:53"]}}'
            ) from exc
    return value


def _words(exc: ValidationError, text: str, file: Path | None, variables: Set[tuple[str, str]]) -> str:
    """variables: the settings that come from the environment."""
    lines = []
    for error in exc.errors(include_url=False):
        loc = [str(part) for part in error["loc"]]
        section, key = loc[0], loc[1] if len(loc) > 1 else None
        if key is not None and (section, key) in variables:
            where = f"environment: {PREFIX}{section.upper()}_{key.upper()}"
        else:
            number = line_of(text, section, key)
            where = (f"{file}:{number}: " if file and number else "") + ".".join(loc)
        lines.append(f"{where}: {words_for(error)}")
    return "\n".join(lines)


def _check_together(config: Config) -> None:
    problems = []
    inspector, control = config.inspector, config.control
    if (_is_wildcard(inspector.listen) or not inspector.listen) and not inspector.advertise:
        problems.append(
            f"inspector.listen is {inspector.listen or 'empty'}: say in inspector.advertise what clients are to call "
            'it, as ["proxy.example:3128"]'
        )
    if _is_wildcard(control.listen) and not control.public_url:
        problems.append(
            f"control.listen is {control.listen}: say in control.public_url what clients are to call it, "
            'as "http://steering.example:8080"'
        )
    problems += _for_helpers(config)
    problems += _for_following(config)
    if problems:
        raise ConfigError("\n".join(problems))


def _for_helpers(config: Config) -> list[str]:
    problems = []
    inspector, control = config.inspector, config.control
    if _is_wildcard(control.endpoint_listen) and not control.endpoint_url and not control.public_url:
        problems.append(
            f"control.endpoint_listen is {control.endpoint_listen}: say in control.endpoint_url what helpers are to "
            'call it, as "https://steering.example:8444"'
        )
    if _is_wildcard(inspector.endpoint_listen) and not inspector.endpoint_advertise:
        problems.append(
            f"inspector.endpoint_listen is {inspector.endpoint_listen}: say in inspector.endpoint_advertise what "
            'helpers are to call it, as ["proxy.example:3130"]'
        )
    return problems


def _for_following(config: Config) -> list[str]:
    follow = config.follow
    if config.control.token_file and not config.control.endpoint_listen:
        return ["control.token_file is set, and control.endpoint_listen, where such a token is taken, is not"]
    if not follow.url:
        given = [key for key in ("token", "token_file", "ca") if getattr(follow, key)]
        return [f"follow.{key} is set, and follow.url, which says whom to follow, is not" for key in given]
    listening = {
        "control.endpoint_listen": config.control.endpoint_listen,
        "inspector.endpoint_listen": config.inspector.endpoint_listen,
    }
    return [
        f"{key} is set together with follow.url: helpers are served where the rules are, not by a service that follows"
        for key, value in listening.items()
        if value
    ]


def _is_wildcard(listen: str) -> bool:
    return bool(listen) and ip_address(parse_listen(listen)[0]).is_unspecified


def as_toml() -> str:
    """A configuration file with every setting, commented out at its default."""
    lines = ["# Steering. Every setting is shown with its default; remove the '#' to change one.", ""]
    for section, field in Config.model_fields.items():
        lines.append(f"[{section}]")
        model: type[BaseModel] = field.annotation  # type: ignore[assignment]
        for key, setting in model.model_fields.items():
            value = _toml(setting.get_default())
            comment = f"  # {setting.description}" if setting.description else ""
            lines.append(f"#{key} = {value}{comment}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{}"
    return json.dumps(value)
