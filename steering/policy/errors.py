"""What can be wrong with policy input, said in words for an administrator."""

from steering.policy.findings import Finding


class PolicyError(ValueError):
    """Base of everything the policy package refuses; the text is fit to be shown to people."""


class HostError(PolicyError):
    """Not a host: neither a domain name nor an address."""


class DomainError(PolicyError):
    """Not a domain entry of a rule."""


class ProgramError(PolicyError):
    """Not a program entry of a rule."""


class SourceError(PolicyError):
    """Not a source entry of a rule."""


class RulesError(PolicyError):
    """A rule set that cannot be enforced; ``findings`` lists every problem, each with its place.

    It is empty where the rules came from no text (``rule_set``); the message says it all then.
    """

    def __init__(self, message: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings
