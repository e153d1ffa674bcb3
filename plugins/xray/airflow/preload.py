"""The imports and the models of all steps, made once in the server that forks task processes.

``config/airflow.env`` names this module in ``[core] mp_forkserver_preload``. Without it, each task
makes these imports and loads these models itself.
"""

from contextlib import suppress

import ai_edge_litert.interpreter
import airflow.providers.amazon.aws.hooks.s3
import airflow.providers.standard.operators.hitl
import boto3.s3.transfer
import cryptography.hazmat.primitives.ciphers.aead
import cryptography.hazmat.primitives.kdf.hkdf
import PIL.Image
import PIL.TiffImagePlugin

import xray.airflow.case.release
import xray.airflow.case.review
import xray.audit
import xray.image
import xray.redaction
import xray.risk
from xray.airflow import connections
from xray.errors import ModelError

PIL.Image.preinit()  # Imports the usual formats; otherwise the first image does.
connections.warm_up()
xray.redaction.load_engines()
with suppress(ModelError):  # Each case says what is wrong with the model.
    xray.risk.shared_model()
