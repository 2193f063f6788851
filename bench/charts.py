"""Bars as SVG: for each thing that was measured, one bar a server.  Readable in light and dark, and without eyes."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench.report import Row

WIDTH, LABEL, BAR = 760, 190, 470
LINE, HEAD, GAP = 20, 26, 10
FIGURES = ("CPU us", "us a decision", "p50 us", "MB")  # what a chart shows of a row: the first that it has


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """bars: server and value.  They are drawn to the scale of the longest of the group."""

    title: str
    bars: tuple[tuple[str, float], ...]


def groups(rows: Sequence[Row]) -> list[Group]:
    """One for each case of an outcome's figures that has something to draw."""
    found: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        figure = next((name for name in FIGURES if isinstance(row.get(name), int | float)), None)
        if figure is None or "what" not in row or "server" not in row:
            continue
        value = row[figure]
        assert isinstance(value, int | float)
        unit = f"{figure} a {row['one']}" if figure == "CPU us" else figure
        found.setdefault(f"{row['what']}: {unit}", []).append((str(row["server"]), value))
    return [Group(title=title, bars=tuple(bars)) for title, bars in found.items()]


def chart(title: str, shown: Sequence[Group], *, ours: str = "steering") -> str:
    """ours: servers whose name begins so are drawn in colour."""
    lines: list[str] = []
    y = GAP
    for group in shown:
        y += HEAD
        lines.append(f'<text class="head" x="12" y="{y - 8}">{escape(group.title)}</text>')
        longest = max(value for _, value in group.bars) or 1
        for server, value in group.bars:
            lines += _bar(server, value, value / longest, y, "ours" if server.startswith(ours) else "peer")
            y += LINE
        y += GAP
    told = "; ".join(f"{g.title}: " + ", ".join(f"{s} {_number(v)}" for s, v in g.bars) for g in shown)
    return _SVG.format(width=WIDTH, height=y, title=escape(title), told=escape(told), body="\n  ".join(lines))


def _bar(server: str, value: float, share: float, y: int, kind: str) -> list[str]:
    width = max(1.0, round(share * BAR, 1))
    return [
        f'<text class="soft" x="{LABEL}" y="{y + 14}" text-anchor="end">{escape(server)}</text>',
        f'<rect class="{kind}" x="{LABEL + 10}" y="{y + 3}" width="{width:g}" height="{LINE - 6}" rx="2"/>',
        f'<text x="{LABEL + 16 + width:g}" y="{y + 14}">{_number(value)}</text>',
    ]


def _number(value: float) -> str:
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" \
aria-labelledby="title what">
  <title id="title">{title}</title>
  <desc id="what">{told}</desc>
  <style>
    svg {{ --ink: #1c2430; --soft: #556070; --paper: #ffffff; --peer: #b8c2ce; --ours: #1857b8; }}
    @media (prefers-color-scheme: dark) {{
      svg {{ --ink: #e8ecf1; --soft: #a3aebc; --paper: #12161c; --peer: #46515f; --ours: #86b4ff; }}
    }}
    .paper {{ fill: var(--paper); }}
    text {{ font-family: system-ui, -apple-system, "Segoe UI", sans-serif; font-size: 12px; fill: var(--ink); }}
    .head {{ font-weight: 600; font-size: 13px; }}
    .soft {{ fill: var(--soft); }}
    .ours {{ fill: var(--ours); }}
    .peer {{ fill: var(--peer); }}
  </style>
  <rect class="paper" width="{width}" height="{height}" rx="8"/>
  {body}
</svg>
"""
