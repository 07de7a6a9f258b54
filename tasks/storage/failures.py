"""What can go wrong at the object store: which errors pass by themselves, and what each means for a person."""

from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, SSLError

from tasks.errors import StorageError

SDK_ERRORS = (MinioException, HTTPError, ParseError)
"""All that the SDK raises by itself; XML that breaks off is a cut connection."""

_MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "ResourceNotFound"}
_PASSING = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "XMinioServerNotInitialized"}
_LOST_UPLOAD = {"NoSuchUpload", "InvalidPart"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}


class ObjectMissing(StorageError):
    """The object, or its bucket, does not exist."""


class ObjectChanged(StorageError):
    """The object is no longer the one that was looked at."""


def _status(error: BaseException) -> int:
    """HTTP status of an error, 0 when it is none."""
    if isinstance(error, S3Error):
        return int(error.response.status)
    if isinstance(error, ServerError):
        return error.status_code
    if isinstance(error, InvalidResponseError):
        return int(error._code)  # noqa: SLF001 - no public attribute
    return 0


def code_of(error: BaseException | None) -> str:
    """S3's own word for an error, empty when there is none."""
    return error.code or "" if isinstance(error, S3Error) else ""


def is_passing(error: BaseException) -> bool:
    """Whether the same call may work a moment later: no connection, a cut one, or a server in trouble."""
    if isinstance(error, SSLError):
        return False
    return (
        isinstance(error, HTTPError | ParseError)
        or (_status(error) >= 500 and code_of(error) != "NotImplemented")
        or _status(error) == 429
        or code_of(error) in _PASSING
    )


def is_lost_upload(error: BaseException) -> bool:
    """Whether the store has forgotten a multipart upload or one of its parts, as after a crash."""
    return code_of(error) in _LOST_UPLOAD


def is_unsupported(error: BaseException | None) -> bool:
    """Whether the store does not offer this call."""
    return code_of(error) in {"NotImplemented", "MethodNotAllowed"}


def explain(error: Exception, doing: str, where: str, endpoint: str, patience: float) -> StorageError:
    """The error a person reads.

    Args:
        error: what the SDK raised.
        doing: what was attempted, such as ``write``.
        where: the object as ``s3://bucket/key``, or the bucket.
        endpoint: host and port of the store.
        patience: seconds for which the call was repeated.
    """
    code = code_of(error)
    if code in _MISSING or _status(error) == 404:
        missing = f"the bucket of {where}" if code == "NoSuchBucket" else where
        return ObjectMissing(f"cannot {doing} {where}: {missing} does not exist.", fix="Check its name.")
    if code in _DENIED or _status(error) in {401, 403}:
        return StorageError(
            f"cannot {doing} {where}: the object store at {endpoint} denies access ({code or _status(error)}).",
            fix="Check the keys in the storage block, what they may do, and this machine's clock.",
        )
    if is_passing(error):
        return StorageError(
            f"cannot {doing} {where}: the object store at {endpoint} gave no usable answer within {patience:g} s "
            f"({_cause(error)}).",
            fix="Check that it runs, with `studio doctor`, then run the same again; finished work is kept.",
        )
    return StorageError(
        f"cannot {doing} {where}: the object store at {endpoint} refused ({_cause(error)}).",
        fix="Check the storage block and the free space of the store.",
    )


def _cause(error: Exception) -> str:
    """The short cause; connection errors carry it at the end of a long chain."""
    if isinstance(error, S3Error):
        return f"{error.code}: {error.message}"
    if _status(error):
        return f"HTTP status {_status(error)}"
    return f"{type(error).__name__}: {str(error).rsplit(': ', 1)[-1]}"
