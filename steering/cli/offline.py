"""What the service would enforce, worked out without it: the rules file under the configuration's settings."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from steering.cli.rules_file import load_rules_file
from steering.control.config import Config, Loaded
from steering.control.policystore import reserved_settings
from steering.pac.publish import PacSettings
from steering.policy import Policy, PolicyError, ReservedSettings, compile_policy, parse_host


def policy_of(loaded: Loaded, rules: Path) -> Policy:
    """The policy of ``rules``.  Exits with 2 where it cannot be enforced."""
    rule_set, _ = load_rules_file(rules)
    return compile_policy(rule_set, reserved_of(loaded.config))


def reserved_of(config: Config) -> ReservedSettings:
    return reserved_settings(config, tuple(_own_names(config)))


def pac_settings(loaded: Loaded, inspectors: Sequence[str] | None = None) -> PacSettings:
    """How a PAC is made.  inspectors: in place of the configured ones."""
    config = loaded.config
    return PacSettings(
        inspectors=tuple(inspectors or config.inspector.advertise or [config.inspector.listen]),
        fail_open=config.pac.fail_open,
        templates=loaded.path(config.pac.templates) if config.pac.templates else None,
    )


def _own_names(config: Config) -> list[str]:
    """The names by which clients know the service, as the service itself finds them."""
    hosts = [urlsplit(config.control.public_url).hostname or ""]
    hosts += [text.rpartition(":")[0] for text in config.inspector.advertise]
    names = []
    for text in hosts:
        try:
            host = parse_host(text)
        except PolicyError:
            continue
        if host.is_name:
            names.append(host.text)
    return list(dict.fromkeys(names))
