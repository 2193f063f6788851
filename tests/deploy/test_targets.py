"""The table of targets: complete, and told in full."""

from dataclasses import replace

import pytest

from steering import resources
from steering.deploy.targets import TARGETS, Need, lacking
from tests.deploy.ground import GIVEN, facts


def test_every_target_of_the_product_is_there() -> None:
    assert list(TARGETS) == [
        "systemd",
        *(f"dhcp-{server}" for server in ("isc", "kea", "dnsmasq", "windows", "mikrotik")),
        *(f"wpad-{server}" for server in ("bind", "dnsmasq", "unbound", "windows")),
        *(f"resolver-{server}" for server in ("isc", "kea", "dnsmasq", "windows", "mikrotik", "systemd")),
        "chromium",
        "firefox",
        *(f"windows-{way}" for way in ("registry", "gpo", "intune")),
        *(f"apple-{system}" for system in ("macos", "ios")),
        *("gnome", "kde", "networkmanager", "environment"),
        *(f"ca-{store}" for store in ("debian", "rhel", "arch", "suse", "macos", "java", "nss", "python", "node")),
        *(f"ca-{store}" for store in ("git", "docker", "windows", "image", "android", "ios")),
    ]


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_says_what_it_does_and_how_to_undo_it(name: str) -> None:
    target = TARGETS[name]
    assert all(text.endswith(".") and len(text) > 15 for text in (target.does, target.use, target.undo))


@pytest.mark.parametrize("name", TARGETS)
def test_names_of_files_and_templates(name: str) -> None:
    for file, template in TARGETS[name].files.items():
        assert "/" not in file
        assert resources.deploy_templates().joinpath(template).is_file()


def test_no_template_is_left_over() -> None:
    used = {template for target in TARGETS.values() for template in target.files.values()}
    there = {path.name for path in resources.deploy_templates().iterdir()}
    assert {name for name in there - used if ".part." not in name} == set()


assert GIVEN.installed is not None
INSTALLED = GIVEN.installed
LACKING = {
    "nothing": ({}, set()),
    "an address": ({"addresses": (), "control": None}, {Need.ADDRESSES}),
    "a resolver": ({"resolvers": (), "dns_port": 8053}, {Need.RESOLVERS, Need.RESOLVERS4}),
    "a resolver with IPv4": ({"resolvers": ("2001:db8::6",)}, {Need.RESOLVERS4}),
    "a proxy": ({"proxies": ()}, {Need.PROXY}),
    "anything installed": ({"installed": None}, {Need.CONFIG}),
    "a configuration": ({"installed": replace(INSTALLED, config="")}, {Need.CONFIG}),
    "a place that a unit sees": ({"installed": replace(INSTALLED, state="/home/a/var")}, {Need.SEEN}),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_lacks_is_told(case: str) -> None:
    change, expected = LACKING[case]
    found = facts(replace(GIVEN, **change))  # type: ignore[arg-type]  # a table of changes
    assert {need for target in TARGETS.values() for need in lacking(target, found)} == expected


def test_without_a_ca_nothing_is_made_that_trusts_it() -> None:
    found = replace(facts(), ca=None)
    without = {name for name, target in TARGETS.items() if Need.CA in lacking(target, found)}
    assert {name for name in TARGETS if name.startswith("ca-")} < without
    assert without & {"dhcp-isc", "wpad-bind", "gnome", "environment", "windows-registry"} == set()
