"""The encoder: CPU of one text and of many, and how the int8 model compares with itself in batches.

python -m benchmarks.encoder
"""

import time

import numpy as np

from benchmarks.data import support_desk
from shoal.encoder import Encoder

_FOURTEEN = "I still have not received my new card, where is it now?"  # 14 tokens with the ends


def main() -> None:
    """Print the figures."""
    texts = [row["message"] for row in support_desk()[0]]
    one = Encoder(threads=1)
    count = len(one.tokens([_FOURTEEN])[0][0]) + 2
    one.encode([_FOURTEEN] * 20)
    began = time.process_time()
    for _ in range(300):
        one.encode([_FOURTEEN])
    print(f"one text of {count} tokens: {(time.process_time() - began) / 300 * 1e3:.2f} ms CPU")
    for threads in (1, 2):
        encoder = Encoder(threads=threads)
        cpu, wall = time.process_time(), time.perf_counter()
        encoder.encode(texts)
        print(
            f"{len(texts):,} texts, {threads} thread(s): {time.process_time() - cpu:.1f} s CPU, "
            f"{time.perf_counter() - wall:.1f} s"
        )
    alone = np.concatenate([one.encode([text]) for text in texts[:300]])
    print(f"alone against in a batch: {np.abs(alone - one.encode(texts[:300])).max():.1e} at most")


if __name__ == "__main__":
    main()
