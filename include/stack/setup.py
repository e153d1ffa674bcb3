"""Create what the pipeline needs: the account, the buckets, the topics and the announcements.

``python -m include.stack.setup`` creates the account at Ceph, and the rest by the code of ``python
-m xray setup``. It creates what is missing and keeps what exists, so it can run at every start. If
a server is not ready, it ends with an error, and Docker starts it again.
"""

from __future__ import annotations

import os
import sys

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from include.stack import store
from xray.airflow.deployment import setup

ACCOUNT = "xray"
SECONDS = 30.0


def main() -> int:
    """Create everything that is missing; return the exit status."""
    create_account()
    return setup.run(sys.stdout, push_endpoint=os.environ["PUSH_ENDPOINT"])


def create_account() -> None:
    """Create the pipeline's account at the gateway: it owns the buckets and has no admin rights.

    Raises:
        SystemExit: the gateway refused; the message says what to do.
    """
    keys = {"access-key": os.environ["S3_ACCESS_KEY"], "secret-key": os.environ["S3_SECRET_KEY"]}
    account = {"uid": ACCOUNT, "display-name": ACCOUNT, "key-type": "s3", **keys}
    answer = _administer("PUT", account)
    if answer.status_code == httpx.codes.CONFLICT:
        # The account exists; its keys may differ from those of a new .env.
        answer = _administer("POST", {"uid": ACCOUNT, "key-type": "s3", **keys})
    if answer.is_error:
        raise SystemExit(
            f"The gateway refused to create the account {ACCOUNT}: {answer.status_code} "
            f"{answer.text[:200]}. If .env is newer than the gateway's volume, restore the old "
            ".env, or delete all volumes with docker compose down -v."
        )
    print(f"account {ACCOUNT}", flush=True)


def _administer(method: str, query: dict[str, str]) -> httpx.Response:
    """Send a request to the gateway's admin API, signed with the administrator's key."""
    login = (os.environ["CEPH_ADMIN_ACCESS_KEY"], os.environ["CEPH_ADMIN_SECRET_KEY"])
    request = AWSRequest(method, f"{store.endpoint()}/admin/user", params=query)
    S3SigV4Auth(Credentials(*login), "s3", store.REGION).add_auth(request)
    prepared = request.prepare()
    return httpx.request(method, prepared.url, headers=dict(prepared.headers), timeout=SECONDS)


if __name__ == "__main__":
    sys.exit(main())
