"""What can be wrong with catalog data."""

from steering.policy.errors import PolicyError


class CatalogError(PolicyError):
    """A file of the catalog that cannot be used; the text names the file and the entry."""
