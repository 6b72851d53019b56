"""The forms a curve may take: each a small basis over the buckets, so that the joint fit is linear whatever was chosen.

A form writes the bucket values of one indicator as B c, B a basis of at most KNOTS columns, c its coefficients in
ticks. How rough a curve is, is told for every form by the same thing: the differences of its values along KNOTS
places that lie evenly over the logarithm of |indicator|, beginning with the step from zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from assets.curves.statistics import BUCKETS, Floats

KNOTS: Final = 17
"""One in three buckets. On an additive signal in heavy noise 13 to 50 knots reach the same R2; the work grows as the cube."""

POWERS: Final = (0.25, 0.5, 1.0, 2.0)
"""Of |indicator|: the square root of market impact (Bouchaud, Farmer, Lillo 2009), the straight line, and one beyond each."""

SATURATES_AT: Final = (0.25, 0.5, 0.75)
"""Where x / (x + c) reaches half its height, as a share of the way from the first bucket to the last, in logarithms."""

Booleans = npt.NDArray[np.bool_]

_ROUNDING: Final = 1e-9
"""Ticks. A fall of a monotone curve by less is rounding."""


@dataclass(frozen=True)
class Form:
    """A curve's basis. Columns that a form does not need are zero; the penalty holds their coefficients at zero."""

    name: str
    basis: Floats  # [BUCKETS, KNOTS] bucket values of each coefficient
    places: Floats  # [KNOTS, KNOTS] values at the places of each coefficient

    @cached_property
    def used(self) -> Booleans:
        """[KNOTS] which columns the form needs."""
        return np.asarray(self.basis.any(axis=0))

    @cached_property
    def roughness(self) -> Floats:
        """[KNOTS, KNOTS]: squared differences of a curve along the places are c' roughness c."""
        steps = np.diff(self.places, axis=0, prepend=0)
        return np.asarray(steps.T @ steps + np.diag((~self.used).astype(np.float64)))

    def tied(self, coefficients: Floats) -> "Form | None":
        """A monotone form whose curve turns back, with the places that do so tied to those before them; None where nothing is to be done.

        Ties only grow, so that fitting and tying by turns comes to an end. The curve that is left is monotone, and not always the best
        of all monotone curves.
        """
        if self.name != "monotone":
            return None
        curve = self.places @ coefficients
        turns = np.diff(np.copysign(1.0, curve.sum()) * curve, prepend=0) < -_ROUNDING
        if not turns.any():
            return None
        first = np.flatnonzero(turns)
        places = self.places.copy()
        for place in first:
            before = places[place - 1] if place else np.zeros(KNOTS)
            own = places[place].copy()
            places[(places == own).all(axis=1)] = before
        return replace(self, places=places, basis=LINEAR.basis @ places)


def candidates(edges: Floats) -> Sequence[Form]:
    """The forms open to an indicator, the plainest first, but for the monotone one.

    Args:
        edges: of its buckets, [BUCKETS + 1], rising.
    """
    low, high = np.log(edges[0]), np.log(edges[-1])
    centre = np.sqrt(edges[:-1] * edges[1:])
    place = np.exp(np.interp(_PLACES, np.arange(BUCKETS), np.log(centre)))
    halves = [(share, np.exp(low + share * (high - low))) for share in SATURATES_AT]
    return (
        LINEAR,
        STEPS,
        *(_single(f"power {power:g}", (centre / centre[-1]) ** power, (place / centre[-1]) ** power) for power in POWERS),
        *(_single(f"saturating {share:g}", centre / (centre + half), place / (place + half)) for share, half in halves),
    )


def _single(name: str, buckets: Floats, places: Floats) -> Form:
    first = np.eye(1, KNOTS)
    return Form(name, buckets[:, None] * first, places[:, None] * first)


_PLACES: Final = np.linspace(0, BUCKETS - 1, KNOTS)

LINEAR: Final = Form("linear", np.column_stack([np.interp(np.arange(BUCKETS), _PLACES, one) for one in np.eye(KNOTS)]), np.eye(KNOTS))
"""Piecewise linear in the bucket's number, that is in log |indicator|."""

STEPS: Final = Form("steps", np.eye(KNOTS)[np.arange(BUCKETS) * KNOTS // BUCKETS], np.eye(KNOTS))
"""Flat over three buckets at a time: the seed's staircase, in treads that hold enough rows."""

MONOTONE: Final = replace(LINEAR, name="monotone")
"""Piecewise linear, and never nearer to zero as |indicator| grows; `tied` makes it so."""
