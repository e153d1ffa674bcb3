"""The fixed parts of the pipeline's own bucket names and object keys, each written once."""

from enum import StrEnum


class BucketSuffix(StrEnum):
    """What follows the landing bucket's name in the name of an output bucket."""

    PROCESSED = "-processed"
    ANONYMIZED = "-anonymized"
    QUARANTINE = "-quarantine"
    STAGING = "-staging"
    AUDIT = "-audit"
    MANIFESTS = "-manifests"


PROCESSED_KEY = "-processed"
"""Before the extension in the key of an annotated image."""
EVIDENCE_KEY = "-evidence"
"""Before the extension in the key of a picture of the evidence."""
CERTIFICATE_KEY = ".json"
"""After the whole key of an anonymised image, in the key of its certificate."""
