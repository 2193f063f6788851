"""What handing out the PAC costs: requests on kept-alive connections, whole and by ETag, beside nginx and a file.

    python -m bench.pac_served [--quick] [--only WORD]

Ours is ``steering serve`` with the starter rules; nginx serves the very same bytes, its access log off.  One process
each on the first processor, wrk with 32 connections on the second.
"""

from bench.load import wrk
from bench.outcome import say
from bench.part import Found, main
from bench.peers import Running, nginx, steering
from bench.processes import Stage
from bench.rounds import Case, Measuring, run_rounds
from bench.targets import Target
from steering.control.listening import Role
from steering.resources import starter_rules

OURS, NGINX = "steering", "nginx"
WHOLE, UNCHANGED = "PAC served", "PAC served, unchanged (304)"
TARGETS = (
    Target(case=WHOLE, must=100, unit="us"),  # ten thousand a second and core
    Target(case=WHOLE, against=(NGINX,), must=None, aim=2.0),
    Target(case=UNCHANGED, must=100, unit="us"),
    Target(case=UNCHANGED, against=(NGINX,), must=None, aim=2.0),
)


def measure(quick: bool, only: str) -> Found:
    rounds = 2 if quick else 5
    with Stage() as stage:
        say("starting steering")
        server, service = steering.start(stage, "steering", starter_rules().read_bytes(), {})
        ours = Running(pid=server.pid, port=server.ports[Role.CONTROL.value])
        servers, notes = {OURS: ours}, [lacking for lacking in (wrk.lacking(), nginx.lacking()) if lacking]
        tags = {OURS: service.get("/proxy.pac")[1]["etag"]}
        if not nginx.lacking():
            servers[NGINX] = nginx.files(stage, "proxy.pac", service.get("/proxy.pac")[2])
            tags[NGINX] = nginx.etag(servers[NGINX], "/proxy.pac")

        def whole(name: str) -> Measuring:
            return lambda number: wrk.load(servers[name].pid, url(servers[name]), 1)

        def unchanged(name: str) -> Measuring:
            return lambda number: wrk.load(servers[name].pid, url(servers[name]), 1, f"If-None-Match: {tags[name]}")

        cases = [
            Case(name=case, unit="request", servers={name: asking(name) for name in servers})
            for case, asking in ((WHOLE, whole), (UNCHANGED, unchanged))
            if only in case and not wrk.lacking()
        ]
        return cases, run_rounds(cases, rounds, say), notes


def url(server: Running) -> str:
    return f"http://127.0.0.1:{server.port}/proxy.pac"


if __name__ == "__main__":
    main(__doc__, measure, TARGETS)
