"""What a file is: told by its bytes, and by its name where the bytes leave it open."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType

from shoal.errors import ReadError
from shoal.retrieval.readers.decoding import is_text

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "bash": "shell", "bat": "batch", "c": "c", "cc": "cpp", "cfg": "ini", "clj": "clojure",
        "conf": "ini", "cpp": "cpp", "cs": "csharp", "css": "css", "cxx": "cpp", "dart": "dart",
        "env": "ini", "erl": "erlang", "ex": "elixir", "exs": "elixir", "go": "go",
        "graphql": "graphql", "h": "c", "hpp": "cpp", "hs": "haskell", "ini": "ini",
        "java": "java", "jl": "julia", "js": "javascript", "json": "json", "jsonl": "json",
        "jsx": "javascript", "kt": "kotlin", "lua": "lua", "m": "objective-c",
        "mjs": "javascript", "ml": "ocaml", "php": "php", "pl": "perl", "properties": "ini",
        "proto": "protobuf", "ps1": "powershell", "py": "python", "pyi": "python", "r": "r",
        "rb": "ruby", "rs": "rust", "scala": "scala", "scss": "css", "sh": "shell",
        "sql": "sql", "svelte": "javascript", "swift": "swift", "tf": "terraform",
        "toml": "toml", "ts": "typescript", "tsx": "typescript", "vue": "javascript",
        "xml": "xml", "xsd": "xml", "yaml": "yaml", "yml": "yaml", "zig": "zig", "zsh": "shell",
    }
)  # fmt: skip
"""The ending of a name, to the language of the code or data in it."""

WRITTEN: Mapping[str, str] = MappingProxyType(
    {
        "csv": "csv", "eml": "email", "htm": "html", "html": "html", "ipynb": "notebook",
        "markdown": "markdown",
        "mbox": "mbox", "md": "markdown", "mdx": "markdown", "qmd": "markdown", "tab": "tsv",
        "tsv": "tsv", "xhtml": "html", "txt": "text", "text": "text", "log": "text",
        "rst": "text", "adoc": "text", "org": "text", "tex": "text", "srt": "text", "vtt": "text",
        "mediawiki": "text", "wiki": "text",
    }
)  # fmt: skip
"""The ending of a name, to the kind of the text in it."""

OFFICE = ("doc", "docx", "epub", "odp", "ods", "odt", "ppt", "pptx", "rtf", "xls", "xlsx")

SUPPORTED: tuple[str, ...] = tuple(sorted({"pdf", *OFFICE, *WRITTEN, *LANGUAGES}))
"""The endings of names that are known, without the dot. A text of another name is read as text."""

_NAMES = {"dockerfile": "dockerfile", "makefile": "makefile", "jenkinsfile": "groovy"}

_STRANGERS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"8BPS", "a Photoshop image"),
    (b"\0\0\1\0", "an icon"),
    (b"RIFF", "a WebP image, a sound or a film"),
    (b"OggS", "a sound or a film"),
    (b"fLaC", "a sound"),
    (b"ID3", "a sound"),
    (b"\x1aE\xdf\xa3", "a film"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\0asm", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"wOF", "a font"),
)
_ZIPPED = (
    (b"word/document", "docx"),
    (b"ppt/presentation", "pptx"),
    (b"xl/workbook", "xlsx"),
    (b"application/epub+zip", "epub"),
    (b"application/vnd.oasis.opendocument.text", "odt"),
    (b"application/vnd.oasis.opendocument.spreadsheet", "ods"),
    (b"application/vnd.oasis.opendocument.presentation", "odp"),
)
_COMPOUND = ((b"WordDocument", "doc"), (b"PowerPoint Document", "ppt"), (b"Workbook", "xls"))
_HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!doctype\s+html|<html[\s>])", re.IGNORECASE)
_MAIL = re.compile(
    rb"(?:(?:Return-Path|Received|Delivered-To|From|To|Date|Subject|Message-ID|MIME-Version): ?"
    rb"[^\n]*\n(?:[ \t][^\n]*\n)*){3}",
    re.IGNORECASE,
)


def kind_of(name: str, head: bytes) -> str:
    """The kind of a file of that name that begins with ``head``: "pdf", "docx", "markdown",
    "python" …; the more of the file there is, the surer.

    A file whose name claims another kind than its bytes is what its bytes say. Raises ``ReadError``
    (which does not name the file) if it is no document.
    """
    ending = ending_of(name)
    if _is_pdf(ending, head):
        return "pdf"
    if head[:4] in (b"PK\3\4", b"PK\5\6", b"PK\7\x08"):
        return _zipped(ending, head)
    if head[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return _compound(ending, head)
    if head[:5] == b"{\\rtf":
        return "rtf"
    for magic, what in _STRANGERS:
        if head.startswith(magic):
            raise ReadError(f"is {what}, not a document with text")
    if head[4:8] == b"ftyp" or head[257:262] == b"ustar":
        raise ReadError("is a film or an archive, not a document with text")
    if not is_text(head):
        raise ReadError("is neither text nor a known kind of document")
    return _written(name, ending, head)


def ending_of(name: str) -> str:
    """What follows the last dot of a name, in small letters; "" if there is none."""
    return PurePath(name).suffix[1:].lower() if "\0" not in name else ""


def _is_pdf(ending: str, head: bytes) -> bool:
    # A PDF may begin with junk (ISO 32000-1, annex H); a text that speaks of one is none.
    at = head[:1024].find(b"%PDF-")
    return at >= 0 and (not head[:at].strip(b"\xef\xbb\xbf\r\n\t ") or ending == "pdf")


def _zipped(ending: str, head: bytes) -> str:
    for sign, kind in _ZIPPED:
        if sign in head:
            return kind
    if ending in OFFICE:
        return ending
    raise ReadError("is a ZIP archive; unpack it to have the files in it read")


def _compound(ending: str, head: bytes) -> str:
    if "EncryptedPackage".encode("utf-16-le") in head:
        raise ReadError("is encrypted with a password; save it without one")
    for sign, kind in _COMPOUND:
        if sign.decode().encode("utf-16-le") in head:
            return kind
    if ending in ("doc", "ppt", "xls"):
        return ending
    raise ReadError("is an OLE file of an unknown kind")


def _written(name: str, ending: str, head: bytes) -> str:
    if ending in LANGUAGES:
        return LANGUAGES[ending]
    kind = WRITTEN.get(ending) or _NAMES.get(PurePath(name.replace("\0", "")).name.lower(), "")
    if kind not in ("markdown", "html") and _HTML.match(head[:4096]):
        return "html"
    if kind in ("", "mbox") and head.startswith(b"From ") and _MAIL.search(head[:4096]):
        return "mbox"
    if not kind and _MAIL.match(head[:8192]):
        return "email"
    return kind or "text"
