"""Fine-tuning, behind the extra ``train``: the only part of Shoal that needs torch.

``recipes`` lists what can be fine-tuned; ``label``, ``fields`` and ``match`` each tune the encoder
for one kind and hand back a specialist that ``shoal.specialists`` serves without torch. Importing
this package loads nothing.
"""
