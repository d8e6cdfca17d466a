"""The engine of an encoder–decoder (T5 and its kin) on this machine: what is asked in, a text out.

It reads the request's texts without a template, as ``shoal.training`` has taught it, and always
writes what it holds for likeliest: settings of sampling change nothing.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec import Struct

from shoal.chat import Answer, Request, Usage
from shoal.engines.encoder_decoder import MODEL, TOKENIZER, EncoderDecoder, Rewritten
from shoal.engines.options import EncoderDecoderOptions
from shoal.engines.written import WrittenStream
from shoal.errors import (
    ArtifactError,
    ConfigError,
    ContextLengthExceeded,
    EngineBusy,
    EngineUnreachable,
    MalformedRequest,
    Untranslatable,
)

_BUSY_S = 1.0


class _Params(Struct):
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None


_PARAMS = msgspec.json.Decoder(_Params)


class RewriterEngine:
    """Asks the model in one folder, one text after the other; loaded when it is first asked.

    Raises:
        ConfigError: the folder lacks a file.
    """

    def __init__(self, name: str, options: EncoderDecoderOptions) -> None:
        missing = [one for one in (MODEL, TOKENIZER) if not (options.path / one).is_file()]
        if missing:
            raise ConfigError(
                f"models.{name}.path: {options.path} holds no {', no '.join(missing)}; expected a "
                "folder that CTranslate2 serves"
            )
        self._name, self._options = name, options
        self._model: EncoderDecoder | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-rewriter")
        self._waiting = 0

    @property
    def name(self) -> str:
        """Its name in ``shoal.toml``."""
        return self._name

    async def answer(self, request: Request) -> Answer:
        """The likeliest text. What has begun goes on when the caller has gone.

        Raises:
            MalformedRequest, Untranslatable, ContextLengthExceeded: it cannot be answered as asked.
            EngineBusy: as many calls as may wait do.
            EngineUnreachable: the model's files are damaged.
        """
        params = self._params(request)
        if self._waiting > self._options.queue:
            raise EngineBusy(self._name, _BUSY_S, "as many calls as may wait do")
        asked = params.max_completion_tokens or params.max_tokens or self._options.output_tokens
        most = min(asked, self._options.output_tokens)
        text = "\n".join(message.text for message in request.messages)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            read, told = await loop.run_in_executor(self._pool, self._written, text, most)
        except ArtifactError as error:
            raise EngineUnreachable(f"{self._name}: {error}", False) from None
        finally:
            self._waiting -= 1
        said, stopped = _cut(told.text, params.stop)
        ended = told.complete or stopped
        return Answer(
            text=said,
            finish_reason="stop" if ended else "length",
            model=self._name,
            usage=Usage(read, told.tokens),
        )

    async def stream(self, request: Request) -> WrittenStream:
        """The same as a stream, once it is whole; raises what ``answer`` raises."""
        return WrittenStream(await self.answer(request))

    async def aclose(self) -> None:
        """Let what runs end, and begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _written(self, text: str, tokens: int) -> tuple[int, Rewritten]:
        if self._model is None:
            self._model = EncoderDecoder(self._options.path, self._options.threads)
        read, window = self._model.count(text), self._options.context_tokens
        if read > window:
            raise ContextLengthExceeded(self._name, window, read, 0)
        (told,) = self._model.write([text], tokens, self._options.beams)
        return read, told

    def _params(self, request: Request) -> _Params:
        try:
            params = _PARAMS.decode(request.params)
        except msgspec.ValidationError as error:
            raise MalformedRequest(f"a parameter is of the wrong type: {error}") from None
        for field in ("max_tokens", "max_completion_tokens"):
            if (value := getattr(params, field)) is not None and value < 1:
                raise MalformedRequest(f"{field}: expected 1 or more", field)
        if params.n not in (None, 1):
            raise Untranslatable(f"n: {self._name} gives one answer at a time", "n")
        if request.tools:
            raise Untranslatable(f"tools: {self._name} calls none", "tools")
        wanted = {
            "response_format": request.response_format not in ("", '{"type":"text"}'),
            "logprobs": bool(params.logprobs),
        }
        for field, asked in wanted.items():
            if asked:
                raise Untranslatable(f"{field}: {self._name} writes plain text alone", field)
        return params


def _cut(text: str, stop: str | list[str] | None) -> tuple[str, bool]:
    """The text before the first of the stops, and whether there was one."""
    stops = [stop] if isinstance(stop, str) else stop or []
    found = [at for one in stops if one and (at := text.find(one)) >= 0]
    return (text[: min(found)], True) if found else (text, False)
