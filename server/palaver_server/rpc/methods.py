"""Every method that a key can be held to, by its full name."""

from __future__ import annotations

from palaver.v1 import chat_service_pb2, model_service_pb2, openai_service_pb2

METHODS = tuple(
    f"{service.full_name}/{method.name}"
    for file in (chat_service_pb2, model_service_pb2, openai_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
"""``palaver.v1.ChatService/Chat`` and so on."""
