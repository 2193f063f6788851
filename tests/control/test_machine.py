"""The addresses of this machine, beside what iproute2 says."""

import json
import subprocess
from ipaddress import ip_address

import pytest

from steering.control.machine import own_addresses


@pytest.mark.needs("ip")
def test_the_same_as_iproute2() -> None:
    listed = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout)
    expected = {ip_address(a["local"]) for link in listed for a in link.get("addr_info", ())}
    assert expected <= own_addresses()
    assert own_addresses() - expected <= {ip_address("::1"), ip_address("127.0.0.1")}
