"""A bar chart of netclnt beside its peers, as SVG text: time and wire bytes, each as a multiple of plain rsync's.

It carries its own background, so that it reads the same on a light page and on a dark one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

from tests.bench.measure import Fact
from tests.bench.report import LOCAL, Line, ratio

BASE = "rsync"
PANELS = {"seconds": "wall time until it is on disk", "wire": "bytes on the line"}
OWN, OTHER = "#1f6f8b", "#b9c0c7"
"""Colours of netclnt's bars and of all others'."""
WIDTH, MARGIN, NAME, GAP = 940, 20, 190, 30
BAR, STEP, HEAD = 11, 16, 26
LONGEST = 2.0
"""A bar of more × rsync is cut there; its figure tells the rest."""


def svg(lines: Sequence[Line], facts: Mapping[str, Fact]) -> str:
    """Only cases in which plain rsync took part are drawn."""
    groups = list(_groups(lines))
    height = 92 + sum(HEAD + STEP * len(group) for group in groups) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="DejaVu Sans, Verdana, sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        _text(MARGIN, 30, "netclnt beside other tools: shorter is better, rsync = 1", size=16, weight="bold"),
        *(_text(_left(place), 62, title, weight="bold") for place, title in enumerate(PANELS.values())),
    ]
    top = 72
    for group in groups:
        parts += _group(lines, group, top)
        top += HEAD + STEP * len(group)
    parts.append(_text(MARGIN, height - 14, _caption(facts), size=10, fill="#5b6570"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _groups(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """The ways of each case, the quickest first."""
    for case in dict.fromkeys(line.case for line in lines):
        group = [line for line in lines if line.case == case and line.way != LOCAL]
        if any(line.way == BASE for line in group):
            yield sorted(group, key=lambda line: line.figures["seconds"])


def _group(lines: Sequence[Line], group: Sequence[Line], top: int) -> Iterator[str]:
    yield _text(MARGIN, top + 18, group[0].case, weight="bold")
    for place in range(len(PANELS)):
        one = _left(place) + _scale() / LONGEST
        yield f'<path d="M{one:.1f} {top + 22}V{top + HEAD + STEP * len(group)}" stroke="#8a949e" stroke-dasharray="2 3"/>'
    for number, line in enumerate(group):
        middle = top + HEAD + STEP * number + BAR - 2
        yield _text(MARGIN + NAME - 8, middle, line.way, anchor="end", weight="normal" if line.peer else "bold")
        for place, figure in enumerate(PANELS):
            yield from _bar(_left(place), middle - BAR + 2, ratio(lines, line, figure, BASE), OTHER if line.peer else OWN)


def _bar(left: float, top: float, value: float | None, colour: str) -> Iterator[str]:
    if value is None:
        return
    width = max(1.0, min(value, LONGEST) / LONGEST * _scale())
    yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BAR}" rx="1.5" fill="{colour}"/>'
    yield _text(left + width + 5, top + BAR - 2, f"{value:.2f}" + (" …" if value > LONGEST else ""), size=10)


def _left(place: int) -> float:
    return MARGIN + NAME + place * (_panel() + GAP)


def _panel() -> float:
    return (WIDTH - 2 * MARGIN - NAME - GAP * (len(PANELS) - 1)) / len(PANELS)


def _scale() -> float:
    """Pixels of the longest bar: its figure stands behind it."""
    return _panel() - 45


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"{count} rounds, medians"


def _caption(facts: Mapping[str, Fact]) -> str:
    words = [f"{facts['cores']} cores", str(facts["processor"]), str(facts["filesystem"]), _rounds(int(facts["rounds"]))]
    return ", ".join(["OpenSSH's sshd on loopback", *words, str(facts["date"])[:10]])


def _text(
    left: float, base: float, text: str, *, size: int = 11, weight: str = "normal", anchor: str = "start", fill: str = "#1d2329"
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{fill}"'
    halo = 'paint-order="stroke" stroke="#ffffff" stroke-width="3"'
    return f'<text x="{left:.1f}" y="{base:.1f}" {style} {halo}>{escape(text)}</text>'
