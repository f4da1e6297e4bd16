"""What this machine is, and the start profile that follows from it and from the model.

``gpus`` and ``packages`` look; ``cards`` says which GPUs can work together; ``memory`` counts what fits into them;
``profile`` decides, with a reason for every value; ``fitting`` reads settings and files for it.
"""
