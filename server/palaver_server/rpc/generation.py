"""From a request that has passed the contract's rules to what the core is asked, whatever protocol it came by."""

from __future__ import annotations

from palaver.v1 import chat_service_pb2
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.tool_results import check_results
from palaver_server.rpc import codec
from palaver_server.rpc.call import Call, note_origin


def generation_of(
    call: Call,
    chat: chat_service_pb2.ChatRequest,
    *,
    field_prefix: str = "",
    deadline: float | None = None,
    stream: chat_service_pb2.StreamChatRequest | None = None,
) -> GenerationRequest:
    """Make the core's request of a call, and note in the call who has asked.

    Args:
        call: who asks, and under which name.
        chat: the conversation.
        field_prefix: what stands before a field's path in the caller's own request.
        deadline: when the caller gives up, on the event loop's clock; None where it waits for ever.
        stream: what is asked of the answer's stream; None for an answer in one piece, and for none.

    Raises:
        PalaverError: a text that must be JSON is not, or a tool's result belongs to no call.
    """
    note_origin(call, chat)
    has_minimum = stream is not None and stream.HasField("min_tokens_per_delta")
    generation = codec.request_from_proto(
        chat,
        request_id=call.request_id,
        client=call.client,
        is_streamed=stream is not None,
        field_prefix=field_prefix,
        deadline=deadline,
        has_running_usage=stream is not None and stream.include_running_usage,
        min_tokens_per_delta=stream.min_tokens_per_delta if stream is not None and has_minimum else None,
    )
    check_results(generation.messages, field_prefix)
    return generation
