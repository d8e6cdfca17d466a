"""Embeddings: by the local encoder, or by the model of ``shoal.toml`` that was asked for.

No other model stands in for one that fails: vectors of two models cannot be compared.
"""

import asyncio
import time

from msgspec.structs import replace

from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.local_encoder import NAME, LocalEncoder
from shoal.assembly.models import Model
from shoal.assembly.purse import Holding, Purse
from shoal.assembly.regime import Regime
from shoal.assembly.shield import guarded_texts
from shoal.assembly.spending import Recorded, record_spending
from shoal.chat import Answer, Usage
from shoal.engines import Embedder
from shoal.errors import Untranslatable
from shoal.formats.embeddings import Embedded, EmbeddingRequest, encode_embedded, form_of
from shoal.routing.caller import Caller
from shoal.routing.estimate import expected_usage
from shoal.routing.receipt import OWN, Receipt, ServedEmbeddings
from shoal.storage import Spending, Store

_NO_OUTPUT = '{"max_tokens":0}'


class Embeddings:
    """Has texts embedded under the same policy as calls: keys, limits, privacy, budgets.

    What is spent counts as a call's, but nothing of the texts is stored.
    """

    def __init__(
        self,
        store: Store,
        purse: Purse,
        counting: Counting,
        encoder: LazyEncoder,
    ) -> None:
        self._store, self._purse, self._counting = store, purse, counting
        self._local = LocalEncoder(encoder)

    async def embed(
        self, request: EmbeddingRequest, call_id: str, caller: Caller, regime: Regime
    ) -> tuple[ServedEmbeddings, Recorded]:
        """The vectors, and when the store has what they cost (None: it is closed).

        Raises:
            UnknownModel, NotAllowed, PrivacyRefused, NoAnswerer, RateLimited, BudgetExceeded,
            PriceUnknown, MaxCostExceeded: as for calls.
            Untranslatable: the model that was asked for has no embeddings.
            EngineError: it could not answer.
        """
        began, at = time.perf_counter(), time.time()
        own = request.model == NAME
        model = None if own else _priced(regime.models.get(request.model))
        caller.require_model(request.model)
        caller.require_task("")
        outward, removed = await guarded_texts(request, regime.privacy, model)
        counted = replace(request.as_chat(), params=_NO_OUTPUT)
        allowance = self._purse.admit(caller, counted)
        reason = f"asked for; taken out before: {', '.join(removed)}" if removed else "asked for"
        provider = OWN if own else regime.models.provider(request.model)
        handled = Handled(
            Receipt(call_id, at, request.model, request.model, reason, provider=provider),
            request=counted,
            episode="",
            regime=regime,
            began=began,
            model=model,
            answerer=model,
            caller=caller,
            allowance=allowance,
            limits=allowance.headers,
        )
        if model is None:
            return self._finish(handled, await self._by_encoder(request), began)
        holding = Holding(self._purse, handled, self._store)
        asked = time.perf_counter()
        with holding.asking(model):
            embedded = await _by_model(model, outward)
            if embedded.usage is None:
                usage = await self._counting.texts(outward.texts, model)
                embedded = replace(embedded, usage=usage)
        return self._finish(replace(handled, reservation=holding.reservation), embedded, asked)

    def close(self) -> None:
        """End what runs in the background."""
        self._local.close()

    async def _by_encoder(self, request: EmbeddingRequest) -> Embedded:
        form = form_of(request)
        vectors, tokens = await self._local.encode(request.texts, form.dimensions)
        encoding = form.encoding_format or "float"
        body = await asyncio.to_thread(encode_embedded, NAME, vectors, encoding, tokens)
        return Embedded(body, Usage(tokens))

    def _finish(
        self, handled: Handled, embedded: Embedded, asked: float
    ) -> tuple[ServedEmbeddings, Recorded]:
        """Count what it took; ``asked`` is when the one who answered was asked."""
        now = time.perf_counter()
        usage = embedded.usage or expected_usage(handled.request, 0)
        cost = handled.model.tariff.cost(usage) if handled.model else 0.0
        receipt = replace(
            handled.receipt,
            cost=cost,
            llm_cost=cost,
            waited_ms=round((now - asked) * 1e3, 3),
            latency_ms=round((now - handled.began) * 1e3, 3),
        )
        answer = Answer(model=receipt.answered_by, usage=usage)
        recorded = record_spending(self._store, _spending(receipt, handled, usage))
        self._purse.settle(replace(handled, receipt=receipt), answer, recorded)
        served = ServedEmbeddings(receipt, answer, limits=handled.limits, body=embedded.body)
        return served, recorded


def _spending(receipt: Receipt, handled: Handled, usage: Usage) -> Spending:
    return Spending(
        at=receipt.at,
        key=handled.caller.key,
        model=receipt.answered_by,
        task="",
        usage=usage,
        cost=receipt.cost,
        llm_cost=receipt.llm_cost,
        held=handled.reservation.usd if handled.reservation and receipt.cost is None else 0.0,
    )


async def _by_model(model: Model, request: EmbeddingRequest) -> Embedded:
    if not isinstance(model.engine, Embedder):
        raise Untranslatable(f"model: {model.name} has no embeddings", "model")
    return await model.engine.embed(request)


def _priced(model: Model) -> Model:
    """With a price for output too, of which there is none, so that one for input is enough."""
    tariff = model.tariff
    if tariff.input is None or tariff.output is not None:
        return model
    return replace(model, tariff=replace(tariff, output=0.0))
