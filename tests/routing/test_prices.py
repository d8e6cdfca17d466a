import pytest
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.data import providers

from shoal.chat import Usage
from shoal.routing.prices import Tariff, _flat

MILLION = 1_000_000


def test_set_prices_are_per_million_tokens() -> None:
    tariff = Tariff("any", input=2.0, output=8.0)
    assert tariff.cost(Usage(MILLION, MILLION // 2)) == pytest.approx(6.0)
    assert tariff.cost(Usage(100, 10)) == pytest.approx(280e-6)


def test_cached_input_has_its_own_price_where_one_is_set() -> None:
    usage = Usage(input_tokens=MILLION, output_tokens=0, cached_tokens=MILLION // 4)
    assert Tariff("any", input=2.0, output=8.0).cost(usage) == pytest.approx(2.0)
    assert Tariff("any", input=2.0, output=8.0, cached=0.4).cost(usage) == pytest.approx(1.6)


def test_input_written_to_a_cache_has_its_own_price_where_one_is_set() -> None:
    usage = Usage(MILLION, 0, cached_tokens=MILLION // 4, cache_write_tokens=MILLION // 2)
    assert Tariff("any", input=2.0, output=8.0).cost(usage) == pytest.approx(2.0)
    dear = Tariff("any", input=2.0, output=8.0, cached=0.4, cache_write=3.0)
    assert dear.cost(usage) == pytest.approx(0.5 + 0.1 + 1.5)


def test_the_list_knows_what_writing_to_a_cache_costs() -> None:
    """claude-sonnet-4-5: 3.00, 0.30 and 3.75 USD a million fresh, read and written."""
    usage = Usage(1_000, 0, cached_tokens=100, cache_write_tokens=200)
    cost = Tariff("claude-sonnet-4-5", provider="anthropic").cost(usage)
    assert cost == pytest.approx((700 * 3 + 100 * 0.3 + 200 * 3.75) / MILLION)


def test_free_is_a_price() -> None:
    assert Tariff("any", input=0.0, output=0.0).cost(Usage(10, 10)) == 0.0


def test_what_is_listed_is_looked_up() -> None:
    """gpt-4o-mini: 0.15 and 0.60 USD a million, by the list that genai-prices brings."""
    cost = Tariff("gpt-4o-mini").cost(Usage(MILLION, MILLION))
    assert cost == pytest.approx(0.75)


def test_one_price_alone_does_not_count() -> None:
    assert Tariff("gpt-4o-mini", input=100.0).cost(Usage(MILLION, 0)) == pytest.approx(0.15)


def test_an_unknown_price_or_usage_is_unknown() -> None:
    assert Tariff("my-own-model").cost(Usage(10, 10)) is None
    assert Tariff("gpt-4o-mini", provider="no-such-provider").cost(Usage(10, 10)) is None
    assert Tariff("any", input=1.0, output=1.0).cost(None) is None


def test_reasoning_has_its_own_price_where_one_is_set() -> None:
    usage = Usage(output_tokens=MILLION, reasoning_tokens=MILLION // 4)
    assert Tariff("any", input=2.0, output=8.0).cost(usage) == pytest.approx(8.0)
    assert Tariff("any", input=2.0, output=8.0, reasoning=4.0).cost(usage) == pytest.approx(7.0)


def test_listed_prices_of_cached_input_and_reasoning() -> None:
    """gpt-4o-mini: 0.075 a million cached; sonar-deep-research: 8 for output, 3 for reasoning."""
    cached = Usage(input_tokens=MILLION, cached_tokens=MILLION)
    assert Tariff("gpt-4o-mini").cost(cached) == pytest.approx(0.075)
    thought = Usage(output_tokens=MILLION, reasoning_tokens=MILLION // 2)
    assert Tariff("gpt-4o-mini").cost(thought) == pytest.approx(0.6)
    assert Tariff("sonar-deep-research", "perplexity").cost(thought) == pytest.approx(5.5)


@pytest.mark.parametrize("usage", [Usage(10, 1, cached_tokens=11), Usage(1, 10, 0, 11)])
def test_counts_that_contradict_each_other_have_no_price(usage: Usage) -> None:
    assert Tariff("any", input=2.0, output=8.0).cost(usage) is None
    assert Tariff("sonar-deep-research", "perplexity").cost(usage) is None


def test_what_is_remembered_of_the_list_is_what_it_says() -> None:
    """For models of every provider: tiers, dates and fees a request are looked up anew."""
    usages = [Usage(1000, 500), Usage(300_000, 50_000, 200_000, 40_000)]
    flat = 0
    for provider in providers:
        for model in provider.models[::3]:
            tariff = Tariff(model.id, provider.id)
            flat += known_flat(model.id, provider.id)
            for usage in usages:
                assert tariff.cost(usage) == pytest.approx(listed(model.id, provider.id, usage))
    assert flat > 300


def known_flat(model: str, provider: str) -> bool:
    try:
        return _flat(model, provider) is not None
    except (LookupError, ValueError):
        return False


def listed(model: str, provider: str, usage: Usage) -> float | None:
    priced = PricedUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    try:
        found = calc_price(priced, model_ref=model, provider_id=provider)
    except (LookupError, ValueError):
        return None
    return float(found.total_price)
