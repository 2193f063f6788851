"""Whose signature counts, with functions that tests construct; everything that was opened is closed again."""

import pytest

from steering.endpoint.identify import windows_layouts as layouts
from steering.endpoint.identify.windows_signer import WindowsSigner
from tests.endpoint.identify.windows_library import ConstructedLibrary

NONE = layouts.TRUST_E_NOSIGNATURE
BAD = -0x7FF6FFF0  # TRUST_E_BAD_DIGEST and its like: signed, and not good
CASES: dict[str, tuple[ConstructedLibrary, str | None, list[str]]] = {
    "signed": (ConstructedLibrary(), "Slack Technologies, LLC", ["file"]),
    "changed since": (ConstructedLibrary(embedded=(BAD, "Slack")), "", ["file"]),
    "changed since, and in a catalog": (ConstructedLibrary(embedded=(BAD, "a"), catalog=(0, "b")), "", ["file"]),
    "not signed": (ConstructedLibrary(embedded=(NONE, "Slack")), "", ["file"]),
    "in a catalog": (
        ConstructedLibrary(embedded=(NONE, ""), catalog=(0, "Microsoft Windows")),
        "Microsoft Windows",
        ["file", "catalog"],
    ),
    "in a bad catalog": (ConstructedLibrary(embedded=(NONE, ""), catalog=(BAD, "x")), "", ["file", "catalog"]),
    "unreadable": (ConstructedLibrary(file_opens=False), None, []),
}


@pytest.mark.parametrize("case", CASES)
def test_the_signer_is_whom_windows_trusts(case: str) -> None:
    library, expected, steps = CASES[case]
    assert WindowsSigner(library.functions()).of(r"C:\x.exe") == expected
    assert (library.calls, library.open) == (steps, [])


@pytest.mark.parametrize("error", [layouts.TRUST_E_SUBJECT_FORM_UNKNOWN, layouts.TRUST_E_PROVIDER_UNKNOWN])
def test_files_of_a_kind_that_holds_no_signature_are_looked_for_in_catalogs(error: int) -> None:
    library = ConstructedLibrary(embedded=(error, ""), catalog=(0, "Microsoft Windows"))
    assert WindowsSigner(library.functions()).of(r"C:\x.msc") == "Microsoft Windows"
