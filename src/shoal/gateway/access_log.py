"""The access log: a line of JSON for each call, with nothing of what was said in it."""

import logging

import msgspec

from shoal.gateway.ended import Ended

log = logging.getLogger("shoal.access")


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
