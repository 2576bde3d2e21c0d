#!/usr/bin/env python3
"""blocks.json from CommonMark's spec.txt (version 0.31.2): of the examples of sections 4.1 to 4.5 the headings with their
words, breaks and code, in order, read off the HTML that the specification gives.
    tests/golden/commonmark/make.py spec.txt > tests/golden/commonmark/blocks.json
The examples are John MacFarlane's, CC-BY-SA 4.0 (https://spec.commonmark.org/0.31.2/)."""
import html
import json
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()
examples = re.findall(r"^`{32} example\n(.*?)^\.\n(.*?)^`{32}$", text, flags=re.S | re.M)
rows = []
for n in range(43, 148):
    markdown, page = (s.replace("→", "\t") for s in examples[n - 1])
    blocks = []
    for heading, words, tag in re.findall(r"<(h[1-6])>(.*?)</h[1-6]>|<(hr|pre)\b", page, flags=re.S):
        blocks.append([heading or tag, " ".join(html.unescape(re.sub(r"<[^>]*>", "", words)).split())])
    rows.append({"example": n, "markdown": markdown, "blocks": blocks})
print("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]")
