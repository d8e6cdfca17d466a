"""How many tokens a request has, by Messages' ``count_tokens``: nothing is answered."""

import msgspec
from msgspec import Struct

from shoal.chat import Request
from shoal.errors import EngineUnreachable
from shoal.formats.json_text import decode_reply, explain, join_members, members_of
from shoal.formats.messages.requests import encode_request
from shoal.formats.wire_format import Target

PATH = "/messages/count_tokens"
_OF_ANSWERS = ("max_tokens", "stream")  # refused where there is none


class _Count(Struct):
    input_tokens: int


_COUNT = msgspec.json.Decoder(_Count)


def encode_count_request(request: Request, target: Target) -> bytes:
    """The bytes to send upstream: the caller's own but for ``model``, else new ones.

    Raises:
        Untranslatable: it came in another format and asks for what this one cannot say.
    """
    body = encode_request(request, target)
    if request.body:
        return body
    fields = members_of(body)
    return join_members({name: fields[name] for name in fields if name not in _OF_ANSWERS})


def decode_count(reply: bytes) -> int:
    """The tokens that an upstream's reply tells.

    Raises:
        EngineUnreachable: it holds no count.
    """
    try:
        return decode_reply(_COUNT, reply).input_tokens
    except msgspec.ValidationError as error:
        why = explain(error, "")[0].removeprefix(": ")
    except ValueError:
        why = "it is not JSON"
    raise EngineUnreachable(f"the reply holds no count of tokens: {why}")


def encode_count(input_tokens: int) -> bytes:
    """The reply that tells a count."""
    return msgspec.json.encode(_Count(input_tokens))
