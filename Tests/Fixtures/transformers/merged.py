"""Prints, for each merged model directory, the largest difference between its weights and those that peft merges, in
float32. usage: merged.py BASE ADAPTER MERGED [BASE ADAPTER MERGED ...]"""
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

places = iter(sys.argv[1:])
for base, adapter, merged in zip(places, places, places):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    expected = PeftModel.from_pretrained(model, adapter).merge_and_unload().state_dict()
    found = load_file(f"{merged}/model.safetensors")
    left = set(expected) - set(found) - {"lm_head.weight"}  # a tied head is not stored
    assert not left and not set(found) - set(expected), (left, set(found) - set(expected))
    print(max((expected[name] - found[name]).abs().max().item() for name in found))
