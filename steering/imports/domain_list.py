"""A plain list, one domain or address a line, in our own dialect or in Squid's; ``#`` begins a comment."""

from ipaddress import ip_network

from steering.imports.dialects import squid_entry
from steering.imports.imported import Collected, Imported, Known, rule_name, tidy
from steering.policy.model import Action


def read_domains(text: str, known: Known) -> Imported:
    return _read(text, known, squid=False)


def read_squid_list(text: str, known: Known) -> Imported:
    return _read(text, known, squid=True)


def _read(text: str, known: Known, *, squid: bool) -> Imported:
    into = Collected(known)
    domains: list[str] = []
    addresses: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        written = line.partition("#")[0].strip().strip("\ufeff")
        if not written:
            continue
        if len(written.split()) > 1:
            into.problem(number, written, "more than one word: write one domain or address a line")
            continue
        if is_address(written):
            if into.usable(number, Action.BYPASS, "addresses", written):
                addresses.append(written)
            continue
        entry = squid_entry(written) if squid else written
        if into.usable(number, Action.BYPASS, "domains", entry, written):
            domains.append(entry)
    if domains or addresses:
        rule = {"name": rule_name(known.title), "domains": tidy(domains), "addresses": addresses}
        into.add(1, known.title, rule)
    return into.done()


def is_address(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
