#!/usr/bin/env python3
"""Makes frames.json, conversations in the frames of engine/text/families.c, with jinja2 (3.1). The templates below are written
here after what is published: Meta's "Prompt format" of Llama 3 and 3.1, and how GLM-4.5's own template answers.

  make_frames.py
What is large is kept packed (tests/packed.h)."""
import gzip, io, json, os
import jinja2

HERE = os.path.dirname(os.path.abspath(__file__))

LLAMA3 = """{{ bos }}{% for m in messages %}<|start_header_id|>{{ 'ipython' if m.role == 'tool' else m.role }}<|end_header_id|>\n
{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"""

LLAMA31 = """{{ bos }}<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n
{% if messages and messages[0].role == 'system' %}{{ messages[0].content | trim }}{% set messages = messages[1:] %}{% endif %}\
<|eot_id|>{% for m in messages %}<|start_header_id|>{{ 'ipython' if m.role == 'tool' else m.role }}<|end_header_id|>\n
{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"""

GLM45 = """[gMASK]<sop>{% set ns = namespace(user=-1) %}{% for m in messages if m.role == 'user' %}{% set ns.user = messages.index(m) %}\
{% endfor %}{% for m in messages %}\
{% if m.role == 'system' %}<|system|>\n{{ m.content }}\
{% elif m.role == 'user' %}<|user|>\n{{ m.content }}{% if off and not m.content.endswith('/nothink') %}/nothink{% endif %}\
{% elif m.role == 'assistant' %}<|assistant|>{% set thought = '' %}{% set content = m.content %}\
{% if '</think>' in content %}{% set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}\
{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}\n<think>\
{% if loop.index0 > ns.user and thought %}{{ thought.strip() }}{% endif %}</think>\
{% if content.strip() %}\n{{ content.strip() }}{% endif %}\
{% elif m.role == 'tool' %}{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|observation|>{% endif %}\
\n<tool_response>\n{{ m.content }}\n</tool_response>{% endif %}{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% if off %}\n<think></think>{% endif %}{% endif %}"""

def conversations():
    u, a, s, t = 'user', 'assistant', 'system', 'tool'
    mk = lambda *p: [{'role': r, 'content': c} for r, c in p]
    return [
        mk((u, 'Привет!')), mk((s, 'Be brief.'), (u, 'What is a quorum?')), mk((s, ''), (u, '')),
        mk((u, 'a'), (a, 'b'), (u, 'c')), mk((u, '\n\nleading'), (a, '  spaces  '), (u, 'trailing\n\n')),
        mk((u, 'q'), (a, '<think>\nlong thought\n</think>\n\nreply'), (u, 'next')),
        mk((u, 'q2'), (a, '<think>\nlong thought\n</think>\n\nreply')), mk((u, 'q3'), (a, 'plain')),
        mk((u, 'q'), (a, 'thought without opening</think>reply'), (u, 'n')), mk((u, 'q'), (a, '</think>'), (u, 'n')),
        mk((u, 'q4'), (a, '<think>\na\n</think>\n\nb</think>c')),
        mk((s, 'S'), (u, 'q'), (a, '<think>\nuse tool\n</think>\n\ncalling'), (t, '42'), (t, '43'), (a, 'done')),
        mk((u, 'q'), (a, 'call'), (t, 'x'), (u, 'again'), (a, '<think>\n\n</think>\n\nk')),
        mk((u, 'say nothing /nothink')), mk((u, 'one'), (s, ' late system '), (u, 'two')), mk((a, 'starts')), mk((u, '\t tabs \v\f')),
    ]

def main():
    env = jinja2.Environment(trim_blocks=False, lstrip_blocks=False, keep_trailing_newline=True)
    out = {'made_by': 'tests/golden/tokenizer/make_frames.py', 'frames': []}
    for name, text, bos in (('Llama 3', LLAMA3, '<|begin_of_text|>'), ('Llama 3.1', LLAMA31, '<|begin_of_text|>'), ('GLM-4.5', GLM45, '')):
        tpl = env.from_string(text)
        for c in conversations():
            for reply, think in ((False, -1), (True, -1), (True, 0), (True, 1)):
                out['frames'].append({'frame': name, 'messages': c, 'reply': reply, 'think': think,
                                      'text': tpl.render(messages=c, bos=bos, add_generation_prompt=reply, off=think == 0)})
    with gzip.GzipFile(os.path.join(HERE, 'frames.json.gz'), 'wb', mtime=0) as z, io.TextIOWrapper(z, encoding='utf8') as o:
        json.dump(out, o, ensure_ascii=False, indent=0)
        o.write('\n')

main()
