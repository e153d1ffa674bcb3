"""What the results of a case's steps look like in Airflow's database.

Airflow keeps the result of each task (its XCom) and shows it. A value that is
unique to a case, such as its exact risk or the hash of its anonymised image,
would lead from the case to that image. Such values are sealed: see :mod:`xray.seal`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from xray.case.values import SCHEMA, Scored, Staged, check_schema
from xray.case.work import Work
from xray.errors import PermanentError
from xray.pseudonym import Keyring
from xray.seal import seal, unseal
from xray.settings import Settings

SEALED = "sealed"
"""The field that holds all fields that are not shown."""
_SHOWN = {
    Scored: ("label", "model", "refused", "review"),
    Staged: ("name", "content_type", "suffix"),
}
"""The fields that are the same for many cases, or known from the case's id."""
_Result = TypeVar("_Result", Scored, Staged)


def hand_over(work: Work, result: Scored | Staged) -> dict[str, Any]:
    """Return a step's result for Airflow's database, with the risk in two digits."""
    return seal_result(result, settings=work.settings, keyring=work.keyring, case_id=work.case_id)


def seal_result(
    result: Scored | Staged, *, settings: Settings, keyring: Keyring, case_id: str
) -> dict[str, Any]:
    """Return what :func:`hand_over` returns, for a case that is not at work."""
    rest = result.to_json()
    shown = {name: rest.pop(name) for name in _SHOWN[type(result)]}
    if isinstance(result, Scored):
        shown["risk"] = settings.rounded(result.risk)
    context = _context(case_id, type(result))
    sealed = seal(keyring.secrets[0], json.dumps(rest), context=context)
    return {"schema": SCHEMA, **shown, SEALED: sealed}


def take_over(work: Work, kind: type[_Result], values: Mapping[str, Any]) -> _Result:
    """Return the result of a step that :func:`hand_over` was called with.

    Args:
        work: the case.
        kind: the type of the result.
        values: the result of :func:`hand_over`, or the result itself as JSON.

    Raises:
        PermanentError: the sealed fields were changed, belong to another case, or were sealed with
            a secret that is not there; or a later version of this package has written the result.
    """
    check_schema(values)
    shown = {name: value for name, value in values.items() if name != "schema"}
    sealed = shown.pop(SEALED, None)
    if sealed is None:  # Versions before this one sealed nothing.
        return kind.from_json(shown)
    try:
        rest = json.loads(
            unseal(work.keyring.secrets, sealed, context=_context(work.case_id, kind))
        )
    except PermanentError:
        raise PermanentError(
            "The result of an earlier task cannot be opened: it was changed, or the Airflow "
            "Variable xray_pseudonym_secret no longer holds the secret that it was sealed with. "
            "Clear the case's run from fetch on."
        ) from None
    return kind.from_json({**shown, **rest})


def _context(case_id: str, kind: type) -> str:
    return f"{kind.__name__} of {case_id}"
