"""What Shoal offers as tools: its specialists, its collections, and what others add.

A task is offered once a certified specialist serves it. It is called like any call of the task: the
specialist answers where it is sure enough, else the LLM does, and the call is recorded.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from shoal.assembly.filling import Form, form_of
from shoal.assembly.library import Library
from shoal.assembly.roster import Post
from shoal.assembly.shoal import Shoal
from shoal.chat import Answer, Message, Request
from shoal.errors import MalformedRequest, ShoalError
from shoal.retrieval.documents import Hit
from shoal.retrieval.filter_text import filter_from_text
from shoal.retrieval.search import SearchOptions
from shoal.routing.caller import Caller
from shoal.routing.offer import Offer, Outcome, Recorded
from shoal.routing.receipt import OWN_MODELS, Receipt
from shoal.storage import CallFilter, Store
from shoal.tasks import Task
from shoal.tools.naming import tool_name
from shoal.tools.tool import Json, ToolSpec, schema

_MOST_PASSAGES = 50
_TIMEOUT_S = 600.0  # an LLM may have to answer
_TEXT: Json = {"type": "string"}
_ANSWERED = schema(
    {
        "answer": {"description": "Text, or what the text says in JSON, or calls of tools."},
        "answered_by": _TEXT,
        "reason": _TEXT,
        "promise": {"type": "string", "description": "How often it may be wrong; empty: unknown."},
        "call_id": _TEXT,
    },
    ("answer", "answered_by", "reason", "promise", "call_id"),
)
_PASSAGE: Json = {
    "type": "object",
    "properties": {
        "text": _TEXT,
        "document": _TEXT,
        "title": _TEXT,
        "headings": {"type": "array", "items": _TEXT},
        "score": {"type": "number"},
    },
    "required": ["text", "document", "score"],
}
_FOUND = schema({"passages": {"type": "array", "items": _PASSAGE}}, ("passages",))

More = Callable[[Caller], Sequence[Offer]]
"""Further offers for a caller."""


def _no_more(caller: Caller) -> Sequence[Offer]:
    return ()


class Offering:
    """The offers over one Shoal, its store and its collections."""

    def __init__(self, shoal: Shoal, store: Store, library: Library, more: More = _no_more) -> None:
        self._shoal, self._store, self._library, self._more = shoal, store, library, more
        self._forms = dict[str, tuple[Task, Form | None]]()
        self._finishing = set[asyncio.Task[Receipt]]()

    async def offers(self, caller: Caller) -> list[Offer]:
        """What this caller may call: by name, tasks first."""
        tasks = await asyncio.to_thread(self._of_tasks, caller)
        collections = await asyncio.to_thread(self._of_collections, caller)
        return [*tasks, *collections, *self._more(caller)]

    def _of_tasks(self, caller: Caller) -> list[Offer]:
        models, found = set(self._shoal.models(caller)), list[Offer]()
        posts = self._shoal.roster.posts.values()
        for post in sorted(posts, key=lambda post: post.task.name):
            allowed = not caller.spec.tasks or post.task.name in caller.spec.tasks
            if post.stage != "serve" or post.rung is None or not allowed:
                continue
            if post.rung.card.llm not in models:
                continue  # which answers where the specialist is not sure
            form = self._form(post.task)
            if form is not None:
                found.append(Offer(_spec_of(post, form), partial(self._ask_task, post, form)))
        return found

    def _form(self, task: Task) -> Form | None:
        """How its calls are written, as the last one shows; looked up once."""
        known = self._forms.get(task.id)
        if known is None or known[0] != task:
            calls = self._store.calls.list(CallFilter(task=task.id, limit=1))
            known = self._forms[task.id] = (
                task,
                form_of(task, calls[0].request if calls else None),
            )
        return known[1]

    def _of_collections(self, caller: Caller) -> list[Offer]:
        own, found = caller.spec.collections, list[Offer]()
        for name in sorted(self._library.names()):
            if not own or name in own:
                found.append(Offer(_search_spec(name), partial(self._search, name)))
        prefix = f"{OWN_MODELS}ask:"
        models = () if caller.spec.tasks else self._shoal.models(caller)  # a question is of no task
        for model in sorted(models):
            if model.startswith(prefix):
                found.append(
                    Offer(_ask_spec(model.removeprefix(prefix)), partial(self._ask, model))
                )
        return found

    async def _ask_task(
        self, post: Post, form: Form, arguments: Mapping[str, Json], caller: Caller
    ) -> Outcome:
        assert post.rung is not None
        values = {name: str(value) for name, value in arguments.items()}
        request = form.filled(values, post.rung.card.llm)
        found = self._shoal.roster.find(request)
        if found is None or found[1].task.id != post.task.id:
            raise MalformedRequest(
                f"with these values it would be no call of the task {post.task.name}: people set "
                "conditions, or another task is meant by that"
            )
        return await self._answered(request, caller, post)

    async def _ask(self, model: str, arguments: Mapping[str, Json], caller: Caller) -> Outcome:
        message = Message("user", str(arguments["question"]))
        return await self._answered(Request(model, (message,)), caller, None)

    async def _search(self, name: str, arguments: Mapping[str, Json], caller: Caller) -> Outcome:
        caller.require_collection(name)
        where, k = str(arguments.get("where") or ""), arguments.get("k") or 5
        assert isinstance(k, int)
        options = SearchOptions(k=k, where=filter_from_text(where) if where else None)

        def search() -> list[Hit]:
            with self._library.using(name) as collection:
                return collection.search(str(arguments["query"]), options)

        hits = await asyncio.to_thread(search)
        text = "\n\n".join(f"[{hit.document.name}]\n{hit.passage.text}" for hit in hits)
        return Outcome({"passages": [_told(hit) for hit in hits]}, text or "Nothing was found.")

    async def _answered(self, request: Request, caller: Caller, post: Post | None) -> Outcome:
        began = time.perf_counter()
        try:
            handled = await self._shoal.serve(request, "", caller)
        except ShoalError as error:
            receipt = await self._shoal.failed(request, "", caller, error, began)
            call = Recorded(request, receipt, began, error=error)
            return Outcome(error=str(error), call_id=receipt.call_id, call=call)
        assert handled.answer is not None  # it was not asked as a stream
        finishing = asyncio.ensure_future(self._shoal.finish(handled, handled.answer, ""))
        self._finishing.add(finishing)  # recorded it is, even when nobody waits any more
        finishing.add_done_callback(self._finishing.discard)
        receipt = await asyncio.shield(finishing)
        call = Recorded(request, receipt, began, handled.answer)
        return replace(_outcome(handled.answer, receipt, post), call=call)


def _outcome(answer: Answer, receipt: Receipt, post: Post | None) -> Outcome:
    certificate = post.rung.certificate if post and post.rung else None
    keeps = certificate is not None and certificate.id == receipt.certificate
    promise = certificate.promise if certificate and keeps else ""
    calls: list[Json] = [{"name": c.name, "arguments": c.arguments} for c in answer.tool_calls]
    value: dict[str, Json] = {
        "answer": calls or _read(answer.text),
        "answered_by": receipt.answered_by,
        "reason": receipt.reason,
        "promise": promise,
        "call_id": receipt.call_id,
    }
    text = "\n".join(f"{c.name}({c.arguments})" for c in answer.tool_calls) or answer.text
    said = f"By {receipt.answered_by}: {promise}" if promise else f"By {receipt.answered_by}."
    return Outcome(value, f"{text}\n\n{said}", call_id=receipt.call_id)


def _read(text: str) -> Json:
    """The object or list that the text is in JSON, else the text."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        found: Json = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return found


def _spec_of(post: Post, form: Form) -> ToolSpec:
    assert post.rung is not None
    certificate, name = post.rung.certificate, post.task.name
    begins = " ".join(form.template.literal_text.split())
    shown = begins if len(begins) <= 300 else f"{begins[:299]}…"
    told = [
        f"The task {name}, answered by a small model on this machine where it is sure enough, "
        f"else by {post.rung.card.llm}.",
        f"Promised of the small model: {certificate.promise}",
    ]
    if shown:
        told.append(f"What is asked: {shown}")
    return ToolSpec(
        name=tool_name("task", name),
        description="\n".join(told),
        takes=schema(dict.fromkeys(form.slots, _TEXT), form.slots),
        gives=_ANSWERED,
        effects="reads",
        timeout_s=_TIMEOUT_S,
    )


def _search_spec(name: str) -> ToolSpec:
    k: Json = {"type": "integer", "minimum": 1, "maximum": _MOST_PASSAGES, "default": 5}
    where: Json = {"type": "string", "description": "A filter of documents, like kind = 'pdf'."}
    query: Json = {"type": "string", "minLength": 1, "description": "What to look for."}
    return ToolSpec(
        name=tool_name("search", name),
        description=f"Search the documents of the collection {name}: the passages that fit best.",
        takes=schema({"query": query, "k": k, "where": where}, ("query",)),
        gives=_FOUND,
        effects="reads",
    )


def _ask_spec(name: str) -> ToolSpec:
    question: Json = {"type": "string", "minLength": 1}
    return ToolSpec(
        name=tool_name("ask", name),
        description=(
            f"Answer a question from the documents of the collection {name}, with the passages "
            "that bear it out; says so where they do not."
        ),
        takes=schema({"question": question}, ("question",)),
        gives=_ANSWERED,
        effects="reads",
        timeout_s=_TIMEOUT_S,
    )


def _told(hit: Hit) -> Json:
    return {
        "text": hit.passage.text,
        "document": hit.document.name,
        "title": hit.document.title,
        "headings": list(hit.passage.headings),
        "score": float(hit.score),
    }
