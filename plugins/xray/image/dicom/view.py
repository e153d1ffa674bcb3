"""Whether the header says that an image is no frontal view of a chest.

A header can be wrong, or use words of its own: only the standard's terms count,
and an image without any of them is taken for a chest.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from xray.image.damage import decoding

SIDE_VIEW = "a view from the side"
OTHER_PART = "another part of the body"

_FROM_THE_SIDE = {"LL", "RL", "LAT", "LATERAL"}
"""View Positions of the standard (PS3.3, section C.8.1.1 and C.8.11.5), and two that are common."""
_SIDE_CODES = {"399067008", "399173006", "399198007", "R-102CD", "R-10236", "R-10232"}
"""Lateral, left lateral and right lateral, in SNOMED CT and as it was before (PS3.16, CID 4010)."""
_OTHER_PARTS = {
    *("ABDOMEN", "ANKLE", "ARM", "BREAST", "CALCANEUS", "CALF", "CLAVICLE", "COCCYX", "CSPINE"),
    *("ELBOW", "EXTREMITY", "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS"),
    *("JAW", "KNEE", "LEG", "LSPINE", "MANDIBLE", "MAXILLA", "NECK", "ORBIT", "PATELLA", "PELVIS"),
    *("RADIUS", "SCAPULA", "SHOULDER", "SINUS", "SKULL", "SPINE", "SSPINE", "THIGH", "THUMB"),
    *("TIBIA", "TOE", "TSPINE", "ULNA", "WRIST", "ZYGOMA"),
}
"""Terms for parts of the body that show no lung, or only its edge (PS3.16, annex L)."""


def no_frontal_chest(dataset: Dataset) -> str | None:
    """Return why the image is no frontal view of a chest; None if the header does not say so."""
    with decoding():
        part = str(dataset.get("BodyPartExamined") or "").strip().upper()
        position = str(dataset.get("ViewPosition") or "").strip().upper()
        codes = {str(item.get("CodeValue", "")) for item in dataset.get("ViewCodeSequence") or ()}
        towards = str((dataset.get("PatientOrientation") or ("",))[0]).upper()
    if part in _OTHER_PARTS:
        return OTHER_PART
    # The columns of a view from the side run from front to back, or from back to front.
    if position in _FROM_THE_SIDE or codes & _SIDE_CODES or towards[:1] in ("A", "P"):
        return SIDE_VIEW
    return None
