"""The display shutter: the part of an image that a viewer covers (PS3.3, section C.7.6.11).

Rectangles, circles and polygons are covered. A bitmap shutter is an overlay,
and is not read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from xray.errors import ImageError
from xray.image.damage import decoding
from xray.image.dicom.header import Header

Mask = npt.NDArray[np.bool_]

_WHITE = 2**16 - 1
"""The largest Shutter Presentation Value."""


def covered(header: Header) -> Mask | None:
    """Return where the shutter covers the image, of shape (rows, columns); None if nowhere.

    Raises:
        ImageError: the shutter is damaged, or covers the whole image.
    """
    with decoding("The DICOM header is damaged where it describes the shutter: export it again."):
        shapes = header.dataset.get("ShutterShape") or ()
        shapes = [shapes] if isinstance(shapes, str) else list(shapes)
        hidden = [~_SHAPES[shape](header) for shape in shapes if shape in _SHAPES]
    if not hidden:
        return None
    result: Mask = np.logical_or.reduce(hidden)
    if result.all():
        raise ImageError("The DICOM image's shutter covers the whole image: export it again.")
    return result if result.any() else None


def shade(header: Header) -> float:
    """Return the shade of the shutter, 0 for black to 1 for white."""
    with decoding():
        value = float(header.dataset.get("ShutterPresentationValue") or 0)
    return min(max(value / _WHITE, 0.0), 1.0)


def _rectangle(header: Header) -> Mask:
    """Return what is inside the rectangle. Rows and columns count from 1, here as in a circle."""
    dataset = header.dataset
    rows, columns = _grid(header)
    return (
        (columns >= int(dataset.ShutterLeftVerticalEdge))
        & (columns <= int(dataset.ShutterRightVerticalEdge))
        & (rows >= int(dataset.ShutterUpperHorizontalEdge))
        & (rows <= int(dataset.ShutterLowerHorizontalEdge))
    )


def _circle(header: Header) -> Mask:
    """Return what is inside the circle. The radius is in columns."""
    rows, columns = _grid(header)
    row, column = (int(place) for place in header.dataset.CenterOfCircularShutter)
    radius = int(header.dataset.RadiusOfCircularShutter)
    inside: Mask = (columns - column) ** 2 + ((rows - row) * header.tallness) ** 2 <= radius**2
    return inside


def _polygon(header: Header) -> Mask:
    """Return what is inside the polygon, whose vertices are pairs of a row and a column."""
    places = [int(place) - 1 for place in header.dataset.VerticesOfThePolygonalShutter]
    image = Image.new("1", (header.width, header.height))
    vertices = list(zip(places[1::2], places[::2], strict=True))
    ImageDraw.Draw(image).polygon(vertices, fill=1, outline=1)
    return np.array(image)


_SHAPES = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}


def _grid(header: Header) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the numbers of the rows and of the columns, from 1."""
    return np.arange(1, header.height + 1)[:, None], np.arange(1, header.width + 1)[None, :]
