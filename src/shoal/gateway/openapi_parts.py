"""Parts that the OpenAPI document is put together from."""

from collections.abc import Mapping

Json = dict[str, object]

NAME: Json = {"type": "string", "minLength": 1}
ERRORS = {
    "400": "The request cannot be answered as sent.",
    "401": "No key, or one that is not in force.",
    "403": "A key that is not for this, another host name, or a web page of another site.",
    "404": "There is no such thing.",
    "409": "There is one of that name, or it is in no state for this.",
    "413": "Over gateway.max_body_mb, max_file_mb or, with all files, max_files_gb.",
    "501": "An optional part of Shoal that this takes is not installed.",
    "429": "More than the key's limits or budgets leave.",
    "503": "Too much is under way, or the store or every upstream is out of order.",
    "default": "What an upstream said, with its own status; 502 and 504 where it said nothing.",
}
WIRE_ERRORS = tuple(status for status in ERRORS if status != "501")


def getting(id: str, summary: str, schema: str, *errors: str) -> Json:
    """A path whose one operation tells of something."""
    replies = {"200": replied(schema, "It."), **refusals(*errors)}
    return {"get": operation(id, summary, replies)}


def operation(id: str, summary: str, replies: Mapping[str, object]) -> Json:
    """Any request may lack a key (401), or meet the guard, which answers 403."""
    responses = {**replies, **refusals("401", "403")}
    return {"operationId": id, "summary": summary, "responses": responses}


def parameter(name: str, description: str) -> Json:
    """The one parameter of a path."""
    return parameters({name: description})


def parameters(named: Mapping[str, str]) -> Json:
    """The parameters of a path, with what is said of each."""
    place = {"in": "path", "required": True, "schema": NAME}
    found = [{"name": name, **place, "description": said} for name, said in named.items()]
    return {"parameters": found}


def body_of(schema: str) -> Json:
    """A body of JSON that must be there."""
    return {"required": True, "content": {"application/json": {"schema": reference(schema)}}}


def refusals(*statuses: str) -> Json:
    """Errors by their statuses."""
    return {status: replied("Error", ERRORS[status]) for status in statuses}


def replied(schema: str, description: str) -> Json:
    """A reply of JSON."""
    content = {"application/json": {"schema": reference(schema)}}
    return {"description": description, "content": content}


def reference(schema: str) -> Json:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{schema}"}
