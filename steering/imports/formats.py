"""The formats that can be imported, each with what its entries mean: printed whenever one is used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from steering.imports.domain_list import read_domains, read_squid_list
from steering.imports.harmony import read_harmony
from steering.imports.imported import Imported, Known
from steering.imports.own import read_own
from steering.imports.pac_script import read_pac
from steering.imports.squid import read_squid

Read = Callable[[str, Known], Imported]

_SQUID = "'.example.com' is the name and its subdomains, 'example.com' that name alone"
_OURS = "'example.com' is the name and its subdomains, '*.example.com' subdomains only, '=example.com' that name alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """about: what it reads.  dialect: what its names stand for."""

    read: Read
    about: str
    dialect: str


FORMATS: Mapping[str, Format] = {
    "squid": Format(read=read_squid, about="squid.conf with ssl_bump lines", dialect=_SQUID),
    "squid-list": Format(read=read_squid_list, about="a file that an acl of Squid's names", dialect=_SQUID),
    "pac": Format(
        read=read_pac,
        about="a PAC file that was written by hand",
        dialect="dnsDomainIs with '.example.com' is subdomains only, with 'example.com' taken as the name and its "
        "subdomains; '==' is that name alone; '*' of shExpMatch is taken within labels",
    ),
    "harmony": Format(
        read=read_harmony,
        about="the bypass table of Harmony SASE as CSV or copied text",
        dialect="'example.com' is the name and its subdomains; '.example.com' is not written there, and not taken",
    ),
    "domains": Format(
        read=read_domains,
        about="one domain or address a line",
        dialect=f"{_OURS}; '.example.com' is ambiguous, and not taken",
    ),
    "steering": Format(
        read=read_own, about="another rules file", dialect=f"{_OURS}; '.example.com' is ambiguous, and not taken"
    ),
}
