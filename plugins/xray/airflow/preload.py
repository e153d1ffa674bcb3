"""What every step needs, imported once in the server that task processes are forked from.

``config/airflow.env`` names this module in ``[core] mp_forkserver_preload``. It
does nothing else; without it a task works too, and imports for itself.
"""

import ai_edge_litert.interpreter
import airflow.providers.amazon.aws.hooks.s3
import airflow.providers.standard.operators.hitl
import boto3.s3.transfer
import PIL.JpegImagePlugin
import PIL.PngImagePlugin
import PIL.TiffImagePlugin

import xray.airflow.case.release
import xray.airflow.case.review
import xray.audit
import xray.image.caption
import xray.redaction
import xray.risk
