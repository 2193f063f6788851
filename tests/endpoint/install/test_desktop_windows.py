"""Windows' proxy settings, as plans: constructed, not recorded on Windows."""

from pathlib import Path

from steering.endpoint.install import desktop_windows
from steering.endpoint.install.actions import Command, RegistryValue, WinHttpProxy
from tests.endpoint.install.ground import ground

PAC = "http://127.0.0.1:3129/proxy.pac"
SETTINGS = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
POLICIES = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\CurrentVersion\Internet Settings"


def test_for_everybody(tmp_path: Path) -> None:
    steps = desktop_windows.steps(ground(tmp_path / "root", system="windows").machine, PAC, ("Store_1",))
    assert [step.actions for step in steps] == [
        (
            RegistryValue(key=rf"HKLM\{SETTINGS}", value_name="AutoConfigURL", type="REG_SZ", value=PAC),
            RegistryValue(key=POLICIES, value_name="ProxySettingsPerUser", type="REG_DWORD", value="0x0"),
        ),
        (
            WinHttpProxy(
                value='{"AutoConfigUrl":"http://127.0.0.1:3129/proxy.pac","AutoDetect":false,"Proxy":"","ProxyBypass":""}'
            ),
        ),
        (
            Command(
                name="loopback of Store_1",
                do=("CheckNetIsolation.exe", "LoopbackExempt", "-a", "-n=Store_1"),
                holds=("cmd.exe", "/c", 'CheckNetIsolation.exe LoopbackExempt -s | findstr /i /c:"Store_1"'),
                undo=("CheckNetIsolation.exe", "LoopbackExempt", "-d", "-n=Store_1"),
            ),
        ),
    ]


def test_for_one_user(tmp_path: Path) -> None:
    (step,) = desktop_windows.steps(ground(tmp_path / "root", system="windows", everybody=False).machine, PAC)
    assert step.actions == (
        RegistryValue(key=rf"HKCU\{SETTINGS}", value_name="AutoConfigURL", type="REG_SZ", value=PAC),
    )


def test_elsewhere_nothing(tmp_path: Path) -> None:
    assert desktop_windows.steps(ground(tmp_path / "root").machine, PAC) == ()
