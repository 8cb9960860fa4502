"""On what scale are pixels? Their span tells 0 … 255 from 0 … 1, -1 … 1 and standardised ones."""

from typing import NamedTuple

import numpy as np

from ..errors import DataError

BLOCK = 2**22  # values to look at, at a time
OVERSHOOT = 1 / 4  # of a scale, beyond its ends: what resizing makes of sharp edges
DARKEST = 1 / 30  # of a scale: what does not reach so far, and is not black, is on another


class Span(NamedTuple):
    """The lowest and the highest value of some images."""

    low: float
    high: float

    @classmethod
    def of(cls, images) -> "Span":
        """Of images (N, …), read in blocks; uint8 is 0 … 255 by itself. DataError on nan, inf."""
        if images.dtype == np.uint8:
            return BYTES
        some = max(1, BLOCK * len(images) // images.size)
        blocks = [images[start : start + some] for start in range(0, len(images), some)]
        ends = np.array([(block.min(), block.max()) for block in blocks], np.float64)
        if not np.isfinite(ends).all():
            raise DataError("images hold nan or inf")
        return cls(float(ends[:, 0].min()), float(ends[:, 1].max()))

    @property
    def scale(self) -> "Span":
        """The usual scale that these values are on, from end to end; of others their own span."""
        return next((usual for usual in USUAL if usual._holds(self)), self)

    def takes(self, other: "Span") -> bool:
        """Can images of the other span be on the scale of these? Dark and bright ones can."""
        if other == BYTES:
            return self.scale == BYTES
        return other == BLACK or self.scale._holds(other)

    def _holds(self, other: "Span") -> bool:
        room = OVERSHOOT * (self.high - self.low)
        lies_within = self.low - room <= other.low and other.high <= self.high + room
        reaches_far = max(np.abs(other)) >= DARKEST * max(np.abs(self))
        begins_at_0 = 0 <= other.low <= OVERSHOOT * other.high and self.low < -room / 5
        return bool(lies_within and reaches_far and not begins_at_0)

    @property
    def _is_usual(self) -> bool:
        """Is it surely a usual scale? One that begins below 0 is if it begins at -1."""
        return self.scale in USUAL and (self.scale.low == 0 or abs(self.low + 1) < 0.01)

    def way_from(self, other: "Span") -> str:
        """How images of the other span get to the scale of these, in words."""
        theirs, mine = other.scale, self.scale
        if theirs != mine and self._is_usual and other._is_usual:
            factor = (mine.high - mine.low) / (theirs.high - theirs.low)
            shift = mine.low - theirs.low * factor
            times = f"images * {factor:g}" if factor >= 1 else f"images / {1 / factor:g}"
            return times + (f" {'-' if shift < 0 else '+'} {abs(shift):g}" if shift else "")
        if not self._is_usual:
            return "prepare them as the training images were"
        dark = ", or as uint8 if they are so dark" if mine == BYTES and other.low >= 0 else ""
        return f"give them as of {mine}, before any standardising{dark}"

    def __str__(self) -> str:
        return f"{self.low:.3g} … {self.high:.3g}"


BLACK, BYTES = Span(0, 0), Span(0, 255)
USUAL = (Span(0, 1), Span(-1, 1), BYTES)
