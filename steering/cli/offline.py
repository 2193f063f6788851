"""What the service would enforce, worked out without it: the rules file under the configuration's settings."""

from collections.abc import Sequence
from pathlib import Path

from steering.cli.rules_file import load_rules_file
from steering.control.config import Config, Loaded
from steering.control.policystore import reserved_settings
from steering.pac.publish import PacSettings
from steering.policy import Policy, ReservedSettings, compile_policy


def policy_of(loaded: Loaded, rules: Path) -> Policy:
    """The policy of ``rules``.  Exits with 2 where it cannot be enforced."""
    rule_set, _ = load_rules_file(rules)
    return compile_policy(rule_set, reserved_of(loaded.config))


def reserved_of(config: Config) -> ReservedSettings:
    return reserved_settings(config)


def pac_settings(loaded: Loaded, inspectors: Sequence[str] | None = None) -> PacSettings:
    """How a PAC is made.  inspectors: in place of the configured ones."""
    config = loaded.config
    return PacSettings(
        inspectors=tuple(inspectors or config.inspector.advertise or [config.inspector.listen]),
        fail_open=config.pac.fail_open,
        templates=loaded.path(config.pac.templates) if config.pac.templates else None,
    )
