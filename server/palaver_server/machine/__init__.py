"""What this machine is, and the start profile that follows from it and from the model.

``gpus``, ``packages`` and ``cgroups`` look; ``cores`` says which cores a model without a GPU computes on, ``cards``
says which GPUs can work together; ``memory`` counts what fits into them; ``choosing`` decides, with a reason for every
value (``share``, ``division``, ``capacity``), and makes a ``profile``; ``fitting`` reads settings and files for it.
"""
