"""Everything that can go wrong, in one tree.

ShoalError
├── ConfigError            shoal.toml or the environment is wrong: file, key, what was expected
├── CallFileError          a file of calls cannot be read or written: file, line, what was expected
├── RequestError           the caller's request cannot be answered as sent (HTTP 4xx)
│   ├── MalformedRequest       400  not JSON, or a field of the wrong type
│   ├── TooManyMessages        400
│   ├── Untranslatable         400  asks for what the answering engine's wire format cannot say
│   ├── ContextLengthExceeded  400  input and asked output do not fit into the model's context
│   ├── BodyTooLarge           413
│   ├── UploadsFull            413  uploaded files leave no room for another
│   ├── PrivacyRefused         403  holds what the privacy rules keep from every answerer
│   ├── NoAnswerer             403  no answerer is left that the policy allows
│   ├── UnknownModel           404
│   ├── InvalidKey             401  no key, or one that is unknown, expired or revoked
│   ├── NotAllowed             403  the key is good, but not for this
│   ├── PriceUnknown           403  there is a budget, and nobody knows what the call would cost
│   ├── MaxCostExceeded        403  the call could cost more than it was said that it may
│   ├── EffortExceeded         403  what a strategy may spend does not pay for one call
│   ├── RateLimited            429  more requests or tokens a minute than the key may have
│   └── BudgetExceeded         429  the call could cost more than is left of a budget
├── EngineError            an engine could not answer (HTTP 502 unless said)
│   ├── EngineUnreachable      502  nobody listens, the connection broke, or the reply is no answer
│   ├── EngineTimeout          504
│   ├── MaxLatencyExceeded     504  the answer was not there as soon as the caller wanted it
│   ├── EngineBusy             503  it failed so often, or has so much to do, that it is left alone
│   ├── GatewayStopped         503  the gateway was stopped before the answer came
│   ├── EncoderMissing         503  the weights of the local encoder are nowhere to be found
│   ├── RunFailed              502  the run of an agent came to nothing
│   ├── CallerGone                  the client hung up before the answer came
│   ├── EngineRefused          the upstream's own status and body, passed on as they came
│   └── NotRecorded            404  a recording holds no answer to this request
├── StoreError             the store cannot be read or written
│   ├── StoreDamaged           refused on opening; nothing is overwritten
│   ├── NotFound               no such call, task, certificate, key …
│   ├── Conflict               409  there is one of that name already
│   └── LeaseLost                   a run that is not, or no longer, this process's to go on with
├── ReadError              a file cannot be read as a document; says why
│   └── NotReadNow             for no fault of the file: it may be another time
├── ArtifactError          a model file is missing, truncated or not what its digest says
├── ToolServerError        a server of tools cannot be started, reached or understood
├── LearningError          a task cannot be learned or certified; says what is missing
└── MissingExtra           an optional part is not installed; names the extra
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType


class ShoalError(Exception):
    """Root of all errors that Shoal raises on purpose. ``tried`` are the receipt's lines of those
    who could not answer."""

    tried: tuple[object, ...] = ()


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


class TooManyMessages(RequestError):
    """More messages than ``gateway.max_messages``."""

    code = "too_many_messages"

    def __init__(self, found: int, most: int, field: str) -> None:
        super().__init__(
            f"{field}: there are {found:,} of them and of their parts and calls of tools, at most "
            f"{most:,} are taken; raise gateway.max_messages in shoal.toml",
            field,
        )


class Untranslatable(RequestError):
    """The request asks for what cannot be said in the wire format of the engine that answers it."""

    code = "untranslatable"


class ContextLengthExceeded(RequestError):
    """Input and asked output do not fit into the context of the model."""

    code = "context_length_exceeded"

    def __init__(self, name: str, window: int, least: int, output: int) -> None:
        super().__init__(
            f"{name}: its context has {window:,} tokens; the input has {least:,} at the least, and "
            f"{output:,} are asked for the answer. Nothing was sent. If the context is larger, set "
            f"context_tokens of the model in shoal.toml"
        )


class BodyTooLarge(RequestError):
    """The body is over ``gateway.max_body_mb``, or a file over ``gateway.max_file_mb``."""

    status = 413
    code = "body_too_large"


class UploadsFull(RequestError):
    """All uploaded files together would be over ``gateway.max_files_gb``; ``left`` bytes are."""

    status = 413
    code = "storage_limit_exceeded"

    def __init__(self, left: int) -> None:
        super().__init__(
            f"the uploaded files leave {max(left, 0) / 1_000_000:,.1f} MB for another; delete some "
            "(DELETE /v1/files/ID), or raise gateway.max_files_gb in shoal.toml",
            "file",
        )


class PrivacyRefused(RequestError):
    """The request holds what the privacy rules keep from every answerer.

    ``found`` maps each kind to the places where it stands; the values are never named.
    """

    status = 403
    code = "privacy_refused"

    def __init__(self, found: Mapping[str, Sequence[str]]) -> None:
        named = "; ".join(f"{kind} in {', '.join(places)}" for kind, places in found.items())
        first = next((places[0] for places in found.values() if places), None)
        super().__init__(
            f"the privacy rules refuse this request: {named}. Take it out and send it again", first
        )


class NoAnswerer(RequestError):
    """No answerer is left that the policy allows for this request."""

    status = 403
    code = "no_answerer_allowed"


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


class MaxCostExceeded(RequestError):
    """The call could cost more than its caller said that it may; nothing was sent."""

    status = 403
    code = "max_cost_exceeded"

    def __init__(self, name: str, upper: float, most: float) -> None:
        super().__init__(
            f"{name}: this call could cost up to {upper:.6g} USD, and may cost {most:.6g} "
            "(x-shoal-max-cost, or what its run has left). Nothing was sent; limit the answer's "
            "tokens, or allow more"
        )


class EffortExceeded(RequestError):
    """What a strategy may spend on a request does not pay for one more call of a model;
    ``may_cost`` if others were made before, in vain."""

    status = 403
    code = "strategy_budget_exceeded"
    may_cost = False

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name}: the budget of the strategy does not pay for an answer; allow more, or limit "
            "the answer's tokens",
            "shoal.budget",
        )


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
    """An engine could not answer.

    ``is_outage`` says that the engine is to blame, not the request; ``may_be_retried`` that it has
    surely not worked on the request, so that asking again is not paid for twice; ``may_cost`` that
    it may have worked on it in vain, and ask money for that. ``retry_after`` is what callers are
    told in the header of that name, "" for nothing.
    """

    status = 502
    code = "upstream_error"
    is_outage = False
    may_be_retried = False
    may_cost = True
    retry_after = ""

    @property
    def may_fall_back(self) -> bool:
        """Whether another engine may do better with the same request."""
        return self.is_outage or self.may_be_retried

    @property
    def retry_after_s(self) -> float | None:
        """The seconds to wait; None where none are named."""
        return float(self.retry_after) if self.retry_after.isdecimal() else None


class EngineUnreachable(EngineError):
    """Nobody listens there, the connection broke, or the reply is not an answer.

    ``asked`` is false if the request never got there, or was not taken.
    """

    code = "upstream_unreachable"
    is_outage = True

    def __init__(self, message: str, asked: bool = True) -> None:
        super().__init__(message)
        self.may_be_retried, self.may_cost = not asked, asked


class EngineTimeout(EngineError):
    """The engine did not answer in time; ``asked`` is false if it could not even be reached."""

    status = 504
    code = "upstream_timeout"
    is_outage = True

    def __init__(self, message: str, asked: bool = True) -> None:
        super().__init__(message)
        self.may_be_retried, self.may_cost = not asked, asked


class MaxLatencyExceeded(EngineError):
    """The answer was not there as soon as its caller wanted it; no engine is to blame."""

    status = 504
    code = "max_latency_exceeded"


class EngineBusy(EngineError):
    """The engine has failed again and again, or has too much to do, and is left alone for so many
    seconds; ``why`` says which, if it is not the first."""

    status = 503
    code = "upstream_unavailable"
    is_outage = True
    may_cost = False

    def __init__(self, name: str, wait_s: float, why: str = "") -> None:
        self.retry_after = str(max(1, math.ceil(wait_s)))
        failed = "the upstream failed several times in a row and is asked again in "
        said = f"{why}; ask again in " if why else failed
        super().__init__(f"{name}: {said}{self.retry_after} s")


class GatewayStopped(EngineError):
    """The gateway was stopped before the answer came."""

    status = 503
    code = "gateway_stopped"


class EncoderMissing(EngineError):
    """The weights of the local encoder are nowhere to be found, or are damaged."""

    status = 503
    code = "encoder_unavailable"
    may_cost = False


class RunFailed(EngineError):
    """The run of an agent came to nothing: it failed, is stuck, or its budget is used up."""

    code = "run_failed"

    def __init__(self, run_id: str, state: str, why: str, hint: str, step: str) -> None:
        at = f" at {step}" if step else ""
        more = f"; {hint}" if hint else ""
        told = "has failed" if state == "failed" else f"is {state}"
        super().__init__(f"the run {run_id} {told}{at}: {why}{more}")


class CallerGone(EngineError):
    """The client hung up before the answer came; nobody is told."""

    status = 499
    code = "client_closed_request"


class EngineRefused(EngineError):
    """The upstream answered with an error of its own, passed on as it came.

    ``retry_after`` is its header of that name, ``request_id`` its own id of the exchange; "" if it
    sent none. ``taken``: it had taken the request before, and worked on it.
    """

    code = "upstream_refused"

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        retry_after: str = "",
        request_id: str = "",
        taken: bool = False,
    ) -> None:
        super().__init__(f"the upstream answered with status {status}")
        self.status = status
        self.body = body
        self.content_type = content_type
        self.retry_after = retry_after
        self.request_id = request_id
        self.taken = taken
        self.is_outage = status in (500, 502, 503, 504, 529)
        self.may_be_retried = not taken and status in (429, 500, 502, 503, 529)
        # whoever passed on a 504 waited in vain for an answer
        self.may_cost = taken or status in (504, 524)

    def retold(self, body: bytes, request_id: str) -> "EngineRefused":
        """The same error in other words."""
        kind, wait = self.content_type, self.retry_after
        return EngineRefused(self.status, body, kind, wait, request_id, self.taken)


class NotRecorded(EngineError):
    """A recording holds no answer to this request."""

    status = 404
    code = "not_recorded"
    may_cost = False


class StoreError(ShoalError):
    """The store cannot be read or written."""


class StoreDamaged(StoreError):
    """The database file is damaged; it was left as it is."""


class NotFound(StoreError):
    """No such call, task, certificate, card or key."""


class Conflict(StoreError):
    """There is one of that name already, or it is in no state for this."""


class LeaseLost(StoreError):
    """The run is not, or no longer, this process's to go on with; nothing was written."""


class ReadError(ShoalError):
    """A file cannot be read as a document; the message names it and says why."""


class NotReadNow(ReadError):
    """A file cannot be read now, which is no fault of the file."""


class ArtifactError(ShoalError):
    """A model file is missing, truncated or not what its digest says."""


class ToolServerError(ShoalError):
    """A server of tools cannot be started, reached or understood."""


class LearningError(ShoalError):
    """A task cannot be learned or certified; the message says what is missing."""


class MissingExtra(ShoalError):
    """An optional part is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs an optional part: pip install 'shoal[{extra}]'")
        self.extra = extra


def kind_of(error: ShoalError) -> str:
    """One of few words for what went wrong: the code that callers are told, or the status with
    which an upstream refused."""
    if isinstance(error, EngineRefused):
        return str(error.status)
    if isinstance(error, RequestError | EngineError):
        return error.code
    return type(error).__name__
