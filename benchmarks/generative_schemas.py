"""Whether answers of local models fit the schema that they are held to, and what that costs.

Random models, which know nothing, are asked with 1,000 schemas: made up of all keywords that
answers can be held to, and those of the tools in the function-calling prompts (recorded). Each
answer is checked by jsonschema-rs. Then the CPU a token, held and free, with a vocabulary of
32,000.
``python -m benchmarks.generative_schemas``; needs the extra ``local``.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
from scipy.stats import beta

from benchmarks.data import lines
from benchmarks.processes import cpu_s
from shoal.chat import Request
from shoal.engines import LocalOptions
from shoal.engines.local.engine import LocalEngine
from shoal.errors import EngineError, RequestError
from shoal.formats.chat_completions import decode_request

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from tiny_gguf import vocabulary, write_model

KINDS = ("string", "integer", "number", "boolean", "enum", "object", "array", "either", "pattern")
PATTERNS = ("^[a-z]{2,8}$", "^\\d{3}-\\d{4}$", "^[A-Z][a-z]+( [A-Z][a-z]+)?$", "^(ab|cd)+e?$")
FORMATS = ("date", "uuid", "ipv4")
TYPES = {
    "dict": "object", "hashmap": "object", "float": "number", "double": "number",
    "long": "integer", "short": "integer", "byte": "integer", "tuple": "array", "list": "array",
    "arraylist": "array", "queue": "array", "set": "array", "char": "string", "bigint": "integer",
}  # fmt: skip
"""The prompts' own words for types."""
WORDS = 31_725


def made_up(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    """A schema with anything in it that answers can be held to."""
    kind = rng.choice(KINDS[:5] if depth > 3 else KINDS)
    if kind == "string":
        form: dict[str, Any] = {"type": "string"}
        choice = rng.randrange(4)
        if choice == 0:
            form["format"] = rng.choice(FORMATS)
        elif choice < 3:
            form |= {"minLength": rng.randrange(4), "maxLength": rng.randrange(4, 30)}
        return form
    if kind == "pattern":
        return {"type": "string", "pattern": rng.choice(PATTERNS)}
    if kind in ("integer", "number"):
        least = rng.randrange(-1000, 1000)
        bounds = {"minimum": least, "maximum": least + rng.randrange(1, 5000)}
        some = {key: value for key, value in bounds.items() if rng.random() < 0.6}
        return {"type": kind} | some | ({"multipleOf": 5} if rng.random() < 0.1 else {})
    if kind == "enum":
        values = ["red", 'a "b"', "é", 7, None, True, {"a": [1]}, 0.5, "", "two words"]
        return {"enum": rng.sample(values, rng.randrange(1, 6))}
    if kind == "array":
        least = rng.randrange(3)
        bounds = {"minItems": least, "maxItems": least + rng.randrange(1, 5)}
        return {"type": "array", "items": made_up(rng, depth + 1)} | bounds
    if kind == "either":
        return {"anyOf": [made_up(rng, depth + 1) for _ in range(rng.randrange(2, 4))]}
    if kind == "object":
        return made_up_object(rng, depth)
    return {"type": kind}


def made_up_object(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    """An object with properties, some of them required, one of them perhaps by reference."""
    names = rng.sample(["a", "name", "é x", "items", "n_1", "Type", "$id_", "x-y"], 4)
    inner = {name: made_up(rng, depth + 1) for name in names[: rng.randrange(1, 5)]}
    found: dict[str, Any] = {"type": "object", "properties": inner}
    found["required"] = [name for name in inner if rng.random() < 0.7]
    if rng.random() < 0.8:
        found["additionalProperties"] = False
    if depth == 0 and rng.random() < 0.3:
        found["$defs"] = {"part": made_up(rng, 3)}
        inner["ref"] = {"$ref": "#/$defs/part"}
    return found


def of_tools() -> list[dict[str, Any]]:
    """The parameters of each tool of the prompts, once, in JSON schema's own words for types."""
    found = {}
    for row in lines("function_calling/prompts.jsonl.gz"):
        functions = row["function"] if isinstance(row["function"], list) else [row["function"]]
        for function in functions:
            schema = in_json_schema(function["parameters"])
            found[json.dumps(schema, sort_keys=True)] = schema
    return list(found.values())


def in_json_schema(value: Any) -> Any:
    if isinstance(value, list):
        return [in_json_schema(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: in_json_schema(one) for key, one in value.items()}
    kind = found.get("type")
    if isinstance(kind, str):
        name = TYPES.get(kind.lower(), kind.lower())
        if name == "any":
            del found["type"]
        else:
            found["type"] = name
    return found


def asked(fields: dict[str, object], tokens: int, seed: int) -> Request:
    letters = vocabulary()
    ends = {str(letters.index(end)): 3 for end in ('"', "}", "]")}  # else it would go on and on
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "go"}],
        "max_tokens": tokens,
        "temperature": 1,
        "seed": seed,
        "logit_bias": ends,
    }
    return decode_request(json.dumps(body | fields).encode())


def held_to(schema: dict[str, Any]) -> dict[str, object]:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return {"response_format": form}


def finite(text: str) -> float:
    """A number, or the largest there is: a model that knows nothing writes 3E6352."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))


async def outcome(engine: LocalEngine, schema: dict[str, Any], seed: int) -> str:
    try:
        answer = await engine.answer(asked(held_to(schema), 3_500, seed))
    except RequestError as error:
        return f"refused: {error}"
    except EngineError as error:
        return f"failed: {error}"
    if answer.finish_reason != "stop":
        return "cut off"
    try:
        value = json.loads(answer.text, parse_float=finite)
    except ValueError:
        return f"no JSON: {answer.text[:80]!r}"
    checker = jsonschema_rs.validator_for(schema, validate_formats=True)
    return "valid" if checker.is_valid(value) else f"invalid: {answer.text[:80]!r} {schema}"


async def count(name: str, schemas: list[dict[str, Any]], folder: Path, models: int) -> None:
    found: Counter[str] = Counter()
    for model in range(models):
        path = write_model(folder / f"{model}.gguf", model, sharpness=(0.5, 1.0, 2.0)[model % 3])
        options = LocalOptions(engine="local", path=path, context_tokens=4096, threads=1)
        engine = LocalEngine("m", options)
        for number in range(model, len(schemas), models):
            told = await outcome(engine, schemas[number], number)
            found[told.split(":")[0]] += 1
            if told not in ("valid", "cut off"):
                print(f"  {told[:300]}", flush=True)
        await engine.aclose()
    whole = sum(found[key] for key in ("valid", "invalid", "no JSON"))
    least = beta.ppf(0.05, found["valid"], whole - found["valid"] + 1) if found["valid"] else 0.0
    print(
        f"{name}: {len(schemas)} schemas, {models} models: of {whole} whole answers "
        f"{found['valid']} valid ({found['valid'] / max(1, whole):.2%}, at least {least:.2%}); "
        f"{found['cut off']} cut off, {found['refused']} refused, {found['failed']} failed",
        flush=True,
    )


async def overhead(folder: Path, calls: int) -> None:
    """CPU of the model's process for each token, held to a schema and free."""
    path = write_model(folder / "large.gguf", sharpness=1.0, words=WORDS)
    options = LocalOptions(engine="local", path=path, slots=1, threads=1, context_tokens=1024)
    engine = LocalEngine("m", options)
    texts = {"type": "array", "items": {"type": "string", "minLength": 300}, "minItems": 9}
    record = made_up_object(random.Random(3))
    many = {"type": "array", "items": record, "minItems": 200}
    free: dict[str, object] = {"logit_bias": {"1": -100, "2": -100}}
    ways = {"free": free, "texts": held_to(texts), "records": held_to(many)}
    spent: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for fields in ways.values():
        await engine.answer(asked(fields, 20, 0))
    use = engine.base.begin(None)
    assert use is not None
    for number in range(calls):
        for way, fields in ways.items():
            before = cpu_s(use.child.pid)
            answer = await engine.answer(asked(fields, 400, number))
            spent[way] += cpu_s(use.child.pid) - before  # type: ignore[assignment]
            tokens[way] += answer.usage.output_tokens if answer.usage else 0
    engine.base.end(use)
    await engine.aclose()
    costs = {way: spent[way] / tokens[way] * 1e6 for way in ways}
    said = ", ".join(f"{way} {cost:.0f}" for way, cost in costs.items())
    print(f"CPU µs a token, vocabulary of {275 + WORDS:,}: {said} ({tokens['free']:,} tokens each)")


async def main_async(options: argparse.Namespace, folder: Path) -> None:
    rng = random.Random(0)
    own = [made_up_object(rng) for _ in range(options.schemas)]
    await count("made up", own, folder, options.models)
    tools = of_tools()
    random.Random(0).shuffle(tools)
    await count("tools'", tools[: options.schemas // 2], folder, options.models)
    await overhead(folder, options.calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schemas", type=int, default=1_000)
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--calls", type=int, default=10)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main_async(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
