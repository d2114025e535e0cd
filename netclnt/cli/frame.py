"""The progress on a terminal of some width, as rows of words and bars: what is left out, and when, is decided here.

Three rows at most: the image, its figures (or what the run waits for), and the run as a whole where it has several images. On a
wide terminal the figures stand behind the bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netclnt.cli.fitting import Measure
from netclnt.cli.meter import Meter
from netclnt.cli.text import clipped, counted, human_bytes, human_seconds, padded, safe

_WIDE = 110
_NARROW = 60
_BAR_MIN, _BAR_MAX = 5, 40


@dataclass(frozen=True, slots=True)
class Row:
    """``label``, a bar of so many cells of which ``share`` is done, and ``words``, a blank between them; without a bar, the words
    alone."""

    words: str
    label: str = ""
    bar: int = 0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class _Bar:
    label: str
    share: float | None
    eta: float | None
    figures: str = ""


def frame(meter: Meter, width: int, measure: Measure) -> list[Row]:
    """At most ``width - 1`` cells each: a full line would wrap on some terminals."""
    room = max(1, width - 1)
    image, run = _image(meter, room), _run(meter, room)
    bars = [bar for bar in (image, run) if bar is not None]
    label = max((measure(bar.label) for bar in bars), default=0)
    if image is not None:
        label = max(min(label, room * 2 // 5), measure(run.label) if run is not None else 0)
    rows = _rows(bars, label, room, measure)
    pause = meter.pause()
    if pause or room < _WIDE:
        text = pause or _fitting(_figures(meter), room, measure)
        behind = 0 if image is None else 1
        rows[behind:behind] = [Row(clipped(text, room, measure))] if text else []
    return rows


def _rows(bars: Sequence[_Bar], label: int, room: int, measure: Measure) -> list[Row]:
    """All bars begin and end in the same columns."""
    words = [_words(bar, room, measure) for bar in bars]
    cells = min(_BAR_MAX, room - label - max(map(measure, words), default=0) - 2)
    rows = []
    for bar, text in zip(bars, words, strict=True):
        name = clipped(bar.label, label, measure)
        if bar.share is None or cells < _BAR_MIN:
            rows.append(Row(clipped(f"{name} {text}".rstrip(), room, measure)))
        else:
            rows.append(Row(text, padded(name, label, measure), cells, bar.share))
    return rows


def _words(bar: _Bar, room: int, measure: Measure) -> str:
    share = "" if bar.share is None else f"{int(100 * bar.share):3} %"
    words = padded(f"{share}{_left(bar.eta, room)}", 11 if room < _NARROW else 23, measure)
    return f"{words} {bar.figures}" if bar.figures else words


def _left(seconds: float | None, room: int) -> str:
    if seconds is None:
        return ""
    text = human_seconds(seconds)
    if room < _NARROW:
        return f" {' '.join(text.split()[:2])}"  # the larger unit alone
    return f"  {text} left"


def _image(meter: Meter, room: int) -> _Bar | None:
    if not meter.image:
        return None
    event = meter.last
    name = safe(meter.image)
    label = name if event is None or room < _NARROW else f"{safe(event.stage)} {name}"
    figures = next(iter(_figures(meter)), "") if room >= _WIDE else ""
    return _Bar(label, meter.share, meter.eta, figures)


def _run(meter: Meter, room: int) -> _Bar | None:
    """The run as a whole; None where it has one image at most."""
    tally = meter.tally
    if tally.images_total < 2:
        return None
    label = f"{tally.images_done} of {tally.images_total}" + ("" if room < _NARROW else " images done")
    label += f", {tally.images_failed} failed" if tally.images_failed else ""
    label += f", {tally.images_deferred} deferred" if tally.images_deferred and room >= _NARROW else ""
    share = meter.run_done / tally.bytes_total if tally.bytes_total else None
    moved = ""
    if room >= _WIDE and (tally.bytes_fetched or tally.bytes_reused):
        moved = f"{human_bytes(tally.bytes_fetched)} fetched, {human_bytes(tally.bytes_reused)} reused"
    return _Bar(label, share, meter.run_eta, moved)


def _figures(meter: Meter) -> Sequence[str]:
    """What there is to say of the image, the most telling form first."""
    event, plan = meter.last, meter.planned
    if event is None:
        if plan is not None:
            fetch, reuse = human_bytes(plan.bytes_fetch), human_bytes(plan.bytes_reuse)
            return (f"{fetch} to fetch, {reuse} to reuse", f"{fetch} to fetch")
        left = meter.tally.images_total - meter.tally.images_done
        return (f"plans what to fetch of {counted(left, 'image')}", "plans what to fetch") if left else ()
    if event.stage != "fetch":
        rate = f"{human_bytes(meter.rate)}/s"
        return (f"{meter.amount()}, {rate}", rate)
    fetched, reused = human_bytes(event.bytes_fetched), human_bytes(event.bytes_reused)
    rate = f"{human_bytes(meter.fetch_rate)}/s"
    whole = f"{fetched} of {human_bytes(max(plan.bytes_fetch, event.bytes_fetched))}" if plan is not None else fetched
    return (
        f"{whole} fetched, {rate}; {reused} reused",
        f"{fetched} fetched, {rate}; {reused} reused",
        f"{fetched}, {rate}; {reused} reused",
        f"{fetched}, {rate}",
        rate,
    )


def _fitting(texts: Sequence[str], room: int, measure: Measure) -> str:
    """The first that fits; else the last, which is the shortest."""
    return next((text for text in texts if measure(text) <= room), texts[-1] if texts else "")
