"""What is asked of Qdrant, asked of a server's engine, in this process: qdrant-edge-py."""

from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filter_choices import KEYS, VALUES, filters
from hypothesis import HealthCheck, given, settings

from shoal.retrieval.columns import Columns
from shoal.retrieval.documents import Value
from shoal.retrieval.filters import Filter
from shoal.retrieval.qdrant_filters import fields_of, models, translated

edge = pytest.importorskip("qdrant_edge")
pytest.importorskip("qdrant_client")

VECTOR = [1.0, 0.0]
DOCUMENTS: list[dict[str, Value]] = [
    {},
    *({key: value} for key, value in product(KEYS, VALUES)),
    *({KEYS[0]: one, KEYS[1]: other} for one, other in pairwise(VALUES)),
]
COLUMNS = Columns(enumerate(DOCUMENTS, start=1))


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Point 0 has no vector, as where the index says how far it followed."""
    params = edge.EdgeVectorParams(size=2, distance=edge.Distance.Dot)
    folder: Path = tmp_path_factory.mktemp("shard")
    found = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors=params))
    points = [edge.Point(0, {}, {"added": 3})]
    for number, attributes in enumerate(DOCUMENTS, start=1):
        payload = {**fields_of(attributes), "document": number, "changed": 5}
        points.append(edge.Point(number, VECTOR, payload))
    found.update(edge.UpdateOperation.upsert_points(points))
    yield found
    found.close()


def numbers(shard: Any, where: Any = None) -> list[int]:
    query = edge.Query.Nearest(VECTOR)
    found = shard.search(edge.SearchRequest(query=query, limit=1_000, filter=where))
    return sorted(point.id for point in found)


def native(condition: Any) -> Any:
    """A filter of the client's as one of the engine's."""
    api = models()
    if isinstance(condition, api.Filter):
        parts = {
            name: [native(part) for part in found]
            for name in ("must", "should", "must_not")
            if (found := getattr(condition, name)) is not None
        }
        return edge.Filter(**parts)
    if isinstance(condition, api.HasIdCondition):
        return edge.HasIdCondition(set(condition.has_id))
    if isinstance(condition, api.IsEmptyCondition):
        return edge.IsEmptyCondition(condition.is_empty.key)
    if condition.match is not None:
        return edge.FieldCondition(condition.key, match=edge.MatchAny(condition.match.any))
    bounds = edge.RangeFloat(**condition.range.model_dump(exclude_none=True))
    return edge.FieldCondition(condition.key, range=bounds)


def test_a_point_without_vector_is_never_found(shard: Any) -> None:
    assert numbers(shard) == [*range(1, len(DOCUMENTS) + 1)]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=filters())
def test_a_filter_means_the_same_in_the_engine(shard: Any, where: Filter) -> None:
    expected = np.flatnonzero(COLUMNS.matching(where)).tolist()
    assert numbers(shard, native(translated(where, COLUMNS.texts(where)))) == expected


def test_what_comes_late_changes_nothing(shard: Any) -> None:
    update, last = edge.UpdateOperation, len(DOCUMENTS)
    point = edge.Point(last, VECTOR, {"document": -1, "changed": 4})
    shard.update(update.upsert_points([point], update_mode=edge.UpdateMode.InsertOnly))
    assert numbers(shard, among(-1)) == []
    for changed in (5, 6):
        older = edge.FieldCondition("changed", range=edge.RangeFloat(lt=changed))
        chosen = edge.Filter(
            must=[edge.FieldCondition("document", match=edge.MatchAny([last])), older]
        )
        payload = {"document": last, "changed": changed, "late": changed}
        shard.update(update.overwrite_payload_by_filter(chosen, payload))
    (found,) = shard.retrieve([last], with_payload=True, with_vector=False)
    assert found.payload == {"document": last, "changed": 6, "late": 6}
    shard.update(update.delete_points_by_filter(among(last)))
    assert numbers(shard, among(last)) == []
    assert numbers(shard) == [*range(1, last)]


def among(number: int) -> Any:
    return edge.Filter(must=[edge.FieldCondition("document", match=edge.MatchAny([number]))])
