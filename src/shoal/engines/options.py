"""What ``shoal.toml`` says about each engine."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from yarl import URL

from shoal.chat import Format

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Prices(BaseModel):
    """USD per million tokens; None where ``shoal.toml`` names no price."""

    # a key written into the wrong field must not be shown by the error about it
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    input_price: Price | None = None
    output_price: Price | None = None
    cached_price: Price | None = None


KeyVariable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _checked_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an http or https address, like https://api.openai.com/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a name or a key; name a variable in key_env instead")
    if parts.query or parts.fragment:
        raise ValueError("must not hold '?' or '#'")
    for path in ("/chat/completions", "/responses"):
        if parts.path.rstrip("/").endswith(path):
            raise ValueError(f"leave '{path}' out, Shoal adds it")
    try:
        URL(value)
    except ValueError as error:
        raise ValueError(f"is no address: {error}") from None
    return value.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_checked_url)]


class Endpoint(BaseModel):
    """One more address, or one more key, that answers for the same model.

    What is left out is as the model has it. Requests are spread by ``weight``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: BaseUrl | None = None
    key_env: KeyVariable | None = None
    weight: float = Field(default=1, gt=0, allow_inf_nan=False)


class RemoteOptions(Prices):
    """An OpenAI-compatible endpoint.

    ``model`` is the upstream's own name for it (default: the name in ``shoal.toml``), ``key_env``
    the environment variable that holds the key, ``provider`` whose price list applies. A stream
    may take longer than ``timeout_s`` as long as no pause between its pieces does, and must begin
    within ``first_byte_timeout_s``. Set ``ask_usage`` to false for an upstream that refuses
    ``stream_options``. ``formats`` are the wire formats it speaks: a request in one of them is
    forwarded as it came, any other is translated into the first.

    A request that an upstream has surely not worked on is tried again up to ``retries`` times, at
    this address or at one of ``endpoints``; then the models of ``fallback`` are asked, in order.
    ``local`` says that nothing it is told leaves the machine, or the house, for the privacy rules.
    """

    engine: Literal["remote"]
    base_url: BaseUrl
    model: str | None = None
    key_env: KeyVariable | None = None
    timeout_s: Seconds = 120
    connect_timeout_s: Seconds = 5
    first_byte_timeout_s: Seconds = 60
    max_reply_mb: float = Field(default=32, gt=0, allow_inf_nan=False)
    ask_usage: bool = True
    formats: tuple[Format, ...] = Field(default=("chat",), min_length=1)
    provider: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    retries: int = Field(default=2, ge=0, le=10)
    fallback: tuple[str, ...] = ()
    local: bool = False


class RecordedOptions(Prices):
    """Recorded calls, played back; ``latency="recorded"`` also takes the time they took."""

    engine: Literal["recorded"]
    path: Path
    latency: Literal["none", "recorded"] = "none"


class EchoOptions(Prices):
    """Answers with the last user message."""

    engine: Literal["echo"]


EngineOptions = Annotated[
    RemoteOptions | RecordedOptions | EchoOptions, Field(discriminator="engine")
]
