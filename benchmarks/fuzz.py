"""Feeds the wire formats' readers with what no client and no upstream should send.

    pip install -e '.[fuzz]'
    python -m benchmarks.fuzz [--inputs 1000000] [--examples 300] [--only NAME]

Coverage-guided, by atheris (libFuzzer), half of the changes made to JSON as JSON: requests, whole
answers and streams of every wire format, the splitter of events, and the rewriting of JSON;
--inputs are shared out among them. What must hold is in ``fuzz_targets``. An input that breaks
something is printed, and the next target goes on. Then schemathesis asks a running gateway (the
echo engine) whatever its OpenAPI document allows and what it does not allow: no 500, and nothing
that the document does not tell of. Exit 1 if anything broke.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

from benchmarks.processes import (
    free_port,
    load_average,
    python,
    running,
    shoal_serve,
    wait_until_answers,
)

_LONGEST = 4_096  # bytes of an input
_HANG_S = 30  # of wall time, past which libFuzzer gives an input up
_TOKENS = (
    '"', "{", "}", "[", "]", ":", ",", "\\\\u0000", "\\\\ud83d", "null", "true", "1e999", "NaN",
    "data: ", "event: ", "\\x0a\\x0a", "\\x0d\\x0a", "[DONE]", "tool_calls", "content", "messages",
    "role", "delta", "choices", "index", "error", "usage", "stream", "type", "text", "input",
)  # fmt: skip
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
_DONE = re.compile(r"^Done (\d+) runs? in (\d+) second", re.MULTILINE)
_COVERAGE = re.compile(r"cov: (\d+)")
_NOISE = re.compile(r"#|INFO|WARNING|==|slowest|SUMMARY|MS: |Dictionary|artifact_prefix")
_SLOWEST = re.compile(r"slowest input: ([\d.]+) ms")


def worker(name: str, arguments: list[str]) -> None:
    """Feed one target; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["shoal.formats"]):
        from benchmarks.fuzz_mutation import mutated
        from benchmarks.fuzz_targets import targets, timed
    check = targets()[name].check
    slowest = 0.0

    def one(data: bytes) -> None:
        nonlocal slowest
        took = timed(check, data)
        if took > slowest:
            slowest = took
            print(f"slowest input: {slowest * 1e3:.1f} ms", file=sys.stderr)

    def other(data: bytes, most: int, seed: int) -> bytes:
        found = mutated(data, seed) if seed % 2 else None
        return found if found and len(found) <= most else atheris.Mutate(data, most)

    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=other)
    atheris.Fuzz()


def feed(name: str, runs: int, folder: Path) -> bool:
    """Feed one target from a process of its own; whether all held."""
    from benchmarks.fuzz_targets import targets

    corpus, found = folder / name, folder / f"{name}-broken-"
    corpus.mkdir()
    for number, seed in enumerate(targets()[name].seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in _TOKENS))
    flags = [f"-runs={runs}", f"-max_len={_LONGEST}", f"-timeout={_HANG_S}", f"-dict={words}"]
    flags += [f"-artifact_prefix={found}", "-print_final_stats=0", str(corpus)]
    command = [*python("benchmarks.fuzz", "--worker", name), *flags]
    said = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    _report(name, said, sorted(folder.glob(f"{name}-broken-*")))
    return not said.returncode


def _escaped(token: str) -> str:
    return token.replace('"', '\\"') if token == '"' else token


def _report(name: str, said: "subprocess.CompletedProcess[str]", broken: list[Path]) -> None:
    done, coverage = _DONE.search(said.stdout), _COVERAGE.findall(said.stdout)
    slowest = _SLOWEST.findall(said.stdout)
    runs, seconds = (int(done[1]), int(done[2])) if done else (0, 0)
    print(
        f"{'ok  ' if not said.returncode else 'FAIL'} {name:18} {runs:9,} inputs in {seconds} s, "
        f"coverage {coverage[-1] if coverage else '?'}, slowest "
        f"{slowest[-1] if slowest else '?'} ms CPU",
        flush=True,
    )
    if said.returncode:
        lines = [line[:2_000] for line in said.stdout.splitlines() if not _NOISE.match(line)]
        print("\n".join(lines[-30:]))
        for path in broken:
            print(f"     input: {path.read_bytes()!r}")


def ask_everything(examples: int, folder: Path) -> bool:
    """Have schemathesis ask a running gateway; whether all held."""
    port = free_port()
    settings = folder / "shoal.toml"
    settings.write_text(f"[gateway]\nport = {port}\n[models.echo]\nengine = 'echo'\n")
    url = f"http://127.0.0.1:{port}"
    with running(shoal_serve(settings), folder / "gateway.log") as gateway:
        wait_until_answers(f"{url}/healthz", 60, gateway)
        options = ["--checks", ",".join(_CHECKS), "--max-examples", str(examples)]
        document = _narrowed(f"{url}/openapi.json", folder / "openapi.json")
        command = [*python("schemathesis.cli", "run", str(document), "--url", url), *options]
        ran = subprocess.run(
            [*command, "--continue-on-failure", "--no-color"], cwd=folder, check=False
        )
        lives = gateway.poll() is None
    log = (folder / "gateway.log").read_text(encoding="utf-8", errors="replace")
    traced = "Traceback" in log
    if traced:
        print(log[-3_000:])
    return not ran.returncode and lives and not traced


def _narrowed(url: str, path: Path) -> Path:
    """The gateway's document, asking for the model that there is: any other is a 404 at once."""
    with urlopen(url, timeout=10) as reply:
        document = json.load(reply)
    for schema in document["components"]["schemas"].values():
        if "model" in schema.get("properties", {}):
            schema["properties"]["model"] = {"enum": ["echo"]}
    path.write_text(json.dumps(document))
    return path


def main() -> None:
    """All targets, then the gateway."""
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--examples", type=int, default=300, help="for each route; 0: do not ask")
    parser.add_argument("--only", metavar="NAME", help="one target")
    asked = parser.parse_args()
    for package in ("atheris", "schemathesis"):
        if importlib.util.find_spec(package) is None:
            raise SystemExit(f"{package} is missing: pip install -e '.[fuzz]'")
    from benchmarks.fuzz_targets import targets

    print(f"load average at the start: {load_average()}", flush=True)
    names = [asked.only] if asked.only else list(targets())
    with tempfile.TemporaryDirectory() as folder:
        held = [feed(name, -(-asked.inputs // len(names)), Path(folder)) for name in names]
        if asked.examples and not asked.only:
            held.append(ask_everything(asked.examples, Path(folder)))
    print(f"load average at the end: {load_average()}")
    if not all(held):
        raise SystemExit("something broke")


if __name__ == "__main__":
    main()
