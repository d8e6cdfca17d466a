"""The access log: a line of JSON for each call, with nothing of what was said in it."""

import logging
import time

import msgspec

from shoal.gateway.ended import Ended

log = logging.getLogger("shoal.access")


def write_act(act: str, error: str, latency_ms: float) -> None:
    """Log what was done with files or vector stores; ``error`` "" if it was done."""
    line = {
        "at": round(time.time(), 3),
        "act": act,
        "latency_ms": latency_ms,
        "error": error or None,
        "ok": not error,
    }
    log.info(msgspec.json.encode(line).decode())


def write(ended: Ended) -> None:
    """Log a call that has ended."""
    receipt, answer = ended.receipt, ended.answer
    usage = answer.usage if answer else None
    line = {
        "at": round(receipt.at, 3),
        "call": receipt.call_id,
        "format": ended.format,
        "model": receipt.llm,
        "task": receipt.task,
        "answered_by": receipt.answered_by,
        "reason": receipt.reason,
        "latency_ms": receipt.latency_ms,
        "overhead_ms": ended.overhead_ms,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "cost": receipt.cost,
        "ok": ended.error is None,
    }
    log.info(msgspec.json.encode(line).decode())
