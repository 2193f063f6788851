"""The four enforcement points and everything one of them can do with a flow."""

from enum import Enum


class Point(Enum):
    PAC = "pac"
    DNS = "dns"
    INSPECTOR = "inspector"
    ENDPOINT = "endpoint"


class Effect(Enum):
    """What a point does; the values are what ``steering explain --json`` prints."""

    PAC_DIRECT = "DIRECT"
    PAC_PROXY = "PROXY"
    DNS_REAL = "real"
    DNS_INSPECTOR = "inspector"
    DNS_NXDOMAIN = "nxdomain"
    DNS_NODATA = "nodata"
    TUNNEL = "tunnel"
    OPEN = "open"
    BLOCK_PAGE = "block"
    REFUSE = "refuse"
    ENDPOINT_DIRECT = "direct"
    ENDPOINT_PROXY = "proxy"
