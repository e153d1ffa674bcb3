"""Keep pydicom quiet: its warnings and log lines quote element values, which name patients.

Importing this module sets pydicom's logging and validation for the whole process.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import config

# Values that break a rule of the standard are common and harmless.
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE
_pydicom_logger = logging.getLogger("pydicom")
_pydicom_logger.addHandler(logging.NullHandler())
_pydicom_logger.propagate = False


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress every warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
