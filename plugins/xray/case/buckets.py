"""The buckets of a case and their contents."""

from __future__ import annotations

from dataclasses import dataclass

from xray.suffixes import BucketSuffix, landing_bucket


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of a case, named after the bucket that the image landed in.

    Raises:
        SettingsError: the landing bucket has no name, or that of an output bucket.
    """

    landing: str

    def __post_init__(self) -> None:
        landing_bucket(self.landing)

    @property
    def processed(self) -> str:
        """The bucket of annotated images, under the original key. Identified."""
        return self.landing + BucketSuffix.PROCESSED

    @property
    def anonymized(self) -> str:
        """The bucket of anonymised images. Nothing in it names a person."""
        return self.landing + BucketSuffix.ANONYMIZED

    @property
    def quarantine(self) -> str:
        """The bucket of images whose text could not be removed, under the case id. Identified."""
        return self.landing + BucketSuffix.QUARANTINE

    @property
    def staging(self) -> str:
        """The bucket of images between two steps, under the case id. Identified, short-lived."""
        return self.landing + BucketSuffix.STAGING

    @property
    def audit(self) -> str:
        """The bucket of audit records. Identified."""
        return self.landing + BucketSuffix.AUDIT

    @property
    def manifests(self) -> str:
        """The bucket of the objects' manifests, under the original key. Identified."""
        return self.landing + BucketSuffix.MANIFESTS

    def outputs(self) -> tuple[str, ...]:
        """Return the names of all buckets that the pipeline writes to."""
        return tuple(self.landing + suffix for suffix in BucketSuffix)
