"""Reads a request's body, no more of it than is allowed."""

from starlette.requests import Request

from shoal.errors import BodyTooLarge, MalformedRequest


async def read_body(request: Request, limit: int) -> bytes:
    """The body, at most ``limit`` bytes.

    Raises:
        BodyTooLarge: it is longer; the rest of it is not read.
        MalformedRequest: it is compressed, or lost.
        starlette.requests.ClientDisconnect: the client hung up while sending it.
    """
    check_body(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def check_body(request: Request) -> None:
    """See that the body can be read.

    Raises:
        MalformedRequest: it is compressed, or lost.
    """
    if "upgrade" in request.headers:  # the server's parser ends at such a header, the body unread
        raise MalformedRequest(
            "a body behind a header 'Upgrade' is not read; send none "
            "(Java: HttpClient.Version.HTTP_1_1)"
        )
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise MalformedRequest(f"the body is compressed ({encoding}); send it uncompressed")


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body is over {limit / 1_000_000:g} MB; raise gateway.max_body_mb in shoal.toml"
    )
