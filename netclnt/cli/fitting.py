"""Which columns of a table a terminal of some width can show, how wide each is, and where long values are folded: nothing is cut.

Numbers, times and digests are never folded; other text is, into pieces of some length at least, before a column is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

GAP = 2
"""Cells between two columns."""

_FOLDED_MIN = 12
"""Cells that text is folded to at least: most names and words fit into them."""

_BREAKS = frozenset("/-_.,:;@ \\")
"""Characters behind which a name may go on in the next line."""

Measure = Callable[[str], int]
"""The cells that a text takes on a terminal."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a column asks for, in cells: ``most`` to show all as it is, ``least`` to show it at all. One that is ``minor`` is left
    out before others are."""

    least: int
    most: int
    minor: bool = False

    @classmethod
    def of(cls, title: str, values: Sequence[str], measure: Measure, *, folds: bool, minor: bool) -> Need:
        """A title is folded at its blanks, if need be."""
        head = max(map(measure, title.split()), default=0)
        most = max([head, *map(measure, values)])
        return cls(max(head, min(most, _FOLDED_MIN)) if folds else most, most, minor)


def fit(needs: Sequence[Need], width: int) -> dict[int, int]:
    """The columns that are shown, each with its width. The first one is, in any case. Of the others the minor ones are left out
    first, and the last first; then, what still fits is taken again."""
    shown = list(range(len(needs)))
    for index in sorted(shown[1:], key=lambda index: (not needs[index].minor, -index)):
        if _width(needs, shown) <= width:
            break
        shown.remove(index)
    for index in (index for index in range(len(needs)) if index not in shown):
        if _width(needs, [*shown, index]) <= width:
            shown.append(index)
    return _spread(needs, sorted(shown), width)


def _width(needs: Sequence[Need], shown: Sequence[int]) -> int:
    return sum(needs[index].least + GAP for index in shown) - GAP


def _spread(needs: Sequence[Need], shown: Sequence[int], width: int) -> dict[int, int]:
    """What is left of the width goes to the columns that lack it, evenly."""
    widths = {index: needs[index].least for index in shown}
    left = width - _width(needs, shown)
    while left > 0 and (lacking := [index for index in shown if widths[index] < needs[index].most]):
        for index in lacking[:left]:
            widths[index] += 1
            left -= 1
    if left < 0:  # a terminal that is narrower than the first column
        widths = {index: max(1, cells + left) for index, cells in widths.items()}
    return widths


def folded(text: str, width: int, measure: Measure) -> list[str]:
    """The text in pieces of at most so many cells: parted behind a character that parts names, where there is one in the last two
    thirds of a piece; blanks there are dropped."""
    pieces = []
    while measure(text) > width:
        end = _prefix(text, width, measure)
        cut = next((at for at in range(end, end // 3, -1) if text[at - 1] in _BREAKS), end)
        pieces.append(text[:cut].rstrip(" ") or text[:cut])
        text = text[cut:].lstrip(" ")
    return [*pieces, text] if text or not pieces else pieces


def _prefix(text: str, width: int, measure: Measure) -> int:
    """How many characters fit into so many cells; one at least. What takes no cell stays with what it belongs to."""
    end = cells = 0
    for character in text:
        cells += measure(character)
        if cells > width and end:
            break
        end += 1
    return end
