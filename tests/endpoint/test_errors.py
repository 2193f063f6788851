"""Whose fault it is: every error of the helper is one, and who may be reached later is told from who said no."""

import pytest

from steering.endpoint.errors import BundleError, EndpointError, ServiceRefused, ServiceUnreachable


@pytest.mark.parametrize("error", [BundleError("x"), ServiceUnreachable("x"), ServiceRefused("x", 403)])
def test_all_are_the_helper_s_and_say_what_they_were_given(error: EndpointError) -> None:
    assert isinstance(error, EndpointError) and str(error) == "x"


def test_a_refusal_says_of_whom() -> None:
    refused = ServiceRefused("no", 403, revoked=True)
    assert (refused.status, refused.revoked, refused.unknown) == (403, True, False)
    assert not issubclass(ServiceRefused, ServiceUnreachable)
