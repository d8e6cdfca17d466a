"""The engine that repeats what it was told: for trying Shoal without any model."""

from shoal.chat import Answer, Request, Usage
from shoal.engines.written import WrittenStream

_CHARACTERS_PER_TOKEN = 4  # the usual rule of thumb for English; the usage is marked as estimated


class EchoEngine:
    """Answers with the last user message, "" if there is none."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """Its name in ``shoal.toml``."""
        return self._name

    async def answer(self, request: Request) -> Answer:
        """The last user message."""
        asked = [message.text for message in request.messages]
        said = [message.text for message in request.messages if message.role == "user"]
        text = said[-1] if said else ""
        usage = Usage(_tokens("".join(asked)), _tokens(text), estimated=True)
        return Answer(text=text, model=self._name, usage=usage)

    async def stream(self, request: Request) -> WrittenStream:
        """The last user message as a stream."""
        return WrittenStream(await self.answer(request))

    async def aclose(self) -> None:
        """Nothing to let go of."""


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
