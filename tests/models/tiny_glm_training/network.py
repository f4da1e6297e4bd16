"""The network: GLM-4.5-Air's architecture, small."""

from transformers import GenerationConfig, Glm4MoeConfig, Glm4MoeForCausalLM, PreTrainedTokenizerFast

from tiny_glm_training.template import END, STOPS


def new_network(tokenizer: PreTrainedTokenizerFast) -> Glm4MoeForCausalLM:
    """A network with random weights: one dense layer, then layers of four experts of which a token takes two."""
    stops = tokenizer.convert_tokens_to_ids(list(STOPS))
    end = tokenizer.convert_tokens_to_ids(END)
    config = Glm4MoeConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        attention_bias=True,
        first_k_dense_replace=1,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_shared_experts=1,
        moe_intermediate_size=128,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        num_mtp_layers=0,
        initializer_range=0.06,  # about 1 / sqrt(192): with the usual 0.02 it does not learn to copy in this time
        eos_token_id=stops,
        pad_token_id=end,
    )
    network = Glm4MoeForCausalLM(config)
    network.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=end)
    return network
