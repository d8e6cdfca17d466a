"""OpenAI's vector stores on the wire: what may be asked, and what is told."""

import math
import re
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shoal.errors import MalformedRequest
from shoal.formats.json_text import parse_strictly

R = TypeVar("R", bound=Struct)
V = TypeVar("V")

PATH = "/vector_stores"
STORE, FILE, BATCH = "vs_", "file-", "vsfb_"
"""How ids begin."""

MOST_PAIRS = 16
MOST_FILES = 2_000  # of a batch
MOST_QUERY = 20_000  # characters; a search looks at no more
MOST_QUERIES = 16
_WHERE = re.compile(r" - at `(?:key` in `)?\$\.?([^`]*)`$")

Status = Literal["in_progress", "completed", "cancelled", "failed"]
Value = str | float | bool
ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]
ERROR_CODES: tuple[ErrorCode, ...] = get_args(ErrorCode)

_Key = Annotated[str, Meta(min_length=1, max_length=64)]
_Text = Annotated[str, Meta(max_length=512)]
_Id = Annotated[str, Meta(min_length=1, max_length=200)]
_Query = Annotated[str, Meta(min_length=1, max_length=MOST_QUERY)]
Attributes = Annotated[dict[_Key, _Text | float | bool], Meta(max_length=MOST_PAIRS)]
Metadata = Annotated[dict[_Key, _Text], Meta(max_length=MOST_PAIRS)]


class ExpiresAfter(Struct, frozen=True, forbid_unknown_fields=True):
    """A store expires so many days after it was last used."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class ChunkSizes(Struct, frozen=True, forbid_unknown_fields=True):
    """How many tokens a passage has at most, and how many two of them share."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=32, le=4096)]
    chunk_overlap_tokens: Annotated[int, Meta(ge=0, le=2048)]


class StaticChunks(Struct, frozen=True, forbid_unknown_fields=True, tag="static", tag_field="type"):
    """Passages of these sizes."""

    static: ChunkSizes


class AutoChunks(Struct, frozen=True, forbid_unknown_fields=True, tag="auto", tag_field="type"):
    """Passages as the collection has them."""


Chunks = StaticChunks | AutoChunks


class NewStore(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A store to make."""

    name: Annotated[str, Meta(max_length=256)] | None = None
    description: Annotated[str, Meta(max_length=512)] | None = None
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None
    file_ids: Annotated[tuple[_Id, ...], Meta(max_length=500)] = ()
    chunking_strategy: Chunks | None = None


class ChangedStore(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be different of a store."""

    name: Annotated[str, Meta(max_length=256)] | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET


class NewStoreFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An uploaded file to be attached to a store."""

    file_id: _Id
    attributes: Attributes | None = None
    chunking_strategy: Chunks | None = None


class ChangedStoreFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The attributes that a file is to have instead of those it has."""

    attributes: Attributes | None


class NewBatch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files to be attached together: by ``file_ids`` with the same attributes, or each as one of
    ``files`` says."""

    file_ids: Annotated[tuple[_Id, ...], Meta(max_length=MOST_FILES)] | None = None
    files: Annotated[tuple[NewStoreFile, ...], Meta(max_length=MOST_FILES)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Chunks | None = None

    def each(self) -> list[NewStoreFile]:
        """One by one.

        Raises:
            MalformedRequest: there are none, or both kinds.
        """
        if (self.files is None) == (self.file_ids is None):
            raise MalformedRequest("expected either 'file_ids' or 'files'", "file_ids")
        if self.files is not None:
            found = list(self.files)
        else:
            found = [
                NewStoreFile(
                    file_id=id,
                    attributes=self.attributes,
                    chunking_strategy=self.chunking_strategy,
                )
                for id in self.file_ids or ()
            ]
        if not found:
            raise MalformedRequest("expected at least one file", "file_ids")
        return found


class RankingOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """``ranker`` is taken and makes no difference."""

    ranker: Annotated[str, Meta(max_length=64)] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None


class StoreSearch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A search; ``filters`` as JSON that nobody has looked into yet. ``rewrite_query`` is taken,
    and nothing is rewritten."""

    query: _Query | Annotated[tuple[_Query, ...], Meta(min_length=1, max_length=MOST_QUERIES)]
    filters: dict[str, Any] | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = 10
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None

    @property
    def queries(self) -> tuple[str, ...]:
        """Every query."""
        return (self.query,) if isinstance(self.query, str) else self.query


class FileCounts(Struct, frozen=True, kw_only=True):
    """How many files are in which state."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class StoreView(Struct, frozen=True, kw_only=True):
    """A store as it is told."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpiresAfter | None
    expires_at: int | None
    last_active_at: int
    metadata: dict[str, str]


class LastError(Struct, frozen=True):
    """Why a file could not be attached."""

    code: ErrorCode
    message: str


class StoreFileView(Struct, frozen=True, kw_only=True):
    """A file of a store as it is told."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    usage_bytes: int
    created_at: int
    vector_store_id: str
    status: Status
    last_error: LastError | None
    chunking_strategy: StaticChunks
    attributes: dict[str, Value]


class BatchView(Struct, frozen=True, kw_only=True):
    """A batch as it is told."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Status
    file_counts: FileCounts


class Text(Struct, frozen=True):
    """A piece of text."""

    text: str
    type: Literal["text"] = "text"


class Found(Struct, frozen=True, kw_only=True):
    """A passage that a search found."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, Value]
    content: tuple[Text, ...]


class Unpaged(Struct, Generic[V], frozen=True, kw_only=True):
    """All that there is."""

    object: str
    data: list[V]
    has_more: Literal[False] = False
    next_page: None = None


class SearchView(Unpaged[Found], frozen=True, kw_only=True):
    """What a search found."""

    object: str = "vector_store.search_results.page"
    search_query: tuple[str, ...]


class Removed(Struct, frozen=True, kw_only=True):
    """What was removed."""

    id: str
    object: str
    deleted: Literal[True] = True


def decode(kind: type[R], body: bytes) -> R:
    """The request of that kind in a body.

    Raises:
        MalformedRequest: it is none; names the field.
    """
    given = parse_strictly(body or b"{}")
    try:
        found = msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        said = str(error)
        place = _WHERE.search(said)
        field = place[1].partition("[")[0] if place else ""
        said = said[: place.start()] if place else said
        if place and place[1]:
            said = f"{place[1]}: {said}"
        raise MalformedRequest(said, field or None) from None
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None
    _refuse_infinity(given)
    return found


def _refuse_infinity(value: object) -> None:
    """JSON can write numbers that are too large for any float."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, float) and not math.isfinite(one):
            raise MalformedRequest("the body holds a number that is too large")
        if isinstance(one, int) and abs(one) > 2**1023:
            raise MalformedRequest("the body holds a number that is too large")
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
