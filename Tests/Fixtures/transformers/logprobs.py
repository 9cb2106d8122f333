"""Opens a model directory with transformers, and an adapter with peft, and prints log-probabilities, as `ttrl logprobs`
does: JSON lines of {"ids"} in, {"logprobs"} of ids[1:] out, in float32. usage: logprobs.py DIRECTORY [ADAPTER] < LINES"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
if len(sys.argv) > 2:
    from peft import PeftModel

    model = PeftModel.from_pretrained(model, sys.argv[2]).eval()
for line in sys.stdin:
    ids = torch.tensor([json.loads(line)["ids"]])
    with torch.no_grad():
        rows = torch.log_softmax(model(ids).logits[0, :-1].double(), -1)
    print(json.dumps(dict(logprobs=rows.gather(-1, ids[0, 1:, None])[:, 0].tolist())))
