"""OpenAI's files on the wire: what is said with an upload, and what is told of a file."""

from typing import Literal, get_args

from msgspec import Struct

from shoal.errors import MalformedRequest

PATH = "/files"
Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")
_SHORTEST_S, _LONGEST_S = 3_600, 2_592_000


class UploadOrder(Struct, frozen=True, kw_only=True):
    """What is said of a file that is sent; ``expires_s`` None: it is kept until it is removed."""

    filename: str
    purpose: Purpose
    expires_s: int | None = None


class UploadView(Struct, frozen=True, kw_only=True):
    """A file as it is told."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"


def upload_order(filename: str, fields: dict[str, str]) -> UploadOrder:
    """What the fields of a form say of its file.

    Raises:
        MalformedRequest: one is missing or wrong; names it.
    """
    purpose = purpose_of(fields.get("purpose", ""))
    anchor, seconds = fields.get(FIELDS[1]), fields.get(FIELDS[2])
    if anchor is None and seconds is None:
        return UploadOrder(filename=plain_name(filename), purpose=purpose)
    if anchor != "created_at":
        raise MalformedRequest(f"{FIELDS[1]}: expected created_at", "expires_after")
    said = seconds or ""
    if not (said.isascii() and said.isdecimal() and _SHORTEST_S <= int(said[:9]) <= _LONGEST_S):
        raise MalformedRequest(
            f"{FIELDS[2]}: expected {_SHORTEST_S} to {_LONGEST_S}, found {said[:40]!r}",
            "expires_after",
        )
    return UploadOrder(filename=plain_name(filename), purpose=purpose, expires_s=int(said))


def purpose_of(text: str) -> Purpose:
    """What a file is for.

    Raises:
        MalformedRequest: it is none of ``PURPOSES``.
    """
    for known in PURPOSES:
        if text == known:
            return known
    raise MalformedRequest(
        f"purpose: expected {', '.join(PURPOSES)}, found {text[:40]!r}", "purpose"
    )


def plain_name(filename: str) -> str:
    r"""The last part of a path of any system, without what no name should hold.

    >>> [plain_name(n) for n in ("../../etc/passwd", "C:\\x\\Größe.pdf", "a\r\nb", "..")]
    ['passwd', 'Größe.pdf', 'ab', 'file']
    """
    last = filename.replace("\\", "/").rpartition("/")[2]
    kept = "".join(one for one in last if one.isprintable()).strip()
    kept = kept if len(kept) <= 200 else kept[:100] + kept[-100:]
    return kept if kept.strip(".") else "file"
