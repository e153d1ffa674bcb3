"""Copies the chest X-rays that arrive in an Orthanc to the landing bucket.

It is a script of Orthanc's Python plugin, and needs boto3 in the Python of that plugin. It follows
Orthanc's log of changes from its first start on, and Orthanc's database holds how far it is. So no
image is missed if the object store, or Orthanc itself, was away for some time. An image may be
copied twice, which starts a second case of it. The name of an object is a hash.

Results that the pipeline sends to the same Orthanc are Secondary Captures and reports. They are not
copied, because they would be processed again.

Environment:
    XRAY_BUCKET: the landing bucket; ``xray-data-in`` by default.
    XRAY_S3_ENDPOINT: the address of the object store; none for AWS.
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: of an account that may write to the bucket.
"""

import json
import os
import threading

import boto3
import orthanc

BUCKET = os.environ.get("XRAY_BUCKET", "xray-data-in")
ENDPOINT = os.environ.get("XRAY_S3_ENDPOINT")
CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "Computed Radiography Image Storage",
    "1.2.840.10008.5.1.4.1.1.1.1": "Digital X-Ray Image Storage - For Presentation",
}
PLACE = 4100
"""The number of the global property of Orthanc that holds the last change that is done with."""
PAUSE = 10.0
"""Seconds before the next try if the object store does not answer."""

news, stopped = threading.Event(), threading.Event()


def follow():
    """Copy what has arrived, and wait for more, until Orthanc stops."""
    store = boto3.client("s3", endpoint_url=ENDPOINT)
    while not stopped.is_set():
        news.clear()
        try:
            while copy_next(store) and not stopped.is_set():
                pass
        except Exception as error:  # The text of an error could quote the image.
            orthanc.LogError(f"The bucket {BUCKET} takes no images now: {type(error).__name__}")
            stopped.wait(PAUSE)
        else:
            news.wait()


def copy_next(store):
    """Copy the images of the next changes; return whether there may be more of them."""
    place = orthanc.GetGlobalProperty(PLACE, "")
    log = json.loads(orthanc.RestApiGet(f"/changes?since={place}&limit=100"))
    for change in log["Changes"]:
        if change["ChangeType"] == "NewInstance":
            copy(store, change["ID"])
        orthanc.SetGlobalProperty(PLACE, str(change["Seq"]))
    return not log["Done"]


def copy(store, instance):
    """Copy an instance if it is a radiograph, unless Orthanc no longer has it."""
    try:
        kind = orthanc.RestApiGet(f"/instances/{instance}/metadata/SopClassUid").decode()
        data = orthanc.RestApiGet(f"/instances/{instance}/file") if kind in CLASSES else None
    except orthanc.OrthancException as error:
        if error.args[0] == orthanc.ErrorCode.UNKNOWN_RESOURCE:
            return
        raise
    if data:
        key = f"orthanc/{instance}.dcm"  # Orthanc's own id is a hash.
        store.put_object(Bucket=BUCKET, Key=key, Body=data, ContentType="application/dicom")


def on_change(change, level, resource):
    """Start, wake and stop the thread that copies."""
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        if not orthanc.GetGlobalProperty(PLACE, ""):  # What was there before is not copied.
            newest = json.loads(orthanc.RestApiGet("/changes?last"))["Last"]
            orthanc.SetGlobalProperty(PLACE, str(newest))
        threading.Thread(target=follow, daemon=True).start()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        stopped.set()
    if change in (orthanc.ChangeType.NEW_INSTANCE, orthanc.ChangeType.ORTHANC_STOPPED):
        news.set()


orthanc.RegisterOnChangeCallback(on_change)
