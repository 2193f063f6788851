"""What ``.example.com`` and ``example.com`` mean elsewhere, in our grammar."""


def squid_entry(value: str) -> str:
    """Squid's ``dstdomain`` and ``ssl::server_name``: with the dot name and subdomains, without it that name alone."""
    if value.startswith("."):
        return value[1:]
    return value if value.startswith(("=", "*")) else f"={value}"
