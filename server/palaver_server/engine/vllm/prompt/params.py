"""How to sample, and how much: the request's options, the server's defaults, the model's own, in that order."""

from __future__ import annotations

from dataclasses import fields, replace

from vllm.config import ModelConfig, SpeculativeConfig
from vllm.entrypoints.serve.utils.api_utils import get_max_tokens
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.tokenizers import TokenizerLike

from palaver_server.core.errors import PalaverError, invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import SamplingDefaults
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.vllm.errors import translated
from palaver_server.engine.vllm.prompt.rendering import Rendered


class Sampling:
    """Makes vLLM's sampling parameters for one model."""

    def __init__(
        self,
        model: ModelConfig,
        tokenizer: TokenizerLike,
        policy: EnginePolicy,
        *,
        speculative: SpeculativeConfig | None = None,
        has_priorities: bool = False,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._speculative = speculative
        self._has_priorities = has_priorities
        self._vocabulary_size = model.get_vocab_size()
        self._context_length = model.max_model_len
        self._policy = policy
        self._model_defaults = model.get_diff_sampling_param()
        # As vLLM's server has it: a generation config that the operator wrote is a limit, the model's own a default.
        written: int | None = (
            self._model_defaults.get("max_tokens")
            if model.generation_config not in ("auto", "vllm")
            else model.override_generation_config.get("max_new_tokens")
        )
        self.output_limit = min(policy.output_limit(model.max_model_len), written or model.max_model_len)
        """The most output tokens of one choice."""

    @property
    def model_defaults(self) -> SamplingDefaults:
        """What the model's generation config says."""
        known = {field.name for field in fields(SamplingDefaults)}
        said = {name: value for name, value in self._model_defaults.items() if name in known}
        return SamplingDefaults(**said, max_output_tokens=self._model_defaults.get("max_tokens"))

    def effective(self, request: GenerationRequest) -> GenerationOptions:
        """Complete a request's options with the server's defaults.

        Raises:
            PalaverError: more output tokens are asked for than there can be.
        """
        self._policy.check_output(request, self._context_length)
        return self._policy.completed(request.options)

    def output_room(self, options: GenerationOptions, prompt_tokens: int) -> int:
        """The most tokens that each choice can have after a prompt; 0 where that leaves no room."""
        if prompt_tokens >= self._context_length:
            return 0
        return get_max_tokens(
            self._context_length, options.max_output_tokens, prompt_tokens, self._model_defaults, self.output_limit
        )

    def params(self, request: GenerationRequest, rendered: Rendered, options: GenerationOptions) -> SamplingParams:
        """Make the parameters of a rendered request; its output is clamped to what the context leaves.

        Raises:
            PalaverError: a value is out of its range.
        """
        self._refuse_foreign_tokens(options, request.field_prefix)
        if request.priority and not self._has_priorities:
            raise invalid_field(
                f"{request.field_prefix}priority", "must be 0: this server answers first come, first served"
            )
        with translated(request.field_prefix):
            max_tokens = self.output_room(options, rendered.prompt_token_count)
            params = rendered.chat.to_sampling_params(max_tokens, self._model_defaults)
            params.output_kind = RequestOutputKind.DELTA if request.is_streamed else RequestOutputKind.FINAL_ONLY
            # What vLLM would check when the request is added already, after the answer has begun.
            params.verify(self._model, self._speculative, None, self._tokenizer)
            params.update_from_tokenizer(self._tokenizer)
            return params

    def in_force(self, options: GenerationOptions, params: SamplingParams) -> GenerationOptions:
        """Tell the options of a request after defaults, the model's own included, and clamping."""
        return replace(
            options,
            max_output_tokens=params.max_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k if params.top_k > 0 else None,
            min_p=params.min_p,
            presence_penalty=params.presence_penalty,
            frequency_penalty=params.frequency_penalty,
            repetition_penalty=params.repetition_penalty,
            choice_count=params.n,
            min_output_tokens=params.min_tokens,
            ignores_eos=params.ignore_eos,
            stop_token_ids=tuple(sorted(params.stop_token_ids or ())),
        )

    def _refuse_foreign_tokens(self, options: GenerationOptions, field_prefix: str) -> None:
        named = {
            "stop_token_ids": options.stop_token_ids,
            "allowed_token_ids": options.allowed_token_ids,
            "logprob_token_ids": options.logprob_token_ids,
        }
        for field, token_ids in named.items():
            for place, token_id in enumerate(token_ids):
                if token_id >= self._vocabulary_size:
                    raise self._foreign_token(f"{field_prefix}options.{field}[{place}]", token_id)
        for token_id in options.logit_bias:
            if token_id >= self._vocabulary_size:
                raise self._foreign_token(f"{field_prefix}options.logit_bias[{token_id}]", token_id)

    def _foreign_token(self, field: str, token_id: int) -> PalaverError:
        return invalid_field(
            field, f"must be below {self._vocabulary_size}, the size of the model's vocabulary; it is {token_id}"
        )
