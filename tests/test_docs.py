"""The documentation says what is so: examples run, links resolve, tables are those of the code."""

import json
import re
import shlex
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from typer.main import get_command

from bench.__main__ import PUBLISHED, measurements
from steering.catalog import load_categories
from steering.cli.commands import app
from steering.control.config import Config, load_config
from steering.control.metrics import metrics_of
from steering.control.status import Status
from steering.policy import Point
from steering.policy.access import Access
from steering.policy.document import as_line, read_document
from steering.policy.model import GroupModel, ProgramModel, RuleModel, RulesModel
from steering.process.accesslog import as_json
from steering.resources import starter_rules
from steering_inspector.pages import REASONS
from tests.kit import ROOT
from tools.doc_examples import FENCE, can_run, fits, provide, run
from tools.doc_measurements import CHARTS, charts
from tools.doc_tables import PRINTED, pages, printed
from tools.doc_walks import LANGUAGES, WALKED, Command, File, items, not_here, steps
from tools.terminal_picture import terminal_picture

PAGES = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in pages()}
_CODE = re.compile(r"`([^`\n]+)`")


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """(page, text) of every fenced block of a kind, in order."""
    for page, text in PAGES.items():
        yield from ((page, dedent(found[3])) for found in FENCE.finditer(text) if found[2] == kind)


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


# Printed tables


@pytest.mark.parametrize("page", PAGES)
def test_printed_tables_are_those_of_the_code(page: str) -> None:
    assert PAGES[page] == printed(PAGES[page]), "run: make docs"


def test_every_printed_table_is_used() -> None:
    used = {name.split()[0] for text in PAGES.values() for name in re.findall(r"<!-- printed: ([\w -]+?) -->", text)}
    assert used | {"limits"} == set(PRINTED)


def test_every_section_of_the_configuration_has_its_table() -> None:
    told = re.findall(r"printed: settings-of (\w+)", PAGES["docs/configuration.md"])
    assert told == list(Config.model_fields)


def test_published_measurements_can_be_made_again() -> None:
    assert set(json.loads(PUBLISHED.read_text("utf-8"))) <= set(measurements())


def test_every_figure_of_the_readme_was_measured() -> None:
    assert [line for line in PRINTED["figures"]().splitlines() if "| - |" in line] == [], "run: make bench"


def test_charts_are_those_of_the_measurements() -> None:
    shown = {path: path.read_text("utf-8") for path in CHARTS.glob("*.svg")}
    assert shown == charts(), "run: make docs"


# Tables that are written by hand, for their words, and held to the code, for their rows


def access_fields() -> list[str]:
    line = Access(
        at=0.0, point=Point.DNS, client="192.0.2.1", host="x.example", effect="real", rule=None, why="no rule matches"
    )
    return list(json.loads(as_json(line)))


def metric_names() -> list[str]:
    text = metrics_of(lambda: {"dns:x": 1, "dns:cache:entries": 1}, Status())().decode()
    return re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)


def model_keys(*models: type) -> list[str]:
    return [field.alias or key for model in models for key, field in model.model_fields.items()]  # type: ignore[attr-defined]  # all are models


HELD: dict[str, tuple[str, str, str, Callable[[], list[str]]]] = {
    "the file": ("docs/rules.md", "The file", "key", lambda: model_keys(RulesModel)),
    "a rule": ("docs/rules.md", "A rule", "key", lambda: model_keys(RuleModel)),
    "a program": ("docs/rules.md", "Programs", "condition", lambda: model_keys(ProgramModel)),
    "access lines": ("docs/operations.md", "Logs", "field", access_fields),
    "metrics": ("docs/operations.md", "Metrics", "metric", metric_names),
}


def first_column(page: str, heading: str, head: str) -> list[str]:
    """The code words in the first column of the table under ``heading`` whose first column is called ``head``."""
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGES[page], re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no section {heading}"
    found = re.search(rf"^\| {head} \|.*\n\|[ |-]+\n((?:\|.*\n)+)", section[1], re.MULTILINE)
    assert found, f"{heading} has no table of {head}"
    return [word for row in found[1].splitlines() for word in _CODE.findall(row.split("|")[1])]


@pytest.mark.parametrize("case", HELD)
def test_hand_written_tables_name_everything(case: str) -> None:
    page, heading, head, expected = HELD[case]
    assert sorted(first_column(page, heading, head)) == sorted(expected())


def test_a_group_is_told() -> None:
    assert all(f"`{key}`" in PAGES["docs/rules.md"] for key in GroupModel.model_fields)


def test_reasons_in_the_troubleshooting_exist() -> None:
    assert set(first_column("docs/operations.md", "Troubleshooting", "seen")) <= set(REASONS)


NOT_SETTINGS = ("py", "json", "toml", "decide", "example")  # files, a method of the policy, a host


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_mentioned_exist(page: str) -> None:
    sections = "|".join(Config.model_fields)
    mentioned = {tuple(m) for m in re.findall(rf"`({sections})\.([a-z_0-9]+)`", prose(PAGES[page]))}
    known = {(section, key) for section in Config.model_fields for key in type(getattr(Config(), section)).model_fields}
    assert {m for m in mentioned - known if m[1] not in NOT_SETTINGS} == set()


def test_paths_in_the_contributors_guide_exist() -> None:
    paths = re.findall(
        r"`((?:steering|dns|inspector|pac_templates|tests|tools|bench|docs)/[\w./-]*)`", PAGES["CONTRIBUTING.md"]
    )
    assert [path for path in paths if not (ROOT / path).exists()] == []


# Examples


def is_policy(value: object) -> bool:
    return isinstance(value, dict) and ("rules" in value or "name" in value)


RULES_EXAMPLES = [(page, text) for page, text in blocks("json") if is_policy(json.loads(text))]


@pytest.mark.parametrize(("page", "text"), RULES_EXAMPLES, ids=[page for page, _ in RULES_EXAMPLES])
def test_rules_in_examples_can_be_enforced(page: str, text: str) -> None:
    whole = text if "rules" in json.loads(text) else f'{{"rules": [{text}]}}'
    reading = read_document(whole, load_categories())
    assert [as_line(finding) for finding in reading.findings] == []


TOML_EXAMPLES = list(blocks("toml"))


@pytest.mark.parametrize(("page", "text"), TOML_EXAMPLES, ids=[page for page, _ in TOML_EXAMPLES])
def test_configurations_in_examples_are_taken(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "steering.toml"
    file.write_text(text)
    assert load_config(file, {}).file == file


CONSOLE = {page: [step for name, text in blocks("console") if name == page for step in steps(text)] for page in PAGES}


@pytest.mark.parametrize("page", [page for page, found in CONSOLE.items() if found and page not in WALKED])
def test_commands_in_examples_print_what_is_shown(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of a page one after the other, in a folder with the starter rules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEERING_POLICY_RULES", raising=False)
    (tmp_path / "rules.json").write_bytes(starter_rules().read_bytes())
    outputs = []
    for command, shown in CONSOLE[page]:
        provide(command, shown)
        if can_run(command):
            outputs.append((command, shown, run(command)))
    assert [(command, output) for command, shown, output in outputs if not fits(shown, output)] == [], "run: make docs"


def test_what_is_shown_may_be_shortened() -> None:
    output = "one\ntwo\nthree 3\n"
    assert all(fits(shown, output) for shown in ("", output, "...\n", "one\n...\n", "...\nthree ...\n"))
    assert not any(fits(shown, output) for shown in ("one\n", "...\ntwo\n", "two\n...\n", "one\ntwo\nthree\n"))


# Commands: none is shown that nobody has tried, and none of ours that does not exist


def test_every_symptom_ends_in_a_command() -> None:
    sections = re.split(r"^## ", PAGES["docs/deploy/troubleshooting.md"], flags=re.MULTILINE)[1:]
    assert [text.splitlines()[0] for text in sections if not re.search(r"```console\n[^`]+```\s*\Z", text)] == []


WALKED_COMMANDS = {command for page in WALKED for command, _ in CONSOLE[page]}
GUIDES = [page for page in PAGES if page == "README.md" or page.startswith("docs/deploy/")]


@pytest.mark.parametrize("page", GUIDES)
def test_every_block_of_a_guide_is_of_a_kind_that_something_holds(page: str) -> None:
    kinds = {found[2] for found in FENCE.finditer(PAGES[page])}
    assert kinds - set(LANGUAGES) == set(), "commands are written as console, with '$ ': tools/doc_walks.py"


@pytest.mark.parametrize("page", GUIDES)
def test_every_command_of_a_guide_is_tried_or_excused(page: str) -> None:
    """On another page perhaps; ``cat`` shows a file, that other commands read."""
    left = [
        command
        for command, shown in CONSOLE[page]
        if not (page in WALKED or can_run(command) or not_here(command) or command in WALKED_COMMANDS)
        and not (command.startswith("cat ") and shown)
    ]
    assert left == [], "neither run nor excused: tools/doc_walks.py NOT_HERE"


def test_all_that_is_walked_is_a_guide() -> None:
    assert set(WALKED) <= set(GUIDES)


GUIDE = """\
Text, `$ code`.

<!-- walk: kill %1 -->

1. In a list:

   ```console
   $ one
   shown

   $ two \\
   > --more
   ```

<!-- file: /etc/x.toml -->
   ```toml
   [x]
     y = 1
   ```

<!-- exit: 1 -->
```console
$ three
```

```text
$ no command
```
"""
DONE = [
    Command(text="kill %1", hidden=True),
    Command(text="one", shown="shown\n\n"),
    Command(text="two \\\n--more"),
    File(path="/etc/x.toml", content="[x]\n  y = 1\n"),
    Command(text="three", code=1),
]


def test_what_is_done_on_a_page() -> None:
    assert [*items(GUIDE)] == DONE


def test_what_is_excused_is_no_more_than_it_says() -> None:
    excused = {"make test": True, "make tests": False, "make run": False, "systemctl restart x": True, "apt-get": True}
    assert {command: not_here(command) is not None for command in excused} == excused


COMMAND_LINE = get_command(app)
_ENDS_A_COMMAND = {"|", ">", ">>", "<", "&&", "||", ";", "&", "2>&1"}


def ours(line: str) -> Iterator[list[str]]:
    """The words behind each ``steering`` of a shell's line."""
    words = shlex.split(line.replace("\\\n", ""), comments=True)
    for i, word in enumerate(words):
        if word == "steering" and (i == 0 or words[i - 1] in {*_ENDS_A_COMMAND, "sudo", "exec", "--"}):
            yield list(takewhile(lambda word: word not in _ENDS_A_COMMAND, words[i + 1 :]))


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that is named, and the words behind its name."""
    command: Any = COMMAND_LINE
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def complaint(words: list[str]) -> str:
    """What the command line says of them, "" if nothing.  The command is not run."""
    command, rest = command_of(words)
    if rest and not rest[0].startswith("-") and hasattr(command, "commands"):
        return f"no such command: {rest[0]}"
    try:
        command.make_context(command.name, rest)
    except Exception as exc:  # typer's own, which older ones take from click
        return str(exc)
    return ""


@pytest.mark.parametrize("page", [page for page, found in CONSOLE.items() if found])
def test_our_commands_are_taken_by_the_command_line(page: str) -> None:
    typed = [words for command, _ in CONSOLE[page] for words in ours(command)]
    assert {" ".join(words): complaint(words) for words in typed if complaint(words)} == {}


@pytest.mark.parametrize("page", PAGES)
def test_our_commands_in_the_text_exist(page: str) -> None:
    """Prose leaves out what it does not speak of, so names and options alone are looked at."""
    wrong = []
    for code in _CODE.findall(prose(PAGES[page])):
        for words in ours(code) if re.match(r"(sudo )?steering [a-z-]", code) else ():
            command, rest = command_of(words)
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            options = {word.partition("=")[0] for word in rest if word.startswith("--")}
            no_command = rest and not rest[0].startswith("-") and hasattr(command, "commands")
            if options - known - {"--help"} or no_command:
                wrong.append(code)
    assert wrong == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert complaint(["explain", "zoom.us", "--lvie"]) == "No such option: --lvie"
    assert complaint(["explian", "zoom.us"]) != ""
    assert complaint(["explain"]) != ""
    assert [*ours("sudo steering check a.json | steering pac && echo steering")] == [["check", "a.json"], ["pac"]]


# Links


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {slug(heading) for heading in headings} | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    broken = []
    text = prose(PAGES[page])
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + [file for _, file in pictures(text)]:
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(target)
    assert broken == []


def test_the_pages_that_the_code_points_at_exist() -> None:
    assert "## Low ports" in PAGES["docs/operations.md"], "named by the banner of 'steering serve'"
    assert 'id="packaging"' in PAGES["docs/decisions.md"], "named by tests/test_packaging.py"


# Pictures

PICTURES = ROOT / "docs" / "pictures"
DRAWN = [ROOT / "docs" / "steering.svg", *sorted(PICTURES.glob("*.svg"))]


def test_the_picture_of_an_explanation_shows_what_is_printed_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the revision, which is of other rules."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.json").write_bytes(starter_rules().read_bytes())
    (drawn,) = re.findall(r"<desc>(.*?)</desc>", (PICTURES / "explain.svg").read_text("utf-8"), re.DOTALL)
    command, *shown = drawn.splitlines()
    assert shown[:-1] == run(command.removeprefix("$ ")).splitlines()[:-1], "run: make screenshots"


def test_a_terminal_is_drawn_in_its_colours() -> None:
    drawn = terminal_picture("\x1b[1;32mok\x1b[0m <a>\nb & c\n", title="A & B")
    parts = [element.text or "" for element in ElementTree.fromstring(drawn).iter() if element.tag.endswith("desc")]
    assert parts == ["ok <a>\nb & c"]
    assert '<tspan class="bold green">ok</tspan> &lt;a&gt;</text>' in drawn
    assert "<title>A &amp; B</title>" in drawn


def pictures(text: str) -> list[tuple[str, str]]:
    """(what it shows in words, its file) of every picture of a page; "" for one that stands for another."""
    tags = re.findall(r'<img alt="([^"]*)" src="([^"]+)"', text)
    return [
        *re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text),
        *tags,
        *re.findall(r'<source media=()[^>]*srcset="([^"]+)"', text),
    ]


@pytest.mark.parametrize("page", PAGES)
def test_pictures_are_told_in_words(page: str) -> None:
    text = prose(PAGES[page])
    assert len(re.findall(r"<img |<source |!\[", text)) == len(pictures(text)), "alt, then src"
    assert [file for words, file in pictures(text) if len(words) < 20 and "-dark" not in file] == []


def test_every_picture_is_shown_and_small() -> None:
    shown = {(ROOT / page).parent.joinpath(file).resolve() for page in PAGES for _, file in pictures(PAGES[page])}
    assert {*PICTURES.iterdir(), *DRAWN} <= shown
    assert [file.name for file in PICTURES.iterdir() if file.stat().st_size >= 100_000] == []


@pytest.mark.parametrize("file", DRAWN, ids=lambda file: file.name)
def test_drawn_pictures_are_readable_in_both_modes_and_without_eyes(file: Path) -> None:
    text = file.read_text("utf-8")
    names = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text)}
    assert {"title", "desc"} <= names
    assert "prefers-color-scheme: dark" in text
    loads = re.findall(r"""(?:href=|src=|url\(|@import)""", text)
    assert loads == [], "nothing is loaded from elsewhere"


def test_the_first_two_commands_of_the_readme() -> None:
    first = next(text for page, text in blocks("console") if page == "README.md")
    assert first == "$ make run\n$ make test\n"
