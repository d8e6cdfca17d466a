"""``shoal audit``: whether what runs recorded is what was recorded."""

import re
from collections.abc import Iterator
from typing import Annotated

import typer

from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, store_at
from shoal.cli.figures import one_line
from shoal.cli.printing import say, show_json
from shoal.storage import Finding, Verdict

_SHOWN = 20

app = typer.Typer(no_args_is_help=True, help="The audit trail of runs: verify, head.")


def _read_head(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise typer.BadParameter("64 hexadecimal digits are expected, as `shoal audit head` prints")
    return text.lower()


@app.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(parser=_read_head, metavar="HASH", help="A head that was written down."),
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Find records of runs that were altered, removed, put in or reordered; exit status 1 if so."""
    with store_at(config) as store:
        verdict = store.runs.verify(head)
    if as_json:
        show_json(verdict)
    else:
        for finding in verdict.findings:
            typer.echo(_line(finding))
        say(_sum(verdict, head))
        for line in _redacted(verdict):
            say(line)
    if verdict.found:
        raise typer.Exit(1)


@app.command("head")
def show_head(as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Print where the ledger of runs has got to. Write it down where nobody can change it."""
    with store_at(config) as store:
        head = store.runs.head()
    if as_json:
        show_json(head)
    else:
        typer.echo(head.hash)


def _line(finding: Finding) -> str:
    run = f"run {finding.run}: " if finding.run else ""
    record = "" if finding.seq is None else f"record {finding.seq}: "
    return one_line(f"{run}{record}{finding.what}")


def _redacted(verdict: Verdict) -> Iterator[str]:
    """What was redacted, which is no finding."""
    if not verdict.redacted_runs:
        return
    yield (
        f"Redacted, and sealed then: {verdict.redacted_records:,} records of "
        f"{verdict.redacted_runs:,} runs that had ended, and their goals where they held something."
    )
    for one in verdict.redacted[:_SHOWN]:
        if one.records:
            yield f"  run {one.run}: records {', '.join(map(str, one.records[:_SHOWN]))}"


def _sum(verdict: Verdict, head: str | None) -> str:
    checked = (
        f"runs: {verdict.runs:,}, records: {verdict.records:,}, entries of the ledger: "
        f"{verdict.entries:,}"
    )
    if not verdict.found:
        held = "; the head that was written down is there" if head else ""
        return f"All as recorded: {checked}{held}."
    untold = verdict.found - len(verdict.findings)
    more = f", {untold:,} of them not shown" if untold else ""
    findings = "1 finding" if verdict.found == 1 else f"{verdict.found:,} findings"
    return f"{findings}{more}. Looked at {checked}."
