"""X-rays with known text on them, on which the redaction is measured.

They are drawn from a seed: the same seed gives the same images. The chests are the demo's
synthetic ones, flipped, scaled and toned; the corner in which their own text stands is filled. No
name or number on them belongs to a person.

The kinds of ``ORDINARY`` and ``HARD`` and the clean images are pictures in 8 bits, mixed by their
shares (:mod:`~bench.corpus.mixed`). The kinds of ``NEW`` come in addition, and each counts its
samples from 0. Those of ``depth`` and ``colour`` are files (:mod:`~bench.corpus.files`)::

    from bench import corpus
    sample = corpus.sample(11, 3, "depth")
"""

from collections.abc import Callable

import numpy as np

from bench.corpus import codes, colour, depth, edge, mixed, tiny
from bench.corpus.chests import IMAGES
from bench.corpus.mixed import HARD, ORDINARY, SHARES, kinds
from bench.corpus.sample import Sample

__all__ = ["HARD", "IMAGES", "NEW", "ORDINARY", "READABLE", "SHARES", "Sample", "kinds", "sample"]

NEW: dict[str, int] = {"depth": 60, "colour": 40, "tiny": 48, "edge": 32, "tall bars": 24}
"""The number of samples of each new kind that come with 500 of the mixed ones."""
READABLE = (*SHARES, "tiny", "edge", "tall bars")
"""The kinds that show a chest to the risk model as it is."""
_DRAW: dict[str, Callable[[np.random.Generator, int], Sample]] = {
    "depth": depth.draw,
    "colour": colour.draw,
    "tiny": tiny.draw,
    "edge": edge.draw,
    "tall bars": codes.draw,
}


def sample(seed: int, index: int, kind: str) -> Sample:
    """Draw sample number ``index`` with this ``seed``: of the mixed kinds, or of a new kind."""
    if kind not in NEW:
        return mixed.draw(np.random.default_rng([seed, index]), kind)
    rng = np.random.default_rng([seed, index, 1 + list(NEW).index(kind)])
    return _DRAW[kind](rng, index)
