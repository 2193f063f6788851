"""``steering serve``: what it refuses before it serves, and what it says when it does."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from steering.resources import starter_rules
from tests.cli.runner import a_copy, nowhere, run, spawn
from tests.kit import wait_until
from tests.service import service_in


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command sets the umask of its process, which here is everybody's."""
    nowhere(tmp_path, monkeypatch)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "mail"], "--only mail: there are control, dns, inspector"),
        (["--config", "missing.toml"], "missing.toml cannot be read"),
        (["--log-format", "xml"], "log.format: "),
        (["--rules", "missing.json"], "there is no rules file at "),
        ([], "there is no rules file at "),
    ],
)
def test_what_is_wrong_use(arguments: list[str], says: str) -> None:
    result = run("serve", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(says)
    assert len(result.stderr.splitlines()) == 1


def test_who_follows_reads_no_rules_file(tmp_path: Path) -> None:
    (tmp_path / "steering.toml").write_text('[follow]\nurl = "https://control.example:8444"')
    result = run("serve", "--rules", "rules.json")
    assert (result.exit_code, result.stderr) == (
        2,
        "--rules: this service follows https://control.example:8444 and reads no rules file\n",
    )


def test_init_makes_the_rules_file_that_is_configured(tmp_path: Path) -> None:
    """As in a container, whose image brings the configuration; never in place of rules that were lost."""
    (tmp_path / "steering.toml").write_text('[policy]\nrules = "kept/rules.json"\n[dns]\nupstreams = ["x"]')
    assert spawn("serve", "--init", cwd=tmp_path).stderr.startswith("the starter policy cannot be written: ")
    rules = tmp_path / "kept/rules.json"
    rules.parent.mkdir()
    assert spawn("serve", "--init", cwd=tmp_path).stdout == f"made {rules}\n"
    assert rules.read_bytes() == starter_rules().read_bytes()
    rules.unlink()
    (tmp_path / "var/last-good-rules.json").write_text("{}")
    spawn("serve", "--init", cwd=tmp_path)
    assert not rules.exists()


def test_init_makes_what_is_missing_alone(tmp_path: Path) -> None:
    a_copy(tmp_path)
    (tmp_path / "steering.toml").write_text('[log]\nformat = "xml"')
    assert run("serve", "--init").exit_code == 2
    assert not (tmp_path / "var").exists(), "there is a configuration"
    (tmp_path / "steering.toml").unlink()
    result = run("serve", "--init", "--log-format", "xml")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (2, "made var/steering.toml")


def test_the_banner_and_the_end(tmp_path: Path) -> None:
    """Every address, the rules file, what to do next; Ctrl-C ends it with 0."""
    service = service_in(tmp_path / "s", settings={"log": {"format": "console"}})
    try:
        service.start()
        wait_until(lambda: "Stop with Ctrl-C" in service.output(), 10, "the banner")
        lines = service.output().splitlines()
        assert lines[0].startswith("Steering serves policy ")
        assert lines[0].endswith(f" from {service.rules}")
        for role, address in service.addresses.items():
            assert f"  {role:32} {address}" in lines
        serving = next(line for line in service.log().splitlines() if "serving" in line)
        assert service.addresses["control"] not in serving, "the banner has them"
        assert f"  curl -x {service.proxy} --cacert {service.ca} https://example.com/" in lines
        service.signal(signal.SIGINT)
        assert service.wait() == 0
    finally:
        service.stop()
    assert "Traceback" not in service.log()


def test_a_banner_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    """Standard output on a full disk: the restart of a service must not fail for want of a greeting."""
    service = service_in(tmp_path / "s", settings={"log": {"format": "console"}})
    (service.folder / "stdout").symlink_to("/dev/full")
    try:
        service.start()
        wait_until(lambda: "serving" in service.log(), 10, "that it serves")
        assert service.status()["state"] == "ok"
        service.reload()
        assert "draining" not in service.log()
    finally:
        service.stop()


def test_a_second_one_on_the_same_folder_ends_with_one(tmp_path: Path) -> None:
    first = service_in(tmp_path / "s")
    try:
        first.start()
        second = run("serve", "--config", first.config)
        assert second.exit_code == 1
        assert f"another Steering (process {first.pid})" in second.stderr
    finally:
        first.stop()
