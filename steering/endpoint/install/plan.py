"""The steps of an installation on this machine, in their order.

First what must be there before anything is sent to it: the CA in every store, then the service, and the proxy
settings last.
"""

import hashlib
import os
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from steering.endpoint.errors import EndpointError
from steering.endpoint.install import (
    browsers,
    desktop_linux,
    desktop_macos,
    desktop_windows,
    environment,
    service_launchd,
    service_systemd,
    service_windows,
)
from steering.endpoint.install.actions import Edit, Step
from steering.endpoint.install.carry import Run, run_program
from steering.endpoint.install.edits import EditError, Whole
from steering.endpoint.install.machine import Machine
from steering.endpoint.install.trust import anchors, bundle, java, macos, nss, windows
from steering.formats.quoting import Unquotable


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """ca_pem: of the inspection CA, as the policy bundle carries it.  listen: of the helper, "127.0.0.1:3129".

    internal_zones: never proxied.  service, proxies: False leaves those to somebody else, as a device manager.
    """

    ca_pem: str
    listen: str
    internal_zones: tuple[str, ...] = ()
    service: bool = True
    proxies: bool = True

    @property
    def pac_url(self) -> str:
        return f"http://{self.listen}/proxy.pac"


def plan(machine: Machine, wanted: Wanted, run: Run = run_program) -> tuple[Step, ...]:
    """run: asks macOS for its network services.  Raises EditError where nothing sound can be planned."""
    try:
        return (
            *trust_steps(machine, wanted),
            *(_service(machine) if wanted.service else ()),
            *(proxy_steps(machine, wanted, run) if wanted.proxies else ()),
            *environment.steps(machine, _variables(machine, wanted)),
        )
    except Unquotable as exc:
        raise EditError(str(exc)) from exc


def installed(machine: Machine, wanted: Wanted) -> Wanted | None:
    """``wanted`` with what was chosen when this machine was set up; None where it was not.

    Anybody may read it: the helper tells of drift without root's rights.  Raises EndpointError.
    """
    path = _choices_path(machine)
    try:
        found = _CHOICES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as exc:
        raise EndpointError(f"{path} cannot be read: {exc}") from exc
    return replace(wanted, service=found.service, proxies=found.proxies, internal_zones=found.internal_zones)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    service: bool
    proxies: bool
    internal_zones: tuple[str, ...]


_CHOICES = TypeAdapter(_Choices)


def _choices(wanted: Wanted) -> str:
    found = _Choices(service=wanted.service, proxies=wanted.proxies, internal_zones=wanted.internal_zones)
    return _CHOICES.dump_json(found, indent=1).decode() + "\n"


def _choices_path(machine: Machine) -> Path:
    return ca_path(machine).with_name("installed.json")


def ca_path(machine: Machine) -> Path:
    """Where everybody who has to read the CA finds it."""
    match machine.system, machine.everybody:
        case "linux", True:
            return machine.at("/etc/steering/inspection-ca.pem")
        case "linux", False:
            return machine.home / ".config/steering/inspection-ca.pem"
        case _:
            return machine.state / "inspection-ca.pem"


def trust_steps(machine: Machine, wanted: Wanted) -> tuple[Step, ...]:
    path, pem = ca_path(machine), wanted.ca_pem
    thumbprint = hashlib.sha1(ssl.PEM_cert_to_DER_cert(pem), usedforsecurity=False).hexdigest()
    file = Step(
        name="inspection CA",
        why="the file that other steps read, and what was chosen",
        actions=(
            Edit(path=str(path), change=Whole(content=pem)),
            Edit(path=str(_choices_path(machine)), change=Whole(content=_choices(wanted))),
        ),
        required=True,
    )
    return (
        file,
        *anchors.steps(machine, pem),
        *macos.steps(machine, path),
        *windows.steps(machine, path, thumbprint),
        *bundle.steps(machine, pem),
        *nss.steps(machine, path),
        *java.steps(machine, path),
    )


def proxy_steps(machine: Machine, wanted: Wanted, run: Run = run_program) -> tuple[Step, ...]:
    """What points programs at the helper; ``doctor`` looks for drift among these."""
    match machine.system:
        case "linux":
            return (
                *desktop_linux.steps(machine, wanted.pac_url),
                *browsers.steps(machine, wanted.pac_url, wanted.ca_pem, str(ca_path(machine))),
            )
        case "macos":
            return desktop_macos.steps(run, wanted.pac_url)
        case _:
            return desktop_windows.steps(machine, wanted.pac_url)


def _service(machine: Machine) -> tuple[Step, ...]:
    match machine.system:
        case "linux":
            return service_systemd.steps(machine)
        case "macos":
            return service_launchd.steps(machine, os.getuid())
        case _:
            return service_windows.steps(machine)


def _variables(machine: Machine, wanted: Wanted) -> dict[str, str]:
    proxies = environment.proxy_variables(wanted.listen, wanted.internal_zones) if wanted.proxies else {}
    return proxies | bundle.variables(machine)
