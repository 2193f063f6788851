"""What the service would enforce, without it."""

from ipaddress import ip_network
from pathlib import Path

from steering.cli.offline import pac_settings, policy_of, reserved_of
from steering.control.config import Loaded, load_config
from steering.pac.publish import PacSettings
from steering.policy import ReservedSettings
from tests.cli.runner import a_copy

TOML = """
[policy]
internal_zones = ["corp.example", "Bücher.example"]
internal_networks = ["198.51.100.0/24"]
[control]
public_url = "https://PAC.office.example:8443/x"
[inspector]
advertise = ["p1.office.example:3128", "192.0.2.1:3128", "p1.office.example:3129"]
[dns.zones]
"zone.example" = ["udp://192.0.2.53:53"]
[pac]
fail_open = true
templates = "mine"
"""


def loaded(tmp_path: Path, text: str) -> Loaded:
    file = tmp_path / "steering.toml"
    file.write_text(text)
    return load_config(file, {})


def test_reserved_as_the_service_has_them(tmp_path: Path) -> None:
    assert reserved_of(loaded(tmp_path, TOML).config) == ReservedSettings(
        internal_zones=("corp.example", "xn--bcher-kva.example", "zone.example"),
        internal_networks=(ip_network("198.51.100.0/24"),),
        own_names=("pac.office.example", "p1.office.example"),
    )


def test_inspectors_as_advertised_as_listening_or_as_given(tmp_path: Path) -> None:
    full = loaded(tmp_path, TOML)
    names = ("p1.office.example:3128", "192.0.2.1:3128", "p1.office.example:3129")
    assert pac_settings(full) == PacSettings(inspectors=names, fail_open=True, templates=tmp_path / "mine")
    assert pac_settings(full, ["other:1"]).inspectors == ("other:1",)
    assert pac_settings(loaded(tmp_path, "")) == PacSettings(inspectors=("127.0.0.1:3128",))
    assert pac_settings(loaded(tmp_path, '[inspector]\nlisten = "[::1]:8"')).inspectors == ("[::1]:8",)


def test_the_revision_changes_with_the_configuration(tmp_path: Path) -> None:
    rules = a_copy(tmp_path)
    plain = policy_of(loaded(tmp_path, ""), rules)
    assert plain.revision == policy_of(loaded(tmp_path, ""), rules).revision
    assert plain.revision != policy_of(loaded(tmp_path, TOML), rules).revision
