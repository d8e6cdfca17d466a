"""Models that Shoal itself is: ``shoal/ask:NAME`` answers from documents, ``shoal/agent:NAME`` by a
run of an agent. What models they ask for it are calls of their own."""

from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.asking import PREFIX as ASK
from shoal.assembly.asking import Asking, AskModel
from shoal.assembly.background import Missed
from shoal.assembly.library import Library
from shoal.assembly.regime import Regime
from shoal.assembly.runs.agents import Agents
from shoal.assembly.runs.order import AGENT
from shoal.chat import Answer, AnswerStream, Request
from shoal.routing.caller import Caller
from shoal.routing.receipt import Tried


class Own(Struct, frozen=True):
    """An answer, or one on its way, why it is that, the receipt's lines of who was asked, and the
    digests of the passages that it cites. ``episode`` is that of the models' calls, "" if it is the
    request's."""

    reason: str
    tried: tuple[Tried, ...] = ()
    answer: Answer | None = None
    stream: AnswerStream | None = None
    cited: tuple[str, ...] = ()
    episode: str = ""


class OwnModels:
    """``library`` None: there are no collections to ask."""

    def __init__(self, library: Library | None) -> None:
        self._asking = Asking(library) if library else None
        self._agents: Agents | None = None

    def join(self, agents: Agents) -> None:
        """Have these agents answer from now on."""
        self._agents = agents

    @property
    def audits(self) -> Missed:
        """The audits of agents' stored plans that came to nothing."""
        return self._agents.audits if self._agents else Missed()

    def have(self, model: str) -> bool:
        """Whether a model of this name is theirs to answer."""
        asks = self._asking is not None and model.startswith(ASK)
        return asks or (self._agents is not None and model.startswith(AGENT))

    def names(self, caller: Caller) -> list[str]:
        """Those that a caller may ask."""
        found = self._asking.names(caller) if self._asking else []
        return found + (self._agents.names(caller) if self._agents else [])

    async def answer(
        self, request: Request, episode: str, regime: Regime, caller: Caller, ask: AskModel
    ) -> Own:
        """Answer a request for a model that they have. ``ask`` has a model asked on the way.

        Raises:
            NotAllowed: the caller may not ask that collection.
            UnknownModel: there is no such collection or agent.
            MalformedRequest: it asks for what these cannot do.
            EngineError: nobody could answer, or the run came to nothing.
        """
        if request.model.startswith(ASK):
            assert self._asking is not None
            caller.require_collection(request.model.removeprefix(ASK))
            told = await self._asking.answer(request, regime.collections, ask, caller)
            return Own(told.reason, told.tried, told.answer, cited=told.cited)
        assert self._agents is not None
        run_id, found = await self._agents.answer(request, episode, caller)
        own = Own(f"run {run_id}", episode=episode or run_id)
        if isinstance(found, Answer):
            return replace(own, answer=found)
        return replace(own, stream=found)
