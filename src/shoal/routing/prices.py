"""What an answer costs: prices of ``shoal.toml`` first, else the public price list, else unknown.

The list is genai-prices, read offline: kept up to date by its maintainers for all providers.
"""

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from msgspec import Struct

from shoal.chat import Usage


class Tariff(Struct, frozen=True):
    """Prices of one model: USD per million tokens where set, else looked up for ``model``.

    ``cached`` and ``cache_write`` None mean that input read from a cache, or written to it, costs
    what other input does.
    """

    model: str = ""
    provider: str | None = None
    input: float | None = None
    output: float | None = None
    cached: float | None = None
    cache_write: float | None = None

    def cost(self, usage: Usage | None) -> float | None:
        """USD for one answer; None if the price or the usage is unknown, never a guess."""
        if usage is None:
            return None
        try:
            if self.input is not None and self.output is not None:
                return self._set_price(usage, self.input, self.output)
            return self._listed_price(usage)
        except (LookupError, ValueError, OverflowError):  # no such model, or counts that cannot be
            return None

    def _set_price(self, usage: Usage, input_price: float, output_price: float) -> float:
        cached_price = input_price if self.cached is None else self.cached
        write_price = input_price if self.cache_write is None else self.cache_write
        fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        return (
            fresh * input_price
            + usage.cached_tokens * cached_price
            + usage.cache_write_tokens * write_price
            + usage.output_tokens * output_price
        ) / 1e6

    def _listed_price(self, usage: Usage) -> float:
        priced = PricedUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        found = calc_price(priced, model_ref=self.model, provider_id=self.provider)
        return float(found.total_price)
