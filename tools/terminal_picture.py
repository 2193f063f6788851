"""What a terminal shows, as an SVG that follows the reader's light or dark mode and loads nothing from elsewhere."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

from rich.style import Style
from rich.text import Text

_LINE_PX, _CHARACTER_PX, _MARGIN_PX = 20, 8.4, 16
_COLOURS = {1: "red", 2: "green", 3: "yellow"}
_CSS = """\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: var(--ink); white-space: pre; }
rect { fill: var(--paper); stroke: var(--line); }
svg { --ink: #1c2430; --soft: #5b6675; --paper: #f4f6f9; --line: #dde3ea; }
svg { --green: #1d7a46; --yellow: #8a6100; --red: #b3261e; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e8ecf1; --soft: #9aa6b5; --paper: #12161c; --line: #2c3540; }
  svg { --green: #5fc68c; --yellow: #e0b65a; --red: #f2857d; }
}
.bold { font-weight: 700; } .dim { fill: var(--soft); }
.green { fill: var(--green); } .yellow { fill: var(--yellow); } .red { fill: var(--red); }
"""


def terminal_picture(output: str, *, title: str) -> str:
    """output: with the escape sequences of colours.  title: for those who do not see it, beside the text itself."""
    lines = [Text.from_ansi(line) for line in output.splitlines()]
    width = round(max(len(line) for line in lines) * _CHARACTER_PX + 2 * _MARGIN_PX)
    height = len(lines) * _LINE_PX + 2 * _MARGIN_PX
    plain = "\n".join(line.plain for line in lines)
    body = "\n".join(
        f'<text x="{_MARGIN_PX}" y="{_MARGIN_PX + _LINE_PX * i + 14}">{"".join(_spans(line))}</text>'
        for i, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(plain)}</desc>\n<style>\n{_CSS}</style>\n"
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>\n{body}\n</svg>\n'
    )


def _spans(line: Text) -> Iterator[str]:
    for piece in line.divide(sorted({edge for span in line.spans for edge in (span.start, span.end)})):
        names = " ".join(_classes(piece))
        yield f'<tspan class="{names}">{escape(piece.plain)}</tspan>' if names else escape(piece.plain)


def _classes(piece: Text) -> Iterator[str]:
    for span in piece.spans:
        style = span.style if isinstance(span.style, Style) else Style.parse(span.style)
        yield from (name for name, on in (("bold", style.bold), ("dim", style.dim)) if on)
        if style.color is not None and style.color.number in _COLOURS:
            yield _COLOURS[style.color.number]
