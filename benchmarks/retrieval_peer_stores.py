"""The same rows in Shoal's collection and in peers' stores: made, opened, asked, changed.

A row has a number from 1, a unit vector and a ``bucket`` from 0 to 999; a filter is ``bucket``
below a limit. Peers are used as their own pages say, with defaults but for cosine (or, of unit
vectors, inner product), and without threads where that can be said.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

BUCKETS = 1_000


class Store(Protocol):
    """One store in ``folder``, opened."""

    def __init__(self, folder: Path, dim: int) -> None: ...

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        """Take in rows, and do what makes them quick to search."""

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        """The numbers of the nearest rows, of those with a bucket below the limit."""

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        """Put these rows in place of those of their numbers; all can be found when it returns."""

    def close(self) -> None: ...


class ShoalVectors:
    """The index of vectors alone, with masks for filters ready made."""

    def __init__(self, folder: Path, dim: int) -> None:
        from shoal.retrieval.vectors import VectorIndex

        self._index, self._folder = VectorIndex.open(folder / "vectors", dim, "digest"), folder
        self._masks: dict[int, NDArray[np.bool_]] = {}
        if (folder / "buckets.npy").exists():
            buckets = np.load(folder / "buckets.npy")
            self._masks = {limit: buckets < limit for limit in (10, 500)}

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        np.save(self._folder / "buckets.npy", buckets)
        self._put(numbers, rows)

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        mask = None if limit is None else self._masks[limit]
        return self._index.search(query, k, mask)[0].tolist()

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        """Numbers are never given twice: the rows get new ones, as on a shelf."""
        self._index.claim()
        for number in numbers.tolist():
            self._index.remove(number, number)
        self._put(np.arange(len(numbers)) + 10_000_000, rows)

    def _put(self, numbers: Numbers, rows: Floats) -> None:
        from shoal.retrieval.vectors import Cursor

        self._index.claim()
        self._index.add(numbers, rows)
        self._index.commit(Cursor(int(numbers[-1]), 0))

    def close(self) -> None:
        self._index.close()


class ShoalCollection:
    """Shelf, attributes and vectors, as a collection has them: every row a document."""

    def __init__(self, folder: Path, dim: int) -> None:
        from shoal.errors import NotFound
        from shoal.retrieval.attributes import Attributes
        from shoal.retrieval.nearest import OnDisk
        from shoal.retrieval.shelf import Shelf

        try:
            self._shelf = Shelf.open(folder)
        except NotFound:
            self._shelf = Shelf.create(folder, "digest", dim, 200)
        self._index = OnDisk(folder / "vectors", self._shelf, Attributes(self._shelf))
        self._index.follow(60)

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        for part in _parts(len(numbers), 5_000):
            self.upsert(numbers[part], rows[part], buckets[part])

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        from shoal.retrieval.filters import Comparison

        self._index.follow(60)
        where = None if limit is None else Comparison("lt", "bucket", float(limit))
        return self._index.nearest(query, k, where)[0].tolist()

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        from shoal.retrieval.documents import Piece
        from shoal.retrieval.shelf_tables import Encoded, Written

        self._shelf.put(
            [
                Written(
                    name=f"{number}",
                    title="",
                    kind="text",
                    digest=b"",
                    size=0,
                    modified_ns=0,
                    attributes={"bucket": float(bucket)},
                    passages=(Encoded(Piece(f"{number}"), row[None]),),
                )
                for number, row, bucket in zip(
                    numbers.tolist(), rows, buckets.tolist(), strict=True
                )
            ]
        )
        self._index.follow(60)

    def close(self) -> None:
        self._shelf.close()


class LanceDB:
    """A table that is scanned, as it is without an index."""

    def __init__(self, folder: Path, dim: int) -> None:
        import lancedb

        self._db, self._dim = lancedb.connect(str(folder)), dim
        there = (folder / "rows.lance").exists()
        self._table: Any = self._db.open_table("rows") if there else None

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        self._table = self._db.create_table("rows", self._arrow(numbers, rows, buckets))

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        asked = (
            self._table.search(query)
            .distance_type("cosine")
            .limit(k)
            .select(["number", "_distance"])
        )
        if limit is not None:
            asked = asked.where(f"bucket < {limit}", prefilter=True)
        return asked.to_arrow()["number"].to_pylist()

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        merge = self._table.merge_insert("number").when_matched_update_all()
        merge.when_not_matched_insert_all().execute(self._arrow(numbers, rows, buckets))

    def close(self) -> None: ...

    def _arrow(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> Any:
        import pyarrow as pa

        flat = pa.array(rows.reshape(-1), pa.float32())
        vectors = pa.FixedSizeListArray.from_arrays(flat, self._dim)
        return pa.table({"number": numbers, "bucket": buckets, "vector": vectors})


class LanceDBIndexed(LanceDB):
    """The same with IVF_HNSW_SQ over the vectors and a B-tree over buckets."""

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        super().fill(numbers, rows, buckets)
        self._table.create_index(
            metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ"
        )
        self._table.create_scalar_index("bucket")


class Chroma:
    """HNSW, in its own process's memory and a folder."""

    def __init__(self, folder: Path, dim: int) -> None:
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(str(folder), settings)
        self._rows = client.get_or_create_collection(
            "rows", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        for part in _parts(len(numbers), 5_000):
            self.upsert(numbers[part], rows[part], buckets[part])

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        where = None if limit is None else {"bucket": {"$lt": limit}}
        found = self._rows.query(query_embeddings=[query], n_results=k, where=where, include=[])
        return [int(one) for one in found["ids"][0]]

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        metadatas = [{"bucket": bucket} for bucket in buckets.tolist()]
        self._rows.upsert([*map(str, numbers.tolist())], rows, metadatas)

    def close(self) -> None: ...


class SqliteVec:
    """A table of vec0, scanned, through apsw."""

    def __init__(self, folder: Path, dim: int) -> None:
        import apsw
        import sqlite_vec

        self._conn = apsw.Connection(str(folder / "rows.db"))
        self._conn.enable_load_extension(True)
        self._conn.load_extension(sqlite_vec.loadable_path())
        self._conn.execute("PRAGMA journal_mode = WAL")
        self._conn.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS rows USING vec0("
            f"vector float[{dim}] distance_metric=cosine, bucket integer)"
        )

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        self._insert(numbers, rows, buckets)

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        text = "SELECT rowid FROM rows WHERE vector MATCH ? AND k = ?"
        values: tuple[object, ...] = (query.tobytes(), k)
        if limit is not None:
            text, values = f"{text} AND bucket < ?", (*values, limit)
        return [number for (number,) in self._conn.execute(text, values)]

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        self._insert(numbers, rows, buckets, replace=True)

    def close(self) -> None:
        self._conn.close()

    def _insert(
        self, numbers: Numbers, rows: Floats, buckets: Numbers, replace: bool = False
    ) -> None:
        with self._conn:
            if replace:
                gone = ((number,) for number in numbers.tolist())
                self._conn.executemany("DELETE FROM rows WHERE rowid = ?", gone)
            packed = (row.tobytes() for row in rows)
            self._conn.executemany(
                "INSERT INTO rows (rowid, vector, bucket) VALUES (?, ?, ?)",
                zip(numbers.tolist(), packed, buckets.tolist(), strict=True),
            )


class ObjectBox:
    """HNSW on disk. A filter passes over what the graph found, so that more is asked for: twice
    what would do if the filter were chance, 2,000 at most."""

    def __init__(self, folder: Path, dim: int) -> None:
        from objectbox import Entity, Float32Vector, HnswIndex, Id, Int64, Store, VectorDistanceType

        @Entity()
        class Row:
            id = Id()
            bucket = Int64()
            vector = Float32Vector(
                index=HnswIndex(dimensions=dim, distance_type=VectorDistanceType.COSINE)
            )

        self._entity: Any = Row
        model = str(folder / "model.json")
        self._store = Store(
            directory=str(folder), max_db_size_in_kb=8_000_000, model_json_file=model
        )
        self._box = self._store.box(Row)

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        for part in _parts(len(numbers), 5_000):
            self._put(np.zeros(len(rows[part]), np.int64), rows[part], buckets[part])

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        asked = k if limit is None else min(2_000, 2 * k * BUCKETS // limit)
        condition = self._entity.vector.nearest_neighbors(query, asked)
        if limit is not None:
            condition = condition & self._entity.bucket.less_than(limit)
        found = self._box.query(condition).build().find_ids_by_score()
        return found[:k]

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        self._put(numbers, rows, buckets)

    def close(self) -> None:
        self._store.close()

    def _put(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        columns = zip(numbers.tolist(), rows, buckets.tolist(), strict=True)
        self._box.put([self._entity(id=n, vector=row, bucket=b) for n, row, b in columns])


class QdrantLocal:
    """The client's local mode, which is for tests: Python, exact."""

    def __init__(self, folder: Path, dim: int) -> None:
        import warnings

        from qdrant_client import QdrantClient, models

        warnings.simplefilter("ignore")
        self._client, self._models = QdrantClient(path=str(folder)), models
        if not self._client.collection_exists("rows"):
            params = models.VectorParams(size=dim, distance=models.Distance.COSINE)
            self._client.create_collection("rows", vectors_config=params)

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        for part in _parts(len(numbers), 1_000):
            self.upsert(numbers[part], rows[part], buckets[part])

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        api, where = self._models, None
        if limit is not None:
            where = api.Filter(must=[api.FieldCondition(key="bucket", range=api.Range(lt=limit))])
        found = self._client.query_points("rows", query=query, query_filter=where, limit=k)
        return [int(point.id) for point in found.points]

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        api = self._models
        columns = zip(numbers.tolist(), rows.tolist(), buckets.tolist(), strict=True)
        points = [api.PointStruct(id=n, vector=v, payload={"bucket": b}) for n, v, b in columns]
        self._client.upsert("rows", points)

    def close(self) -> None:
        self._client.close()


class QdrantEdge:
    """The server's engine in this process: HNSW, its optimiser run after filling and upserts."""

    def __init__(self, folder: Path, dim: int) -> None:
        import qdrant_edge as edge

        self._edge = edge
        if any(folder.iterdir()):
            self._shard = edge.EdgeShard.load(str(folder))
            return
        params = edge.EdgeVectorParams(size=dim, distance=edge.Distance.Cosine)
        config = edge.EdgeConfig(vectors=params, max_search_threads=1)
        self._shard = edge.EdgeShard.create(str(folder), config)
        index = edge.UpdateOperation.create_field_index("bucket", edge.PayloadSchemaType.Integer)
        self._shard.update(index)

    def fill(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        for part in _parts(len(numbers), 1_000):
            self._put(numbers[part], rows[part], buckets[part])
        self._shard.optimize()
        self._shard.flush()

    def search(self, query: Floats, k: int, limit: int | None) -> Sequence[int]:
        edge, where = self._edge, None
        if limit is not None:
            condition = edge.FieldCondition("bucket", range=edge.RangeFloat(lt=limit))
            where = edge.Filter(must=[condition])
        nearest = edge.Query.Nearest(query.tolist())
        found = self._shard.search(edge.SearchRequest(query=nearest, limit=k, filter=where))
        return [point.id for point in found]

    def upsert(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        self._put(numbers, rows, buckets)
        self._shard.optimize()
        self._shard.flush()

    def close(self) -> None:
        self._shard.close()

    def _put(self, numbers: Numbers, rows: Floats, buckets: Numbers) -> None:
        columns = zip(numbers.tolist(), rows.tolist(), buckets.tolist(), strict=True)
        points = [self._edge.Point(n, v, {"bucket": b}) for n, v, b in columns]
        self._shard.update(self._edge.UpdateOperation.upsert_points(points))


STORES: dict[str, type[Store]] = {
    "shoal": ShoalCollection,
    "shoal-vectors": ShoalVectors,
    "sqlite-vec": SqliteVec,
    "lancedb": LanceDB,
    "lancedb-indexed": LanceDBIndexed,
    "chromadb": Chroma,
    "objectbox": ObjectBox,
    "qdrant-local": QdrantLocal,
    "qdrant-edge": QdrantEdge,
}


def _parts(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)
