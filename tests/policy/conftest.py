"""Properties are tried without a deadline: how long an example takes is the machine's business, not the engine's."""

from hypothesis import settings

settings.register_profile("policy", deadline=None)
settings.load_profile("policy")
