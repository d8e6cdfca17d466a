"""What an answer costs: prices of ``shoal.toml`` first, else the public price list, else unknown.

The list is genai-prices, read offline: kept up to date by its maintainers for all providers. Where
its price of a model is so much a token and nothing else, that is remembered: looking it up takes
130 µs each time, which every call would pay.
"""

from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.types import ModelPrice
from msgspec import Struct

from shoal.chat import Usage

_FLAT = (
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "output_reasoning_mtok",
    "cache_write_mtok",
)
_NOT_OURS = (  # for what ``Usage`` does not count
    "cache_write_1h_mtok",
    "web_searches_kcount",
    "storage_searches_kcount",
)


class Tariff(Struct, frozen=True):
    """Prices of one model: USD per million tokens where set, else looked up for ``model``.

    ``cached`` and ``cache_write`` None mean that input read from a cache, or written to it, costs
    what other input does, ``reasoning`` None that reasoning costs what other output does. Usage
    counts cached tokens as part of the input, and reasoning as part of the output; counts that
    contradict this have no price.
    """

    model: str = ""
    provider: str | None = None
    input: float | None = None
    output: float | None = None
    cached: float | None = None
    reasoning: float | None = None
    cache_write: float | None = None

    def cost(self, usage: Usage | None) -> float | None:
        """USD for one answer; None if the price or the usage is unknown, never a guess."""
        if usage is None or not _consistent(usage):
            return None
        try:
            if self.input is not None and self.output is not None:
                return self._set_price(usage, self.input, self.output)
            flat = _flat(self.model, self.provider)
            return self._listed_price(usage) if flat is None else flat.cost(usage)
        except (LookupError, ValueError, OverflowError):  # no such model, or counts that cannot be
            return None

    def _set_price(self, usage: Usage, input_price: float, output_price: float) -> float:
        cached_price = input_price if self.cached is None else self.cached
        reasoning_price = output_price if self.reasoning is None else self.reasoning
        write_price = input_price if self.cache_write is None else self.cache_write
        fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        said = usage.output_tokens - usage.reasoning_tokens
        return (
            fresh * input_price
            + usage.cached_tokens * cached_price
            + usage.cache_write_tokens * write_price
            + said * output_price
            + usage.reasoning_tokens * reasoning_price
        ) / 1e6

    def _listed_price(self, usage: Usage) -> float:
        priced = PricedUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
        found = calc_price(priced, model_ref=self.model, provider_id=self.provider)
        return float(found.total_price)


@lru_cache(maxsize=1024)
def _flat(model: str, provider: str | None) -> Tariff | None:
    """The listed prices as set ones, if nothing else changes them: no tiers, hours or dates.

    Raises:
        LookupError: no such model.
    """
    found = calc_price(PricedUsage(), model_ref=model, provider_id=provider)
    if not isinstance(found.model.prices, ModelPrice):
        return None
    listed = {name: price for name, price in vars(found.model_price).items() if price is not None}
    prices = [listed.get(name) for name in _FLAT]
    are_flat = all(price is None or isinstance(price, Decimal) for price in prices)
    if not are_flat or None in prices[:2] or not listed.keys() <= {*_FLAT, *_NOT_OURS}:
        return None
    return Tariff("", None, *(None if price is None else float(price) for price in prices))


def _consistent(usage: Usage) -> bool:
    read, written = usage.cached_tokens, usage.cache_write_tokens
    fresh = usage.input_tokens - read - written
    said = usage.output_tokens - usage.reasoning_tokens
    return min(read, written, fresh, usage.reasoning_tokens, said) >= 0
