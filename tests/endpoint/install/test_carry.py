"""Doing and undoing: exact to the byte, idempotent, told before it is done, and safe against a crash in between."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from steering.endpoint.install.actions import Action, Argv, Command, Edit, GSetting, Step
from steering.endpoint.install.carry import Ended, run_program
from steering.endpoint.install.edits import Block, JsonValues, Whole
from tests.endpoint.install.ground import Ground, ground


@dataclass(slots=True)
class Fake:
    """A machine's programs.  values: of settings; done: what was run that changes something."""

    values: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    switched: set[str] = field(default_factory=set)

    def __call__(self, argv: Argv) -> Ended:
        words = " ".join(argv)
        if words in self.failing:
            return Ended(code=1, err=f"\nno {words}\n")
        match argv:
            case ("gsettings", "get", _, key):
                return Ended(code=0, out=self.values.get(key, "'default'") + "\n")
            case ("gsettings", "set", _, key, value):
                self.values[key] = value
            case ("gsettings", "reset", _, key):
                self.values.pop(key, None)
            case ("is-on", what):
                return Ended(code=0 if what in self.switched else 1)
            case ("on", what):
                self.switched.add(what)
            case ("off", what):
                self.switched.discard(what)
        self.done.append(words)
        return Ended(code=0)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def here(tmp_path: Path, fake: Fake) -> Ground:
    return ground(tmp_path / "root", run=fake)


def step(*actions: Action, name: str = "step", required: bool = False) -> Step:
    return Step(name=name, why="a reason", actions=actions, required=required)


def switch(what: str, late: bool = False) -> Command:
    return Command(name=what, do=("on", what), holds=("is-on", what), undo=("off", what), late=late)


def test_new_files_and_folders_go_again(here: Ground) -> None:
    before = here.snapshot()
    path = here.machine.at("/etc/a/b/c.conf")
    assert here.install([step(Edit(path=str(path), change=Whole(content="x"), mode=0o640))]) == []
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("x", 0o640)
    assert here.uninstall() == []
    assert here.snapshot() == before


def test_a_folder_that_others_use_too_stays(here: Ground) -> None:
    path = here.machine.at("/etc/a/c.conf")
    here.install([step(Edit(path=str(path), change=Whole(content="x")))])
    here.file("/etc/a/theirs", "y")
    assert here.uninstall() == []
    assert [p.name for p in path.parent.iterdir()] == ["theirs"]


def test_the_very_bytes_and_permissions_come_back(here: Ground) -> None:
    here.file("/etc/policies.json", '{"theirs":   1}', mode=0o604)  # a layout that JSON's reading would lose
    before = here.snapshot()
    edit = Edit(path=str(here.machine.at("/etc/policies.json")), change=JsonValues(values='{"ours": 2}'))
    for _ in range(3):  # however often it is installed
        assert here.install([step(edit)]) == []
    assert here.machine.at("/etc/policies.json").stat().st_mode & 0o777 == 0o604
    assert here.uninstall() == []
    assert here.snapshot() == before


def test_what_others_write_in_between_stays(here: Ground) -> None:
    path = here.file("/etc/x", "a\n")
    here.install([step(Edit(path=str(path), change=Block(lines=("ours",))))])
    path.write_text("first\n" + path.read_text() + "last\n")
    assert here.uninstall() == []
    assert path.read_text() == "first\na\nlast\n"


def test_a_newer_version_of_ours_keeps_the_first_before(here: Ground) -> None:
    path = here.file("/etc/x", "theirs\n")
    for content in ("one\n", "two\n"):
        assert here.install([step(Edit(path=str(path), change=Whole(content=content)))]) == []
    assert path.read_text() == "two\n"
    here.uninstall()
    assert path.read_text() == "theirs\n"


def test_a_link_keeps_its_place(here: Ground) -> None:
    target = here.file("/etc/real", "a\n")
    link = here.machine.at("/etc/link")
    link.symlink_to("real")
    here.install([step(Edit(path=str(link), change=Block(lines=("ours",))))])
    assert link.is_symlink()
    assert "ours" in target.read_text()
    here.uninstall()
    assert (link.is_symlink(), target.read_text()) == (True, "a\n")


def test_a_dry_run_tells_and_changes_nothing(here: Ground, fake: Fake) -> None:
    path = here.file("/etc/x", "a\nb\n")
    before = here.snapshot()
    steps = [
        step(
            Edit(path=str(path), change=Block(lines=("ours",))),
            switch("thing"),
            GSetting(schema="s", key="mode", value="'auto'"),
        )
    ]
    assert here.install(steps, dry_run=True) == []
    assert here.told == [
        "step: a reason",
        f"  --- {path}",
        f"  +++ {path}",
        "  @@ -2 +2,4 @@",
        "   b",
        "  +# begin steering endpoint, do not edit",
        "  +ours",
        "  +# end steering endpoint",
        "  run: on thing",
        "  set s mode: 'default' -> 'auto'",
        "  would be changed",
    ]
    assert (here.snapshot(), fake.done) == (before, [])


def test_settings_go_back_to_their_value_or_to_none(here: Ground, fake: Fake) -> None:
    fake.values["mode"] = "'manual'"
    actions = [GSetting(schema="s", key=key, value="'auto'") for key in ("mode", "url")]
    assert here.install([step(*actions)]) == []
    assert fake.values == {"mode": "'auto'", "url": "'auto'"}
    assert here.uninstall() == []
    assert fake.values == {"mode": "'manual'"}


def test_a_setting_that_somebody_has_changed_since_stays(here: Ground, fake: Fake) -> None:
    here.install([step(GSetting(schema="s", key="mode", value="'auto'"))])
    fake.values["mode"] = "'none'"
    assert here.uninstall() == []
    assert fake.values == {"mode": "'none'"}


def test_what_was_so_before_is_not_undone(here: Ground, fake: Fake) -> None:
    fake.switched.add("old")
    here.install([step(switch("old"), switch("new"))])
    here.uninstall()
    assert fake.switched == {"old"}


def test_order_of_undo(here: Ground, fake: Fake) -> None:
    """The last step first, within it the last action first, late ones after all others."""
    here.install([step(switch("a"), switch("b", late=True), switch("c")), step(switch("d"), name="second")])
    fake.done.clear()
    here.uninstall()
    assert fake.done == ["off d", "off c", "off a", "off b"]


def test_a_command_that_only_follows_runs_when_something_changed(here: Ground, fake: Fake) -> None:
    reload = Command(name="reload", do=("reload",), undo=("reload",), late=True)
    steps = [step(Edit(path=str(here.machine.at("/x")), change=Whole(content="x")), reload)]
    here.install(steps)
    here.install(steps)
    assert fake.done == ["reload"]


def test_a_step_that_fails_is_undone_and_others_go_on(here: Ground, fake: Fake) -> None:
    fake.failing.add("on bad")
    path = here.machine.at("/x")
    problems = here.install(
        [step(Edit(path=str(path), change=Whole(content="x")), switch("bad")), step(switch("good"), name="second")]
    )
    assert problems == ["step: on bad failed: no on bad"]
    assert (path.exists(), fake.switched) == (False, {"good"})


def test_a_required_step_that_fails_stops(here: Ground, fake: Fake) -> None:
    fake.failing.add("on bad")
    problems = here.install([step(switch("bad"), name="first", required=True), step(switch("good"), name="second")])
    assert problems == ["first: on bad failed: no on bad"]
    assert fake.switched == set()
    assert here.told[-1] == "first is needed by what would follow: stopping here"


def test_a_step_that_does_not_hold_after_it_was_done_is_undone(here: Ground, fake: Fake) -> None:
    fake.failing.add("is-on lie")
    assert here.install([step(switch("lie"))]) == ["step: lie is not as it was set"]


def test_a_file_that_may_not_be_edited_is_left_alone(here: Ground) -> None:
    path = here.file("/etc/policies.json", "{ // comment\n}")
    problems = here.install([step(Edit(path=str(path), change=JsonValues(values='{"ours": 2}')))])
    assert len(problems) == 1
    assert "mend it first" in problems[0]
    assert path.read_text() == "{ // comment\n}"
    assert here.carrier.journal.entries() == ()


def test_what_cannot_be_undone_stays_in_the_journal_and_the_rest_goes_on(here: Ground, fake: Fake) -> None:
    here.install([step(switch("a")), step(switch("b"), name="second")])
    fake.failing.add("off b")
    assert here.uninstall() == ["second: off b failed: no off b"]
    assert [entry.read_action().name for entry in here.carrier.journal.entries()] == ["b"]
    fake.failing.clear()
    assert here.uninstall() == []
    assert fake.switched == set()


class Crash(BaseException):
    pass


def test_a_crash_between_journal_and_deed_is_undone(here: Ground, fake: Fake) -> None:
    here.file("/etc/x", "theirs")
    before = here.snapshot()
    edit = Edit(path=str(here.machine.at("/etc/x")), change=Whole(content="ours"))

    def crashing(argv: Argv) -> Ended:
        if argv[0] == "on":
            fake.switched.add(argv[1])
            raise Crash
        return fake(argv)

    here.run = crashing
    with pytest.raises(Crash):
        here.install([step(edit, switch("thing"))])
    here.run = fake
    assert here.uninstall() == []
    assert (here.snapshot(), fake.switched) == (before, set())


def test_drift_is_verified(here: Ground, fake: Fake) -> None:
    path = here.machine.at("/x")
    steps = step(Edit(path=str(path), change=Whole(content="x")), switch("a"), GSetting(schema="s", key="k", value="1"))
    here.install([steps])
    assert here.carrier.verify(steps) == ""
    path.write_text("y")
    fake.switched.clear()
    fake.values["k"] = "2"
    lacking = f"{path} is not as it was set; a is not as it was set; s k is not as it was set"
    assert here.carrier.verify(steps) == lacking


def test_programs_that_are_not_there() -> None:
    assert run_program(("no-such-program-here", "x")) == Ended(code=127, err="there is no program no-such-program-here")
    ended = run_program(("sh", "-c", "echo out; echo err >&2; exit 3"))
    assert ended == Ended(code=3, out="out\n", err="err\n")


def test_a_setting_without_its_program_is_told(here: Ground) -> None:
    here.run = run_program
    gsetting = GSetting(schema="no.such.schema", key="x", value="1")
    assert len(here.install([step(gsetting)])) == 1
