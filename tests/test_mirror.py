"""Every module has its tests where one looks for them: steering/pac/plan.py -> tests/pac/test_plan.py."""

from pathlib import PurePosixPath

from tests.kit import ROOT
from tests.tree import Module, modules

# Module -> why it has no test file of its own.  A line here is a debt or a reason, never an oversight.
WITHOUT: dict[str, str] = {
    "steering.control.errors": "exceptions that only carry a text; every test of steering.control meets them",
    "steering.control.doctor_facts": "values alone; test_doctor_findings judges them and test_doctor gathers them",
    "steering.pac.errors": "one class and no code; tests/pac/test_gates.py holds what its text says",
    "steering.endpoint.identify.darwin_layouts": "tables; tests/test_layouts.py holds them to the platform's headers",
    "steering.endpoint.identify.darwin_system": "a protocol",
    "steering.endpoint.identify.windows_layouts": "tables; tests/test_layouts.py holds them to the platform's headers",
    "steering.endpoint.identify.windows_system": "a protocol and its values",
    "steering.deploy.errors": "one class and no code",
    "steering.catalog.errors": "one class without code of its own",
    "steering.policy.errors": "classes that only say whose fault it is; test_document and test_rules hold RulesError",
    "steering.policy.points": "two enumerations; what they stand for together is tried in test_effects",
    "steering.resources": "tests/test_packaging.py finds the files from a wheel, an editable install and a checkout",
}

FOLDERS = {"steering_dns": "dns", "steering_inspector": "inspector"}


def mirror_of(module: Module) -> PurePosixPath:
    top, *rest = module.name.split(".")
    parts = [FOLDERS[top], *rest] if top in FOLDERS else rest
    return PurePosixPath("tests", *parts[:-1], f"test_{parts[-1].strip('_')}.py")


def wants_tests(module: Module) -> bool:
    """Packages only name what they hold; a module of constants or types alone says so in WITHOUT."""
    return not module.is_package and module.name not in WITHOUT


def test_every_module_has_its_tests() -> None:
    lacking = {m.name: str(mirror_of(m)) for m in modules() if wants_tests(m) and not (ROOT / mirror_of(m)).exists()}
    assert lacking == {}


def test_exceptions_are_still_needed() -> None:
    names = {m.name: m for m in modules()}
    assert [name for name in WITHOUT if name not in names] == [], "no such module"
    assert [name for name in WITHOUT if (ROOT / mirror_of(names[name])).exists()] == [], "it has tests now"
