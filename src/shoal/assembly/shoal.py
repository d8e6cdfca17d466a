"""Shoal itself: has each request answered by the smallest model proven good enough."""

import asyncio
import logging
import time
from typing import Self

import msgspec
import uuid_utils
from msgspec.structs import replace

from shoal.assembly.caching import by_cache, keep_cached, look_up
from shoal.assembly.counting import Counting
from shoal.assembly.embeddings import Embeddings
from shoal.assembly.explaining import explain
from shoal.assembly.gating import gated
from shoal.assembly.handled import Handled
from shoal.assembly.kept_responses import KeptResponses
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.library import Library
from shoal.assembly.linking import Linking, holder
from shoal.assembly.loader import Loader
from shoal.assembly.own_models import OwnModels
from shoal.assembly.purse import Holding, Purse
from shoal.assembly.reaching import reach, why
from shoal.assembly.record import CallView, call_record, settled, view
from shoal.assembly.recorder import Recorder
from shoal.assembly.regime import Regime
from shoal.assembly.reviewing import take_word
from shoal.assembly.roster import Post, Roster, RosterReader
from shoal.assembly.rungs import Rungs, by_rung, why_not_small
from shoal.assembly.runs.agents import Agents
from shoal.assembly.shield import shield
from shoal.assembly.stating import refuse_strategy, stated
from shoal.assembly.token_counts import count_tokens
from shoal.assembly.trying import Trying
from shoal.assembly.witness import Witness
from shoal.chat import Answer, Request, Usage
from shoal.encoder import Encoder
from shoal.errors import MalformedRequest, PrivacyRefused, ShoalError
from shoal.formats.embeddings import EmbeddingRequest
from shoal.formats.responses.kept import AskedResponse
from shoal.guarantees import draw
from shoal.routing.budget import Budgets
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.health import Health
from shoal.routing.receipt import OWN, Receipt, Served, ServedEmbeddings, ServedReply, Tried
from shoal.storage import Feedback, Store

log = logging.getLogger(__name__)

_POLL_S = 0.05  # half of the 100 ms within which a promotion or demotion must be seen
_ASSUMED_OUTPUT = 4_096  # tokens


class Shoal:
    """The gateway's desk. Build it within the event loop that serves, and ``close`` it there."""

    def __init__(
        self,
        store: Store,
        regime: Regime,
        encoder: Encoder | LazyEncoder | None = None,
        purse: Purse | None = None,
        library: Library | None = None,
    ) -> None:
        """``encoder`` None: one is built when it is needed; ``purse`` None: no budgets but those of
        keys; ``library`` None: no collections."""
        lazy = encoder if isinstance(encoder, LazyEncoder) else LazyEncoder(encoder)
        self._store, self._regime, self._lazy = store, regime, lazy
        self._retiring: dict[Regime, asyncio.Task[None]] = {}
        self._purse = purse or Purse(Budgets(store.spend.between, {}), _ASSUMED_OUTPUT)
        self._counting = Counting()
        self._embeddings = Embeddings(store, self._purse, self._counting, lazy)
        self._responses = KeptResponses(store, self._purse)
        self._own = OwnModels(library)
        self._linking = Linking(store)
        self._loader = Loader(store, lazy)
        self._reader = RosterReader(store, self._loader)
        self._secret = store.database.secret()
        self._recorder = Recorder(store)
        self._rungs = Rungs(store, self._purse, self._counting)
        self._roster = self._reader.read()
        self._witness = Witness(store, self._counting, self._rungs.ask_in_shadow, self.reload)
        self._trying = Trying(store, self._counting, self._purse)
        self._watching = asyncio.create_task(self._watch())
        self._reloading = asyncio.Lock()
        self._trouble = ""
        self._closed = False

    @property
    def roster(self) -> Roster:
        """The roster in force."""
        return self._roster

    @property
    def regime(self) -> Regime:
        """The regime in force."""
        return self._regime

    def join(self, agents: Agents) -> None:
        """Have models of agents answered by these from now on."""
        self._own.join(agents)

    def models(self, caller: Caller) -> list[str]:
        """The names that a caller may ask for."""
        allowed = caller.spec.models
        named = [name for name in self._regime.models if not allowed or name in allowed]
        return named + self._own.names(caller)

    async def serve(self, request: Request, episode: str, caller: Caller = ANYBODY) -> Handled:
        """Have the request answered, by the task's rung if it accepts, else by the LLM.

        Raises:
            UnknownModel: no model of the name asked for.
            NotAllowed: the caller may not ask that.
            PrivacyRefused: it holds what nobody may see.
            NoAnswerer: nobody may answer it.
            RateLimited, BudgetExceeded, PriceUnknown, MaxCostExceeded: it is more than the caller
                may spend.
            EngineError: the LLM could not answer.
        """
        regime = self._regime.hold()
        try:
            if self._own.have(request.model):
                return await self._by_own(request, episode, caller, regime)
            return self._linking.known(await self._serve(request, episode, caller, regime))
        except BaseException:  # whatever it was, ``finish`` is not called
            regime.let_go()
            raise

    async def _serve(
        self, request: Request, episode: str, caller: Caller, regime: Regime
    ) -> Handled:
        began = time.perf_counter()
        found = self._roster.find(request)
        match, post = found or (None, None)
        request, model = stated(request, regime, post, caller)
        shielded = await shield(request, regime.privacy)
        caller.require_task(post.task.name if post else "")
        cache_key, cached = look_up(regime, post, caller, shielded, request)
        purse = self._purse
        allowance = purse.admit_request(caller) if cached else purse.admit(caller, request)
        await self._responses.check_previous(request, caller)
        strand = self._linking.find(request, caller, episode)
        handled = Handled(
            self._receipt(model.name, post, regime),
            request=request,
            regime=regime,
            episode=strand.episode,
            found=strand,
            model=model,
            match=match,
            post=post,
            began=began,
            shield=shielded,
            caller=caller,
            allowance=allowance,
            limits=allowance.headers,
            cache_key=cache_key,
        )
        handled = self._linking.begin(handled)
        if cached is not None:
            return by_cache(handled, cached)
        handled = await gated(handled, self._roster, self._lazy)
        if match is None or post is None:
            return await self._by_llm(handled, why_not_small(post))
        climb = await self._rungs.climb(handled, post)
        handled = replace(handled, rung=climb.rung, unsure=climb.unsure, said=climb.said)
        if climb.answer is not None:
            return by_rung(handled, climb)
        reason = climb.tried[-1].reason if climb.tried else why_not_small(post)
        try:
            return await self._by_llm(handled, reason, climb.tried)
        except BaseException:  # whatever it was, ``finish`` is not called
            self._rungs.pay(climb.said)
            raise

    async def _by_own(
        self, request: Request, episode: str, caller: Caller, regime: Regime
    ) -> Handled:
        began = time.perf_counter()
        caller.require_model(request.model)
        refuse_strategy(request)
        caller.require_task("")
        shielded = await shield(request, regime.privacy)
        allowance = self._purse.admit_request(caller)
        strand = self._linking.find(request, caller, episode)
        whole = strand.episode or str(uuid_utils.uuid7())  # the inner call's too

        async def ask(inner: Request) -> Answer:
            answer, _ = await self.answer_one(inner, whole, caller.allowed(inner.model))
            return answer

        own = await self._own.answer(request, strand.episode, regime, caller, ask)
        receipt = replace(
            self._receipt(request.model, None, regime),
            answered_by=request.model,
            reason=own.reason,
            tried=own.tried,
            cited=own.cited,
            sampled=False,
            cost=0.0,  # a model that was asked has a call, and a receipt, of its own
            llm_cost=0.0,
            provider=OWN,
            episode=own.episode or whole,
        )
        return Handled(
            receipt,
            request=request,
            regime=regime,
            episode=own.episode or whole,
            found=strand,
            began=began,
            shield=shielded,
            caller=caller,
            allowance=allowance,
            limits=allowance.headers,
            answer=own.answer,
            stream=own.stream,
        )

    async def answer_one(
        self, request: Request, episode: str, caller: Caller = ANYBODY
    ) -> tuple[Answer, Receipt]:
        """Have a request answered whole and recorded, as a call of its own.

        Raises:
            ShoalError: what ``serve`` raises.
        """
        handled = await self.serve(replace(request, stream=False), episode, caller)
        assert handled.answer is not None  # it was not asked as a stream
        return handled.answer, await self.finish(handled, handled.answer, "")

    async def finish(self, served: Served, answer: Answer, error: str) -> Receipt:
        """Record the call, and compare it with the reference where that is due; returns its
        receipt, now with cost and latency.

        A store that fails is told by ``health``: the caller's answer does not depend on it.
        """
        assert isinstance(served, Handled)
        try:
            return await self._finish(served, answer, error)
        finally:
            if served.reservation is not None:
                served.reservation.settle(None)  # nothing, if it is settled
            for said in served.said:
                if said.reservation is not None:
                    said.reservation.release()  # its cost is in the call's
            served.regime.let_go()

    async def _finish(self, handled: Handled, answer: Answer, error: str) -> Receipt:
        handled = await self._linking.settled(handled)
        count = self._counting.usage
        usage = await count(handled.request, answer, handled.answerer, handled.shield)
        if self._own.have(handled.request.model):  # its models' calls are counted by themselves
            usage = Usage()
        answer = replace(answer, usage=usage)
        handled = replace(handled, receipt=settled(handled, answer))
        answer = replace(answer, deliberation=None)  # the receipt has it
        discretion = handled.regime.discretion
        request, kept = await discretion.kept(handled.request, answer)
        receipt = discretion.kept_receipt(handled.receipt)
        stored = replace(handled, request=request, receipt=receipt)
        held = handled.reservation.usd if handled.reservation else 0.0
        recorded = self._recorder.record(
            call_record(stored, kept, discretion.kept_text(error)), held
        )
        self._purse.settle(handled, answer, recorded)
        await self._recorder.kept(recorded, handled.receipt.call_id)
        if not error and answer.complete:
            self._linking.answered(handled, answer)
        if not error and answer.complete and handled.cached is None:
            keep_cached(handled, answer)
            self._witness.after(handled, answer)
            self._trying.after(handled)
        return handled.receipt

    async def failed(
        self, request: Request, episode: str, caller: Caller, error: ShoalError, began: float
    ) -> Receipt:
        """Record a call that nobody could answer; returns its receipt. ``began`` is when it was
        there, a reading of ``time.perf_counter``."""
        call_id, at = str(uuid_utils.uuid7()), time.time() - (time.perf_counter() - began)
        episode = self._linking.episode_of_failed(request, caller, episode)
        found, regime = self._roster.find(request), self._regime
        receipt = Receipt(
            call_id,
            at,
            request.model,
            "",
            f"no answer: {type(error).__name__}",
            task=found[1].task.name if found else "",
            task_id=found[1].task.id if found else "",
            provider=regime.models.provider(request.model),
            tried=tuple(one for one in error.tried if isinstance(one, Tried)),
            episode=episode,
        )
        handled = Handled(
            receipt,
            request=request,
            episode=episode,
            regime=regime,
            began=began,
            caller=caller,
        )
        if isinstance(error, PrivacyRefused):
            kept = await regime.discretion.kept_of_refused(request)
        else:
            kept, _ = await regime.discretion.kept(request, None)
        handled = replace(handled, request=kept, receipt=settled(handled, None))
        stored = replace(handled, receipt=regime.discretion.kept_receipt(handled.receipt))
        told = regime.discretion.kept_text(str(error))
        await self._recorder.kept(self._recorder.record(call_record(stored, None, told)), call_id)
        return handled.receipt

    async def embed(
        self, request: EmbeddingRequest, call_id: str, caller: Caller = ANYBODY
    ) -> ServedEmbeddings:
        """Have texts embedded: see ``Embeddings``."""
        with self._regime.held() as regime:
            served, recorded = await self._embeddings.embed(request, call_id, caller, regime)
        await self._recorder.kept(recorded, call_id)
        return served

    async def count_tokens(self, request: Request, caller: Caller = ANYBODY) -> ServedReply:
        """Tell how many tokens a request has: see ``token_counts``."""
        with self._regime.held() as regime:
            purse, counting = self._purse, self._counting
            return await count_tokens(request, caller, regime, self._roster, purse, counting)

    async def response(self, asked: AskedResponse, caller: Caller = ANYBODY) -> ServedReply:
        """Tell of a response that is kept: see ``kept_responses``."""
        await self._recorder.written()
        with self._regime.held() as regime:
            return await self._responses.tell(asked, caller, regime)

    async def call(self, call_id: str, why: bool = False) -> bytes:
        """The stored call with its whole receipt, as JSON; ``why``: with what decided for its
        specialist, too.

        Raises:
            NotFound: no such call, or nobody knows any more why.
            ArtifactError: the specialist's files are damaged.
        """
        await self._recorder.written()
        found: CallView = await asyncio.to_thread(view, self._store, call_id)
        if why:
            stored, privacy = self._store.calls.get(call_id), self._regime.privacy
            reasons = await asyncio.to_thread(explain, self._store, self._loader, stored, privacy)
            found = replace(found, reasons=reasons)
        return msgspec.json.format(msgspec.json.encode(found), indent=2)

    async def feedback(
        self, call_id: str, verdict: str, answer: str, caller: Caller = ANYBODY
    ) -> None:
        """Keep a person's word on a call: a verdict, or the right answer. A key speaks of its own
        calls only, unless its scope is admin. Where people are the reference, words on calls drawn
        for review may end what serves the task.

        Raises:
            MalformedRequest: neither.
            NotFound: no such call, or another key's.
            StoreError: it cannot be written now.
        """
        if not answer and verdict not in ("right", "wrong"):
            raise MalformedRequest(f"verdict: expected right or wrong, found {verdict!r}")
        word = Feedback(
            call_id=call_id,
            at=time.time(),
            verdict="answer" if answer else "right" if verdict == "right" else "wrong",
            answer=await asyncio.to_thread(self._regime.discretion.kept_text, answer),
        )
        own = None if "admin" in caller.spec.scopes else caller.key or None
        if await asyncio.to_thread(take_word, self._store, word, self._regime.promise, own):
            await self.reload()

    def health(self) -> Health:
        """How store, roster and comparisons are."""
        store = self._store.writer.health()
        problems = {p.task.name: p.problem for p in self._roster.posts.values() if p.problem}
        detail: dict[str, object] = {
            "store": msgspec.to_builtins(store),
            "serving": sorted(
                p.task.name for p in self._roster.posts.values() if p.stage == "serve" and p.rung
            ),
            "dropped_specialists": problems,
            "audits_failed": self._witness.background.failures + self._own.audits.failures,
            "audits_left_out": self._witness.background.left_out + self._own.audits.left_out,
            "tries_failed": self._trying.background.failures,
        }
        trouble = self._trouble or ("is no longer read" if self._watching.done() else "")
        if trouble:
            detail["roster"] = trouble
        if self._purse.trouble:
            detail["budgets"] = self._purse.trouble
        displaced = self._store.database.displaced()
        if displaced:
            detail["store_file"] = displaced
        ok = store.ok and not (problems or trouble or displaced or self._purse.trouble)
        return Health(ok=ok, detail=detail, ready=not self._closed)

    def change(self, regime: Regime) -> None:
        """Have calls that begin from now on handled under another regime."""
        old, self._regime = self._regime, regime
        self._retiring[old] = asyncio.create_task(old.retire())
        self._retiring[old].add_done_callback(lambda _: self._retiring.pop(old))

    async def settle(self) -> None:
        """Wait until comparisons under way are done and everything recorded is written."""
        await self._witness.background.settle()
        await self._trying.background.settle()
        await self._recorder.written()

    async def close(self) -> None:
        """Stop watching, end what runs in the background, and close the engines."""
        self._closed = True
        self._watching.cancel()
        await self._witness.background.close()
        await self._trying.background.close()
        for regime, retiring in list(self._retiring.items()):
            retiring.cancel()
            await regime.models.aclose()
        await self._regime.models.aclose()
        self._embeddings.close()
        self._counting.close()
        self._responses.close()
        self._linking.close()
        self._rungs.close()
        await asyncio.to_thread(self._reader.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def reload(self) -> None:
        """Read the roster again if the store has changed."""
        try:
            async with self._reloading:  # else one begun earlier could end later, with older news
                if self._store.database.revision() != self._roster.revision:
                    self._roster = await asyncio.to_thread(self._reader.read)
            self._trouble = ""
        except Exception as error:  # a roster that stays behind is worse than one that tries again
            log.exception("the roster cannot be read")
            self._trouble = f"cannot be read again, an earlier one is in force: {error}"

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            await self.reload()

    def _receipt(self, llm: str, post: Post | None, regime: Regime) -> Receipt:
        """The receipt of a call that begins."""
        call_id, at = str(uuid_utils.uuid7()), time.time()
        receipt = Receipt(call_id=call_id, at=at, llm=llm, answered_by="", reason="")
        if post is None:
            return receipt
        sampled = self._sampled(call_id, post, regime)
        return replace(receipt, task=post.task.name, task_id=post.task.id, sampled=sampled)

    def _sampled(self, call_id: str, post: Post, regime: Regime) -> bool:
        """Whether the call belongs to the unbiased sample: all do until something is served."""
        if post.stage != "serve" and post.agreement is None:
            return True
        return draw(call_id, regime.promise(post.task.name).audit_rate, self._secret)

    async def _by_llm(
        self, handled: Handled, reason: str, tried: tuple[Tried, ...] = ()
    ) -> Handled:
        assert handled.model is not None
        assert handled.shield is not None
        holding = Holding(self._purse, handled, self._store)
        models = handled.regime.models
        try:
            reached = await reach(
                models, handled.model, handled.shield, holding.asking, holder(handled)
            )
        except ShoalError as error:
            error.tried = (*tried, *error.tried)
            raise
        receipt = replace(
            handled.receipt,
            answered_by=reached.model.name,
            reason=why(handled.model, reached, reason),
            tried=(*tried, *reached.tried),
            waited_ms=reached.waited_ms + sum(one.latency_ms for one in tried if one.at),
            provider=models.provider(reached.model.name),
        )
        return replace(
            handled,
            receipt=receipt,
            answerer=reached.model,
            reservation=holding.reservation,
            answer=reached.answer,
            stream=reached.stream,
        )
