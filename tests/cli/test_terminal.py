"""Colours on a terminal alone, and none where NO_COLOR is set."""

import io
from typing import Any

import pytest
import typer

from steering.cli import terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, file: io.StringIO, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", file)
    terminal.console().print("word", style="bold red")
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "environment", "coloured"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": ""}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
        (io.StringIO, {"NO_COLOR": "1"}, False),
    ],
)
def test_colours(file: Any, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, file(), **environment)
    assert ("\x1b[" in text) is coloured
    assert "word" in text


def test_nothing_is_taken_for_markup_nor_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print("[red]x[/red] :smile: " + "y" * 300)
    assert capsys.readouterr().out == "[red]x[/red] :smile: " + "y" * 300 + "\n"


def test_json_is_ascii_and_ends_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({"a": ["ü"]})
    assert capsys.readouterr().out == '{\n  "a": [\n    "\\u00fc"\n  ]\n}\n'


def test_problems_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    for leave, code in ((terminal.wrong_use, 2), (terminal.failed, 1)):
        with pytest.raises(typer.Exit) as caught:
            leave("what [is] wrong")
        assert caught.value.exit_code == code
        assert capsys.readouterr() == ("", "what [is] wrong\n")


def test_a_problem_that_a_peer_words_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.complain("two\nlines, \x1b]0;x\x07\r\u202e and a café")
    assert capsys.readouterr().err == "two\nlines, \\x1b]0;x\\x07\\r\\u202e and a café\n"
