"""The proxy settings of Windows: of users, of services (WinHTTP), of packaged apps.  Not yet run on a real machine."""

import json

from steering.endpoint.install.actions import Command, RegistryValue, Step, WinHttpProxy
from steering.endpoint.install.machine import Machine

SETTINGS = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
POLICIES = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\CurrentVersion\Internet Settings"

# Packaged apps (UWP) may not connect to loopback unless each is exempted; these are on every Windows.
PACKAGED = (
    "Microsoft.WindowsStore_8wekyb3d8bbwe",
    "Microsoft.Windows.Photos_8wekyb3d8bbwe",
    "Microsoft.AAD.BrokerPlugin_cw5n1h2txyewy",
    "Microsoft.AccountsControl_cw5n1h2txyewy",
)


def steps(machine: Machine, pac_url: str, packaged: tuple[str, ...] = PACKAGED) -> tuple[Step, ...]:
    if machine.system != "windows":
        return ()
    hive = "HKLM" if machine.everybody else "HKCU"
    pac = RegistryValue(key=rf"{hive}\{SETTINGS}", value_name="AutoConfigURL", type="REG_SZ", value=pac_url)
    own = Step(name="Windows proxy", why="programs that follow Windows' proxy setting use the PAC", actions=(pac,))
    if not machine.everybody:
        return (own,)
    # 0: one setting for the machine, which users cannot change.
    shared = RegistryValue(key=POLICIES, value_name="ProxySettingsPerUser", type="REG_DWORD", value="0x0")
    return (
        Step(name=own.name, why=own.why, actions=(pac, shared)),
        Step(name="WinHTTP proxy", why="services use the PAC", actions=(_winhttp(pac_url),)),
        Step(
            name="packaged apps",
            why="packaged apps may connect to the helper on this machine",
            actions=tuple(map(_exempt, packaged)),
        ),
    )


def _winhttp(pac_url: str) -> WinHttpProxy:
    settings = {"AutoConfigUrl": pac_url, "AutoDetect": False, "Proxy": "", "ProxyBypass": ""}
    return WinHttpProxy(value=json.dumps(settings, separators=(",", ":"), sort_keys=True))


def _exempt(family: str) -> Command:
    return Command(
        name=f"loopback of {family}",
        do=("CheckNetIsolation.exe", "LoopbackExempt", "-a", f"-n={family}"),
        holds=("cmd.exe", "/c", f'CheckNetIsolation.exe LoopbackExempt -s | findstr /i /c:"{family}"'),
        undo=("CheckNetIsolation.exe", "LoopbackExempt", "-d", f"-n={family}"),
    )
