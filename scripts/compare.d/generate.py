"""Sampling with transformers' generate(). --cache shared computes each prompt once; generate() alone does not do this.
dynamic and static are its own caches, and the prompt is computed for every sample."""
import timing

a = timing.arguments(prompts=1, samples=64, prompt_tokens=64, new_tokens=64, cache="shared")
import torch
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig

torch.set_num_threads(a.threads)
model = AutoModelForCausalLM.from_pretrained(a.checkpoint, dtype=getattr(torch, a.dtype)).eval()
prompts = torch.randint(3, model.config.vocab_size, (a.prompts, a.prompt_tokens))


@torch.inference_mode()
def run(new_tokens=a.new_tokens):
    # Temperature 1, the whole vocabulary, no end token: lengths are fixed.
    settings = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=new_tokens, eos_token_id=None,
        pad_token_id=0, use_cache=True, cache_implementation="static" if a.cache == "static" else None)
    model.generation_config = settings
    if a.cache != "shared":
        ids, more = prompts, dict(num_return_sequences=a.samples)
    else:
        cache = DynamicCache(config=model.config)
        model(prompts[:, :-1], past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(a.samples)
        ids, more = prompts.repeat_interleave(a.samples, 0), dict(past_key_values=cache)
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings, **more)
    assert out.shape == (a.prompts * a.samples, a.prompt_tokens + new_tokens)


timing.report(run, a.prompts * a.samples * a.new_tokens, lambda: run(4))
