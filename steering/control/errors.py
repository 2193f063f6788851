"""Why the service cannot be run; texts for the administrator."""


class ControlError(Exception):
    """Base of what ends a command with a message instead of a traceback."""


class ConfigError(ControlError):
    """The configuration is wrong; the text says where and what to write."""


class StateError(ControlError):
    """The state folder cannot be used."""


class ListenError(ControlError):
    """An address cannot be listened on."""


class PolicyUnusable(ControlError):
    """The rules file cannot be enforced; the text lists every error.

    summary: the same in one line without anything of what the rules say, for whoever asks.
    """

    def __init__(self, text: str, summary: str) -> None:
        super().__init__(text)
        self.summary = summary
