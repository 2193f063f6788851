"""Each file before the program that it is for, or before that program's own checker."""

import ast
import json
import os
import re
import shutil
import ssl
import subprocess
import time
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from steering.deploy.render import files_of
from steering.deploy.targets import TARGETS
from steering.formats.quoting import environment_d, gvariant
from steering.policy.hosts import parse_host
from steering_inspector.authority import mint
from tests.deploy.ground import GIVEN, HOSTILE, ca, during_a_rotation, facts, made, rotated
from tests.kit import ROOT

# Tokens that a URL carries percent-encoded: the files must be taken with each.
TOKENS = ("", "plain", *HOSTILE)
PAC = "http://steering.corp.example/proxy.pac"
ENVIRONMENT_GENERATOR = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"


def run(*command: str | Path, ok: bool = True, variables: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def write(folder: Path, name: str, **change: str) -> dict[str, Path]:
    """The files of a target."""
    content = files_of(TARGETS[name], facts(replace(GIVEN, **change)))  # type: ignore[arg-type]  # texts alone
    for file, text in content.items():
        (folder / file).write_text(text)
    return {file: folder / file for file in content}


# systemd


def units(folder: Path, **change: object) -> dict[str, Path]:
    """Of a service whose program is there."""
    assert GIVEN.installed is not None
    installed = replace(GIVEN.installed, program="/bin/true", **change)  # type: ignore[arg-type]
    content = files_of(TARGETS["systemd"], facts(replace(GIVEN, installed=installed)))
    for file, text in content.items():
        (folder / file).write_text(text)
    return {file: folder / file for file in content}


UNITS: dict[str, dict[str, object]] = {
    "as packages do": {},
    "state elsewhere, and a log": {"state": "/srv/a b/$state", "writes": ("/var/log/50%",)},
    "a name like that": {"config": '/etc/it\'s "a" $HOME %h \\n {{ x }}.toml'},
}


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("case", UNITS)
def test_systemd_takes_the_units(case: str, tmp_path: Path) -> None:
    files = units(tmp_path, **UNITS[case])
    said = run("systemd-analyze", "verify", files["steering.service"], files["steering.socket"])
    assert [line for line in said.splitlines() if "steering" in line] == []
    files["steering.service"].write_text(files["steering.service"].read_text() + "[Service]\nUser=\nUmask=9\n")
    assert "steering.service" in run("systemd-analyze", "verify", files["steering.service"])


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_a_hostile_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks whether the program is there: under the name that was meant."""
    monkeypatch.setattr("steering.deploy.facts.HIDDEN", ())
    program = tmp_path / "it is 50% $HOME"  # quotes and backslashes are refused there
    assert GIVEN.installed is not None
    installed = replace(GIVEN.installed, program=str(program), listens=())
    unit = tmp_path / "steering.service"
    unit.write_text(files_of(TARGETS["systemd"], facts(replace(GIVEN, installed=installed)))["steering.service"])
    assert "is not executable" in run("systemd-analyze", "verify", unit, ok=False)
    shutil.copy("/bin/true", program)
    run("systemd-analyze", "verify", unit)


@pytest.mark.needs("systemd-analyze")
def test_the_service_is_closed_in(tmp_path: Path) -> None:
    path = units(tmp_path)["steering.service"]
    judged = json.loads(run("systemd-analyze", "security", "--offline=true", "--json=short", path))
    wide = [row["name"] for row in judged if not row["set"] and float(row["exposure"] or 0) >= 0.2]
    assert sorted(wide) == [
        "IPAddressDeny=",
        "PrivateNetwork=",
        "RestrictAddressFamilies=~AF_(INET|INET6)",
        "SystemCallFilter=~@resources",  # setpriority alone, of them
    ]
    run("systemd-analyze", "security", "--offline=true", "--threshold=15", path)  # tenths: 1.5


@pytest.mark.needs("systemd-analyze")
def test_the_services_user(tmp_path: Path) -> None:
    file = units(tmp_path)["steering.sysusers"]
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    run("systemd-sysusers", f"--root={root}", file)
    name, _, _, _, words, home, shell = (root / "etc" / "passwd").read_text().strip().split(":")
    assert (name, words, home, shell) == ("steering", "Steering", "/var/lib/steering", "/usr/sbin/nologin")


# DHCP


@pytest.mark.needs("dhcpd")
def test_isc_dhcpd(tmp_path: Path) -> None:
    (tmp_path / "leases").touch()
    resolver = write(tmp_path, "resolver-isc")["dhcpd-resolver.conf"]
    for token in TOKENS:
        wpad = write(tmp_path, "dhcp-isc", token=token)["dhcpd-wpad.conf"]
        conf = tmp_path / "dhcpd.conf"
        conf.write_text(
            f'include "{wpad}";\ninclude "{resolver}";\n'
            "subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.100 192.0.2.200; }\n"
        )
        run("dhcpd", "-t", "-q", "-cf", conf, "-lf", tmp_path / "leases", "-pf", tmp_path / "pid")


@pytest.mark.needs("kea-dhcp4")
def test_kea(tmp_path: Path) -> None:
    wpad = json.loads(write(tmp_path, "dhcp-kea")["kea-wpad.json"].read_text())
    resolver = json.loads(write(tmp_path, "resolver-kea")["kea-resolver.json"].read_text())
    config = {
        "interfaces-config": {"interfaces": []},
        "lease-database": {"type": "memfile", "persist": False},
        "option-def": wpad["option-def"],
        "option-data": wpad["option-data"] + resolver["option-data"],
        "subnet4": [{"subnet": "192.0.2.0/24", "pools": [{"pool": "192.0.2.100-192.0.2.200"}]}],
    }
    conf = tmp_path / "kea.conf"
    conf.write_text(json.dumps({"Dhcp4": config}))
    variables = {"KEA_LOCKFILE_DIR": "none", "KEA_PIDFILE_DIR": str(tmp_path)}
    run("kea-dhcp4", "-t", conf, variables=variables)
    config["option-data"][0]["data"] = {}
    conf.write_text(json.dumps({"Dhcp4": config}))
    run("kea-dhcp4", "-t", conf, ok=False, variables=variables)


@pytest.mark.needs("dnsmasq")
def test_dnsmasq(tmp_path: Path) -> None:
    for token in TOKENS:
        files: dict[str, Path] = {}
        for name in ("dhcp-dnsmasq", "wpad-dnsmasq", "resolver-dnsmasq"):
            files |= write(tmp_path, name, token=token)
        run("dnsmasq", "--test", *(f"--conf-file={path}" for path in files.values()))


# DNS


@pytest.mark.needs("named-checkconf")
def test_bind(tmp_path: Path) -> None:
    files = write(tmp_path, "wpad-bind")
    zone, conf = files["db.wpad"], files["named.conf.wpad"]
    assert "loaded serial 1" in run("named-checkzone", "wpad.corp.example", zone)
    here = tmp_path / "named.conf"
    here.write_text(conf.read_text().replace("/etc/bind/db.wpad", str(zone)))
    assert "wpad.corp.example/IN: loaded" in run("named-checkconf", "-z", here)
    here.write_text(here.read_text().replace("};\n};", "};"))
    run("named-checkconf", here, ok=False)


@pytest.mark.needs("unbound-checkconf")
def test_unbound(tmp_path: Path) -> None:
    part = write(tmp_path, "wpad-unbound")["unbound-wpad.conf"]
    conf = tmp_path / "unbound.conf"
    conf.write_text(f'server:\n    chroot: ""\n    username: ""\n    directory: "{tmp_path}"\ninclude: "{part}"\n')
    run("unbound-checkconf", conf)
    part.write_text(part.read_text().replace(" IN A ", " IN A x"))
    run("unbound-checkconf", conf, ok=False)


# What the documentation shows


@pytest.mark.needs("nft", "unshare")
def test_the_redirection_to_high_ports(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (shown,) = re.findall(r"^  ```\n  (table ip steering .*?)^  ```", text, re.MULTILINE | re.DOTALL)
    rules = tmp_path / "rules.nft"
    rules.write_text(shown)
    run("unshare", "--net", "nft", "-c", "-f", rules)
    rules.write_text(shown.replace("redirect to", "redirects to"))
    run("unshare", "--net", "nft", "-c", "-f", rules, ok=False)


# Browsers


def firefox_schema() -> Mapping[str, object]:
    """Firefox's own, out of the installed browser."""
    program = shutil.which("firefox-esr") or shutil.which("firefox") or ""
    archive = Path(program).resolve().parent / "browser" / "omni.ja"
    if not archive.exists():
        archive = Path("/usr/lib") / Path(program).name / "browser" / "omni.ja"
    with zipfile.ZipFile(archive) as packed:
        schema: Mapping[str, object] = json.loads(packed.read("modules/policies/policies-schema.json"))
    return schema


@pytest.mark.needs("firefox")
def test_firefox_knows_every_policy() -> None:
    schema = dict(firefox_schema())
    texts = ("URL", "URLorEmpty", "origin", "originString", "JSON")  # types of Firefox's own
    is_text = jsonschema.Draft4Validator.TYPE_CHECKER
    for name in texts:
        is_text = is_text.redefine(name, lambda _, value: isinstance(value, str))
    validator = jsonschema.validators.extend(jsonschema.Draft4Validator, type_checker=is_text)
    document = json.loads(made("firefox", "policies.json"))["policies"]
    known = schema["properties"]
    assert isinstance(known, dict)
    assert set(document) <= set(known)
    assert set(document["Proxy"]) <= set(known["Proxy"]["properties"])
    assert set(document["Certificates"]) <= set(known["Certificates"]["properties"])
    assert list(validator(schema).iter_errors(document)) == []
    document["Proxy"]["Mode"] = "nonsense"
    assert list(validator(schema).iter_errors(document)) != []


# Desktops and command lines


@pytest.mark.needs("gsettings")
def test_gnome(tmp_path: Path) -> None:
    """GLib's file of settings has the form of dconf's."""
    keyfile = tmp_path / "glib-2.0" / "settings" / "keyfile"
    keyfile.parent.mkdir(parents=True)
    variables = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path), "GSETTINGS_BACKEND": "keyfile"}

    def told(key: str) -> str:
        return run("gsettings", "get", "org.gnome.system.proxy", key, variables=variables).strip()

    keyfile.write_text(made("gnome", "60-steering-proxy"))
    assert (told("mode"), told("autoconfig-url")) == ("'auto'", f"'{PAC}'")
    for text in HOSTILE:
        keyfile.write_text(f"[system/proxy]\nautoconfig-url={gvariant(text)}\n")
        assert ast.literal_eval(told("autoconfig-url")) == text


@pytest.mark.needs("systemd-analyze")
def test_the_sessions_environment(tmp_path: Path) -> None:
    folder = tmp_path / "environment.d"
    folder.mkdir()
    lines = [f"STEERING_TEST_{i}={environment_d(text)}\n" for i, text in enumerate(HOSTILE)]
    (folder / "60-steering.conf").write_text(made("environment", "60-steering.conf") + "".join(lines))
    out = run(ENVIRONMENT_GENERATOR, variables={"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)})
    code = out + "".join(f"printf '%s\\0' \"$STEERING_TEST_{i}\"\n" for i in range(len(HOSTILE)))
    got = run("/bin/sh", "-c", code + "printf %s $https_proxy")
    assert got == "\0".join((*HOSTILE, "http://proxy.corp.example:3128"))


def test_the_shells_environment(tmp_path: Path) -> None:
    file = write(tmp_path, "environment")["steering.sh"]
    got = run("/bin/sh", "-eu", "-c", f'. {file}; echo "$no_proxy $NODE_USE_ENV_PROXY"')
    assert got == "localhost,127.0.0.1,::1,.corp.example,.lab.example 1\n"


def test_networkmanager(tmp_path: Path) -> None:
    """A stand-in for nmcli writes down what it is told."""
    script = write(tmp_path, "networkmanager")["networkmanager-pac.sh"]
    nmcli = tmp_path / "nmcli"
    nmcli.write_text('#!/bin/sh\n[ "$1" = -g ] && printf "one\\ntwo\\n" || printf "<%s>" "$@" >>"$0.log"\n')
    nmcli.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    run("/bin/sh", script, variables={"PATH": path})
    run("/bin/sh", script, "undo", variables={"PATH": path})
    told = (tmp_path / "nmcli.log").read_text()
    assert told == "".join(
        f"<connection><modify><{name}><proxy.method><{method}><proxy.pac-url><{url}>"
        for method, url in (("auto", PAC), ("none", ""))
        for name in ("one", "two")
    )


# The CA


def leaves(folder: Path) -> list[Path]:
    """A server's certificate of the CA in use, and one of the CA before."""
    paths = []
    for name, authority in zip(("new", "old"), rotated(), strict=True):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = mint(authority, parse_host("www.example"), key.public_key(), time.time())
        paths.append(folder / f"{name}.leaf")
        paths[-1].write_bytes(leaf.public_bytes(Encoding.PEM))
    return paths


def trusted_of(folder: Path, *how: str | Path, within: tuple[str, ...] = ()) -> list[bool]:
    """Which of both leaves openssl takes, by a file or a folder of CAs."""

    def taken(leaf: Path) -> bool:
        line = [*within, "openssl", "verify", "-purpose", "sslserver", *map(str, how), str(leaf)]
        return subprocess.run(line, capture_output=True).returncode == 0

    return [taken(leaf) for leaf in leaves(folder)]


def scripts(folder: Path, name: str, file: str) -> dict[str, Path]:
    """As written during a rotation, and after it."""
    found = {}
    for when, told in (("during", during_a_rotation()), ("after", replace(during_a_rotation(), ca_before=None))):
        found[when] = folder / f"{when}.sh"
        found[when].write_text(files_of(TARGETS[name], told)[file])
    return found


# What is run -> which of both leaves is trusted then: of the new CA, of the old one.
ROTATION = [(("during",), [True, True]), (("during", "undo"), [False, False]), (("during",), [True, True])]
ROTATION += [(("after",), [True, False]), (("after", "undo"), [False, False])]


@pytest.mark.needs("openssl", "update-ca-certificates", "git")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ca-git", ".config/steering/git-ca-bundle.pem"),
        ("ca-python", ".config/steering/python-ca.pem"),
        ("ca-node", ".config/steering/node-ca.pem"),
    ],
)
def test_a_rotation_in_bundles(name: str, file: str, tmp_path: Path) -> None:
    found = scripts(tmp_path, name, f"{name}.sh")
    for (when, *words), expected in ROTATION:
        run("/bin/sh", found[when], *words, variables={"HOME": str(tmp_path)})
        assert trusted_of(tmp_path, "-no-CAfile", "-no-CApath", "-CAfile", tmp_path / file) == expected


@pytest.mark.needs("openssl", "unshare", "update-ca-certificates")
def test_a_rotation_in_debians_store(tmp_path: Path) -> None:
    """Both ways that programs read it: the bundle, and the folder, which takes files of one certificate alone."""
    found = scripts(tmp_path, "ca-debian", "ca-debian.sh")
    certs, inside = debian_store(tmp_path)
    for (when, *words), expected in ROTATION:
        run(*inside, "sh", found[when], *words)
        assert trusted_of(tmp_path, "-no-CApath", "-CAfile", certs / "ca-certificates.crt") == expected
        assert trusted_of(tmp_path, "-no-CAfile", "-CApath", "/etc/ssl/certs", within=inside) == expected


@pytest.mark.needs("certutil")
def test_a_rotation_in_nss(tmp_path: Path) -> None:
    found = scripts(tmp_path, "ca-nss", "ca-nss.sh")
    database = f"sql:{tmp_path / '.pki' / 'nssdb'}"
    paths = leaves(tmp_path)
    for (when, *words), expected in ROTATION:
        run("/bin/sh", found[when], *words, variables={"HOME": str(tmp_path)})
        for path in paths:
            run("certutil", "-A", "-d", database, "-n", path.name, "-t", ",,", "-i", path)
        judged = [
            subprocess.run(["certutil", "-V", "-d", database, "-u", "V", "-n", p.name], capture_output=True)
            for p in paths
        ]
        assert [done.returncode == 0 for done in judged] == expected


@pytest.mark.needs("keytool")
def test_a_rotation_in_java(tmp_path: Path) -> None:
    found = scripts(tmp_path, "ca-java", "ca-java.sh")
    home = tmp_path / "jdk"
    store = home / "lib" / "security" / "cacerts"
    store.parent.mkdir(parents=True)
    pem = tmp_path / "other.pem"
    pem.write_text(ca().pem)
    changeit = ("-keystore", store, "-storepass", "changeit")
    run("keytool", "-importcert", "-noprompt", "-file", pem, *changeit, "-alias", "x")
    for (when, *words), expected in ROTATION[2:]:
        run("/bin/sh", found[when], *words, home)
        listed = run("keytool", "-list", "-rfc", *changeit)
        assert [one.pem.split("\n")[1] in listed for one in during_a_rotation().trusted] == expected


def test_a_rotation_on_a_mac(tmp_path: Path) -> None:
    """A stand-in for security writes down what it is told, and what the file says."""
    found = scripts(tmp_path, "ca-macos", "ca-macos.sh")
    security = tmp_path / "security"
    security.write_text('#!/bin/sh\nfor last; do :; done\necho "$1 $(sed -n 2p "$last" 2>/dev/null)" >>"$0.log"\n')
    security.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    run("/bin/sh", found["during"], variables={"PATH": path})
    run("/bin/sh", found["during"], "undo", variables={"PATH": path})
    new, old = (one.pem.split("\n")[1] for one in during_a_rotation().trusted)
    assert (tmp_path / "security.log").read_text().splitlines() == [
        f"add-trusted-cert {new}",
        f"add-trusted-cert {old}",
        f"remove-trusted-cert {new}",
        "delete-certificate ",
        f"remove-trusted-cert {old}",
        "delete-certificate ",
    ]


SCRIPTS = [(name, file) for name, target in TARGETS.items() for file in target.files if file.endswith(".sh")]


@pytest.mark.parametrize(("name", "file"), SCRIPTS)
def test_scripts_are_read_by_a_plain_shell(name: str, file: str, tmp_path: Path) -> None:
    run("/bin/sh", "-n", write(tmp_path, name)[file])


@pytest.mark.needs("certutil")
def test_nss(tmp_path: Path) -> None:
    script = write(tmp_path, "ca-nss")["ca-nss.sh"]
    profile = tmp_path / ".mozilla" / "firefox" / "a profile"
    profile.mkdir(parents=True)
    run("certutil", "-N", "-d", f"sql:{profile}", "--empty-password")
    databases = (tmp_path / ".pki" / "nssdb", profile)

    def trusted() -> list[bool]:
        return ["Steering inspection CA" in run("certutil", "-L", "-d", f"sql:{folder}") for folder in databases]

    for _ in range(2):
        run("/bin/sh", script, variables={"HOME": str(tmp_path)})
        assert trusted() == [True, True]
    run("/bin/sh", script, "undo", variables={"HOME": str(tmp_path)})
    assert trusted() == [False, False]


@pytest.mark.needs("keytool")
def test_java(tmp_path: Path) -> None:
    script = write(tmp_path, "ca-java")["ca-java.sh"]
    home = tmp_path / "a jdk"
    store = home / "lib" / "security" / "cacerts"
    store.parent.mkdir(parents=True)
    listing = ("keytool", "-list", "-keystore", store, "-storepass", "changeit", "-alias", "steering-inspection-ca")
    pem = tmp_path / "other.pem"
    pem.write_text(ca().pem)
    run(
        "keytool", "-importcert", "-noprompt", "-file", pem, "-keystore", store, "-storepass", "changeit", "-alias", "x"
    )
    run("/bin/sh", script, home)
    assert "trustedCertEntry" in run(*listing)
    run("/bin/sh", script, "undo", home)
    run(*listing, ok=False)


def bundle_holds_ours(path: Path) -> bool:
    context = ssl.create_default_context(cafile=str(path))
    public = ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
    roots = context.get_ca_certs(binary_form=True)
    assert set(public.get_ca_certs(binary_form=True)) <= set(roots), "the public ones stay"
    return ca().der in roots


@pytest.mark.needs("git", "update-ca-certificates")
def test_git(tmp_path: Path) -> None:
    script = write(tmp_path, "ca-git")["ca-git.sh"]
    for _ in range(2):
        run("/bin/sh", script, variables={"HOME": str(tmp_path)})
    path = run("git", "config", "--global", "http.sslCAInfo", variables={"HOME": str(tmp_path)}).strip()
    assert bundle_holds_ours(Path(path))
    run("/bin/sh", script, "undo", variables={"HOME": str(tmp_path)})
    assert run("git", "config", "--global", "http.sslCAInfo", ok=False, variables={"HOME": str(tmp_path)}) == ""
    assert not Path(path).exists()


@pytest.mark.needs("update-ca-certificates")
@pytest.mark.parametrize(("which", "variable"), [("python", "REQUESTS_CA_BUNDLE"), ("node", "NODE_EXTRA_CA_CERTS")])
def test_a_users_variables(which: str, variable: str, tmp_path: Path) -> None:
    script = write(tmp_path, f"ca-{which}")[f"ca-{which}.sh"]
    profile = tmp_path / ".profile"
    profile.write_text("umask 022\n")
    for _ in range(2):
        run("/bin/sh", script, variables={"HOME": str(tmp_path)})
    assert profile.read_text() == f'umask 022\n. "{tmp_path}/.config/steering/{which}.sh" # steering ca-{which}\n'
    file = Path(run("/bin/sh", "-c", f'. "$HOME/.profile"; printf %s "${variable}"', variables={"HOME": str(tmp_path)}))
    assert file.read_text() == ca().pem if which == "node" else bundle_holds_ours(file)
    run("/bin/sh", script, "undo", variables={"HOME": str(tmp_path)})
    assert profile.read_text() == "umask 022\n"
    assert not file.exists()


def debian_store(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A copy of the system's store, and what stands before a command that is to see it in the system's place."""
    certs, anchors, hooks = folder / "certs", folder / "anchors", folder / "hooks"
    shutil.copytree("/etc/ssl/certs", certs, symlinks=True)
    anchors.mkdir()
    hooks.mkdir()
    laid = {
        certs: "/etc/ssl/certs",
        anchors: "/usr/local/share/ca-certificates",
        hooks: "/etc/ca-certificates/update.d",
    }
    binds = "; ".join(f"mount --bind '{here}' {there}" for here, there in laid.items())
    return certs, ("unshare", "--mount", "sh", "-euc", f'{binds}; exec "$@"', "sh")


@pytest.mark.needs("unshare", "update-ca-certificates")
def test_debian(tmp_path: Path) -> None:
    """The real script as root, with copies laid over the folders of this machine for it alone."""
    script = write(tmp_path, "ca-debian")["ca-debian.sh"]
    certs, inside = debian_store(tmp_path)
    anchors = tmp_path / "anchors"
    run(*inside, "sh", script)
    assert (anchors / "steering-ca.crt").read_text() == ca().pem
    assert ca().pem in (certs / "ca-certificates.crt").read_text()
    run(*inside, "sh", script, "undo")
    assert list(anchors.iterdir()) == []
    assert ca().pem not in (certs / "ca-certificates.crt").read_text()
