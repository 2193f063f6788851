"""Containerfile, compose.yaml and the image's settings, as they are written."""

import re
from typing import Any

import yaml

from steering.control.binding import Only
from steering.control.config import Config, load_config
from tests.kit import ROOT

CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def instructions(name: str) -> list[str]:
    """The arguments of each such instruction, lines joined."""
    joined = CONTAINERFILE.replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_two_stages_on_one_pinned_base() -> None:
    assert instructions("FROM") == ["${BASE_IMAGE} AS build", "${BASE_IMAGE}"]
    base = next(line for line in instructions("ARG") if line.startswith("BASE_IMAGE="))
    assert re.fullmatch(r"BASE_IMAGE=docker\.io/library/python:3\.\d+-slim-[a-z]+", base), "a version, never 'latest'"


def test_nobody_is_root_and_nothing_else_is_volatile() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert instructions("VOLUME") == ['["/state"]']
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("ADD") == [], "nothing is fetched from elsewhere"
    assert [line.split()[0] for line in instructions("COPY")] == [".", "--from=build", "deploy/container/steering.toml"]


def test_exposed_are_the_ports_that_the_images_settings_listen_on() -> None:
    config = load_config(ROOT / "deploy/container/steering.toml", {}).config
    ports = [text.rpartition(":")[2] for text in (
        config.control.listen, config.inspector.listen, config.inspector.tls_listen, config.inspector.http_listen,
        config.dns.listen,
    )]  # fmt: skip
    (exposed,) = instructions("EXPOSE")
    assert exposed.split() == [*ports[:-1], f"{ports[-1]}/tcp", f"{ports[-1]}/udp"]
    assert all(int(port) > 1023 for port in ports), "binding needs no capability"


def test_what_the_build_is_given() -> None:
    """Everything that the wheel is made of, and nothing else of the checkout."""
    kept = {line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == {
        "pyproject.toml", "README.md", "LICENSE", "rules.json", "pac_templates", "steering", "dns/steering_dns",
        "inspector/steering_inspector", "deploy/templates", "deploy/container",
    }  # fmt: skip
    assert all((ROOT / path).exists() for path in kept)
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text(), "Docker reads its own"


def test_one_service_or_three() -> None:
    assert {name: service.get("profiles", []) for name, service in SERVICES.items()} == {
        "steering": [],
        **{part: ["split"] for part in Only.ALL},
    }
    for part in Only.ALL:
        assert SERVICES[part]["command"][-2:] == ["--only", part]


def test_every_service_is_hardened_and_of_one_image() -> None:
    for name, service in SERVICES.items():
        assert service["image"] == "${STEERING_IMAGE:-localhost/steering:local}", name
        assert (service["read_only"], service["cap_drop"], service["security_opt"]) == (
            True,
            ["ALL"],
            ["no-new-privileges"],
        )
        assert service["healthcheck"]["test"][1:] == ["python", "-m", "steering.probe"]
        assert "privileged" not in service and "cap_add" not in service and "network_mode" not in service
        assert all(port.startswith("${ADDRESS:-127.0.0.1}:") for port in service["ports"]), (
            "loopback until told otherwise"
        )


def test_settings_in_the_environment_exist() -> None:
    for service in SERVICES.values():
        given = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text) for name, text in service["environment"].items()}
        beside = {"STEERING_STATE_DIR": "/state"}
        assert load_config(ROOT / "deploy/container/steering.toml", given | beside).config != Config()


def test_volumes_are_named_and_the_ca_is_read_only_where_it_only_signs() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert used == set(COMPOSE["volumes"])
    assert "ca:/state/ca:ro" in SERVICES["inspector"]["volumes"]
    assert not any(volume.startswith("ca:") for volume in SERVICES["dns"]["volumes"])
