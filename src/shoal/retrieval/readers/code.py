"""Code and data: a block for each definition at the top level, with the comments before it.

No language is parsed: a definition begins at a line without indentation that looks like one. Where
that is wrong, a block is longer or shorter than it might be, and nothing is lost.
"""

import re

from shoal.retrieval.documents import Block, Content

_C = (
    r"(?:[A-Za-z_][\w:<>,\[\]]*[ \t*&]+)+[\w:~]+[ \t]*\("
    r"|(?:struct|class|enum|union|namespace|typedef|template)\b"
)
_JAVA = (
    r"(?:public|private|protected|abstract|final|static|class|interface|enum|record|internal"
    r"|namespace)\b"
)
_JS = (
    r"(?:export|import|(?:async[ \t]+)?function|class|interface|type|enum|declare|namespace"
    r"|abstract|(?:const|let|var)[ \t]+\w+)\b"
)
_STARTS = {
    "python": r"(?:async[ \t]+def|def|class|if[ \t]+__name__)\b",
    "javascript": _JS,
    "typescript": _JS,
    "java": _JAVA,
    "csharp": _JAVA,
    "kotlin": _JAVA + r"|(?:fun|data|object|sealed|open|suspend)\b",
    "scala": r"(?:object|class|trait|def|case|package|sealed|abstract)\b",
    "go": r"(?:func|type|var|const|import)\b",
    "rust": r"(?:pub|fn|impl|struct|enum|trait|mod|use|const|static|macro_rules|unsafe|async)",
    "c": _C,
    "cpp": _C,
    "objective-c": _C + r"|[-+@]",
    "ruby": r"(?:def|class|module)\b",
    "php": r"(?:function|class|interface|trait|abstract|final|namespace)\b",
    "swift": r"(?:func|class|struct|enum|protocol|extension|public|private|final)\b",
    "shell": r"(?:function[ \t]+\w|[\w-]+[ \t]*\(\))",
    "sql": r"(?:create|alter|drop|insert|select|update|delete|with|grant|merge|begin)\b",
    "toml": r"\[",
    "ini": r"\[",
    "yaml": r"(?:[\w\"'.-]+[ \t]*:|---)",
    "css": r"[^\s{}/*][^{};\n]*\{",
    "terraform": r"(?:resource|data|module|variable|output|provider|locals)\b",
    "protobuf": r"(?:message|service|enum|extend)\b",
}
_START = {
    kind: re.compile(pattern, re.IGNORECASE if kind == "sql" else 0)
    for kind, pattern in _STARTS.items()
}
_LEADING = re.compile(r"(?:#|//|/\*| \*|--|;|\"\"\"|@|///)")  # comments and decorators
_LONGEST = 400  # characters of a line that is looked at


def read_code(text: str, kind: str) -> Content:
    """Blocks of the file, in which nothing but blank lines at their ends is left out."""
    lines = text.split("\n")
    starts = _starts(lines, kind)
    blocks = []
    for start, end in zip([0, *starts], [*starts, len(lines)], strict=True):
        inside = "\n".join(lines[start:end]).strip("\n").rstrip()
        if inside.strip():
            blocks.append(Block("code", inside))
    return Content(kind, tuple(blocks))


def _starts(lines: list[str], kind: str) -> list[int]:
    """Numbers of the lines at which a definition begins, that of its comments if it has any."""
    pattern = _START.get(kind)
    found: list[int] = []
    led = -1  # where the comments right above begin
    for number, line in enumerate(lines):
        head = line[:_LONGEST]
        if pattern and pattern.match(head) and not _LEADING.match(head):
            start = led if led >= 0 else number
            if start > 0:
                found.append(start)
            led = -1
        elif head and _LEADING.match(head):
            led = number if led < 0 else led
        elif not (head[:1] in (" ", "\t") and led >= 0):  # of a decorator over many lines
            led = -1
    return found
