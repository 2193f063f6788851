"""What rules call the system that this helper runs on."""

import platform

from steering.policy import System


def own_system() -> System:
    return {"Linux": System.LINUX, "Darwin": System.MACOS}.get(platform.system(), System.WINDOWS)
