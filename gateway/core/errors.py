"""The tree of errors a caller can meet.

    GatewayError
      ClientError     the request is wrong or not allowed: sending it again unchanged cannot help
      Rejected        turned away before the queue: we lack something, a retry may help
      Evicted         left the queue or the engine unserved
      UpstreamError   an engine failed us

A class knows its status, its OpenAI `type` and `code`, and whether a retry is safe. `retry` becomes the
`x-should-retry` header of every error, because OpenAI's SDKs send 3 requests for each 5xx without it: it is true only
where no engine work was spent, so that our dispatches times theirs never exceed two.
No text from an engine, no address and no traceback belongs in a message: messages go to clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class GatewayError(Exception):
    """Any end of a call that is answered with an error body.

    `retry_after` is in whole seconds, `retry_after_ms` the same in milliseconds, for clients that read that.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = "internal_error"
    retry: ClassVar[bool] = False
    outcome: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.retry_after_ms = retry_after_ms


class ClientError(GatewayError):
    """The caller's to mend."""

    status = 400
    type = "invalid_request_error"
    code: ClassVar[str | None] = None
    outcome = "client_error"


class InvalidRequest(ClientError):
    """The body or a header is not what the API takes; `param` names the field."""

    code = "invalid_request"


class InvalidJson(InvalidRequest):
    """The body is not JSON, or not what every reader of JSON reads alike: deeper or larger than allowed, a key twice."""

    code = "invalid_json"


class FieldNotAllowed(InvalidRequest):
    """A field that only an operator can allow (`requests.allowed_fields`), or one that this API does not have."""

    code = "field_not_allowed"


class Unauthenticated(ClientError):
    """No key, or one we do not accept. Unknown, revoked and malformed keys read the same."""

    status = 401
    code = "invalid_api_key"


class Forbidden(ClientError):
    """A good key without the right to this."""

    status = 403
    type = "permission_error"
    code = "permission_denied"


class NotFound(ClientError):
    """No such path."""

    status = 404
    code = "not_found"


class ModelNotFound(ClientError):
    """No model of that name that this key may use. Whether there is one reads the same."""

    status = 404
    code = "model_not_found"

    @classmethod
    def named(cls, model: str) -> ModelNotFound:
        """The refusal of `model`."""
        return cls(f"The model `{model}` does not exist or you do not have access to it.", param="model")


class MethodNotAllowed(ClientError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(ClientError):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class Conflict(ClientError):
    """What is there already, or belongs to the configuration file, or is still needed, stands in the way."""

    status = 409
    code = "conflict"


class VersionMismatch(ClientError):
    """The object was changed since the caller read it: read it again."""

    status = 412
    code = "version_mismatch"


class PreconditionRequired(ClientError):
    """A change has to say which version of the object it is about, in `If-Match`."""

    status = 428
    code = "precondition_required"


class BodyTooLarge(ClientError):
    """More bytes than one request may send."""

    status = 413
    code = "request_too_large"


class HeadersTooLarge(ClientError):
    """The request line and headers are larger than a request's may be."""

    status = 431
    code = "headers_too_large"


class UnsupportedMediaType(ClientError):
    """Not JSON by its own words, or compressed."""

    status = 415
    code = "unsupported_media_type"


class ContextTooLong(ClientError):
    """An engine found the request longer than its model's context."""

    code = "context_length_exceeded"


class Quarantined(ClientError):
    """Engines died under this very request: it is not given to another for some minutes."""

    status = 422
    code = "request_quarantined"


class RateLimited(ClientError):
    """A limit of the key, its user, team or organisation, or of the model, has no room now."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry = True
    outcome = "rate_limited"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        retry_after_ms: int | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after, retry_after_ms=retry_after_ms)
        self.headers = headers
        """What there is to say of the limit."""


class QuotaExceeded(ClientError):
    """A budget of the key, its user, team or organisation is used up for the day or month."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    outcome = "rate_limited"


class ExceedsLimit(ClientError):
    """What the request may use at most is more than a whole limit or budget: it could never be served."""

    code = "request_exceeds_limit"
    outcome = "rate_limited"


class Rejected(GatewayError):
    """Turned away before the queue. Nothing was sent to an engine."""

    status = 503
    code = "overloaded"
    retry = True
    outcome = "rejected"


class QueueFull(Rejected):
    """As many calls wait as may."""


class TooLate(Rejected):
    """Would have been begun after the time that its client waits, or that it may wait in the queue."""

    code = "deadline_unreachable"


class TooManyConnections(Rejected):
    """As many connections are open as may be."""


class Exhausted(Rejected):
    """The gateway itself has no memory, file descriptors or ports left for one more."""


class NoReplica(Rejected):
    """No engine serves this model now."""

    code = "model_unavailable"


class StoreUnavailable(Rejected):
    """The database, or the disk that usage is written to, cannot take what this needs."""

    code = "store_unavailable"


class AuditUnavailable(Rejected):
    """The audit log cannot be written, or not be read: nothing is changed that nobody could account for."""

    code = "audit_unavailable"


class LimitsUnavailable(Rejected):
    """The shared counts of limits cannot be asked now, and the operator wants no guesses."""

    code = "limits_unavailable"


class Draining(Rejected):
    """This gateway is shutting down."""

    code = "shutting_down"


class Evicted(GatewayError):
    """Left the queue or the engine unserved."""

    status = 503
    code = "overloaded"
    outcome = "evicted"


class QueueTimeout(Evicted):
    """Waited as long as a call may wait. Nothing was sent to an engine."""

    retry = True


class Displaced(Evicted):
    """Gave way to a call of a higher tier, or of a tenant with fewer that wait. Nothing was sent to an engine."""

    retry = True


class CutShort(Evicted):
    """The gateway stopped while an engine worked on the call: sent again, that work would be done twice."""

    code = "shutting_down"


class DeadlineExceeded(Evicted):
    """The call's total time is over."""

    status = 504
    code = "timeout"


class UpstreamError(GatewayError):
    """An engine failed us."""

    status = 502
    code = "upstream_error"
    outcome = "upstream_error"


class ConnectFailed(UpstreamError):
    """No connection to the engine; it has read nothing."""

    code = "upstream_unreachable"
    retry = True


class UpstreamLost(UpstreamError):
    """The engine closed, broke or garbled its answer before any content reached the client."""

    code = "upstream_lost"


class UpstreamTimeout(UpstreamError):
    """No first byte of content, or none between two, in time."""

    status = 504
    code = "timeout"


class StreamInterrupted(UpstreamError):
    """Content had already reached the client: told in-band, as the last event of the stream, without `[DONE]`."""

    code = "stream_interrupted"
