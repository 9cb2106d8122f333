#!/usr/bin/env python3
"""Renders the templates of cases.jsonl again, as transformers does, and writes what they give; no text where they fail.

  pip install transformers jinja2        in a virtual environment
  make.py [TEMPLATE...]                  adds these templates first
"""
import datetime
import json
import os
import sys

from transformers.utils import chat_template_utils

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.jsonl")


class Fixed(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return cls(2026, 7, 4)


chat_template_utils.datetime = Fixed
with open(PATH, encoding="utf-8") as file:
    first, *rows = [json.loads(line) for line in file]
rows += [{"template": template} for template in sys.argv[1:]]
for row in rows:
    row.pop("text", None)
    try:
        row["text"] = chat_template_utils._compile_jinja_template(row["template"]).render(**first["values"])
    except Exception:  # whatever a template raises
        pass
with open(PATH, "w", encoding="utf-8") as file:
    for row in [first, *rows]:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
