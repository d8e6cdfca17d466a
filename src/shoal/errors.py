"""Everything that can go wrong, in one tree.

ShoalError
├── ConfigError            shoal.toml or the environment is wrong: file, key, what was expected
├── CallFileError          a file of calls cannot be read or written: file, line, what was expected
├── RequestError           the caller's request cannot be answered as sent (HTTP 4xx)
│   ├── MalformedRequest       400  not JSON, or a field of the wrong type
│   ├── BodyTooLarge           413
│   ├── UnknownModel           404
│   ├── InvalidKey             401  no key, or one that is unknown, expired or revoked
│   ├── NotAllowed             403  the key is good, but not for this
│   ├── PriceUnknown           403  there is a budget, and nobody knows what the call would cost
│   ├── RateLimited            429  more requests or tokens a minute than the key may have
│   └── BudgetExceeded         429  the call could cost more than is left of a budget
├── EngineError            an engine could not answer (HTTP 502 unless said)
│   ├── EngineUnreachable      502  nobody listens, the connection broke, or the reply is no answer
│   ├── EngineTimeout          504
│   ├── EngineRefused          the upstream's own status and body, passed on as they came
│   └── NotRecorded            404  a recording holds no answer to this request
├── StoreError             the store cannot be read or written
│   ├── StoreDamaged           refused on opening; nothing is overwritten
│   ├── NotFound               no such call, task, certificate, key …
│   └── Conflict               409  there is one of that name already
├── ArtifactError          a model file is missing, truncated or not what its digest says
├── LearningError          a task cannot be learned or certified; says what is missing
└── MissingExtra           an optional part is not installed; names the extra
"""

from collections.abc import Mapping
from types import MappingProxyType


class ShoalError(Exception):
    """Root of all errors that Shoal raises on purpose."""


class ConfigError(ShoalError):
    """``shoal.toml`` or the environment is wrong."""


class CallFileError(ShoalError):
    """A file of calls cannot be read or written, or a line of it is no call."""


class RequestError(ShoalError):
    """The caller's request cannot be answered as sent."""

    status = 400
    code = "invalid_request"
    headers: Mapping[str, str] = MappingProxyType({})  # that go with the reply

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class MalformedRequest(RequestError):
    """Not JSON, or a field of the wrong type."""


class BodyTooLarge(RequestError):
    """The body is over ``gateway.max_body_mb``."""

    status = 413
    code = "body_too_large"


class UnknownModel(RequestError):
    """No model of that name in ``shoal.toml``."""

    status = 404
    code = "model_not_found"


class InvalidKey(RequestError):
    """No key, or one that is unknown, expired or revoked. The message never holds it."""

    status = 401
    code = "invalid_api_key"
    headers: Mapping[str, str] = MappingProxyType({"www-authenticate": "Bearer"})


class NotAllowed(RequestError):
    """The key is good, but lacks the scope, or may not use that model or task."""

    status = 403

    def __init__(self, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.code = code


class PriceUnknown(RequestError):
    """There is a budget, and nobody knows what the call would cost."""

    status = 403
    code = "price_unknown"


class RateLimited(RequestError):
    """More requests or tokens a minute than a key may have; ``headers`` say when to come again."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class BudgetExceeded(RequestError):
    """The call could cost more than is left of a budget; nothing was spent on it."""

    status = 429
    code = "budget_exceeded"

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class EngineError(ShoalError):
    """An engine could not answer."""

    status = 502
    code = "upstream_error"


class EngineUnreachable(EngineError):
    """Nobody listens there, the connection broke, or the reply is not an answer."""

    code = "upstream_unreachable"


class EngineTimeout(EngineError):
    """The engine did not answer in time."""

    status = 504
    code = "upstream_timeout"


class EngineRefused(EngineError):
    """The upstream answered with an error of its own, passed on as it came.

    ``retry_after`` is its header of that name, "" if it sent none.
    """

    code = "upstream_refused"

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        retry_after: str = "",
    ) -> None:
        super().__init__(f"the upstream answered with status {status}")
        self.status = status
        self.body = body
        self.content_type = content_type
        self.retry_after = retry_after


class NotRecorded(EngineError):
    """A recording holds no answer to this request."""

    status = 404
    code = "not_recorded"


class StoreError(ShoalError):
    """The store cannot be read or written."""


class StoreDamaged(StoreError):
    """The database file is damaged; it was left as it is."""


class NotFound(StoreError):
    """No such call, task, certificate, card or key."""


class Conflict(StoreError):
    """There is one of that name already, or it is in no state for this."""


class ArtifactError(ShoalError):
    """A model file is missing, truncated or not what its digest says."""


class LearningError(ShoalError):
    """A task cannot be learned or certified; the message says what is missing."""


class MissingExtra(ShoalError):
    """An optional part is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs an optional part: pip install 'shoal[{extra}]'")
        self.extra = extra
