"""Makes a Hugging Face directory in bfloat16 from a GGUF file, with transformers.  convert.py MODEL.gguf DIR"""

import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

gguf, out = sys.argv[1:]
directory, name = os.path.split(os.path.abspath(gguf))
quantized = AutoModelForCausalLM.from_pretrained(directory, gguf_file=name, dtype=torch.bfloat16)
# transformers refuses to save a model that remembers that it was quantized, so its values go into a new one.
if hasattr(quantized.config, "quantization_config"):
    del quantized.config.quantization_config
model = AutoModelForCausalLM.from_config(quantized.config).to(torch.bfloat16)
model.load_state_dict(quantized.state_dict(), strict=False)
model.tie_weights()
model.save_pretrained(out)
AutoTokenizer.from_pretrained(directory, gguf_file=name).save_pretrained(out)
