"""The command line of the redaction: ``python -m xray.redaction IN OUT [--report FILE]``.

It redacts a file or a folder. The files keep their names, except that DICOM becomes PNG: rename
the files if their names identify a patient. A quarantined image is not written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from xray.redaction.files import redact_files


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line's arguments; None for those of the process.

    Returns:
        The exit status: 0 if all images were redacted, 1 if one failed or was quarantined. A wrong
        call exits with 2.
    """
    parser = argparse.ArgumentParser(
        prog="python -m xray.redaction",
        description="Remove the text on images, and their metadata. File names are kept. An image "
        "on which text remains is not written.",
    )
    parser.add_argument("source", metavar="IN", type=Path, help="an image, or a folder of images")
    parser.add_argument("target", metavar="OUT", type=Path, help="a file, or a folder")
    parser.add_argument(
        "--report", metavar="FILE", type=Path, help="write the JSON report to FILE, not to stdout"
    )
    options = parser.parse_args(arguments)
    source, target = options.source.resolve(), options.target.resolve()
    if not source.exists():
        parser.error("IN does not exist: it must be an image or a folder of images")
    if target == source or source in target.parents:
        parser.error("OUT must not be IN or inside of it: the originals would be overwritten")
    report = redact_files(source, target)
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    if options.report:
        options.report.write_text(text)
    else:
        sys.stdout.write(text)
    return 0 if all(entry["output"] is not None for entry in report) else 1
