"""Several engines behind one name: the one that answers where nobody chose another."""

from collections.abc import Mapping

from shoal.chat import Answer, AnswerStream, Request
from shoal.engines.engine import Engine, TokenCounter, Windowed
from shoal.engines.reply import Reply


class MixtureEngine:
    """Asked by itself it is its ``default``; whoever knows more of a request asks one of its
    ``members``. They are others' to close."""

    def __init__(self, name: str, members: Mapping[str, Engine], default: str) -> None:
        """``members`` by their own names, ``default`` among them."""
        self._name, self.members, self.default = name, dict(members), default

    @property
    def name(self) -> str:
        """Its name in ``shoal.toml``."""
        return self._name

    @property
    def context_tokens(self) -> int:
        """Tokens of a request and its answer together, at most; all members have the same."""
        engine = self.members[self.default]
        assert isinstance(engine, Windowed)
        return engine.context_tokens

    async def answer(self, request: Request) -> Answer:
        """The default's answer; raises what that raises."""
        return await self.members[self.default].answer(request)

    async def stream(self, request: Request) -> AnswerStream:
        """The default's answer as it comes; raises what that raises."""
        return await self.members[self.default].stream(request)

    @property
    def counts_tokens(self) -> bool:
        """As its members do."""
        engine = self.members[self.default]
        return isinstance(engine, TokenCounter) and engine.counts_tokens

    async def count_tokens(self, request: Request) -> Reply | None:
        """The tokens of a request: all members have one tokenizer and template."""
        engine = self.members[self.default]
        assert isinstance(engine, TokenCounter)
        return await engine.count_tokens(request)

    async def aclose(self) -> None:
        """Nothing of its own to let go of."""
