"""The command line of the redaction.

``python -m xray.redaction IN OUT [--report FILE]`` redacts a file or a folder. The files keep
their names, except that DICOM becomes PNG: rename the files if their names identify a patient. A
quarantined image is not written. With ``--dicom``, DICOM becomes de-identified DICOM; the
deployment's secret keys its identifiers, and ``--retain`` keeps more than the Basic Profile does.

``python -m xray.redaction verify IMAGE CERTIFICATE [--secret-file FILE]`` checks the certificate of
a published image. ``./verify`` is a file or a folder of that name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from xray.command_line import add_secret_option, given_secrets
from xray.redaction.certificate import certificate_problem, conclusion
from xray.redaction.files import DicomOutput, redact_files
from xray.settings import RETAINABLE

VERIFY = "verify"
"""The first argument of a call that checks a certificate."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line's arguments; None for those of the process.

    Returns:
        The exit status: 0 if all images were redacted, or the certificate holds; 1 if an image
        failed or was quarantined, or the certificate does not hold. A wrong call exits with 2.

    Raises:
        SettingsError: the secret for a certificate is too short, or no valid list.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return _verify(given[1:]) if given[:1] == [VERIFY] else _redact(given)


def _redact(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m xray.redaction",
        usage="python -m xray.redaction [-h] [--report FILE] IN OUT\n"
        "       python -m xray.redaction --dicom [--secret-file FILE] [--retain WHAT …] IN OUT\n"
        "       python -m xray.redaction verify [-h] [--secret-file FILE] IMAGE CERTIFICATE",
        description="Remove the text on images, and their metadata. File names are kept. An image "
        "on which text remains is not written. With verify: check the certificate of a published "
        "image.",
    )
    parser.add_argument("source", metavar="IN", type=Path, help="an image, or a folder of images")
    parser.add_argument("target", metavar="OUT", type=Path, help="a file, or a folder")
    parser.add_argument(
        "--report", metavar="FILE", type=Path, help="write the JSON report to FILE, not to stdout"
    )
    parser.add_argument(
        "--dicom", action="store_true", help="write DICOM as de-identified DICOM, not as PNG"
    )
    parser.add_argument(
        "--retain",
        action="append",
        choices=RETAINABLE,
        default=[],
        help="with --dicom, what is kept beyond the Basic Profile; may be given several times",
    )
    add_secret_option(parser)
    options = parser.parse_args(arguments)
    source, target = options.source.resolve(), options.target.resolve()
    if not source.exists():
        parser.error("IN does not exist: it must be an image or a folder of images")
    if target == source or source in target.parents:
        parser.error("OUT must not be IN or inside of it: the originals would be overwritten")
    report = redact_files(source, target, _dicom_output(parser, options))
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    if options.report:
        options.report.write_text(text)
    else:
        sys.stdout.write(text)
    return 0 if all(entry["output"] is not None for entry in report) else 1


def _dicom_output(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> DicomOutput | None:
    """Return how DICOM is written; None for PNG."""
    if not options.dicom:
        return None
    secrets = given_secrets(parser, options)
    if not secrets:
        parser.error("--dicom needs the deployment's secret: name its file with --secret-file")
    return DicomOutput(secrets[0], frozenset(options.retain))


def _verify(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m xray.redaction {VERIFY}",
        description="Check that a certificate was sealed by this deployment and belongs to the "
        "image. The exit status is 0 if it does, and 1 if it does not.",
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help="the published image")
    parser.add_argument(
        "certificate", metavar="CERTIFICATE", type=Path, help="the object IMAGE.json beside it"
    )
    add_secret_option(parser)
    options = parser.parse_args(arguments)
    try:
        image, document = options.image.read_bytes(), options.certificate.read_bytes()
    except OSError as error:
        parser.error(f"{error.filename} cannot be read: {error.strerror}")
    secrets = given_secrets(parser, options)
    if reason := certificate_problem(image, document, secrets):
        sys.stdout.write(f"{options.image}: {reason}\n")
        return 1
    sys.stdout.write(f"{options.image}: {conclusion(document)}\n")
    return 0
