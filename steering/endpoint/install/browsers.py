"""Managed policies of browsers on Linux: the PAC, and the CA, for every user."""

import json

from steering.endpoint.install.actions import Edit, Step
from steering.endpoint.install.edits import JsonValues, Whole
from steering.endpoint.install.machine import Machine

# Folder of managed policies -> what shows that the browser is there.
CHROMIUM = {
    "/etc/chromium/policies/managed": ("chromium", "/etc/chromium"),
    "/etc/chromium-browser/policies/managed": ("chromium-browser", "/etc/chromium-browser"),
    "/etc/opt/chrome/policies/managed": ("google-chrome", "/opt/google/chrome"),
    "/etc/opt/edge/policies/managed": ("microsoft-edge", "/opt/microsoft/msedge"),
    "/etc/brave/policies/managed": ("brave-browser", "/opt/brave.com"),
}
FIREFOX = ("firefox", "firefox-esr")
FIREFOX_POLICIES = "/etc/firefox/policies/policies.json"
FILE = "steering-endpoint.json"

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def steps(machine: Machine, pac_url: str, ca_pem: str, ca_path: str) -> tuple[Step, ...]:
    if machine.system != "linux" or not machine.everybody:
        return ()
    found = []
    folders = [f for f, (program, there) in CHROMIUM.items() if machine.has(program) or machine.at(there).is_dir()]
    if folders:
        change = Whole(content=chromium(pac_url, ca_pem))
        edits = tuple(Edit(path=str(machine.at(folder) / FILE), change=change) for folder in folders)
        found.append(Step(name="Chromium policy", why="Chromium, Chrome, Edge and Brave use the PAC", actions=edits))
    if any(machine.has(program) for program in FIREFOX):
        edit = Edit(path=str(machine.at(FIREFOX_POLICIES)), change=JsonValues(values=firefox(pac_url, ca_path)))
        why = "Firefox uses the PAC and trusts the inspector's certificates"
        found.append(Step(name="Firefox policy", why=why, actions=(edit,)))
    return tuple(found)


def chromium(pac_url: str, ca_pem: str) -> str:
    """CACertificates is read from 128 on; older ones have their NSS databases.  Two during a rotation of the CA."""
    certificates = ["".join(part.partition(_END)[0].split()) for part in ca_pem.split(_BEGIN)[1:]]
    policies = {
        "CACertificates": certificates,
        "ProxySettings": {"ProxyMode": "pac_script", "ProxyPacMandatory": True, "ProxyPacUrl": pac_url},
    }
    return json.dumps(policies, indent=2) + "\n"


def firefox(pac_url: str, ca_path: str) -> str:
    policies = {
        "policies": {
            "Certificates": {"Install": [ca_path]},
            "Proxy": {"AutoConfigURL": pac_url, "Locked": True, "Mode": "autoConfig"},
        }
    }
    return json.dumps(policies, indent=2) + "\n"
