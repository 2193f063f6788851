"""What can be wrong with policy input, said in words for an administrator."""


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
    """A rule set that cannot be enforced; ``findings`` lists every problem, each with its place."""
