"""Whether a text is one SQL statement that may be run, by sqlglot.

The first of two walls: the databases themselves are opened so that they refuse too. What is sent to
them is not the text but its tokens, without comments, so that nobody reads it in two ways.
"""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from shoal.errors import MissingExtra

Dialect: TypeAlias = Literal["sqlite", "duckdb", "postgres"]

MOST_TEXT = 20_000  # characters
_MOST_TOKENS = 5_000

_READS = ("Select", "SetOperation", "Values", "Subquery")
_WRITES = ("Insert", "Update", "Delete", "Merge")
_NEVER = (  # wherever they stand
    *("Command", "Create", "Drop", "Alter", "AlterColumn", "TruncateTable", "Copy", "Attach"),
    *("Detach", "Pragma", "Set", "Use", "Transaction", "Commit", "Rollback", "Into", "LoadData"),
    *("Install", "Export", "Kill", "Grant", "Revoke", "Analyze", "Execute", "Lock", "Cache"),
    *("Describe", "Summarize", "Show", "ReadCSV", "ReadParquet", "Declare", "Comment"),
)
_REFUSED = re.compile(  # functions that read files, run SQL, reach out, wait, or fill the memory
    r"(read_|pg_|lo_|dblink|duckdb_|pragma_|postgres_|sqlite_|mysql_|iceberg_|delta_|fts3_|http_"
    r"|parquet_|query|database_to_|schema_to_|table_to_|cursor_to_|shoal_|which_secret|ts_stat).*"
    r"|.*(_scan|_export|_import|_nextval)"
    r"|glob|sniff_csv|getenv|getvariable|load_extension|readfile|writefile|edit|eval|set_config"
    r"|nextval|setval|currval|lastval|st_read|current_setting|repeat|lpad|rpad|zeroblob|pad"
    r"|inet_.*|randomblob|write_.*|test_all_types|read(csv|parquet)"
)
_WIDE = re.compile(
    r"format|printf|bar|(list|array)_resize|repeat_row"
)  # a value as wide as is asked; SQLite bounds that itself
# Where they are no table, DuckDB builds them whole, and uninterrupted.
_LISTS = ("range", "generate_series", "generateseries")
_HARMLESS = {"pg_typeof", "pg_size_pretty", "pg_column_size"}
_TABLE_FUNCTIONS = re.compile(  # those that may stand where a table does
    r"generate_?series|range|unnest|values|(json|jsonb|string|regexp|xml)_?[a-z_]*|exploding.*"
)
_SYSTEM = re.compile(r"(pg_|sqlite_|duckdb_|shoal_).*")
_SYSTEM_SCHEMAS = {"pg_catalog", "pg_toast", "system", "temp"}


class Refused(ValueError):
    """The statement may not be run; the message says why, for who wrote it."""


class Statement(Struct, frozen=True):
    """One statement that may be run, and the order in which named values are bound."""

    sql: str
    writes: bool
    names: tuple[str, ...] = ()


def checked(
    text: str,
    dialect: Dialect,
    writes: bool = False,
    tables: Collection[str] | None = None,
    names: Collection[str] = (),
) -> Statement:
    """The one statement of a text. Without ``writes`` it may only read; with ``tables`` it may name
    no others. ``:name`` of ``names`` becomes a place where a value is bound.

    Raises:
        Refused: it may not be run.
        MissingExtra: sqlglot is not installed.
    """
    sqlglot, exp = _sqlglot()
    if len(text) > MOST_TEXT:
        raise Refused(f"the statement has more than {MOST_TEXT:,} characters")
    try:
        sql, order = _rebuilt(text, dialect, sqlglot.tokenize(text, read=dialect), names)
        trees = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    except sqlglot.errors.SqlglotError as error:
        raise Refused(f"this is no SQL that can be read: {_said(error)}") from None
    except RecursionError:
        raise Refused("the statement is nested too deeply") from None
    except (AttributeError, IndexError, KeyError, TypeError):  # of a parser not made for malice
        raise Refused("this is no SQL that can be read") from None
    if len(trees) != 1:
        raise Refused(f"one statement is expected, there are {len(trees)}")
    try:
        found = list(trees[0].walk())
    except RecursionError:
        raise Refused("the statement is nested too deeply") from None
    _check_kind(exp, trees[0], found, writes)
    _check_functions(exp, found, dialect)
    _check_tables(exp, found, tables, dialect)
    return Statement(sql, any(isinstance(n, _kinds(exp, _WRITES)) for n in found), order)


def _sqlglot() -> tuple[Any, Any]:
    try:
        import sqlglot
        from sqlglot import exp
    except ImportError:
        raise MissingExtra("sql", "a tool over SQL") from None
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what is refused here anyway
    return sqlglot, exp


def _rebuilt(
    text: str, dialect: Dialect, tokens: Sequence[Any], names: Collection[str]
) -> tuple[str, tuple[str, ...]]:
    """The tokens as a text, and which name is bound at which place, in order."""
    if len(tokens) > _MOST_TOKENS:
        raise Refused(f"the statement has more than {_MOST_TOKENS:,} words")
    while tokens and tokens[-1].token_type.name == "SEMICOLON":
        tokens = tokens[:-1]
    if not tokens:
        raise Refused("one statement is expected, there is none")
    pieces: list[str] = []
    order: list[str] = []
    end, skip = 0, False
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if skip:
            skip, end = False, token.end + 1
            continue
        piece = text[token.start : token.end + 1]
        if after is not None and piece == ":" and after.start == token.end + 1:
            name = text[after.start : after.end + 1]
            if name in names:
                piece, skip = _place(dialect, name, order), True
        apart = token.start != end or (
            bool(pieces) and piece[0] in "\"'`$" and _joins(pieces[-1][-1])
        )
        pieces.append(" " + piece if pieces and apart else piece)
        end = token.end + 1
    return "".join(pieces), tuple(order)


def _joins(character: str) -> bool:
    """Whether a quote right after this might be read as a part of it: ``U&"\\0070"`` is a name that
    is spelled out, and to sqlglot it is U, & and a name."""
    return character.isalnum() or character in "_&"


def _place(dialect: Dialect, name: str, order: list[str]) -> str:
    """How a bound value is written; ``order`` grows by the name."""
    if dialect != "postgres":
        order.append(name)
        return "?"
    if name not in order:
        order.append(name)
    return f"${order.index(name) + 1}"


def _check_kind(exp: Any, tree: Any, found: Sequence[Any], writes: bool) -> None:
    allowed = _kinds(exp, _READS + _WRITES if writes else _READS)
    if not isinstance(tree, allowed):
        what = "SELECT, WITH, VALUES, INSERT, UPDATE or DELETE" if writes else "SELECT or WITH"
        raise Refused(f"{tree.key.upper()} may not be run here; {what} is expected")
    refused = _kinds(exp, _NEVER if writes else _NEVER + _WRITES)
    if wrong := next((node for node in found if isinstance(node, refused)), None):
        raise Refused(f"{wrong.key.upper()} may not be part of a statement here")


def _check_functions(exp: Any, found: Sequence[Any], dialect: Dialect) -> None:
    for node in found:
        if isinstance(node, exp.Func):
            known = {each.lower() for each in type(node).sql_names()} | {_name(node)}
            for name in known - _HARMLESS:
                if _REFUSED.fullmatch(name) or (dialect != "sqlite" and _WIDE.fullmatch(name)):
                    raise Refused(f"the function {name} may not be used here")
            in_a_table = isinstance(node.parent, exp.Table) or dialect != "duckdb"
            if not in_a_table and (_name(node) or node.key) in _LISTS:
                raise Refused("range and generate_series may only stand where a table does")
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
            name = _name(node.this) or node.this.key
            if not _TABLE_FUNCTIONS.fullmatch(name):
                raise Refused(f"the table function {name} may not be used here")


def _name(node: Any) -> str:
    """Of a function as it is written, without quotes."""
    return str(node.name or "").lower() if node.key.startswith("anonymous") else ""


def _check_tables(
    exp: Any, found: Sequence[Any], tables: Collection[str] | None, dialect: Dialect
) -> None:
    known = None if tables is None else {name.lower() for name in tables}
    for node in found:
        if isinstance(node, exp.CTE):
            alias = node.alias.lower()
            if _SYSTEM.fullmatch(alias) or (known is not None and alias in known):
                raise Refused(f"choose another name than {alias} in WITH")
        elif isinstance(node, exp.Table) and not isinstance(node.this, exp.Func):
            _check_table(exp, node, known)
        elif isinstance(node, exp.In) and dialect == "sqlite" and node.args.get("field"):
            field = node.args["field"]  # ``x IN t`` reads a table
            if known is not None and field.name.lower() not in known:
                raise Refused(f"write a SELECT of {field.name} in place of the table alone")


def _check_table(exp: Any, node: Any, known: Collection[str] | None) -> None:
    name, schema, catalog = node.name.lower(), node.db.lower(), node.catalog.lower()
    if not name:
        return
    if _SYSTEM.fullmatch(name) or {schema, catalog} & _SYSTEM_SCHEMAS:
        raise Refused(f"{name} is a table of the database's own, or of Shoal's")
    full = f"{schema}.{name}" if schema else name
    if known is None or full in known or (schema == "main" and name in known):
        return
    if schema or not _is_bound(exp, node, name):
        raise Refused(f"there is no table {full} here; there are {', '.join(sorted(known))}")


def _is_bound(exp: Any, node: Any, name: str) -> bool:
    """Whether a name means what a WITH around it defines, and no table: the WITH of a query holds
    in all of it, and within the WITH itself a part sees only those before it, and itself if that is
    recursive."""
    inner = node
    while (outer := inner.parent) is not None:
        if isinstance(outer, exp.With):
            parts = list(outer.expressions)
            at = next(n for n, part in enumerate(parts) if part is inner)
            seen = parts[: at + 1] if outer.args.get("recursive") else parts[:at]
            outer = outer.parent
        else:
            own = outer.args.get("with_") or outer.args.get("with")
            seen = own.expressions if own is not None else []
        if any(part.alias.lower() == name for part in seen):
            return True
        inner = outer
    return False


def _kinds(exp: Any, names: Sequence[str]) -> Any:
    """Those of sqlglot's classes that this version of it has."""
    return tuple(getattr(exp, name) for name in names if hasattr(exp, name))


def _said(error: Exception) -> str:
    details: Sequence[Mapping[str, Any]] = getattr(error, "errors", None) or ()
    if details:
        first = details[0]
        return f"{first.get('description')} (line {first.get('line')}, column {first.get('col')})"
    return " ".join(str(error).split())[:200]
