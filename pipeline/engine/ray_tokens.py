"""Ray's token authentication: found, or said what is missing.

Both sides must have the same mode, and Ray's own way to notice that they have not is to try again
for twenty seconds and then not to say why. One question to the cluster's head tells at once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import ray
from ray import exceptions

from restore_batch.errors import ExecutorError

_native: Any = ray._raylet  # without types

_MODE, _TOKEN, _PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_WHERE = (
    f"set {_TOKEN} to what `ray get-auth-token` prints on its head, or {_PATH} to a file with it"
    " (~/.ray/auth_token is found by itself)"
)
_NO_CLUSTER = "ab" * 28
"""The id of none: a head that lets us in answers that it is another."""
_ANSWERS_WITHIN_S, _ASKED_AGAIN_S = 30.0, 5.0
"""How long an answer of a busy head is waited for, and after what time it is asked again."""


def use_tokens() -> None:
    """From now on this process and what it starts authenticate."""
    os.environ[_MODE] = "token"
    # Ray reads it when it is imported, or first asked for.
    _native.Config.initialize("")
    _native.AuthenticationTokenLoader.instance().reset_cache()


def agree_with(gcs_address: str) -> None:
    """Take the mode of the cluster whose head is at ``host:port``, unless the environment sets one.

    The token is that of ``RAY_AUTH_TOKEN``, of the file ``RAY_AUTH_TOKEN_PATH`` or of
    ``~/.ray/auth_token``. Raises ExecutorError where the cluster or the environment wants one and
    there is none.
    """
    asked = os.environ.get(_MODE)
    if asked == "token" and not _has_token():
        # Ray ends a process that has none, without a word.
        raise ExecutorError(f"{_MODE}=token is set here, and there is no token: {_WHERE}")
    if not _is_refused(gcs_address):
        return
    if asked == "disabled":
        raise ExecutorError(
            f"the Ray cluster at {gcs_address} wants a token, and {_MODE}=disabled is set here:"
            " unset it"
        )
    if not _has_token():
        raise ExecutorError(f"the Ray cluster at {gcs_address} wants a token: {_WHERE}")
    use_tokens()
    if _is_refused(gcs_address):
        raise ExecutorError(
            f"the Ray cluster at {gcs_address} does not take the token of {_origin()}: expected"
            " what `ray get-auth-token` prints on its head"
        )


def _has_token() -> bool:
    path = os.environ.get(_PATH)
    if _TOKEN not in os.environ and path is not None and not Path(path).is_file():
        raise ExecutorError(f"{_PATH} is {path!r}: expected a file with the cluster's token")
    return bool(_native.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


def _origin() -> str:
    return next((name for name in (_TOKEN, _PATH) if name in os.environ), "~/.ray/auth_token")


def _is_refused(gcs_address: str) -> bool:
    """Whether a head does not let us in as we are. Raises ExecutorError where it does not say."""
    until = time.monotonic() + _ANSWERS_WITHIN_S
    while True:
        try:
            head = _native.GcsClient(address=gcs_address, cluster_id=_NO_CLUSTER)
            head.internal_kv_get(b"nothing", namespace=b"nothing", timeout=_ASKED_AGAIN_S)
        except exceptions.AuthenticationError as error:
            return "InvalidAuthToken" in str(error)
        except exceptions.RpcError as error:
            # Going on without the token that it wants ends this process without a word.
            if time.monotonic() > until:
                raise ExecutorError(
                    f"the Ray cluster at {gcs_address} takes connections and does not answer"
                    f" ({str(error).splitlines()[0]}): is its head overloaded, or is that the port"
                    " of something else?"
                ) from None
            time.sleep(_ASKED_AGAIN_S / 10)
        else:
            return False
