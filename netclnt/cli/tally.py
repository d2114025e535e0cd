"""What a run has to do in all, and how much of it is done, from its events: images, and bytes of their content.

All figures are plain numbers that are kept up to date: a signal handler and a thread that draws may read them at any moment.
"""

from __future__ import annotations

from netclnt.events import Catalog, Changed, Event, Expected, Failed, ImageDone, Planned, Progressed

_TO_DO = ("new", "update", "replace-foreign")


class Tally:
    """``images_done`` counts those that are settled in whatever way: done, ``images_failed``, ``images_deferred`` by a hook, or
    left to the next run. ``bytes_done`` are those of settled images, of ``bytes_total``; what failed or is left counts in
    neither. ``bytes_fetched`` and ``bytes_reused`` are those of images that are done."""

    def __init__(self) -> None:
        self.images_total = self.images_done = self.images_failed = self.images_deferred = 0
        self.bytes_total = self.bytes_done = 0
        self.bytes_fetched = self.bytes_reused = 0
        self._sizes: dict[str, int] = {}
        self._current = ""

    def observe(self, event: Event) -> None:
        match event:
            case Catalog():  # a look at the offer, which may be another one than before: what was not done is told anew
                for image in list(self._sizes):
                    self._forget(image)
            case Changed(image=image, action=action, size=size) if action in _TO_DO:
                self._expect(image, size)
            case Expected(image=image, size=size):
                self._expect(image, size)
            case Planned(image=image) | Progressed(image=image):
                self._turn_to(image)
            case ImageDone(image=image):
                self.bytes_fetched += event.bytes_fetched
                self.bytes_reused += event.bytes_reused
                self.images_deferred += event.result == "deferred"
                self._settle(image, counts=True)
            case Failed(image=image):
                self.images_failed += image in self._sizes
                self._settle(image, counts=False)

    def size(self, image: str) -> int:
        """Of one that is not settled; 0 where nobody said."""
        return self._sizes.get(image, 0)

    def _expect(self, image: str, size: int) -> None:
        if image in self._sizes:
            self._forget(image)
        self._sizes[image] = size
        self.images_total += 1
        self.bytes_total += size

    def _forget(self, image: str) -> None:
        self.images_total -= 1
        self.bytes_total -= self._sizes.pop(image)

    def _turn_to(self, image: str) -> None:
        """Images come one after the other: the one before, if it is not settled, is left to the next run."""
        if self._current != image:
            self._settle(self._current, counts=False)
            self._current = image

    def _settle(self, image: str, *, counts: bool) -> None:
        size = self._sizes.pop(image, None)
        if size is None:
            return
        self.images_done += 1
        if counts:
            self.bytes_done += size
        else:
            self.bytes_total -= size
