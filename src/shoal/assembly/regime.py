"""What ``shoal.toml`` says about calls: models, promises and privacy rules."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

from shoal.assembly.models import Models, check_models
from shoal.assembly.runs.agent import Agent
from shoal.assembly.shield import Discretion
from shoal.reasoning import Strategy
from shoal.retrieval.options import CollectionOptions
from shoal.routing.answer_cache import AnswerCache
from shoal.routing.cascade_options import CascadeOptions
from shoal.routing.judging import JudgingOptions
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.tools.toolbox import Toolbox
from shoal.tools.toolset import Toolset

_AS_CONTRACTS_SAY = JudgingOptions()


class Regime:
    """Never changes: a reload puts another in its place. A call ends under the one under which it
    began, and the engines are closed when the last of them has ended. For one event loop."""

    def __init__(
        self,
        models: Models,
        promises: Mapping[str, PromiseOptions],
        default: PromiseOptions,
        privacy: PrivacyOptions | None = None,
        cache: AnswerCache | None = None,
        cascade: CascadeOptions | None = None,
        judging: Mapping[str, JudgingOptions] | None = None,
        collections: Mapping[str, CollectionOptions] | None = None,
        agents: Mapping[str, Agent] | None = None,
        tools: Toolset | None = None,
        strategies: Mapping[str, Strategy] | None = None,
    ) -> None:
        """``promises`` by task name, ``default`` for the others. ``privacy`` None: no rules;
        ``cache`` None: nothing is cached; ``cascade`` None: no rungs but specialists and the LLM;
        ``judging``: tasks, by name, whose answers are judged in ways of their own;
        ``collections``: how questions are answered from those, by name, that are not asked as by
        default; ``agents`` and ``tools``, which are closed with the engines: None for none;
        ``strategies`` by which the LLM answers calls of tasks, by name, that ask for none. A cache
        belongs to one regime, so a reload empties it.

        Raises:
            ConfigError: the cascade, a collection or an agent names a model, or an agent a tool,
                that is none.
        """
        self.cascade, self.collections = cascade or CascadeOptions(), dict(collections or {})
        check_models("cascade.models", self.cascade.models, models)
        for name, own in self.collections.items():
            check_models(f"collections.{name}.model", [own.model] if own.model else [], models)
        self.agents, self.tools = dict(agents or {}), tools or Toolset(Toolbox(()))
        for name, agent in self.agents.items():
            agent.check(f"agents.{name}", models, self.tools)
        self.models, self.privacy = models, privacy or PrivacyOptions()
        self.cache = AnswerCache({}, 0) if cache is None else cache
        self.discretion = Discretion(self.privacy)
        self._promises, self._default = dict(promises), default
        self._judging = dict(judging or {})
        self._strategies = dict(strategies or {})
        for name, strategy in self._strategies.items():
            place = f"tasks.{name}.strategy"
            check_models(place, strategy.models, models)
            for model in models:
                check_models(place, [f"{model}+{strategy}"], models)
        self._holders = 0
        self._unheld = asyncio.Event()
        self._unheld.set()

    def promise(self, task: str) -> PromiseOptions:
        """What is promised of a task, by name."""
        return self._promises.get(task, self._default)

    def judging(self, task: str) -> JudgingOptions:
        """How answers of a task are judged, by name."""
        return self._judging.get(task, _AS_CONTRACTS_SAY)

    def strategy(self, task: str) -> Strategy | None:
        """How the LLM answers calls of a task, by name, that ask for no strategy; None: at once."""
        return self._strategies.get(task)

    def hold(self) -> Self:
        """A call begins, or something that it has started: ``let_go`` once for each."""
        self._holders += 1
        self._unheld.clear()
        return self

    def let_go(self) -> None:
        """What held it has ended."""
        self._holders -= 1
        if not self._holders:
            self._unheld.set()

    @contextmanager
    def held(self) -> Iterator[Self]:
        """Hold it for a while."""
        self.hold()
        try:
            yield self
        finally:
            self.let_go()

    async def retire(self) -> None:
        """Close the engines when nobody holds it any more; nobody may begin to."""
        await self._unheld.wait()
        await self.models.aclose()
        await self.tools.aclose()
