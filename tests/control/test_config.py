"""Every setting with its default, where it may come from, and what is said of a wrong one."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from steering.control.config import Config, as_toml, line_of, load_config, parse_listen
from steering.control.errors import ConfigError

PRIVATE = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
DEFAULTS: dict[str, dict[str, object]] = {
    "policy": {
        "rules": "rules.json",
        "internal_zones": [],
        "internal_networks": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    },
    "state": {"dir": "var"},
    "control": {
        "listen": "127.0.0.1:8080",
        "public_url": "",
        "endpoint_listen": "",
        "endpoint_url": "",
        "token_file": "",
    },
    "follow": {"url": "", "token": "", "token_file": "", "ca": ""},
    "inspector": {
        "listen": "127.0.0.1:3128",
        "tls_listen": "127.0.0.1:8443",
        "http_listen": "127.0.0.1:8081",
        "endpoint_listen": "",
        "advertise": [],
        "endpoint_advertise": [],
        "allowed": PRIVATE,
        "connect_ports": [443],
        "origin_tls_port": 443,
        "origin_http_port": 80,
        "trust": [],
        "allow_destinations": [],
        "allow_no_http1": False,
        "allow_non_tls": False,
        "allow_no_sni": False,
        "workers": 0,
    },
    "dns": {
        "listen": "127.0.0.1:8053",
        "inspector_addresses": ["127.0.0.1"],
        "upstreams": [],
        "zones": {},
        "follow_cname": False,
        "steered": ["0.0.0.0/0", "::/0"],
        "allowed": PRIVATE,
        "tls_listen": "",
        "https_listen": "",
        "server_names": [],
        "certificate": "",
        "key": "",
        "query_log": False,
        "workers": 0,
    },
    "pac": {"fail_open": False, "templates": ""},
    "endpoint": {"inspector_unreachable": "closed", "helper_dead": "closed", "unknown_process": "inspect"},
    "log": {"format": "console", "access": "-"},
    "run": {"user": ""},
}

# Section, key -> what the variable holds, and what becomes of it.  Every setting is here.
FROM_ENVIRONMENT: dict[tuple[str, str], tuple[str, object]] = {
    ("policy", "rules"): ("/r.json", "/r.json"),
    ("policy", "internal_zones"): ("Corp.Example., lab.example", ["corp.example", "lab.example"]),
    ("policy", "internal_networks"): ("", []),
    ("state", "dir"): ("/s", "/s"),
    ("control", "listen"): ("127.0.0.1:9000", "127.0.0.1:9000"),
    ("control", "public_url"): ("https://s.example", "https://s.example"),
    ("control", "endpoint_listen"): ("127.0.0.1:8444", "127.0.0.1:8444"),
    ("control", "endpoint_url"): ("https://s.example:8444/", "https://s.example:8444"),
    ("inspector", "listen"): ("[::1]:3128", "[::1]:3128"),
    ("inspector", "tls_listen"): ("", ""),
    ("inspector", "http_listen"): ("0.0.0.0:80", "0.0.0.0:80"),
    ("inspector", "endpoint_listen"): ("127.0.0.1:3130", "127.0.0.1:3130"),
    ("inspector", "endpoint_advertise"): ("a.example:1,[2001:db8::1]:2", ["a.example:1", "[2001:db8::1]:2"]),
    ("inspector", "advertise"): ("a.example:1,[2001:db8::1]:2", ["a.example:1", "[2001:db8::1]:2"]),
    ("inspector", "allowed"): ("10.0.0.0/8", ["10.0.0.0/8"]),
    ("inspector", "connect_ports"): ("443, 8443,", [443, 8443]),
    ("inspector", "origin_tls_port"): ("4433", 4433),
    ("inspector", "origin_http_port"): ("8080", 8080),
    ("inspector", "trust"): ("a.pem,b.pem", ["a.pem", "b.pem"]),
    ("control", "token_file"): ("/join/token", "/join/token"),
    ("follow", "url"): ("https://c.example:8444/", "https://c.example:8444"),
    ("follow", "token"): ("st1.x", "st1.x"),
    ("follow", "token_file"): ("t", "t"),
    ("follow", "ca"): ("/run/ca", "/run/ca"),
    ("inspector", "allow_destinations"): ("127.0.0.0/8", ["127.0.0.0/8"]),
    ("inspector", "allow_no_http1"): ("1", True),
    ("inspector", "allow_non_tls"): ("yes", True),
    ("inspector", "allow_no_sni"): ("on", True),
    ("inspector", "workers"): ("3", 3),
    ("dns", "listen"): ("127.0.0.1:53", "127.0.0.1:53"),
    ("dns", "inspector_addresses"): ("192.0.2.1,2001:DB8::1", ["192.0.2.1", "2001:db8::1"]),
    ("dns", "upstreams"): ("udp://192.0.2.1:53", ["udp://192.0.2.1:53"]),
    ("dns", "zones"): ('{"Corp.example.": ["192.0.2.9"]}', {"corp.example": ["192.0.2.9"]}),
    ("dns", "follow_cname"): ("true", True),
    ("dns", "steered"): ("", []),
    ("dns", "allowed"): ("192.0.2.0/24", ["192.0.2.0/24"]),
    ("dns", "tls_listen"): ("127.0.0.1:853", "127.0.0.1:853"),
    ("dns", "https_listen"): ("[::1]:443", "[::1]:443"),
    ("dns", "server_names"): ("DNS.example.,192.0.2.53", ["dns.example", "192.0.2.53"]),
    ("dns", "certificate"): ("c.pem", "c.pem"),
    ("dns", "key"): ("k.pem", "k.pem"),
    ("dns", "query_log"): ("true", True),
    ("dns", "workers"): ("256", 256),
    ("pac", "fail_open"): ("true", True),
    ("pac", "templates"): ("t", "t"),
    ("endpoint", "inspector_unreachable"): ("open", "open"),
    ("endpoint", "helper_dead"): ("open", "open"),
    ("endpoint", "unknown_process"): ("block", "block"),
    ("log", "format"): ("json", "json"),
    ("log", "access"): ("off", "off"),
    ("run", "user"): ("nobody", "nobody"),
}

# What makes no sense without another setting of its section.
NOT_ALONE = {
    ("control", "token_file"): {"endpoint_listen": "127.0.0.1:8444"},
    **{("follow", key): {"url": "https://c.example:8444"} for key in ("token", "token_file", "ca")},
}

# What stands in the file -> what is said of it.  The file is called F.
WRONG: dict[str, str] = {
    "[inspector]\ntrust = []\nlistn = 'x'\n": "F:3: there is no setting inspector.listn; did you mean 'listen'?",
    "\n[inspektor]\nlisten = 'x'\n": "F:2: there is no setting [inspektor]; did you mean 'inspector'?",
    "[xyzzy]\n": (
        "F:1: there is no setting [xyzzy]; "
        "known: policy, state, control, follow, inspector, dns, pac, endpoint, log, run"
    ),
    "inspector.listn = 'x'\n": "F:1: there is no setting inspector.listn; did you mean 'listen'?",
    "dns = 3\n": "F:1: dns is a table: write [dns] and its settings below",
    "[dns]\nupstreams = 'udp://192.0.2.1'\n": 'F:2: dns.upstreams: must be a list, as ["one", "another"], not',
    "[inspector]\nconnect_ports = [443, 0]\n": "F:2: inspector.connect_ports.1: must be 1 or more, not 0",
    "[inspector]\nallowed = ['10.0.0.1/8']\n": (
        "F:2: inspector.allowed.0: 10.0.0.1/8 has host bits set: write 10.0.0.0/8"
    ),
    "[control]\nlisten = 'localhost:8080'\n": (
        "F:2: control.listen: 'localhost:8080' is no address to listen on: write ADDRESS:PORT, "
        "as 127.0.0.1:3128 or [::1]:3128"
    ),
    "[control]\npublic_url = 'steering.example'\n": (
        "F:2: control.public_url: 'steering.example' is no address of a service: "
        "write it as http://steering.example:8080"
    ),
    "[inspector]\nadvertise = ['proxy.example']\n": (
        "F:2: inspector.advertise.0: 'proxy.example' is no inspector address: write HOST:PORT, "
        "an IPv6 address in brackets"
    ),
    "[log]\nformat = 'xml'\n": "F:2: log.format: must be console or json, not 'xml'",
    "[dns.zones]\n'https://x' = []\n": "F:1: dns.zones.https://x",
    "[inspector\n": "F: Expected ']' at the end of a table declaration (at line 1, column 11)",
    "[inspector]\nlisten = '0.0.0.0:3128'\n": (
        "inspector.listen is 0.0.0.0:3128: say in inspector.advertise what clients are to call it, "
        'as ["proxy.example:3128"]'
    ),
    "[inspector]\nlisten = ''\n": "inspector.listen is empty: say in inspector.advertise",
    "[control]\nlisten = '[::]:8080'\n": (
        "control.listen is [::]:8080: say in control.public_url what clients are to call it, "
        'as "http://steering.example:8080"'
    ),
    "[control]\nendpoint_listen = '0.0.0.0:8444'\n": (
        "control.endpoint_listen is 0.0.0.0:8444: say in control.endpoint_url what helpers are to call it, "
        'as "https://steering.example:8444"'
    ),
    "[inspector]\nendpoint_listen = '[::]:3130'\n": (
        "inspector.endpoint_listen is [::]:3130: say in inspector.endpoint_advertise what helpers are to call it, "
        'as ["proxy.example:3130"]'
    ),
    "[control]\nendpoint_url = 'http://s.example:8444'\n": (
        "F:2: control.endpoint_url: 'http://s.example:8444' is no address for helpers: "
        "write it as https://steering.example:8444"
    ),
    "[control]\nendpoint_url = 'https://s.example'\n": "F:2: control.endpoint_url: 'https://s.example' is no address",
    "[control]\ntoken_file = 'token'\n": "control.token_file is set, and control.endpoint_listen, where such a token",
    "[follow]\ntoken_file = 'token'\n": "follow.token_file is set, and follow.url, which says whom to follow, is not",
    "[follow]\nurl = 'http://control:8444'\n": "F:2: follow.url: 'http://control:8444' is no address for helpers",
    "[follow]\nurl = 'https://control:8444'\n[inspector]\nendpoint_listen = '127.0.0.1:3130'\n": (
        "inspector.endpoint_listen is set together with follow.url: helpers are served where the rules are"
    ),
    "[endpoint]\nhelper_dead = 'maybe'\n": "F:2: endpoint.helper_dead: must be closed or open, not 'maybe'",
}


def test_defaults_are_those_of_the_specification() -> None:
    loaded = load_config(None, {})
    assert loaded.config.model_dump() == DEFAULTS
    assert (loaded.rules, loaded.state) == (Path.cwd() / "rules.json", Path.cwd() / "var")


def test_paths_begin_at_the_file(tmp_path: Path) -> None:
    file = tmp_path / "steering.toml"
    file.write_text('[policy]\nrules = "r/rules.json"\n[state]\ndir = "/elsewhere"\n')
    loaded = load_config(file, {})
    assert (loaded.rules, loaded.state) == (tmp_path / "r" / "rules.json", Path("/elsewhere"))


@pytest.mark.parametrize(("section", "key"), FROM_ENVIRONMENT)
def test_environment(section: str, key: str) -> None:
    text, expected = FROM_ENVIRONMENT[section, key]
    beside = NOT_ALONE.get((section, key), {})
    needed = {f"STEERING_{section}_{other}".upper(): value for other, value in beside.items()}
    config = load_config(None, {f"STEERING_{section}_{key}".upper(): text} | needed).config
    assert config.model_dump() == DEFAULTS | {section: DEFAULTS[section] | beside | {key: expected}}


def test_settings_of_a_helper_on_the_same_machine_are_passed_over() -> None:
    assert load_config(None, {"STEERING_ENDPOINT_POLL_S": "5", "STEERING_ENDPOINT_LISTEN": "x"}).config == Config()
    with pytest.raises(ConfigError, match="did you mean STEERING_ENDPOINT_HELPER_DEAD"):
        load_config(None, {"STEERING_ENDPOINT_HELPER_DED": "open"})


def test_every_setting_can_come_from_the_environment() -> None:
    assert set(FROM_ENVIRONMENT) == {(section, key) for section, keys in DEFAULTS.items() for key in keys}


def test_command_line_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text("[log]\nformat = 'json'\naccess = 'file'\n[run]\nuser = 'file'\n")
    environment = {"STEERING_LOG_ACCESS": "environment", "STEERING_RUN_USER": "environment"}
    config = load_config(file, environment, {("run", "user"): "line"}).config
    found = (config.pac.templates, config.log.format, config.log.access, config.run.user)
    assert found == ("", "json", "environment", "line")


@pytest.mark.parametrize("text", WRONG, ids=lambda text: re.sub(r"\W+", "-", text))
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "F"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert str(caught.value).replace(str(tmp_path) + "/", "").startswith(WRONG[text])


def test_all_unknown_settings_at_once(tmp_path: Path) -> None:
    file = tmp_path / "F"
    file.write_text("[dns]\na = 1\nb = 2\n[x]\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert [re.sub(r"^.*F:(\d+):.*", r"\1", line) for line in str(caught.value).splitlines()] == ["2", "3", "4"]


@pytest.mark.parametrize(
    "text",
    [
        "[inspector]\nlisten = '0.0.0.0:3128'\nadvertise = ['p.example:3128']\n",
        "[control]\nlisten = '[::]:80'\npublic_url = 'http://s.example'\n",
        "[dns]\nlisten = ''\n",
        "[control]\nlisten = ''\n",
    ],
)
def test_what_is_right(tmp_path: Path, text: str) -> None:
    file = tmp_path / "F"
    file.write_text(text)
    load_config(file, {})


ENVIRONMENT_WRONG = {
    "STEERING_INSPECTOR_LISTN": "environment: there is no setting STEERING_INSPECTOR_LISTN; "
    "did you mean STEERING_INSPECTOR_LISTEN?",
    "STEERING_INSPEKTOR_LISTEN": "environment: there is no setting STEERING_INSPEKTOR_LISTEN; "
    "did you mean STEERING_INSPECTOR_LISTEN?",
    "STEERING_DNS_ZONES": "environment: STEERING_DNS_ZONES must be JSON",
    "STEERING_DNS_WORKERS": "environment: STEERING_DNS_WORKERS: must be a whole number, not 'x'",
}


@pytest.mark.parametrize("name", ENVIRONMENT_WRONG)
def test_a_wrong_variable(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {name: "x"})
    assert str(caught.value).startswith(ENVIRONMENT_WRONG[name])


@pytest.mark.parametrize(
    "name",
    [
        "STEERING_SERVICE_HOST",
        "STEERING_PORT",
        "STEERING_PORT_8080_TCP_ADDR",
        "STEERING_DNS_SERVICE_PORT_UDP",
        "STEERING_CONTROL_PORT_80_TCP",
        "STEERING_CONTROL_SERVICE_HOST",
        "STEERING_CA_PASSPHRASE",
        "STEERING_AGREEMENT_FLOWS",
        "STEERING_",
        "STEERINGWHEEL",
    ],
)
def test_variables_of_others_are_passed_over(name: str) -> None:
    """Kubernetes gives every container what it knows of a Service called steering or steering-dns."""
    assert load_config(None, {name: "tcp://10.0.0.1:53"}).config == Config()


def test_no_setting_is_named_as_kubernetes_names_its_own() -> None:
    """Else it could not be set."""
    for section, keys in DEFAULTS.items():
        for key in keys:
            assert not key.startswith(("port", "service_port", "service_host")), (section, key)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"# \xff\n")
    for path in (tmp_path / "none", tmp_path, tmp_path / "latin"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_config(path, {})


def test_the_generated_file_shows_every_default(tmp_path: Path) -> None:
    text = as_toml()
    assert tomllib.loads(text) == {section: {} for section in DEFAULTS}
    uncommented: dict[str, Any] = tomllib.loads(re.sub(r"^#(\w+ = )", r"\1", text, flags=re.MULTILINE))
    assert uncommented == DEFAULTS


LISTEN = {
    "127.0.0.1:0": ("127.0.0.1", 0),
    "127.0.0.1:65535": ("127.0.0.1", 65535),
    "[::1]:53": ("::1", 53),
    "0.0.0.0:80": ("0.0.0.0", 80),
}


@pytest.mark.parametrize("text", LISTEN)
def test_listen(text: str) -> None:
    assert parse_listen(text) == LISTEN[text]


@pytest.mark.parametrize(
    "text", ["", ":80", "80", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "::1:53", "[::1]", "a:80", "127.0.0.1:x"]
)
def test_not_to_be_listened_on(text: str) -> None:
    with pytest.raises(ValueError, match="no address to listen on"):
        parse_listen(text)


def test_lines_of_keys() -> None:
    text = 'a.b = 1\n[dns]\n\n  listen = 1\n[dns.zones]\n"x" = []\n[[log]]\n'
    found = [line_of(text, *key) for key in (("a", "b"), ("dns", None), ("dns", "listen"), ("log", None), ("x", "y"))]
    assert found == [1, 2, 4, 7, 0]
