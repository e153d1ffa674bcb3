"""The buckets of a case and what each holds; every bucket name is written here, once."""

from __future__ import annotations

from dataclasses import dataclass

from xray.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of a case, named after the one that the image landed in."""

    landing: str

    def __post_init__(self) -> None:
        if not self.landing:
            raise SettingsError("The bucket is missing: give the run's conf a bucket and a key.")

    @property
    def processed(self) -> str:
        """Annotated images, under the original key. Identified."""
        return f"{self.landing}-processed"

    @property
    def anonymized(self) -> str:
        """Anonymised images. Nothing in it names a person."""
        return f"{self.landing}-anonymized"

    @property
    def quarantine(self) -> str:
        """Images that could not be made free of text, under the case id. Identified."""
        return f"{self.landing}-quarantine"

    @property
    def staging(self) -> str:
        """Images between two steps, under the case id. Identified, short-lived."""
        return f"{self.landing}-staging"

    @property
    def audit(self) -> str:
        """Audit records. Identified."""
        return f"{self.landing}-audit"

    def outputs(self) -> tuple[str, ...]:
        """The buckets that the pipeline writes to."""
        return (self.processed, self.anonymized, self.quarantine, self.staging, self.audit)
