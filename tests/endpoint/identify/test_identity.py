"""What an identity lets rules know: a program, or nothing."""

from dataclasses import replace

import pytest

from steering.endpoint.identify.identity import Identity
from steering.policy import UNSEEN, Program, System

KNOWN = Identity(
    system=System.LINUX, pid=7, names=("slack",), path="/opt/slack", root_owned=True, sha256="ab", signer=""
)


PROGRAM = Program(system=System.LINUX, names=("slack",), path="/opt/slack", root_owned=True, sha256="ab", signer="")


def test_an_identity_is_the_program_of_its_facts() -> None:
    assert KNOWN.program == PROGRAM


def test_a_path_where_others_see_another_file_is_told_to_people_alone() -> None:
    found = replace(KNOWN, is_there=False)
    assert (found.path, found.program) == ("/opt/slack", replace(PROGRAM, path=None))


@pytest.mark.parametrize(
    "doubtful",
    [
        Identity(system=System.LINUX),
        Identity(system=System.LINUX, pid=7, names=("slack",), unknown="it has exec'ed since it connected"),
        Identity(system=System.LINUX, pid=7, path="/memfd:x"),
    ],
)
def test_what_is_doubtful_is_not_seen(doubtful: Identity) -> None:
    assert doubtful.program is UNSEEN
