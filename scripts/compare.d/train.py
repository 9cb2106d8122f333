"""One policy-gradient step with PyTorch and transformers: forward, clipped-ratio loss over response tokens, backward,
gradient clipping, AdamW. --dtype amp keeps float32 masters and computes in bfloat16."""
import timing

a = timing.arguments(sequences=64, prompt_tokens=32, new_tokens=64, micro=0)
import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(a.threads)
torch.manual_seed(0)
stored = torch.bfloat16 if a.dtype == "bfloat16" else torch.float32
model = AutoModelForCausalLM.from_pretrained(a.checkpoint, dtype=stored).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
length = a.prompt_tokens + a.new_tokens
ids = torch.randint(3, model.config.vocab_size, (a.sequences, length))
advantages = torch.randn(a.sequences, 1)
micro = a.micro or a.sequences


def logprobs(rows):
    """Log-probabilities of the response tokens; only their positions go through the head."""
    with torch.autocast("cpu", torch.bfloat16, enabled=a.dtype == "amp"):
        logits = model(input_ids=rows, use_cache=False, logits_to_keep=a.new_tokens + 1).logits[:, :-1]
    logits = logits.float()
    chosen = logits.gather(-1, rows[:, a.prompt_tokens:, None])[..., 0]
    return chosen - logits.logsumexp(-1)


with torch.no_grad():
    old = torch.cat([logprobs(rows) for rows in ids.split(micro)])


def step():
    optimizer.zero_grad(set_to_none=True)
    for start in range(0, a.sequences, micro):
        part = slice(start, start + micro)
        ratio = torch.exp(logprobs(ids[part]) - old[part])
        gain = torch.minimum(ratio * advantages[part], ratio.clamp(0.8, 1.2) * advantages[part])
        (-gain.sum() / (a.sequences * a.new_tokens)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


timing.report(step, a.sequences * length)
