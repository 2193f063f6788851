"""The PAC as a script: ES3, the same syntax tree whatever the rules say, and variables as its README lists them."""

import json
import re
import subprocess
from typing import Any

import pytest
from jinja2 import Environment, meta

from steering import resources
from steering.pac.chains import plan_chains
from steering.pac.plan import Mark, PacPlan, Pattern, plan
from steering.pac.render import SMALL_NAMES, render, variables
from steering.pac.view import ANONYMOUS
from tests.kit import acorn_folder
from tests.pac.engines import ENGINES, Batch, ask
from tests.pac.policies import NOW, ONE, plan_of, policy_of, real_looking_names

TEMPLATES = sorted(path.name for path in resources.pac_templates().iterdir() if path.name.endswith(".j2"))
README = resources.pac_templates().joinpath("README.md")

# Parses scripts as ES3 and prints each one's tree without the values in it: types, operators and names remain, and
# of a table (an array or object of literals) that it is one, not how long it is.
SHAPE = """
const acorn = require(process.argv[1]);
const shape = (node) => {
  if (Array.isArray(node)) return node.map(shape);
  if (node === null || typeof node !== "object") return typeof node === "boolean" ? node : null;
  if (node.type === "Literal") return node.regex ? node.raw : typeof node.value;
  if (node.type === "Identifier") return node.name;
  const tabled = (n) => n.type === "Literal" ? true : n.type === "ArrayExpression" ? n.elements.every(tabled)
    : n.type === "ObjectExpression" && n.properties.every((p) => p.key.type === "Literal" && tabled(p.value));
  if (node.type !== "Literal" && tabled(node)) return node.type;
  const out = [node.type, node.operator || "", node.kind || ""];
  for (const key of Object.keys(node))
    if (!["type", "start", "end", "operator", "kind"].includes(key)) out.push(key, shape(node[key]));
  return out;
};
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => {
  try { return JSON.stringify(shape(acorn.parse(text, {ecmaVersion: 3}))); } catch (e) { return "error: " + e.message; }
})));
"""


def shapes(texts: list[str]) -> list[str]:
    command = ["node", "-e", SHAPE, "--", str(acorn_folder())]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, timeout=120, check=True)
    found: list[str] = json.loads(done.stdout)
    assert not [shape for shape in found if shape.startswith("error")], found
    return found


def raw_plan(text: str) -> PacPlan:
    """A plan with ``text`` wherever text goes: no parser lets it through, the encoder alone must hold."""
    return PacPlan(
        revision=text,
        trees={text: Mark.BYPASS, f"{text}.example": Mark.STRICTER},
        exact={text: Mark.BYPASS},
        patterns=(Pattern(text, (text, "*"), below=False, mark=Mark.BYPASS),),
        v4=((1, 2),),
        v6=((1, 2),),
        elsewhere=Mark.NOTHING,
        numeric=Mark.NOTHING,
        chains=plan_chains(["a.example:1", "b.example:1"]),
    )


HOSTILE = [
    'x"; return "DIRECT"; //',
    "x'; return 'DIRECT'; //",
    '"};FindProxyForURL=function(){return "DIRECT"};var a={"',
    "\\",
    '\\"',
    "x\nreturn 1",
    "\r\n*/ evil() /*",
    "*/ evil() /*",
    "//",
    "</script><script>evil()</script>",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# #}",
    "${evil()}",
    "`",
    "\u2028evil()",
    "\u2029evil()",
    "\0",
    "\ud800",
    "ü\u202e",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "a" * 100_000,
]


@pytest.mark.needs("node", "acorn")
def test_no_text_changes_the_syntax_tree() -> None:
    [plain, *found] = shapes([render(raw_plan(text)).text for text in ["plain", *HOSTILE]])
    assert [text for text, shape in zip(HOSTILE, found, strict=True) if shape != plain] == []


@pytest.mark.needs("node", "acorn")
def test_no_text_changes_the_syntax_tree_of_packed_names() -> None:
    many = dict.fromkeys(real_looking_names(SMALL_NAMES), Mark.BYPASS)

    def packed(text: str) -> str:
        made = raw_plan(text)
        return render(
            PacPlan(
                revision=text, trees=made.trees | many, exact=made.exact, patterns=made.patterns, v4=(), v6=(),
                elsewhere=Mark.NOTHING, numeric=Mark.NOTHING, chains=made.chains,
            )
        ).text  # fmt: skip

    [plain, *found] = shapes([packed(text) for text in ["plain", *HOSTILE]])
    assert [text for text, shape in zip(HOSTILE, found, strict=True) if shape != plain] == []


@pytest.mark.needs("node", "acorn")
def test_texts_for_people_never_reach_the_pac() -> None:
    """Names, notes and tickets of rules are the administrator's own words."""
    hostile = 'x"; return "DIRECT"; // */ evil()'
    said = {"name": hostile, "note": hostile, "owner": hostile, "ticket": hostile, "source_url": hostile}
    rules: list[dict[str, Any]] = [{"domains": ["zoom.us"]}, {"domains": ["zoom.us"], **said}]
    made = [render(plan(policy_of(rule), ANONYMOUS, NOW, ONE)).text for rule in rules]
    [one, other] = shapes(made)
    assert one == other
    assert "evil" not in made[1]


FORMS: dict[str, dict[str, Any]] = {
    "small": {"domains": ["zoom.us"]},
    "patterns": {"domains": ["zoom.us", "api-*.duo.example", "*.x*y*z.duo.example"]},
    "large": {"domains": real_looking_names(SMALL_NAMES + 1)},
    "large alone": {"domains": [f"={name}" for name in real_looking_names(SMALL_NAMES + 1)]},
    "addresses": {"addresses": ["203.0.113.0/24", "2001:db8::/32"]},
}


@pytest.mark.needs("node", "acorn")
@pytest.mark.parametrize("chains", [ONE, plan_chains([f"i{i}.example:1" for i in range(9)])], ids=["one", "nine"])
def test_every_form_is_es3_and_ascii(chains: Any) -> None:
    texts = [render(plan_of(rule, chains=chains)).text for rule in FORMS.values()]
    assert all(text.isascii() for text in texts)
    shapes(texts)


def test_readme_lists_the_variables_and_templates() -> None:
    """As the code gives them and as the templates use them."""
    text = README.read_text("utf-8")
    table = text[text.index("## Variables") : text.index("## What a PAC")]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    used = {
        name
        for template in TEMPLATES
        for name in meta.find_undeclared_variables(
            Environment().parse(resources.pac_templates().joinpath(template).read_text("utf-8"))
        )
    }
    assert listed == set(variables(plan_of())) == used
    assert re.findall(r"^\| `([\w.]+\.j2)` \|", text, re.MULTILINE) != []
    assert set(re.findall(r"^\| `([\w.]+\.j2)` \|", text, re.MULTILINE)) == set(TEMPLATES)


# Hosts that meet what every JavaScript object has, and hosts as odd clients hand them over.
ODD = [
    ("constructor", "DIRECT"),
    ("__proto__", "DIRECT"),
    ("a.constructor", "PROXY"),
    ("constructor.example", "PROXY"),
    ("__proto__.example", "PROXY"),
    ("a.__proto__.example", "PROXY"),
    ("tostring.example", "PROXY"),
    ("toString.zoom.us", "DIRECT"),
    ("__proto__.zoom.us", "DIRECT"),
    ("hasownproperty.valueof", "PROXY"),
    ("ZOOM.us", "DIRECT"),
    ("zoom.us.", "DIRECT"),
    ("zoom.us..", "PROXY"),
    (".zoom.us", "PROXY"),
    ("_dmarc._x.zoom.us", "DIRECT"),
    ("-a-.zoom.us", "DIRECT"),
    ("under_score.example", "DIRECT"),
    ("xn--bcher-kva.example", "DIRECT"),
    ("bücher.example", "PROXY"),
    ("Zoom.uſ", "PROXY"),
    ("\u212aoom.example", "DIRECT"),  # the small letter of the Kelvin sign is k, to JavaScript as to IDNA
    ("zoom.us\\n", "PROXY"),
    ("zoom.us ", "PROXY"),
    ("zoom.us:443", "PROXY"),
    ("user@zoom.us", "PROXY"),
    ("[::1]", "DIRECT"),
    ("::1", "DIRECT"),
    ("[2001:DB8::7]", "DIRECT"),
    ("2001:0db8:0:0:0:0:0:7", "DIRECT"),
    ("[2001:db8::7].", "PROXY"),
    ("2001:db8::8", "PROXY"),
    ("::ffff:203.0.113.7", "DIRECT"),
    ("::FFFF:CB00:7107", "DIRECT"),
    ("::203.0.113.7", "PROXY"),
    ("::ffff:203.0.113.07", "PROXY"),
    ("2001:db8::7%eth0", "PROXY"),
    ("1::2::3", "PROXY"),
    (":::", "PROXY"),
    (":", "PROXY"),
    ("1:2:3:4:5:6:7:8:9", "PROXY"),
    ("203.0.113.7", "DIRECT"),
    ("203.0.113.7.", "DIRECT"),
    ("203.0.113.07", "PROXY"),
    ("203.0.113", "PROXY"),
    ("3405803783", "PROXY"),
    ("0xcb007107", "PROXY"),
    ("203.0.113.7.zoom.us", "DIRECT"),
    ("zoom.us.7", "PROXY"),
    ("256.1.1.1", "PROXY"),
    ("", "PROXY"),
    (".", "PROXY"),
    ("[]", "PROXY"),
    ("a." * 123 + "zoom.us", "DIRECT"),
    ("a." * 124 + "zoom.us", "PROXY"),
    ("x" * 63 + ".zoom.us", "DIRECT"),
    ("x" * 64 + ".zoom.us", "PROXY"),
    ("x." * 50_000 + "zoom.us", "PROXY"),
]
ODD_RULES: list[dict[str, Any]] = [
    {"domains": ["zoom.us", "under_score.example", "bücher.example", "koom.example"]},
    {"addresses": ["203.0.113.7", "2001:db8::7"]},
    {"action": "inspect", "domains": ["api-*.zoom.us"]},
]


@pytest.mark.needs(*ENGINES.values())
def test_odd_hosts_in_every_engine() -> None:
    made = plan_of(*ODD_RULES)
    text = render(made).text
    hosts = [host for host, _ in ODD]
    expected = [answer if answer == "DIRECT" else ONE.chains[0] for _, answer in ODD]
    ascii_only = [i for i, host in enumerate(hosts) if host.isascii() and host]
    for engine in ENGINES:
        # libpacparser takes bytes and refuses an empty host.
        asked = ascii_only if engine == "pacparser" else list(range(len(hosts)))
        [found] = ask([engine], [Batch(text, tuple(hosts[i] for i in asked))])[engine]
        wrong = [(hosts[i][:40], answer) for i, answer in zip(asked, found, strict=True) if answer != expected[i]]
        assert wrong == [], engine


def test_the_plan_says_the_same_of_odd_hosts_or_knows_more() -> None:
    """A browser hands over A-labels; the plan also reads what a person writes."""
    made = plan_of(*ODD_RULES)
    for host, answer in ODD:
        if host.isascii() and host == host.strip():
            assert made.returns(host) == (answer if answer == "DIRECT" else ONE.chains[0]), host
    assert made.returns("bücher.example") == "DIRECT"


@pytest.mark.needs(*ENGINES.values())
def test_every_spelling_of_an_address_goes_to_one_inspector() -> None:
    made = plan_of(chains=plan_chains([f"i{i}.example:1" for i in range(5)]))
    spellings = [
        "2001:db8::a:1",
        "[2001:DB8::A:1]",
        "2001:db8:0:0:0:0:a:1",
        "2001:0db8::000a:0001",
        "2001:db8::0.10.0.1",
    ]
    for engine, [found] in ask(list(ENGINES), [Batch(render(made).text, tuple(spellings))]).items():
        assert found == [made.returns(spellings[0])] * len(spellings), engine


@pytest.mark.needs("quickjs")
def test_hosts_that_are_no_strings() -> None:
    import quickjs

    context = quickjs.Context()
    context.eval(render(plan_of({"domains": ["zoom.us"]})).text)
    for host in ("undefined", "null", "7", "{}", "new String('zoom.us')"):
        found = context.eval(f"FindProxyForURL('https://x/', {host})")
        expected = "DIRECT" if "zoom" in host or host in ("undefined", "null") else ONE.chains[0]
        assert found == expected, host
