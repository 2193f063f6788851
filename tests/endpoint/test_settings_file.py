"""The helper's settings: where each comes from, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from steering.endpoint.errors import EndpointError
from steering.endpoint.settings import EndpointSettings
from steering.endpoint.settings_file import FILE, load_settings


def load(folder: Path, text: str = "", environment: dict[str, str] | None = None, **over: object) -> EndpointSettings:
    if text:
        (folder / FILE).write_text(text, "utf-8")
    return load_settings(folder, environment or {}, over)


def test_defaults_without_a_file(tmp_path: Path) -> None:
    assert load(tmp_path) == EndpointSettings()


def test_every_setting_of_a_file(tmp_path: Path) -> None:
    text = (
        '[endpoint]\nlisten = "127.0.0.1:4000"\ntransparent_listen = "[::1]:4001"\ncapture = true\n'
        'log_format = "json"\naccess = "lines.log"\npoll_s = 5\n'
    )
    assert load(tmp_path, text) == EndpointSettings(
        listen="127.0.0.1:4000",
        transparent_listen="[::1]:4001",
        capture=True,
        log_format="json",
        access=str(tmp_path / "lines.log"),
        poll_s=5.0,
    )


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    text = '[endpoint]\nlisten = "127.0.0.1:1"\naccess = "off"\npoll_s = 7\n'
    environment = {"STEERING_ENDPOINT_LISTEN": "127.0.0.1:2", "STEERING_ENDPOINT_ACCESS": "-", "STEERING_DNS_X": "y"}
    found = load(tmp_path, text, environment, listen="127.0.0.1:3")
    assert (found.listen, found.access, found.poll_s) == ("127.0.0.1:3", "-", 7.0)


SWITCHES = {"true": True, "1": True, "Yes": True, "false": False, "0": False, "NO": False}


@pytest.mark.parametrize("text", SWITCHES)
def test_switches_in_the_environment(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, "", {"STEERING_ENDPOINT_CAPTURE": text}).capture is SWITCHES[text]


def test_a_setting_of_the_service_is_not_ours(tmp_path: Path) -> None:
    assert load(tmp_path, "", {"STEERING_ENDPOINT_HELPER_DEAD": "open"}) == EndpointSettings()


@pytest.mark.parametrize("text", ["1", "86400"])
def test_polling_at_its_limits(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, "", {"STEERING_ENDPOINT_POLL_S": text}).poll_s == float(text)


WRONG = {
    "no TOML": ("[endpoint", {}, "endpoint.toml cannot be read"),
    "no table": ('listen = "127.0.0.1:1"', {}, "write [endpoint]"),
    "a table that is none": ("endpoint = 3", {}, "write [endpoint]"),
    "another table": ("[endpoint]\n[dns]\n", {}, "write [endpoint]"),
    "unknown key": ("[endpoint]\nlisen = 1", {}, "there is no setting 'lisen'; did you mean listen?"),
    "unknown and unlike": ("[endpoint]\nq = 1", {}, "there are listen, transparent_listen, capture"),
    "unknown in the environment": ("", {"STEERING_ENDPOINT_POL_S": "1"}, "did you mean STEERING_ENDPOINT_POLL_S?"),
    "no text": ("[endpoint]\nlisten = 3129", {}, 'listen is a text, as listen = "127.0.0.1:3129"'),
    "an empty text": ("", {"STEERING_ENDPOINT_ACCESS": ""}, "access is a text"),
    "all addresses": ("", {"STEERING_ENDPOINT_LISTEN": "0.0.0.0:3129"}, "name a loopback address"),
    "no address": ("", {"STEERING_ENDPOINT_TRANSPARENT_LISTEN": "here"}, "is no address to listen on"),
    "no switch": ("[endpoint]\ncapture = 1", {}, "capture is true or false"),
    "no switch in the environment": ("", {"STEERING_ENDPOINT_CAPTURE": "perhaps"}, "capture is true or false"),
    "no format": ("", {"STEERING_ENDPOINT_LOG_FORMAT": "xml"}, "log_format is console or json, not 'xml'"),
    "too often": ("[endpoint]\npoll_s = 0.99", {}, "from 1 to 86400"),
    "too seldom": ("[endpoint]\npoll_s = 86401", {}, "from 1 to 86400"),
    "no number": ("", {"STEERING_ENDPOINT_POLL_S": "often"}, "from 1 to 86400"),
    "not a number": ("", {"STEERING_ENDPOINT_POLL_S": "nan"}, "from 1 to 86400"),
    "a switch for a number": ("[endpoint]\npoll_s = true", {}, "from 1 to 86400"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(tmp_path: Path, case: str) -> None:
    text, environment, expected = WRONG[case]
    with pytest.raises(EndpointError) as caught:
        load(tmp_path, text, environment)
    assert expected in str(caught.value)
