"""What a PAC weighs, takes to load and to decide by, at 10,000 and 100,000 names, beside the chain people write.

    python -m bench.pac [--quick]

The peer is the usual hand-made PAC: one ``if (host == ... || dnsDomainIs(host, ...))`` a name.  Half of the hosts are
or lie below a listed name, half are not listed.  ``V8 jitless`` is V8 as Chromium runs a PAC.  Each figure is the best
of several rounds, in a process of its own; "refused" is an engine that does not load the file at all.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

from bench.report import Row, print_rows
from steering.pac.publish import PacSettings, build
from steering.pac.view import ANONYMOUS
from steering.policy import RulesModel, compile_policy, rule_set
from tests.pac.policies import real_looking_names

SIZES = (10_000, 100_000)
INSPECTOR = "inspector.example:3128"
HOSTS = 2000
SEED = 20_260_101
CHROMIUM_BYTES = 1_048_576

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
  var began = Date.now(), load, first, best = Infinity, spent = 0, r, found;
  try { (0, eval)(text); } catch (e) { return "refused"; }
  load = Date.now() - began;
  first = round(hosts, 0, ms);
  for (r = 0; r < rounds && spent < 5000; r++) {
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


FORMS = {"steering": ours, "linear dnsDomainIs": linear}


def hosts_of(names: list[str]) -> list[str]:
    """Spread over the list and in no order, so that a chain is met at its beginning and its end alike."""
    listed = names[:: max(1, len(names) // (HOSTS // 2))]
    Random(SEED).shuffle(listed)
    return [host for i, name in enumerate(listed) for host in (name if i % 3 else f"a{i}.{name}", f"not{i}{name}")]


def measure(command: tuple[str, ...], text: str, hosts: list[str], ms: int, rounds: int) -> tuple[float, float] | None:
    """Load ms and microseconds a decision, or None where the engine refuses the file."""
    call = f"measured({json.dumps(text)}, {json.dumps(hosts)}, {ms}, {rounds})"
    said = {"node": f"console.log({call});", "duk": f"print({call});"}.get(command[0], call)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.js")
        program.write_text(PROGRAM + said, "ascii")
        done = subprocess.run([*command, str(program)], capture_output=True, text=True, timeout=600, check=False)
    words = done.stdout.split()
    if words == ["refused"]:
        return None
    if len(words) != 2:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-1000:]}")
    return float(words[0]), float(words[1])


def rows(size: int, ms: int, rounds: int) -> list[Row]:
    names = real_looking_names(size)
    texts = {form: make(names) for form, make in FORMS.items()}
    found: list[Row] = []
    for engine, command in ENGINES.items():
        if shutil.which(command[0]) is None:
            print(f"{engine}: not installed", file=sys.stderr)
            continue
        results = {form: measure(command, text, hosts_of(names), ms, rounds) for form, text in texts.items()}
        for form, text in texts.items():
            result, peer = results[form], results["linear dnsDomainIs"]
            found.append(
                {
                    "names": size,
                    "PAC": form,
                    "engine": engine,
                    "bytes": len(text),
                    "gzip": len(gzip.compress(text.encode("ascii"))),
                    "fits Chromium": "yes" if len(text) <= CHROMIUM_BYTES else "no",
                    "load ms": round(result[0], 1) if result else "refused",
                    "us a decision": round(result[1], 2) if result else "refused",
                    "x quicker": round(peer[1] / result[1]) if result and peer else "",
                }
            )
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="fewer rounds")
    # Short rounds and the best of many: whatever else the machine does falls into some of them only.
    ms, rounds = (20, 10) if options.parse_args().quick else (20, 50)
    print_rows([row for size in SIZES for row in rows(size, ms, rounds)])


if __name__ == "__main__":
    main()
