"""PACs run by JavaScript engines of different make, many hosts in one call.

Each engine is a process of its own, so that none disturbs the tests by threads, event loops or crashes, and all of
them work at one time.  ``python engines.py quickjs|mini-racer|pythonmonkey|pacparser`` runs the engines that live in
Python; jsc and duk are programs.  A PAC that does not load, and a call that throws, answer "! " and the error.
"""

import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

SEPARATOR = "|"  # in no answer of a PAC
TIMEOUT_S = 300
PACPARSER = "/usr/lib/libpacparser.so.1"


@dataclass(frozen=True, slots=True)
class Batch:
    """A PAC and the hosts to ask it for."""

    text: str
    hosts: tuple[str, ...]


# Engine -> the programs or modules it is, by the names of tests/kit.py NEEDS.  dukpy is no engine of its own any more:
# since 0.6 it is QuickJS.
ENGINES: Mapping[str, str] = {
    "quickjs": "quickjs",
    "v8": "mini-racer",
    "spidermonkey": "pythonmonkey",
    "jsc": "jsc",
    "duktape": "duktape",
    "pacparser": "pacparser",  # SpiderMonkey of 2007: the nearest to ES3 that can be had
}
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "quickjs": (sys.executable, __file__, "quickjs"),
    "v8": (sys.executable, __file__, "mini-racer"),
    "spidermonkey": (sys.executable, __file__, "pythonmonkey"),
    "jsc": ("jsc",),
    "duktape": ("duk",),
    "pacparser": (sys.executable, __file__, "pacparser"),
}

# A function of its own for each PAC, so that none finds what another left behind.
_PROGRAM = """
function answers(text, hosts) {
  var out = [], find, i;
  try { find = new Function(text + "\\nreturn FindProxyForURL;")(); } catch (e) { return "! " + e; }
  for (i = 0; i < hosts.length; i++) {
    try { out.push(String(find("https://" + hosts[i] + "/", hosts[i]))); } catch (e) { out.push("! " + e); }
  }
  return out.join("|");
}
var LINES = [], AT;
for (AT = 0; AT < WORK.length; AT++) { LINES.push(answers(WORK[AT][0], WORK[AT][1])); }
"""


def ask(engines: Sequence[str], batches: Sequence[Batch]) -> dict[str, list[list[str]]]:
    """The answers of each engine to each host of each batch."""
    work = json.dumps([[batch.text, list(batch.hosts)] for batch in batches])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steering-pac-")))
        (folder / "work.json").write_text(work, "ascii")
        (folder / "program.js").write_text(f'var WORK = {work};{_PROGRAM}print(LINES.join("\\n"));\n', "ascii")
        running = {name: _start(name, folder, stack) for name in engines}
        texts = {name: process.communicate(timeout=TIMEOUT_S)[0] for name, process in running.items()}
    return {name: _answers(name, text, batches) for name, text in texts.items()}


def _start(name: str, folder: Path, stack: ExitStack) -> subprocess.Popen[str]:
    command = _COMMANDS[name]
    given = folder / ("program.js" if len(command) == 1 else "work.json")
    process = subprocess.Popen([*command, str(given)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return stack.enter_context(process)


def _answers(name: str, text: str, batches: Sequence[Batch]) -> list[list[str]]:
    lines = text.removesuffix("\n").split("\n")
    assert len(lines) == len(batches), f"{name} answered {len(lines)} of {len(batches)} batches: {text[-500:]}"
    answers = [line.split(SEPARATOR) for line in lines]
    for line, batch in zip(answers, batches, strict=True):
        assert len(line) == len(batch.hosts), f"{name}: {line[0]}"
    return answers


def _by_program(engine: str, work: str) -> str:
    program = f'var WORK = {work};{_PROGRAM}LINES.join("\\n");'
    if engine == "quickjs":
        import quickjs

        return str(quickjs.Context().eval(program))
    if engine == "mini-racer":
        from py_mini_racer import MiniRacer

        return str(MiniRacer().eval(program))
    import pythonmonkey

    return str(pythonmonkey.eval(program))


def _by_pacparser(work: str) -> str:
    library = ctypes.CDLL(PACPARSER)
    library.pacparser_find_proxy.restype = ctypes.c_void_p
    lines = []
    for text, hosts in json.loads(work):
        library.pacparser_init()
        if not library.pacparser_parse_pac_string(text.encode("ascii")):
            lines.append("! not loaded")
        else:
            lines.append(SEPARATOR.join(_found(library, host) for host in hosts))
        library.pacparser_cleanup()
    return "\n".join(lines)


def _found(library: ctypes.CDLL, host: str) -> str:
    found = library.pacparser_find_proxy(f"https://{host}/".encode("ascii"), host.encode("ascii"))
    return "! no answer" if not found else (ctypes.cast(found, ctypes.c_char_p).value or b"").decode("ascii")


if __name__ == "__main__":
    engine, path = sys.argv[1:]
    given = Path(path).read_text("ascii")
    print(_by_pacparser(given) if engine == "pacparser" else _by_program(engine, given), flush=True)
