"""Templates print quoted values alone, and the files say what the facts say."""

import json
import plistlib
import re
import ssl
import tomllib
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest

from steering import resources
from steering.deploy.errors import DeployError
from steering.deploy.render import ca_profile, environment, files_of
from steering.deploy.targets import TARGETS
from tests.deploy.ground import GIVEN, HOSTILE, ca, during_a_rotation, facts, made

PAC = "http://steering.corp.example/proxy.pac"

SHORT = {
    (
        "systemd",
        "steering.sysusers",
    ): "# The user that the service runs as; it owns the state folder and nothing else.\n"
    'u steering - "Steering" /var/lib/steering -\n',
    ("dhcp-isc", "dhcpd-wpad.conf"): f'option wpad code 252 = text;\noption wpad "{PAC}";\n',
    ("dhcp-dnsmasq", "dnsmasq-wpad-dhcp.conf"): f'dhcp-option=252,"{PAC}"\n',
    ("wpad-bind", "db.wpad"): "$TTL 300\n@ IN SOA localhost. hostmaster.localhost. 1 3600 600 86400 300\n"
    "@ IN NS localhost.\n@ IN A 192.0.2.5\n@ IN AAAA 2001:db8::5\n",
    ("wpad-dnsmasq", "dnsmasq-wpad-dns.conf"): "host-record=wpad.corp.example,wpad,192.0.2.5\n"
    "host-record=wpad.corp.example,wpad,2001:db8::5\n",
    ("wpad-unbound", "unbound-wpad.conf"): 'server:\n    local-zone: "wpad.corp.example." static\n'
    '    local-data: "wpad.corp.example. 300 IN A 192.0.2.5"\n'
    '    local-data: "wpad.corp.example. 300 IN AAAA 2001:db8::5"\n',
    ("resolver-isc", "dhcpd-resolver.conf"): "option domain-name-servers 192.0.2.6, 192.0.2.7;\n",
    ("resolver-dnsmasq", "dnsmasq-resolver.conf"): "dhcp-option=option:dns-server,192.0.2.6,192.0.2.7\n"
    "dhcp-option=option6:dns-server,[2001:db8::6]\n",
    ("resolver-mikrotik", "mikrotik-resolver.rsc"): "/ip dhcp-server network set [find] "
    "dns-server=192.0.2.6,192.0.2.7\n",
    ("resolver-systemd", "resolved-steering.conf"): "[Resolve]\nDNS=192.0.2.6 192.0.2.7 2001:db8::6\nDomains=~.\n"
    "DNSOverTLS=no\nDNSSEC=no\n",
    ("gnome", "60-steering-proxy"): f"[system/proxy]\nmode='auto'\nautoconfig-url='{PAC}'\n",
    ("kde", "kioslaverc"): f"[Proxy Settings]\nProxy Config Script={PAC}\nProxyType=2\n",
}


@pytest.mark.parametrize(("name", "file"), SHORT)
def test_short_files_as_a_whole(name: str, file: str) -> None:
    assert made(name, file) == SHORT[name, file]


JSON = {
    ("dhcp-kea", "kea-wpad.json"): {
        "option-def": [{"name": "wpad", "code": 252, "space": "dhcp4", "type": "string"}],
        "option-data": [{"name": "wpad", "data": PAC}],
    },
    ("resolver-kea", "kea-resolver.json"): {
        "option-data": [{"name": "domain-name-servers", "data": "192.0.2.6, 192.0.2.7"}]
    },
    ("firefox", "policies.json"): {
        "policies": {
            "Certificates": {"ImportEnterpriseRoots": True, "Install": ["steering-ca.pem"]},
            "Proxy": {"AutoConfigURL": PAC, "Locked": True, "Mode": "autoConfig"},
        }
    },
}


@pytest.mark.parametrize(("name", "file"), JSON)
def test_json_as_a_whole(name: str, file: str) -> None:
    assert json.loads(made(name, file)) == JSON[name, file]


def test_chromium_as_a_whole() -> None:
    policy = json.loads(made("chromium", "steering-policy.json"))
    (certificate,) = policy.pop("CACertificates")
    assert b64decode(certificate, validate=True) == ca().der
    assert policy == {"ProxySettings": {"ProxyMode": "pac_script", "ProxyPacMandatory": True, "ProxyPacUrl": PAC}}


def test_intune_as_a_whole() -> None:
    profile = json.loads(made("windows-intune", "intune.json"))
    assert (profile["@odata.type"], profile["displayName"]) == (
        "#microsoft.graph.windows10CustomConfiguration",
        "Example & Sons",
    )
    rows = {row["omaUri"]: (row["@odata.type"].rpartition(".")[2], row["value"]) for row in profile["omaSettings"]}
    root = rows.pop(ca().oma_uri)
    assert (root[0], b64decode(root[1], validate=True)) == ("omaSettingString", ca().der)
    assert rows == {
        "./Vendor/MSFT/NetworkProxy/ProxySettingsPerUser": ("omaSettingInteger", 0),
        "./Vendor/MSFT/NetworkProxy/AutoDetect": ("omaSettingInteger", 0),
        "./Vendor/MSFT/NetworkProxy/SetupScriptUrl": ("omaSettingString", PAC),
    }


# Target -> the payloads of its profile, but for what identifies them.
PROFILES = {
    "apple-macos": (
        "steering-macos.mobileconfig",
        [
            (
                "com.apple.SystemConfiguration",
                {
                    "Proxies": {
                        "ProxyAutoConfigEnable": 1,
                        "ProxyAutoConfigURLString": PAC,
                        "FallBackAllowed": 0,
                        "ProxyCaptiveLoginAllowed": True,
                    }
                },
            )
        ],
    ),
    "apple-ios": (
        "steering-ios.mobileconfig",
        [
            (
                "com.apple.proxy.http.global",
                {
                    "ProxyType": "Auto",
                    "ProxyPACURL": PAC,
                    "ProxyPACFallbackAllowed": False,
                    "ProxyCaptiveLoginAllowed": True,
                },
            )
        ],
    ),
    "ca-ios": ("steering-ca.mobileconfig", []),
}


@pytest.mark.parametrize("name", PROFILES)
def test_profiles(name: str) -> None:
    file, others = PROFILES[name]
    profile = plistlib.loads(made(name, file).encode())
    assert (profile["PayloadType"], profile["PayloadVersion"], profile["PayloadDisplayName"]) == (
        "Configuration",
        1,
        "Example & Sons",
    )
    root, *rest = profile["PayloadContent"]
    assert (root["PayloadType"], root["PayloadContent"]) == ("com.apple.security.root", ca().der)
    assert [(p["PayloadType"], {k: v for k, v in p.items() if not k.startswith("Payload")}) for p in rest] == others
    every = [profile, root, *rest]
    assert len({p["PayloadUUID"] for p in every}) == len({p["PayloadIdentifier"] for p in every}) == len(every)


def test_a_rotation_in_the_files_of_browsers_and_devices() -> None:
    told = during_a_rotation()
    both = [one.der for one in told.trusted]

    def json_of(name: str, file: str) -> Any:
        return json.loads(files_of(TARGETS[name], told)[file])

    assert [b64decode(one) for one in json_of("chromium", "steering-policy.json")["CACertificates"]] == both
    firefox = json_of("firefox", "policies.json")["policies"]["Certificates"]["Install"]
    assert firefox == ["steering-ca.pem", "steering-ca-before.pem"]
    for name in ("firefox", "windows-gpo", "ca-image", "ca-android"):
        files = files_of(TARGETS[name], told)
        assert [ssl.PEM_cert_to_DER_cert(files[file]) for file in firefox] == both
    rows = json_of("windows-intune", "intune.json")["omaSettings"]
    assert [b64decode(row["value"]) for row in rows if "Root/" in row["omaUri"]] == both
    assert len({row["omaUri"] for row in rows}) == len(rows)
    for name, (file, _) in PROFILES.items():
        payloads = plistlib.loads(files_of(TARGETS[name], told)[file].encode())["PayloadContent"]
        assert [p["PayloadContent"] for p in payloads if p["PayloadType"] == "com.apple.security.root"] == both
        assert len({p["PayloadUUID"] for p in payloads}) == len({p["PayloadIdentifier"] for p in payloads})
        assert len({p["PayloadUUID"] for p in payloads}) == len(payloads)
    windows = files_of(TARGETS["ca-windows"], told)["ca-windows.ps1"]
    for one in told.trusted:
        assert windows.count(one.pem) == windows.count(one.thumbprint) == 1


def test_an_apple_profile_of_certificates_alone() -> None:
    made_of = ca_profile([ca()], organisation="Name & <Co>", identifier="steering")
    assert made_of == ca_profile([ca()], organisation="Name & <Co>", identifier="steering"), "an update, not a second"
    profile = plistlib.loads(made_of.encode())
    assert (profile["PayloadDisplayName"], profile["PayloadIdentifier"]) == ("Name & <Co>", "steering.certificate")
    (payload,) = profile["PayloadContent"]
    assert (payload["PayloadIdentifier"], payload["PayloadContent"]) == ("steering.certificate.ca", ca().der)
    with pytest.raises(DeployError):
        ca_profile([], organisation="", identifier="steering")


def test_environment_files_say_the_same() -> None:
    session, shell = made("environment", "60-steering.conf"), made("environment", "steering.sh")
    assert shell == re.sub("^", "export ", session, flags=re.MULTILINE).removesuffix("export ")
    proxy, never = "http://proxy.corp.example:3128", "localhost,127.0.0.1,::1,.corp.example,.lab.example"
    assert tomllib.loads(session) == {
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), never),
        "NODE_USE_ENV_PROXY": "1",
        "NODE_USE_SYSTEM_CA": "1",
        "DENO_TLS_CA_STORE": "system,mozilla",
        "UV_SYSTEM_CERTS": "true",
    }


REGISTRY = re.compile(r'^"(\w+)"=', re.MULTILINE)


def test_the_registry_is_undone_value_by_value() -> None:
    do, undo = made("windows-registry", "steering.reg"), made("windows-registry", "steering-undo.reg")
    assert re.sub(r'(?m)^("\w+"=).*', r"\1-", do) == undo
    proxy = '{"ProxyMode":"pac_script","ProxyPacMandatory":true,"ProxyPacUrl":"' + PAC + '"}'
    (chrome, edge) = re.findall(r'^"ProxySettings"="(.*)"$', do, re.MULTILINE)
    assert chrome == edge == proxy.replace('"', '\\"')


@pytest.mark.parametrize("name", TARGETS)
def test_a_hostile_token_and_name_change_no_line_but_their_own(name: str) -> None:
    """The same lines as with harmless words, but for the one place that each word stands in."""
    plain = files_of(TARGETS[name], facts(replace(GIVEN, token="plain", organisation="plain")))
    for text in HOSTILE:
        hostile = files_of(TARGETS[name], facts(replace(GIVEN, token=text, organisation=text)))
        for file, content in plain.items():
            before, after = content.splitlines(), hostile[file].splitlines()
            assert len(before) == len(after)
            changed = [line for line, other in zip(before, after, strict=True) if line != other]
            assert [line for line in changed if "plain" not in line] == []


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_left_of_the_template(name: str) -> None:
    for content in files_of(TARGETS[name], facts()).values():
        assert "{%" not in content
        assert "{{" not in content
        assert content.endswith("\n")
        assert not content.endswith("\n\n")


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.needs])
def test_what_lacks_is_said(name: str) -> None:
    bare = replace(facts(), ca=None, addresses=(), resolvers=(), proxy="", installed=None)
    with pytest.raises(DeployError, match=f"^{name}: "):
        files_of(TARGETS[name], bare)


def test_every_value_in_a_template_has_its_filter() -> None:
    for path in resources.deploy_templates().iterdir():
        for printed in re.findall(r"{{(.*?)}}", path.read_text("utf-8")):
            assert "|" in printed or printed.strip() in ("profile", "file", "gather", "forget"), (path, printed)


def test_a_value_without_a_filter_is_an_error() -> None:
    with pytest.raises(DeployError, match="not quoted"):
        environment().from_string("{{ f.pac_url }}").render(f=facts())
