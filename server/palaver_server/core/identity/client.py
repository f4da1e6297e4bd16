"""A client: whoever a call is answered for, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass

BY_NAME_ALONE = frozenset({"palaver.v1.ChatService/ExplainChat"})
"""Methods that a client may call only where its key names them, or where the operator opens them to clients without a
key: they show what an end user should not see, such as what the operator's chat template adds."""


@dataclass(frozen=True, slots=True)
class Client:
    """One caller as the key that it showed describes it."""

    id: str
    """The client's name, as the operator gave it; stands in logs and metrics."""
    tier: str | None = None
    """The tier of limits; None for callers without a key."""
    key_id: str | None = None
    """The key's public id, by which limits count; None for callers without a key."""
    requests_per_minute: int | None = None
    """None: unlimited."""
    models: frozenset[str] | None = None
    """Model names that the client may use; None for all."""
    methods: frozenset[str] | None = None
    """Full names without the leading slash, ``palaver.v1.ChatService/Chat``; None for all but ``BY_NAME_ALONE``."""
    opened: frozenset[str] = frozenset()
    """Those of ``BY_NAME_ALONE`` that the operator has opened to clients without a key."""

    def may_use_model(self, model: str) -> bool:
        """Tell whether the client may use a model, by the name under which it is served."""
        return self.models is None or model in self.models

    def may_call(self, method: str) -> bool:
        """Tell whether the client may call a method, by its path ``/palaver.v1.ChatService/Chat``."""
        name = method.removeprefix("/")
        if self.methods is not None:
            return name in self.methods
        return name not in BY_NAME_ALONE or name in self.opened


LOCAL = Client("local")
"""Callers on this machine as long as there is no key file."""

ANONYMOUS = Client("anonymous")
"""Callers from elsewhere as long as there is no key file, on a server that was told to listen to them."""
