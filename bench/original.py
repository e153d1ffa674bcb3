"""The way of the demo that this package re-creates: one HTTP service that handles each event.

``python -m bench.original FOLDER`` listens on a free port of the loopback address, prints the
address, and handles each event in a process of its own, forked from one that has imported
TensorFlow. The handler reads the object, loads the model, predicts, prints the label on the image,
and writes it to the bucket of processed images. It then blurs a corner and writes the image to the
bucket of anonymised images. Nothing is checked, retried or recorded.

The steps are those of the Knative demo, written anew for this benchmark. The model has the size and
the layers of the demo's, and untrained weights: its cost counts, and not its result. Every image
takes the longer way, with a blurred corner.
"""

from __future__ import annotations

import io
import json
import os
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import boto3
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from include.servers.base import EmbeddedServer

SIDE = 150
"""The side of the model's input, in pixels."""
FILTERS = (32, 64, 64, 128, 256)
CORNER = (300, 100)
"""The width and the height of the blurred corner at the bottom left, in pixels."""


class OriginalService(EmbeddedServer):
    """The service in a process of its own. Its environment has the address of the store."""

    name: ClassVar[str] = "original"

    def command(self) -> list[str]:
        """Return the command that runs the service."""
        return [sys.executable, "-m", "bench.original", str(self.log.parent)]


class Handler(BaseHTTPRequestHandler):
    """Handles one event."""

    model: ClassVar[Path]

    def do_POST(self) -> None:
        """Handle the event in the body of the request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        record = json.loads(body)["Records"][0]["s3"]
        handle(self.model, record["bucket"]["name"], record["object"]["key"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Service(socketserver.ForkingMixIn, socketserver.TCPServer):
    """Handles each request in a forked process."""

    request_queue_size = 64


def handle(model: Path, bucket: str, key: str) -> None:
    """Classify, annotate and anonymise an object."""
    # Credentials and region are in the environment.
    s3 = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"])
    image = Image.open(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
    image = image.convert("RGB")
    ImageDraw.Draw(image).text((10, 10), f"risk={predict(model, image):.2%}", fill="white")
    _put(s3, f"{bucket}-processed", key, image)
    width, height = CORNER
    box = (0, image.height - height, width, image.height)
    image.paste(image.crop(box).filter(ImageFilter.GaussianBlur(20)), box)
    _put(s3, f"{bucket}-anonymized", key, image)


def predict(path: Path, image: Image.Image) -> float:
    """Load the model, and return the risk of pneumonia, 0 to 1."""
    import keras

    small = np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32)[None] / 255
    return float(keras.saving.load_model(path).predict(small, verbose=0)[0, 0])


def make_model(path: Path) -> None:
    """Write an untrained model of the demo's size."""
    import keras
    from keras import layers

    model: Any = keras.Sequential([keras.Input((SIDE, SIDE, 3))])
    for filters in FILTERS:
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.save(path)


def _put(s3: Any, bucket: str, key: str, image: Image.Image) -> None:
    stream = io.BytesIO()
    image.save(stream, "JPEG")
    name = PurePosixPath(key)
    name = name.with_stem(f"{name.stem}-{bucket.rpartition('-')[2]}")
    s3.put_object(Bucket=bucket, Key=str(name), Body=stream.getvalue())


def main(folder: Path) -> None:
    """Serve until the process is ended."""
    Handler.model = folder / "original.keras"
    if (child := os.fork()) == 0:
        # In a process of its own: a process that has used TensorFlow must not be forked.
        make_model(Handler.model)
        os._exit(0)
    os.waitpid(child, 0)
    import keras  # noqa: F401 - imported once, before the handlers are forked

    with Service(("127.0.0.1", 0), Handler) as server:
        print("http://{}:{}".format(*server.server_address), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
