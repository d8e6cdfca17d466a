"""Checkpoints of Hugging Face's form written as GGUF, the file llama.cpp reads.

``conversion`` writes a model, ``adapter`` a LoRA adapter; ``architectures`` lists what is known.
Names of tensors and the quantisers are the package ``gguf``'s own (extras ``local`` and ``train``);
nothing here needs torch. Importing this package loads nothing.
"""
