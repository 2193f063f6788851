"""Settings: what is read and written, by outputs of the real programs.

GNOME's are recorded; those of macOS and Windows are constructed after their documentation, not recorded.
"""

from dataclasses import dataclass

import pytest

from steering.endpoint.install.actions import (
    ACTION,
    Argv,
    Command,
    Edit,
    GSetting,
    MacAutoProxy,
    RegistryValue,
    Setting,
    WinHttpProxy,
)
from steering.endpoint.install.edits import Block, IniValues, JsonValues, Whole

PAC = "http://127.0.0.1:3129/proxy.pac"
GNOME = GSetting(schema="org.gnome.system.proxy", key="mode", value="'auto'")
MAC = MacAutoProxy(service="Wi-Fi", value=PAC)
REGISTRY = RegistryValue(key=r"HKCU\Software\X", value_name="AutoConfigURL", type="REG_SZ", value=PAC)
WINHTTP = WinHttpProxy(value='{"AutoConfigUrl":"x"}')


@dataclass(frozen=True, slots=True)
class Case:
    setting: Setting
    code: int
    out: str
    value: str | None


READ = {
    "GNOME": Case(GNOME, 0, "'none'\n", "'none'"),
    "GNOME, no such schema": Case(GNOME, 1, "", None),
    "macOS, on": Case(MAC, 0, f"URL: {PAC}\nEnabled: Yes\n", PAC),
    "macOS, off": Case(MAC, 0, f"URL: {PAC}\nEnabled: No\n", None),
    "macOS, never set": Case(MAC, 0, "URL: (null)\nEnabled: No\n", None),
    "macOS, no such service": Case(MAC, 4, "Wi-Fi is not a recognized network service.\n", None),
    "registry": Case(
        REGISTRY,
        0,
        "\r\nHKEY_CURRENT_USER\\Software\\X\r\n    AutoConfigURL    REG_SZ    http://a b\r\n\r\n",
        "http://a b",
    ),
    "registry, not set": Case(REGISTRY, 1, "ERROR: The system was unable to find the value.", None),
    "WinHTTP": Case(
        WINHTTP,
        0,
        'Current WinHTTP advanced proxy settings:\n\n{\n  "Proxy": "",\n  "AutoDetect": true\n}\n',
        '{"AutoDetect":true,"Proxy":""}',
    ),
    "WinHTTP, too old": Case(WINHTTP, 1, "The following command was not found: winhttp show advproxy.", None),
    "WinHTTP, something else": Case(WINHTTP, 0, "{ no json }", None),
}


@pytest.mark.parametrize("case", READ.values(), ids=READ.keys())
def test_reading(case: Case) -> None:
    assert case.setting.parse(case.code, case.out) == case.value


WRITTEN: dict[str, tuple[Setting, Argv, tuple[Argv, ...], tuple[Argv, ...]]] = {
    "GNOME": (
        GNOME,
        ("gsettings", "get", "org.gnome.system.proxy", "mode"),
        (("gsettings", "set", "org.gnome.system.proxy", "mode", "'auto'"),),
        (("gsettings", "reset", "org.gnome.system.proxy", "mode"),),
    ),
    "macOS": (
        MAC,
        ("networksetup", "-getautoproxyurl", "Wi-Fi"),
        (("networksetup", "-setautoproxyurl", "Wi-Fi", PAC), ("networksetup", "-setautoproxystate", "Wi-Fi", "on")),
        (("networksetup", "-setautoproxystate", "Wi-Fi", "off"),),
    ),
    "registry": (
        REGISTRY,
        ("reg.exe", "query", r"HKCU\Software\X", "/v", "AutoConfigURL"),
        (("reg.exe", "add", r"HKCU\Software\X", "/v", "AutoConfigURL", "/t", "REG_SZ", "/d", PAC, "/f"),),
        (("reg.exe", "delete", r"HKCU\Software\X", "/v", "AutoConfigURL", "/f"),),
    ),
    "WinHTTP": (
        WINHTTP,
        ("netsh.exe", "winhttp", "show", "advproxy"),
        (("netsh.exe", "winhttp", "set", "advproxy", "setting-scope=machine", 'settings={"AutoConfigUrl":"x"}'),),
        (("netsh.exe", "winhttp", "reset", "proxy"),),
    ),
}


@pytest.mark.parametrize(("setting", "reading", "setting_it", "forgetting"), WRITTEN.values(), ids=WRITTEN.keys())
def test_writing(setting: Setting, reading: Argv, setting_it: tuple[Argv, ...], forgetting: tuple[Argv, ...]) -> None:
    assert setting.reading() == reading
    assert setting.writing(setting.value) == setting_it
    assert setting.writing(None) == forgetting


ACTIONS: tuple[Edit | Command | Setting, ...] = (
    *(GNOME, MAC, REGISTRY, WINHTTP),
    Command(name="x", do=("a", "b"), holds=("c",), undo=("d",), keeps=("/f",), late=True),
    Edit(path="/a", change=Whole(content="x"), mode=0o600),
    Edit(path="/a", change=Block(lines=("x", "ü"), comment=";")),
    Edit(path="/a", change=JsonValues(values="{}")),
    Edit(path="/a", change=IniValues(section="s", values=(("k", "v"),))),
)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: f"{action.kind} {action.name}")
def test_an_action_comes_back_from_paper(action: Edit | Command | Setting) -> None:
    assert ACTION.validate_json(ACTION.dump_json(action)) == action
