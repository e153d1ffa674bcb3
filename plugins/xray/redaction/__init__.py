"""Anonymised pixels: burned-in text is found, removed for good, and looked for again.

**Finding** (:mod:`~xray.redaction.find`). Marks that stand out like pen strokes
(:mod:`~xray.redaction.strokes`) are text where they are strong. Weaker marks, and what a network
takes for text (:mod:`~xray.redaction.ocr`), are text if the reader can read them. A laterality
marker that stands alone (:mod:`~xray.redaction.markers`) stays, unless the caller says otherwise.

**Removing** (:mod:`~xray.redaction.fill`). The whole rectangle of a text, with a margin, is drawn
anew from its surroundings, and so is the plate below it (:mod:`~xray.redaction.plates`).

**Checking** (:mod:`~xray.redaction.check`). The network looks at the result again with another
contrast, and the reader reads what it finds. Text that is still there is removed too, and the
result is checked again. An image on which text remains is *quarantined*.

:mod:`~xray.redaction.redactor` puts the three together, and :mod:`~xray.redaction.thresholds` has
all numbers that decide. :mod:`~xray.redaction.certificate` writes and checks the certificate of a
published image. :mod:`~xray.redaction.files` and :mod:`~xray.redaction.command` are the command
line.
"""

import cv2

from xray.redaction.certificate import certificate_problem, certify
from xray.redaction.fill import filled, masked
from xray.redaction.geometry import Box
from xray.redaction.redactor import ENGINE, Redaction, load_engines, redact
from xray.redaction.views import equalize_contrast

__all__ = [
    "ENGINE",
    "Box",
    "Redaction",
    "certificate_problem",
    "certify",
    "equalize_contrast",
    "filled",
    "load_engines",
    "masked",
    "redact",
]

# A task has one core to itself. More threads of OpenCV would take processor time from other tasks
# while they wait for work.
cv2.setNumThreads(1)
