"""xray.case.buckets and xray.suffixes"""

from __future__ import annotations

import pytest

from xray.case import Buckets
from xray.errors import SettingsError
from xray.suffixes import BucketSuffix


def test_the_buckets_are_named_after_the_landing_bucket() -> None:
    buckets = Buckets("xray-data-in")
    assert buckets.processed == "xray-data-in-processed"
    assert buckets.anonymized == "xray-data-in-anonymized"
    with pytest.raises(SettingsError, match="bucket"):
        Buckets("")


@pytest.mark.parametrize("suffix", BucketSuffix)
def test_a_landing_bucket_named_like_an_output_is_refused(suffix: BucketSuffix) -> None:
    with pytest.raises(SettingsError, match=f"bucket a{suffix} ends in {suffix},.*another name"):
        Buckets(f"a{suffix}")
    assert Buckets(f"a{suffix}-2").landing == f"a{suffix}-2"


def test_every_suffix_belongs_to_an_output_bucket() -> None:
    buckets = Buckets("b")
    named = (
        buckets.processed,
        buckets.anonymized,
        buckets.quarantine,
        buckets.staging,
        buckets.audit,
        buckets.manifests,
    )
    assert buckets.outputs() == named
    assert len(set(named)) == len(BucketSuffix)
