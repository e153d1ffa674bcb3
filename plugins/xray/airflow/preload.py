"""The imports of all steps, made once in the server from which task processes are forked.

``config/airflow.env`` names this module in ``[core] mp_forkserver_preload``. The
module does nothing else. Without it, each task makes these imports itself.
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
import xray.image
import xray.redaction
import xray.risk
