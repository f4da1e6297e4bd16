"""Between the contract's messages and the domain's objects. Nothing here decides anything."""

from palaver_server.rpc.codec.answer import ChatEvents, answer_to_proto
from palaver_server.rpc.codec.model import model_to_proto
from palaver_server.rpc.codec.prompt import count_to_proto, explanation_to_proto
from palaver_server.rpc.codec.request import request_from_proto
from palaver_server.rpc.codec.times import timestamp_now

__all__ = [
    "ChatEvents",
    "answer_to_proto",
    "count_to_proto",
    "explanation_to_proto",
    "model_to_proto",
    "request_from_proto",
    "timestamp_now",
]
