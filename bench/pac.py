"""What a PAC weighs, takes to load and to decide by, at 10,000 and 100,000 names, beside the chain people write.

    python -m bench.pac [--quick] [--only WORD]

The peers are the usual hand-made PAC, one ``if (host == ... || dnsDomainIs(host, ...))`` a name, and a loop over a
list as genpac writes it.  Half of the hosts are or lie below a listed name, half are not listed.  ``V8 jitless`` is V8
as Chromium runs a PAC.  Each round is a process of its own, and its figure the best of many short ones, for this is
measured by the clock.  "failed" is an engine that does not load the file at all.
"""

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from bench.outcome import say
from bench.part import Found, main
from bench.rounds import Case, Failed, Measuring, Sample, run_rounds
from bench.targets import Target
from steering.pac.publish import PacSettings, build
from steering.pac.view import ANONYMOUS
from steering.policy import RulesModel, compile_policy, rule_set
from tests.pac.policies import real_looking_names

SIZES = (10_000, 100_000)
INSPECTOR = "inspector.example:3128"
HOSTS = 2000
SEED = 20_260_101
CHROMIUM_BYTES = 1_048_576

BYTES, PER_NAME, GZIPPED, LOAD, US = "bytes", "bytes a name", "gzipped", "load ms", "us a decision"
TARGETS = (
    Target(case="PAC of 10,000 names", figure=PER_NAME, must=9.5, unit="bytes"),
    Target(case="PAC of 100,000 names", figure=PER_NAME, must=8.5, unit="bytes"),
    Target(case="PAC of 100,000 names", figure=BYTES, must=CHROMIUM_BYTES, unit="bytes"),
    *(
        Target(case=f"{size:,} names, {engine}", figure=US, must=must, aim=aim, unit="us")
        for size in SIZES
        for engine, must, aim in (("V8 jitless", 10, 5), ("QuickJS", 25, None), ("Duktape", 50, None))
    ),
    Target(case="100,000 names, V8 jitless", figure=LOAD, must=20, unit="ms"),
    Target(case="100,000 names, V8 jitless", against=("linear dnsDomainIs",), figure=US, must=1 / 2000),
)

_BY_PYTHON = "import quickjs, sys; print(quickjs.Context().eval(open(sys.argv[1]).read()))"
ENGINES: dict[str, tuple[str, ...]] = {
    "V8": ("node",),
    "V8 jitless": ("node", "--jitless"),
    "QuickJS": (sys.executable, "-c", _BY_PYTHON),
    "Duktape": ("duk",),
}

# Loads the PAC as global code, as every client does, then asks it for the same hosts round by round.  A round is as
# many hosts as take ``ms``, and at least 32.
PROGRAM = """
(0, eval)("function dnsDomainIs(host, domain) {" +
  "return host.length >= domain.length && host.substring(host.length - domain.length) === domain; }");
function round(hosts, count, ms) {
  var i = 0, n = 0, began = Date.now();
  while (count ? n < count : n % 32 || Date.now() - began < ms) {
    FindProxyForURL("https://" + hosts[i] + "/", hosts[i]);
    n++;
    if (++i === hosts.length) { i = 0; }
  }
  return [n, Date.now() - began];
}
function measured(text, hosts, ms, rounds) {
  var clock = typeof performance === "object" && performance.now ? function () { return performance.now(); } : Date.now;
  var began = clock(), load, first, best = Infinity, spent = 0, r, found;
  try { (0, eval)(text); } catch (e) { return "refused"; }
  load = clock() - began;
  first = round(hosts, 0, ms);
  for (r = 0; r < rounds && spent < 2000; r++) {
    found = round(hosts, first[0], ms);
    spent += found[1];
    if (found[1] < best) { best = found[1]; }
  }
  return load + " " + best * 1000 / first[0];
}
"""


def ours(names: list[str]) -> str:
    rules = RulesModel.model_validate({"rules": [{"name": "listed", "domains": names}]})
    made = build(compile_policy(rule_set(rules)), ANONYMOUS, 0, PacSettings(inspectors=(INSPECTOR,)))
    return made.body.decode("ascii")


def linear(names: list[str]) -> str:
    tests = "\n".join(f'  if (host === "{n}" || dnsDomainIs(host, ".{n}")) {{ return "DIRECT"; }}' for n in names)
    return f'function FindProxyForURL(url, host) {{\n{tests}\n  return "PROXY {INSPECTOR}";\n}}\n'


def loop(names: list[str]) -> str:
    return (
        f"var rules = {json.dumps(names)};\n"
        "function FindProxyForURL(url, host) {\n"
        "  for (var i = 0; i < rules.length; i++) {\n"
        '    if (host === rules[i] || dnsDomainIs(host, "." + rules[i])) { return "DIRECT"; }\n'
        "  }\n"
        f'  return "PROXY {INSPECTOR}";\n'
        "}\n"
    )


OURS, LINEAR, LOOP = "steering", "linear dnsDomainIs", "loop as genpac's"
FORMS: dict[str, Callable[[list[str]], str]] = {OURS: ours, LINEAR: linear, LOOP: loop}


def hosts_of(names: list[str]) -> list[str]:
    """Spread over the list and in no order, so that a chain is met at its beginning and its end alike."""
    listed = names[:: max(1, len(names) // (HOSTS // 2))]
    Random(SEED).shuffle(listed)
    return [host for i, name in enumerate(listed) for host in (name if i % 3 else f"a{i}.{name}", f"not{i}{name}")]


def run(command: tuple[str, ...], text: str, hosts: list[str], ms: int, rounds: int) -> tuple[float, float]:
    """Load ms and microseconds a decision.  Raises Failed where the engine refuses the file."""
    call = f"measured({json.dumps(text)}, {json.dumps(hosts)}, {ms}, {rounds})"
    said = {"node": f"console.log({call});", "duk": f"print({call});"}.get(command[0], call)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.js")
        program.write_text(PROGRAM + said, "ascii")
        done = subprocess.run([*command, str(program)], capture_output=True, text=True, timeout=600, check=False)
    words = done.stdout.split()
    if words == ["refused"]:
        raise Failed("the engine refuses this file")
    if len(words) != 2:
        raise Failed(f"{' '.join(command)} failed: {done.stderr[-1000:]}")
    return float(words[0]), float(words[1])


def size_of(text: str, names: int) -> Sample:
    body = text.encode("ascii")
    return {BYTES: len(body), PER_NAME: len(body) / names, GZIPPED: len(gzip.compress(body))}


def cases_of(size: int, engines: dict[str, tuple[str, ...]], ms: int, rounds: int) -> Iterator[Case]:
    names = real_looking_names(size)
    texts = {form: make(names) for form, make in FORMS.items()}
    hosts = hosts_of(names)

    def sized(text: str) -> Measuring:
        return lambda number: size_of(text, size)

    def decided(command: tuple[str, ...], text: str) -> Measuring:
        def measure(number: int) -> Sample:
            load_ms, us = run(command, text, hosts, ms, rounds)
            return {LOAD: load_ms, US: us}

        return measure

    forms = {form: sized(text) for form, text in texts.items()}
    yield Case(name=f"PAC of {size:,} names", unit="file", servers=forms)
    for engine, command in engines.items():
        deciding = {form: decided(command, text) for form, text in texts.items()}
        yield Case(name=f"{size:,} names, {engine}", unit="decision", servers=deciding)


def measure(quick: bool, only: str) -> Found:
    # Short rounds and the best of many: whatever else the machine does falls into some of them only.
    ms, rounds, repeated = (20, 10, 1) if quick else (20, 40, 3)
    engines = {name: command for name, command in ENGINES.items() if shutil.which(command[0])}
    notes = [f"{name}: {command[0]} is not installed" for name, command in ENGINES.items() if name not in engines]
    cases = [case for size in SIZES for case in cases_of(size, engines, ms, rounds) if only in case.name]
    return cases, run_rounds(cases, repeated, say), notes


if __name__ == "__main__":
    main(__doc__, measure, TARGETS)
