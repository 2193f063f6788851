"""The PACs that are compared decide alike."""

import json

import pytest

from bench.pac import BYTES, FORMS, GZIPPED, OURS, PER_NAME, hosts_of, size_of
from tests.pac.policies import real_looking_names


@pytest.mark.needs("quickjs")
def test_all_forms_decide_alike() -> None:
    import quickjs

    listed = real_looking_names(300)
    hosts = hosts_of(listed)
    helper = "function dnsDomainIs(h, d) { return h.length >= d.length && h.substring(h.length - d.length) === d; }"
    asked = (
        f"JSON.stringify({json.dumps(hosts)}.map(function (h) {{ return FindProxyForURL('https://' + h + '/', h); }}))"
    )
    found = {form: json.loads(quickjs.Context().eval(helper + make(listed) + asked)) for form, make in FORMS.items()}
    assert set(found[OURS]) == {"DIRECT", "PROXY inspector.example:3128"}
    assert {form: decisions == found[OURS] for form, decisions in found.items()} == dict.fromkeys(FORMS, True)


def test_a_pac_weighs_what_it_weighs() -> None:
    sizes = size_of("x" * 1000, 100)
    assert (sizes[BYTES], sizes[PER_NAME]) == (1000, 10)
    assert sizes[GZIPPED] < 100
