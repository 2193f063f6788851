from steering_dns import DnsSettings


def test_defaults_serve_only_the_own_network_and_steer_everybody() -> None:
    settings = DnsSettings(inspector_addresses=(), upstreams=())
    assert [str(n) for n in settings.steered] == ["0.0.0.0/0", "::/0"]
    assert [str(n) for n in settings.allowed] == [
        "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7",
    ]  # fmt: skip
    assert settings.loop_token != DnsSettings(inspector_addresses=(), upstreams=()).loop_token
