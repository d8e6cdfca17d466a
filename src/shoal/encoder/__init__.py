"""Text in, unit vectors out: all-MiniLM-L6-v2 through CTranslate2 int8, without torch.

``weights`` finds the published files, ``conversion`` makes CTranslate2's form of them once and
keeps it, ``encoder`` runs it. Importing this package loads neither CTranslate2 nor the tokenizer;
building an ``Encoder`` does.
"""

from shoal.encoder.encoder import Encoder
from shoal.encoder.weights import Weights, find_weights

__all__ = ["Encoder", "Weights", "find_weights"]
