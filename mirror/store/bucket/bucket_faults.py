"""Translation of obstore's errors into errors of this program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

from mirror.oci.remote_storage_errors import BucketFault, BucketUnreachable

#: Time after which a client may try again, in seconds.
_RETRY_AFTER_SECONDS: Final = 5
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3})")
#: Codes of S3 that more patience does not help against, with the reason and the fix.
_REFUSALS: Final = {
    "NoSuchBucket": ("does not exist", "create it, or correct storage.blobs.url"),
    "InvalidAccessKeyId": ("knows no such access key", "correct storage.blobs.access_key_id"),
    "SignatureDoesNotMatch": ("refuses the signature", "correct the key in storage.blobs.secret_key_file"),
    "ExpiredToken": ("refuses expired credentials", "renew the credentials, and restart the server"),
    "InvalidToken": ("refuses the session token", "correct AWS_SESSION_TOKEN, or remove it"),
    "RequestTimeTooSkewed": ("has another time than this machine", "set the clocks of both right"),
    "AccessDenied": (
        "denies access",
        "allow s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket",
    ),
    "PermanentRedirect": ("is in another region", "correct storage.blobs.region"),
    "AuthorizationHeaderMalformed": ("is in another region", "correct storage.blobs.region"),
    "EntityTooLarge": ("takes no object of this size", "raise the limit of the server of the bucket"),
    "QuotaExceeded": ("has no space left", "raise the quota of the bucket"),
    "InsufficientCapacity": ("has no space left", "add disks to the server of the bucket"),
}


class ObjectMissing(Exception):
    """The bucket has no object under a key. Never leaves this room."""


@contextmanager
def bucket_faults(doing: str, bucket: str) -> Iterator[None]:
    """Translate the errors of obstore that the block raises.

    Args:
        doing: the action for the error message, such as ``"read an object"``.
        bucket: name of the bucket.

    Raises:
        ObjectMissing: there is no such object.
        BucketUnreachable: no connection, no answer in time, or a server that is busy.
        BucketFault: the server refuses the request.
    """
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        if _code_of(error) == "NoSuchBucket":
            raise _refused(doing, bucket, "NoSuchBucket") from error
        raise ObjectMissing from error
    except TimeoutError as error:
        raise unreachable(doing, bucket, "it does not answer") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _refused(doing, bucket, _code_of(error) or "AccessDenied") from error
    except BaseError as error:
        code, status = _code_of(error), _STATUS.search(str(error))
        if code in _REFUSALS:
            raise _refused(doing, bucket, code) from error
        if status is None:
            raise unreachable(doing, bucket, "there is no connection to it, or it was lost") from error
        if int(status[1]) >= 500 or status[1] in {"408", "429"}:
            raise unreachable(doing, bucket, f"it is busy or fails (status {status[1]})") from error
        raise BucketFault(
            f"cannot {doing}: bucket {bucket} answers {status[1]} {code or 'without a code'}; "
            "fix: look into the log of the server of the bucket"
        ) from error


def unreachable(doing: str, bucket: str, why: str) -> BucketUnreachable:
    """Return the error for a bucket that does not do its work at the moment."""
    return BucketUnreachable(
        f"cannot {doing}: bucket {bucket} is not reachable, {why}; fix: try again, or check storage.blobs.endpoint",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )


def _refused(doing: str, bucket: str, code: str) -> BucketFault:
    why, fix = _REFUSALS.get(code, _REFUSALS["AccessDenied"])
    return BucketFault(f"cannot {doing}: bucket {bucket} {why}; fix: {fix}", code=code)


def _code_of(error: Exception) -> str:
    found = _CODE.search(str(error))
    return "" if found is None else found[1]
