"""Variables for programs that know no other proxy setting and trust store: one file for sessions, one for shells.

A PAC is not understood there, so they are given the helper's proxy itself, which decides alike.
"""

from collections.abc import Mapping

from steering.endpoint.install.actions import Action, Edit, RegistryValue, Step
from steering.endpoint.install.edits import Block, Whole
from steering.endpoint.install.machine import Machine
from steering.formats.quoting import environment_d, export

NEVER_PROXIED = ("localhost", "127.0.0.1", "::1")
NAME = "60-steering-endpoint"


def proxy_variables(proxy: str, internal_zones: tuple[str, ...]) -> dict[str, str]:
    """proxy: "HOST:PORT".  Both spellings: curl reads http_proxy in lower case alone, others upper case alone."""
    never = ",".join((*NEVER_PROXIED, *(f".{zone}" for zone in internal_zones)))
    values = {"http_proxy": f"http://{proxy}", "https_proxy": f"http://{proxy}", "no_proxy": never}
    upper = {name.upper(): value for name, value in values.items()}
    return values | upper | {"NODE_USE_ENV_PROXY": "1"}


def steps(machine: Machine, variables: Mapping[str, str]) -> tuple[Step, ...]:
    actions: tuple[Action, ...]
    match machine.system, machine.everybody:
        case "linux", True:
            actions = (
                Edit(path=str(machine.at(f"/etc/environment.d/{NAME}.conf")), change=Whole(content=session(variables))),
                Edit(path=str(machine.at(f"/etc/profile.d/{NAME}.sh")), change=Whole(content=shell(variables))),
            )
        case "linux", False:
            folder = machine.home / ".config/environment.d"
            actions = (
                Edit(path=str(folder / f"{NAME}.conf"), change=Whole(content=session(variables))),
                Edit(path=str(machine.home / ".profile"), change=Block(lines=tuple(shell(variables).splitlines()))),
            )
        case "macos", everybody:
            profile = machine.at("/etc/zprofile") if everybody else machine.home / ".zprofile"
            actions = (Edit(path=str(profile), change=Block(lines=tuple(shell(variables).splitlines()))),)
        case _, everybody:
            key = (
                r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
                if everybody
                else "HKCU\\Environment"
            )
            # There names are the same in either case.
            known = {name.upper(): value for name, value in variables.items()}
            actions = tuple(
                RegistryValue(key=key, value_name=name, type="REG_SZ", value=value) for name, value in known.items()
            )
    why = "programs that read only the environment use the helper and trust the inspector's certificates"
    return (Step(name="environment", why=why, actions=actions),)


def session(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}={environment_d(value)}\n" for name, value in variables.items())


def shell(variables: Mapping[str, str]) -> str:
    return "".join(f"export {name}={export(value)}\n" for name, value in variables.items())
