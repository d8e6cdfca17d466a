import pytest

from shoal.chat import Usage
from shoal.routing.prices import Tariff

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
