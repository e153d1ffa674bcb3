"""Every bad file is refused with its own message, which names nobody."""

from __future__ import annotations

import pytest

from tests.support import bad_files
from tests.support.dicom_files import SECRET
from xray.errors import ImageError
from xray.image import decode

FILES = bad_files.all_bad_files()


def test_there_are_thirty_kinds() -> None:
    assert len(FILES) == 30


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_with_its_message(
    name: str, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    content, message = FILES[name]
    with pytest.raises(ImageError) as caught:
        decode(content)
    assert message in str(caught.value)
    assert str(caught.value).endswith(".")
    output = f"{caught.value}{caplog.text}{[str(warning.message) for warning in recwarn.list]}"
    assert SECRET not in output
