"""The numbers that decide what is text and how it is removed.

Their effect is measured on the synthetic corpus of ``bench/corpus.py``: after a change, run
``make bench PART=redaction``, which shows what is missed and how much of the anatomy is removed.

What a network demands of its input, such as the height of a line, is no threshold: see
:mod:`xray.redaction.ocr`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Every tunable number of the redaction.

    Grey levels are those of a picture with 8 bits, 0 to 255. *Contrast* is the number of grey
    levels by which a pixel is lighter or darker than its surroundings. The *height* of a line of
    text is the shorter side of its rectangle, at any angle. A *share* is a number from 0 to 1.
    """

    # The picture in which text is looked for (views.py).

    flat_contrast: int = 3
    """Grey levels of contrast up to which a structure is removed where nothing else is stronger."""
    flat_width: int = 11
    """Pixels of width up to which such a structure is removed, and of the neighbourhood."""
    flat_surroundings: int = 61
    """Pixels of the wider surroundings, which say whether such a structure is light or dark."""
    small_side: int = 1200
    """Pixels of the shorter side below which a picture is enlarged, because its type may be small
    as well."""
    enlarged_side: int = 1500
    """Pixels of the shorter side of an enlarged picture, unless it would be enlarged more than the
    next number."""
    max_enlargement: float = 3.0
    """Maximum enlargement of a small picture."""
    soft_anatomy_side: int = 400
    """Pixels of the image's shorter side from which on anatomy is too soft to look like strokes.
    In a smaller image, everything is read, and the detector gets the full resolution."""

    # Strokes: marks with more contrast than their background (strokes.py).

    scales: tuple[float, ...] = (1.0, 0.5, 0.25)
    """Scales of the picture in which strokes are looked for, the full picture first. The strokes of
    large letters are thin only in a reduced picture."""
    stroke_width: int = 9
    """Maximum width of a stroke, in pixels."""
    background_side: int = 61
    """Side of the square over which the background's contrast is averaged, in pixels."""
    max_background: int = 40
    """Grey levels to which contrast is limited when the background's is averaged, so that strong
    text does not hide the text beside it."""
    background_offset: float = 2.0
    """Grey levels that are added to the background's contrast, against noise on even areas."""
    strong_contrast: int = 22
    """Minimum contrast of a strong mark, in grey levels."""
    strong_ratio: float = 3.0
    """Minimum contrast of a strong mark, as a multiple of the background's."""
    weak_contrast: int = 6
    """Minimum contrast of a weak mark, in grey levels. Weak marks must be legible."""
    weak_ratio: float = 2.2
    """Minimum contrast of a weak mark, as a multiple of the background's."""
    min_mark_area: int = 6
    """Minimum area of a mark, in pixels. Smaller marks are noise."""
    min_mark_side: int = 4
    """Minimum longer side of a mark, in pixels."""
    max_mark_side: int = 70
    """Maximum longer side of a mark, in pixels. Larger marks are edges and bones."""
    min_mark_fill: float = 0.06
    """Minimum share of its bounding box that a mark covers. A long thin curve covers less."""
    reaches: tuple[tuple[int, int], ...] = ((3, 4), (6, 8), (11, 16))
    """For small, medium and large letters: the pixels by which marks are grown to meet their
    neighbours, and the minimum longer side of these marks in pixels. To grow smaller marks as much
    would join lines of text to tissue."""
    max_side_per_reach: int = 7
    """Maximum longer side of a mark, as a multiple of the pixels by which it is grown."""

    # Bar codes (codes.py).

    min_bars: int = 6
    """Minimum number of bars in a code."""
    min_bar_length: int = 40
    """Minimum length of a bar, in pixels. Shorter bars are marks as letters are."""
    max_bar_width: float = 12.0
    """Maximum width of a bar, in pixels."""
    min_bar_ratio: float = 5.0
    """Minimum length of a bar, as a multiple of its width."""
    bar_gap: int = 12
    """Pixels by which bars are grown to meet their neighbours."""
    bar_difference: float = 0.2
    """Maximum difference of a bar's length to the median, as a share of the median."""
    bar_turn: float = 5.0
    """Maximum angle between a bar and the median direction, in degrees."""
    bar_offset: float = 0.5
    """Maximum distance of a bar's centre to the median along the bars, as a share of the median
    length. Bars that lie side by side have hardly any."""
    code_height: float = 0.5
    """Minimum height of a decoded code, as a share of its width."""

    # Certain text: removed without being read (find.py).

    certain_marks: int = 3
    """Minimum number of marks in a certain cluster."""
    certain_contrast: float = 35.0
    """Minimum mean contrast of a certain cluster in the full picture, in grey levels."""
    certain_reduced_scale: float = 0.5
    """The only other scale in which a cluster can be certain."""
    certain_reduced_marks: int = 4
    """Minimum number of marks in a certain cluster at that scale, in which anatomy has thinner
    edges."""
    certain_reduced_contrast: float = 70.0
    """Minimum mean contrast of a certain cluster at that scale, in grey levels."""
    certain_likelihood: float = 0.5
    """Likelihood (0 to 1) of a rectangle of the detector, above which it is certain if it is also
    plausible."""
    plausible_percentile: float = 95.0
    """Percentile of the contrast in a plausible rectangle that is compared with the next number.
    In a line of text, ink covers more than the remaining 5 %."""
    plausible_contrast: float = 20.0
    """Grey levels that this percentile must exceed."""
    new_stroke_percentile: float = 99.0
    """Percentile of the contrast in the part of a plausible rectangle that is not covered already.
    The remaining 1 % is the ink of a short text in a large rectangle."""
    new_stroke_contrast: float = 12.0
    """Grey levels that this percentile must exceed. Tissue without any stroke, however faint, stays
    below."""

    # Candidates: removed if they are legible (find.py).

    faint_scales: tuple[float, ...] = (0.7, 0.4, 0.2)
    """Scales of the picture with equalized contrast in which the detector looks for faint text. A
    reduction averages noise, which hides faint text otherwise."""
    faint_likelihood: float = 0.5
    """Likelihood (0 to 1) of the detector that some pixel of a candidate there must exceed. Of the
    corpus's faint text, the detector is certain; noise and anatomy stay below."""
    least_likelihood: float = 0.15
    """Likelihood (0 to 1) of the detector there, below which a cluster of marks is not read."""
    candidate_likelihood: float = 0.2
    """Likelihood (0 to 1) of the detector above which a pixel belongs to a candidate."""
    max_read: int = 150
    """Maximum number of the detector's candidates that are read. If there are more, the image is
    not verified."""
    max_weak_read: int = 12
    """Maximum number of clusters of weak marks that are read, the likeliest first."""
    max_strong_read: int = 12
    """Maximum number of strong clusters among the candidates, so that weak ones are read too."""
    min_line_length: float = 12.0
    """Minimum longer side of a candidate, in pixels."""
    min_line_height: float = 5.0
    """Minimum height of a candidate, in pixels. Lower lines cannot be read."""
    max_line_height: float = 0.2
    """Maximum height of a line, as a share of the image's shorter side. Higher is anatomy."""
    large_line_height: int = 64
    """Pixels of height from which on the reader sees letters in anatomy."""
    max_height_per_mark: float = 2.5
    """Height of a large cluster as a multiple of its marks' mean height, below which the cluster is
    read. A line is little higher than its letters; a cluster of ribs is much higher than a rib."""
    max_rank_contrast: float = 6.0
    """Contrast as a multiple of the background's, above which a cluster is not ranked higher."""
    max_rank_unevenness: float = 0.9
    """Unevenness of the marks' sizes, above which a cluster is not ranked lower."""
    already_covered: float = 0.8
    """Share of a candidate above which, if the mask covers it, the candidate is not read."""

    # Legible text: what the reader reads with confidence (find.py).

    legible_letters: int = 3
    """Minimum number of letters and digits in legible text."""
    legible_confidence: float = 0.6
    """Confidence of the reader (0 to 1) above which text is legible."""
    legible_anatomy_confidence: float = 0.85
    """The same in a large line and in a small image, where the reader sees letters in anatomy."""
    many_letters: int = 5
    """Number of letters and digits from which on the reader hardly ever sees them in anatomy."""
    turned_letters: int = 3
    """Minimum number of letters and digits in a line that is also read upside down."""
    reading_margin: float = 0.3
    """Margin around a line that is read, as a share of its height. The reader expects some space
    around a line."""
    reading_margin_pixels: float = 1.0
    """Pixels that are added to this margin."""

    # Laterality markers (markers.py).

    line_ratio: float = 3.2
    """Minimum length of a line, as a multiple of its height. A marker is shorter."""
    min_marker_side: int = 12
    """Minimum height of a marker's letters, in pixels. Smaller letters are removed."""
    marker_confidence: float = 0.6
    """Confidence of the reader (0 to 1) above which text counts for or against a marker."""
    company_overlap: float = 0.4
    """Overlap in height of two texts, as a share of the lower one's height, above which they stand
    on the same line."""
    company_gap: float = 1.5
    """Distance from a marker to a text on the same line, as a multiple of the marker's height,
    below which the marker does not stand alone."""
    company_height: float = 0.3
    """Height of a text as a share of the marker's, up to which it does not count as company."""
    marker_ink: float = 0.7
    """Contrast of a marker's letters to the median, as a share of the maximum contrast."""
    tall_letter: float = 0.6
    """Minimum height of a marker's letter, as a share of its row's height."""
    dash_height: float = 0.25
    """Height of a mark, as a share of its row's height, below which it can be a dash."""
    dash_ratio: float = 1.5
    """Length of a mark, as a multiple of its height, above which it is a dash."""
    marker_margin_divisor: int = 3
    """Number by which a row's height is divided to get the margin with which it is read."""
    marker_shadow: float = 0.15
    """Reach of a marker's shadow or seam around its letters, as a share of the row's height. The
    shadow stays with the marker."""
    min_marker_shadow: int = 3
    """Minimum reach of the shadow, in pixels."""

    # The mask around a text (geometry.py, ocr.py).

    margin_pixels: float = 2.0
    """Pixels on each side of a text that are removed with it: the soft edges of its letters."""
    margin_share: float = 0.15
    """Share of a line's height that is added to this margin."""
    max_margin_height: float = 60.0
    """Pixels of a line's height above which the margin does not grow."""
    min_detected_side: float = 2.0
    """Minimum shorter side of what the detector marks, in pixels of its input."""
    unclip_ratio: float = 1.7
    """The detector marks the inside of a text. This multiple of the area, divided by half the
    perimeter, is added to the sides: it undoes the shrinking that the detector was trained with
    (PP-OCR's ``unclip_ratio``)."""
    max_unclip: float = 1.4
    """Maximum of what is added, as a multiple of the shorter side. It limits long lines."""

    # What the networks see at once (ocr.py).

    tile_side: int = 960
    """Side of the detector's tiles, in pixels. It limits the memory."""
    tile_overlap: int = 64
    """Overlap of the tiles, in pixels, so that a line at the edge of one is whole in the next."""
    max_line_length: int = 960
    """Maximum length of a line at the reader's height, in pixels. Longer lines are compressed."""
    stretch_percentiles: tuple[float, float] = (1.0, 99.0)
    """Percentiles of the grey levels of a line that become 0 and 255. Outliers do not count."""
    min_stretch_range: float = 8.0
    """Minimum grey levels between these percentiles, so that noise is not stretched."""

    # Removal (fill.py, plates.py, redactor.py).

    min_fill_reach: int = 8
    """Minimum width of the surroundings from which a part is filled, in pixels. A large part is
    filled from surroundings that are as wide as its shorter side."""
    min_plate_reach: int = 16
    """Minimum width of the surroundings in which a plate ends, in pixels. It is usually the
    longer side of the text."""
    min_plate_share: float = 0.3
    """Share of the pixels beside a text, or in its rectangle, that have the grey level of its
    plate, at least."""
    plate_noise: int = 10
    """Grey levels by which a pixel of a plate differs from the plate's level, at most."""
    max_shadow_level: int = 96
    """Highest grey level of the collimator's shadow."""
    plate_solidity: float = 0.85
    """Share of its rectangle beside the removed text that a plate fills, at least; the same for
    each line of pixels by which a text's rectangle grows to that of its plate."""
    plate_margin: int = 3
    """Pixels around a plate that are removed with it: its edge is blurred by compression."""
    plate_quantile: float = 0.3
    """Share of the pixels around a plate that may have nearly the same grey level."""
    plate_step: int = 16
    """Grey levels by which all others differ from the plate's, at least."""
    max_masked: float = 0.5
    """Share of the image that is text, above which it is a document and is quarantined."""
    rounds: int = 5
    """Number of rounds of removal and check before the image is quarantined."""

    # The check of the result (check.py).

    check_scale: float = 0.6
    """Scale of the picture that the second engine looks at. The search looks at others."""
    check_ink: float = 50.0
    """Grey levels from the middle, in the picture with equalized contrast, from which on a pixel is
    ink for the second engine."""
    check_letters: int = 3
    """Minimum number of letters and digits in a line of the second engine."""
    check_confidence: float = 0.5
    """Confidence (0 to 1) of the second engine above which a line must be read again."""
    check_pitch: float = 1.3
    """Maximum width of its letters, as a multiple of the line's height. The second engine sees
    wider ones in anatomy alone."""
    check_certain_letters: int = 4
    """Minimum number of letters and digits in a line of which the second engine is certain."""
    check_certain_confidence: float = 0.8
    """Confidence (0 to 1) of the second engine above which a line is text by itself."""
    max_check_read: int = 100
    """Maximum number of candidates that the check reads. If there are more, the image is not
    verified."""
    check_covered: float = 0.8
    """Share of a candidate above which, if the mask covers it, its text was removed already."""
    lens_reach: int = 96
    """Pixels around removed text in which more text is looked for in full resolution."""
    max_lens_area: float = 6e6
    """Maximum area that is looked at in full resolution, in pixels. Otherwise it is reduced."""
    lens_likelihood: float = 0.2
    """Likelihood (0 to 1) of the detector above which a pixel there belongs to a candidate."""
    rest_letters: int = 2
    """Minimum number of letters and digits in legible text beside text that was removed."""
    extension_length: float = 4.0
    """Length of the rectangle that is read beyond an end of a line, as a multiple of its height."""
    equalize_width: int = 25
    """Side of the square of the opening and the closing, in pixels. Strokes are narrower."""
    equalize_most: float = 10.0
    """Grey levels to which differences are limited in the standard deviation, so that strong text
    does not hide faint text."""
    equalize_side: int = 61
    """Side of the square for the standard deviation, in pixels; it is applied twice."""
    equalize_noise: float = 0.7
    """Grey levels that are added to the standard deviation, so that noise stays faint."""
    equalize_middle: float = 128.0
    """Grey level in the result of a pixel that differs from nothing around it."""
    equalize_contrast: float = 50.0
    """Contrast of one standard deviation in the result, in grey levels."""
    even_line_height: int = 48
    """Maximum height of a single line with the same contrast everywhere, in pixels."""
    line_noise: float = 0.1
    """Grey levels that are added to the standard deviation in a single line."""
    line_contrast: float = 60.0
    """Contrast of one standard deviation in a single line, in grey levels."""


THRESHOLDS = Thresholds()
"""The numbers in use."""
