"""The OpenAPI document's part on files and vector stores; schemas are made of the types."""

from functools import cache
from typing import Any

import msgspec

from shoal.formats.paging import Page
from shoal.formats.uploads import PATH as UPLOADS
from shoal.formats.uploads import PURPOSES, UploadView
from shoal.formats.vector_stores import (
    PATH,
    BatchView,
    ChangedStore,
    ChangedStoreFile,
    NewBatch,
    NewStore,
    NewStoreFile,
    Removed,
    SearchView,
    StoreFileView,
    StoreSearch,
    StoreView,
    Text,
    Unpaged,
)
from shoal.gateway.openapi_parts import (
    Json,
    body_of,
    operation,
    parameters,
    refusals,
    replied,
)
from shoal.gateway.replies import PREFIX

_TYPES: dict[str, Any] = {
    "uploads": Page[UploadView],
    "stores": Page[StoreView],
    "files": Page[StoreFileView],
    "text": Unpaged[Text],
    "upload": UploadView,
    "store": StoreView,
    "file": StoreFileView,
    "batch": BatchView,
    "removed": Removed,
    "search": SearchView,
    "new_store": NewStore,
    "changed_store": ChangedStore,
    "new_file": NewStoreFile,
    "changed_file": ChangedStoreFile,
    "new_batch": NewBatch,
    "store_search": StoreSearch,
}
_STORE = {"vector_store_id": "A store's id: vs_ and the collection's name."}
_FILE = {"file_id": "A file's id."}
_BATCH = {"batch_id": "A batch's id."}
_FORM: Json = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"enum": list(PURPOSES)},
        "expires_after[anchor]": {"const": "created_at"},
        "expires_after[seconds]": {"type": "string"},
    },
}


def store_paths() -> Json:
    """Every path of files and vector stores."""
    one = f"{PREFIX}{PATH}/{{vector_store_id}}"
    return {**_upload_paths(), **_store_paths(one), **_file_paths(one), **_batch_paths(one)}


def _upload_paths() -> Json:
    path = f"{PREFIX}{UPLOADS}"
    form = {"content": {"multipart/form-data": {"schema": _FORM}}, "required": True}
    content = {"200": {"description": "Its bytes.", "content": {"application/octet-stream": {}}}}
    sent = _told("send_file", "Sends a file.", "upload", "400", "413") | {"requestBody": form}
    return {
        path: {"get": _told("files", "The caller's files.", "uploads", "400"), "post": sent},
        f"{path}/{{file_id}}": {
            "get": _told("file", "One of them.", "upload", "404"),
            "delete": _told("delete_file", "Removes it, out of every store.", "removed", "404"),
            **parameters(_FILE),
        },
        f"{path}/{{file_id}}/content": {
            "get": operation("file_content", "Its bytes.", content | refusals("404", "503")),
            **parameters(_FILE),
        },
    }


def _store_paths(one: str) -> Json:
    made = _told("create_store", "Makes a store.", "store", "400", "404", "413", "501")
    changed = _told("update_store", "Says something else of it.", "store", "400", "404", "413")
    errors = "400", "404", "409", "413", "501"
    searched = _told("search_store", "Searches it.", "search", *errors)
    return {
        f"{PREFIX}{PATH}": {
            "get": _told("stores", "The stores that the caller may use.", "stores", "400"),
            "post": made | _body("new_store"),
        },
        one: {
            "get": _told("store", "One of them.", "store", "404"),
            "post": changed | _body("changed_store"),
            "delete": _told("delete_store", "Removes it.", "removed", "404"),
            **parameters(_STORE),
        },
        f"{one}/search": {"post": searched | _body("store_search"), **parameters(_STORE)},
    }


def _file_paths(one: str) -> Json:
    attached = _told("attach_file", "Has a file attached.", "file", "400", "404", "413")
    changed = _told("update_store_file", "Gives it attributes.", "file", "400", "404", "413")
    removed = _told("detach_file", "Takes it out of the store.", "removed", "400", "404")
    both = parameters(_STORE | _FILE)
    return {
        f"{one}/files": {
            "get": _told("store_files", "The files of a store.", "files", "400", "404"),
            "post": attached | _body("new_file"),
            **parameters(_STORE),
        },
        f"{one}/files/{{file_id}}": {
            "get": _told("store_file", "One of them.", "file", "404"),
            "post": changed | _body("changed_file"),
            "delete": removed,
            **both,
        },
        f"{one}/files/{{file_id}}/content": {
            "get": _told("store_file_content", "What was read of it.", "text", "404"),
            **both,
        },
    }


def _batch_paths(one: str) -> Json:
    path, both = f"{one}/file_batches/{{batch_id}}", parameters(_STORE | _BATCH)
    attached = _told("attach_files", "Has files attached.", "batch", "400", "404", "413")
    cancelled = _told("cancel_batch", "Attaches no more of them.", "batch", "404")
    return {
        f"{one}/file_batches": {"post": attached | _body("new_batch"), **parameters(_STORE)},
        path: {"get": _told("batch", "How far a batch is.", "batch", "404"), **both},
        f"{path}/cancel": {"post": cancelled, **both},
        f"{path}/files": {
            "get": _told("batch_files", "Its files.", "files", "400", "404"),
            **both,
        },
    }


def _told(id: str, summary: str, schema: str, *errors: str) -> Json:
    replies = {"200": replied(_components()[0][schema], "It."), **refusals(*errors, "503")}
    return operation(id, summary, replies)


def _body(schema: str) -> Json:
    return {"requestBody": body_of(_components()[0][schema])}


def store_schemas() -> Json:
    """The schemas of all that is asked and told, by name."""
    return _components()[1]


@cache
def _components() -> tuple[dict[str, str], Json]:
    """The name of each type's schema, and the schemas."""
    template = "#/components/schemas/{name}"
    made, schemas = msgspec.json.schema_components(_TYPES.values(), ref_template=template)
    names = {
        name: str(one["$ref"]).rpartition("/")[2] for name, one in zip(_TYPES, made, strict=True)
    }
    return names, schemas
