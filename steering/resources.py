"""The files that ship with Steering: the templates of PAC and deployment files, and the starter rules.

A wheel carries them in ``steering/_data``.  A checkout, and so an editable
install, has them at the repository root, where edits take effect at once.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_PACKAGED = files("steering").joinpath("_data")
_CHECKOUT = Path(__file__).parent.parent


def pac_templates() -> Traversable:
    return _shipped("pac_templates")


def deploy_templates() -> Traversable:
    return _shipped("deploy").joinpath("templates")


def starter_rules() -> Traversable:
    return _shipped("rules.json")


def _shipped(name: str) -> Traversable:
    packaged = _PACKAGED.joinpath(name)
    return packaged if packaged.is_file() or packaged.is_dir() else _CHECKOUT / name
