"""What ``shoal.toml`` says about each engine."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shoal.chat import Format
from shoal.engines.address import checked_address
from shoal.engines.presets import PresetName, with_preset

_PATHS = ("/chat/completions", "/messages", "/responses", "/embeddings")

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Prices(BaseModel):
    """USD per million tokens; None where ``shoal.toml`` names no price."""

    # a key written into the wrong field must not be shown by the error about it
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    input_price: Price | None = None
    output_price: Price | None = None
    cached_price: Price | None = None
    cache_write_price: Price | None = None
    reasoning_price: Price | None = None


TokenizerName = Annotated[str, Field(min_length=1)]
KeyVariable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _checked_url(value: str) -> str:
    instead = "name a variable in key_env instead"
    return checked_address(value, "https://api.openai.com/v1", instead, _PATHS)


BaseUrl = Annotated[str, AfterValidator(_checked_url)]


class Endpoint(BaseModel):
    """One more address, or one more key, that answers for the same model.

    What is left out is as the model has it. Requests are spread by ``weight``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: BaseUrl | None = None
    key_env: KeyVariable | None = None
    weight: float = Field(default=1, gt=0, allow_inf_nan=False)


class EndpointOptions(Prices):
    """What all endpoints have in common.

    ``model`` is the upstream's own name for it (default: the name in ``shoal.toml``), ``key_env``
    the environment variable that holds the key, ``provider`` whose price list applies. A stream
    may take longer than ``timeout_s`` as long as no pause between its pieces does, and must begin
    within ``first_byte_timeout_s``. ``output_tokens`` is the most an answer may have where the wire
    format wants a limit and the caller named none.

    A request that an upstream has surely not worked on is tried again up to ``retries`` times, at
    this address or at one of ``endpoints``; then the models of ``fallback`` are asked, in order.
    What does not fit into ``context_tokens`` (default: as the price list says) is not sent.
    ``local`` says that nothing it is told leaves the machine, or the house, for the privacy rules,
    ``residency`` where its endpoints are, in a word of the user's own. ``tokenizer`` is the path of
    a ``tokenizer.json``, or a repository of the Hugging Face hub that has one: it counts the tokens
    that an endpoint does not.
    """

    base_url: BaseUrl
    model: str | None = None
    key_env: KeyVariable | None = None
    timeout_s: Seconds = 120
    connect_timeout_s: Seconds = 5
    first_byte_timeout_s: Seconds = 60
    max_reply_mb: float = Field(default=32, gt=0, allow_inf_nan=False)
    output_tokens: int = Field(default=8_192, ge=1)
    provider: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    retries: int = Field(default=2, ge=0, le=10)
    fallback: tuple[str, ...] = ()
    local: bool = False
    context_tokens: int | None = Field(default=None, ge=1)
    residency: str | None = Field(default=None, min_length=1)
    tokenizer: TokenizerName | None = None


class RemoteOptions(EndpointOptions):
    """An OpenAI-compatible endpoint.

    Set ``ask_usage`` to false for an upstream that refuses ``stream_options``. ``formats`` are the
    wire formats it speaks: a request in one of them is forwarded as it came, any other is
    translated into the first. A ``preset`` gives all that is not stated beside it and that is known
    of such an endpoint.
    """

    engine: Literal["remote"]
    preset: PresetName | None = None
    ask_usage: bool = True
    formats: tuple[Format, ...] = Field(default=("chat",), min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, stated: Any) -> object:
        return with_preset(stated)

    def headers(self, key: str) -> dict[str, str]:
        """The headers of each request; ``key`` is "" if there is none."""
        return {"Authorization": f"Bearer {key}"} if key else {}


class AnthropicOptions(EndpointOptions):
    """Anthropic's own endpoint, or one that speaks as it does; ``version`` is that of its API, for
    callers that name none."""

    ask_usage: ClassVar[bool] = False  # it tells without being asked
    formats: ClassVar[tuple[Format, ...]] = ("messages",)

    engine: Literal["anthropic"]
    base_url: BaseUrl = "https://api.anthropic.com/v1"
    provider: str | None = "anthropic"
    version: str = Field(default="2023-06-01", pattern=r"^[\x21-\x7e]+$")

    def headers(self, key: str) -> dict[str, str]:
        """The headers of each request; ``key`` is "" if there is none."""
        return {"anthropic-version": self.version} | ({"x-api-key": key} if key else {})


class RecordedOptions(Prices):
    """Recorded calls, played back; ``latency="recorded"`` also takes the time they took. Where a
    request was recorded several times, its answers are played in turn, and then the last one again
    and again, or, with ``again="all"``, all of them. ``tokenizer`` is as for endpoints."""

    engine: Literal["recorded"]
    path: Path
    latency: Literal["none", "recorded"] = "none"
    again: Literal["last", "all"] = "last"
    tokenizer: TokenizerName | None = None


class EchoOptions(Prices):
    """Answers with the last user message. It costs nothing, unless prices are made up for it."""

    engine: Literal["echo"]
    input_price: Price | None = 0.0
    output_price: Price | None = 0.0


CHATML = "chatml"
_TEMPLATE = "a file with a chat template (.jinja), or 'chatml'"


def _checked_template(value: str) -> str:
    if value != CHATML and not value.endswith(".jinja"):
        raise ValueError(f"expected {_TEMPLATE}")
    return value


ChatTemplate = Annotated[str, AfterValidator(_checked_template)]


class LocalOptions(Prices):
    """A GGUF file, run by llama.cpp on this machine: nothing it is told leaves it.

    ``context_tokens`` is of each call (default: 4,096, or what the model was trained with if that
    is less), ``slots`` how many calls are worked on at once, ``queue`` how many more may wait.
    ``threads`` default: one for each slot and no more than cores, or as many as are idle.
    ``chat_template`` takes the place of the file's own. ``prompt_cache`` lets a call go on from
    what its slot has read before; with adapters on the file it is off. ``pooling`` makes vectors of
    texts. It is free,
    unless prices are made up for it.
    """

    engine: Literal["local"]
    path: Path
    input_price: Price | None = 0.0
    output_price: Price | None = 0.0
    context_tokens: int | None = Field(default=None, ge=64)
    slots: int = Field(default=2, ge=1, le=64)
    queue: int = Field(default=32, ge=0, le=1000)
    threads: int | None = Field(default=None, ge=1, le=512)
    chat_template: ChatTemplate | None = None
    prompt_cache: bool = True
    pooling: Literal["mean", "last", "cls"] | None = None
    timeout_s: Seconds = 600
    fallback: tuple[str, ...] = ()


class AdapterOptions(Prices):
    """A LoRA adapter (GGUF) on the local model ``base``, asked by a name of its own. Base and
    adapters are loaded once; each call says which of them answers."""

    engine: Literal["adapter"]
    base: str = Field(min_length=1)
    path: Path
    scale: float = Field(default=1.0, gt=0, le=100)
    input_price: Price | None = 0.0
    output_price: Price | None = 0.0
    fallback: tuple[str, ...] = ()


class EncoderDecoderOptions(Prices):
    """An encoder–decoder (T5) in a folder as CTranslate2 has them, run in the gateway's process.

    It reads at most ``context_tokens`` and writes at most ``output_tokens``, the likeliest that so
    many ``beams`` find. ``threads`` work on one call; ``queue`` more may wait.
    """

    engine: Literal["encoder-decoder"]
    path: Path
    context_tokens: int = Field(default=512, ge=1, le=100_000)
    output_tokens: int = Field(default=256, ge=1, le=100_000)
    beams: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=512)
    queue: int = Field(default=32, ge=0, le=1000)
    input_price: Price | None = 0.0
    output_price: Price | None = 0.0
    fallback: tuple[str, ...] = ()


class MixtureOptions(Prices):
    """Several adapters on one base (which may be one ``of`` them) behind one name.

    ``tasks`` says which of them answers calls of a task, by the task's name. What belongs to none
    goes to the task that it is most like if a ``gate`` was learned (a file that ``shoal models
    gate`` writes) and is sure, else to ``default`` (by default the base).
    """

    engine: Literal["mixture"]
    of: tuple[str, ...] = Field(min_length=1)
    tasks: dict[str, str] = Field(default_factory=dict)
    default: str | None = Field(default=None, min_length=1)
    gate: Path | None = None
    input_price: Price | None = 0.0
    output_price: Price | None = 0.0
    fallback: tuple[str, ...] = ()


EngineOptions = Annotated[
    RemoteOptions
    | RecordedOptions
    | EchoOptions
    | AnthropicOptions
    | LocalOptions
    | AdapterOptions
    | MixtureOptions
    | EncoderDecoderOptions,
    Field(discriminator="engine"),
]
