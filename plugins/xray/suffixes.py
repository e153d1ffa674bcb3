"""The fixed parts of the pipeline's own bucket names and object keys, each written once."""

from enum import StrEnum

from xray.errors import SettingsError


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
REPORT_KEY = "-report"
"""Before the extension in the key of a structured report."""
CERTIFICATE_KEY = ".json"
"""After the whole key of an anonymised image, in the key of its certificate."""


def landing_bucket(name: str) -> str:
    """Return the name of a bucket that images land in.

    Raises:
        SettingsError: the name is empty, or that of an output bucket, whose notifications are
            skipped.
    """
    if not name:
        raise SettingsError("The bucket is missing: give the run's conf a bucket.")
    for suffix in BucketSuffix:
        if name.endswith(suffix):
            raise SettingsError(
                f"The name of the landing bucket {name} ends in {suffix}, as those of the "
                "pipeline's own buckets do, whose notifications are skipped: give the landing "
                "bucket another name."
            )
    return name
