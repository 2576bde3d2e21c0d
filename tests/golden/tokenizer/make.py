#!/usr/bin/env python3
"""Makes the goldens of tests/unit/test_vocab.c with Hugging Face's `tokenizers` (0.23) and jinja2.

  make.py SHARED      SHARED: the folder that holds data/qwen3-tokenizer and data/eval

merges.txt   a small BPE (trained here on our own words and sources; kept once it is there)
cases.json   our own texts; their ids (of the first 70, and a hash of all) under that BPE with each family's
             pre-tokeniser; their ids under Qwen3's
             vocabulary; conversations rendered by Qwen3's own template
eval.hashes  one line a string of XQuAD-ru and LoCoMo (values in document order): FNV-1a of Qwen3's ids
What is large is kept packed (tests/packed.h)."""
import glob, gzip, io, json, os, random, sys
from tokenizers import Tokenizer, Regex, models, normalizers, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = sys.argv[1]
ROOT = os.path.join(HERE, '..', '..', '..')

PROSE = '''Кворум собирается, когда пришло достаточно голосов. Сколько экспертов должно говорить о каждом слове?
Ёжик в тумане шёл к медвежонку считать звёзды; подъезд, объём, съёмка, ёлка, йод, Йошкар-Ола.
The router looks at every token and picks a few experts; the others stay silent. Don't we'll they've I'm you're he'd it's.
DON'T WE'LL THEY'VE I'M YOU'RE HE'D IT'S. 'sort 'tis 'really 'llama 'vest 'mud 'dog
Числа: 1 12 123 1234 12345678 3.14159 1,000,000 2026-11-22 02:34:05 №5 ½ Ⅻ ² ٣٤٥ १२३
Zażółć gęślą jaźń. Falsches Üben von Xylophonmusik quält jeden größeren Zwerg. Ça va? Où ça? L'été, l'œuvre.
Γειά σου κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया। สวัสดีชาวโลก 你好，世界。こんにちは世界。カタカナ 안녕하세요 세계.
for (int i = 0; i < n; i++) { x[i] += 0x1F << 3; }  /* no comment */  #include <stdio.h>
def f(x: int) -> str:\n    return f"{x!r:>10}"\n\n\nclass A(B):\n\tpass\n
https://example.org/a/b?c=d&e=%20#f  user@example.org  C:\\\\temp\\\\x.txt  ~/notes/*.md  $PATH  {{ jinja }}  <tag attr="v"/>
'''

def our_texts():
    r = random.Random(7)
    t = [l for l in PROSE.split('\n') if l] + [PROSE, '']
    t += [' ', '  ', '   ', '\n', '\n\n', ' \n', '\n ', '\t\t', 'a ', ' a', 'a  b', 'a   b', 'a \n b', 'a\r\nb', '\r\r\n', 'a  \n\n  b', ' \u00a0 x',
          '\u3000x', 'x\u2028y\u2029z', 'x\u0085y', 'a\u200bb', '!!!\n\n!', ' !!', '  !!', "''s", "'S", "'\u017f", "'ſ x", " 's", "'", "it''s", "can't've",
          '1234567', 'a1b22c333d4444', ' 12 345', '12 %', '½¾', 'x²+y³', 'Ⅷ век', '９９', '1٣1']
    # canonical equivalents, orders of marks, Hangul, singletons, exclusions from composition
    t += ['e\u0301te\u0301', 'и\u0306 е\u0308', 'a\u0323\u0307 a\u0307\u0323', '\u1112\u1161\u11ab', '가\u11a8', '가\u11a7', '\u212b \u2126 \u212a',
          '\u0958 \u0929', 'q\u0307\u0323', '\u0344', 'A\u030a\u0301', '\u0301a', 'a\u0315\u0300\u05ae\u0062', '\ufb01 \ufb4e', '\u2adc', '\u1d15e']
    t += ['👍', '👍🏽', '👨‍👩‍👧‍👦', '🇷🇺🇫🇷', '☃️', 'a👍b 👍 👍👍', '🤖🧠 experts', '\U0001f9ff\u20e3', '✂️ ✈']
    t += ['a' * 40, 'ab' * 500, 'ы' * 300, ' ' * 333, '\n' * 100, 'the' * 200, '=' * 250, '1' * 99]
    for _ in range(120):
        t.append(bytes(r.randrange(256) for _ in range(r.randrange(1, 60))).decode('utf8', 'replace').replace('\0', '0'))
    alpha = " \t\n\r'sStTreVEmllLdDaя9१½ ſ.!-\u0301é\u0306и\u3000\u2028\u0085\x1c\u200b👍🏽\u200d\u00a0"
    for _ in range(700):
        t.append(''.join(r.choice(alpha) for _ in range(r.randrange(1, 25))))
    marks = [chr(c) for c in range(0x300, 0x370)] + [chr(c) for c in range(0x591, 0x5be)] + list('aeAoиеЕ가각िक़')
    for _ in range(100):
        t.append(''.join(r.choice(marks) for _ in range(12)))
    for lim in (0x180, 0x1000, 0x10000, 0x110000):
        for _ in range(60):
            t.append(''.join(chr(c) for c in (r.randrange(1, lim) for _ in range(15)) if not 0xD800 <= c < 0xE000))
    return t

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
P = pre_tokenizers
level = P.ByteLevel(add_prefix_space=False, use_regex=False)
split = lambda rx: P.Sequence([P.Split(Regex(rx), 'isolated'), level])
FAMILIES = {
    'gpt2': (P.ByteLevel(add_prefix_space=False, use_regex=True), None, False),
    'smollm': (P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False, use_regex=True)]), None, False),
    'llama-bpe': (split(LLAMA), None, True),
    'qwen2': (split(LLAMA.replace('{1,3}', '')), normalizers.NFC(), False),
}

def small_bpe(texts):
    path = os.path.join(HERE, 'merges.txt.gz')
    if not os.path.exists(path):
        src = texts[:12] * 3
        for f in sorted(glob.glob(os.path.join(ROOT, '*', '*.[ch]'))): src.append(open(f).read())
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = split(LLAMA)
        t.train_from_iterator(src, trainers.BpeTrainer(vocab_size=256 + 2600, initial_alphabet=P.ByteLevel.alphabet(), min_frequency=2, show_progress=False))
        m = json.loads(t.to_str())['model']['merges']
        with gzip.GzipFile(path, 'wb', mtime=0) as z, io.TextIOWrapper(z, encoding='utf8') as o:
            for a, b in m: o.write(f'{a} {b}\n')
    merges = [tuple(l.rstrip('\n').split(' ')) for l in gzip.open(path, 'rt', encoding='utf8')]
    # ids as test_vocab.c gives them: the 256 bytes in order, the merges' results in order, then the added tokens
    bs = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in bs]
    name = {b: chr(b) for b in bs} | {b: chr(256 + i) for i, b in enumerate(rest)}
    vocab = {name[b]: b for b in range(256)}
    for a, b in merges: vocab.setdefault(a + b, len(vocab))
    return vocab, merges

def fnv(ids):
    h = 0xcbf29ce484222325
    for i in ids:
        for k in range(4): h = ((h ^ (i >> 8 * k & 255)) * 0x100000001b3) & (1 << 64) - 1
    return '%08x' % (h & 0xffffffff)

def strings(o):
    if isinstance(o, str): yield o
    elif isinstance(o, dict):
        for v in o.values(): yield from strings(v)
    elif isinstance(o, list):
        for v in o: yield from strings(v)

def conversations():
    u, a, s, t = 'user', 'assistant', 'system', 'tool'
    mk = lambda *p: [{'role': r, 'content': c} for r, c in p]
    return [
        mk((u, 'Привет!')), mk((s, 'Be brief.'), (u, 'What is a quorum?')), mk((s, ''), (u, '')),
        mk((u, 'a'), (a, 'b'), (u, 'c')), mk((u, '\n\nleading'), (a, '  spaces  '), (u, 'trailing\n\n')),
        mk((u, 'q'), (a, '<think>\nlong thought\n</think>\n\nreply'), (u, 'next')),
        mk((u, 'q'), (a, '<think>\nlong thought\n</think>\n\nreply')), mk((u, 'q'), (a, 'plain')),
        mk((u, 'q'), (a, 'thought without opening</think>reply'), (u, 'n')), mk((u, 'q'), (a, '</think>'), (u, 'n')),
        mk((u, 'q'), (a, '<think>\na\n</think>\n\nb</think>c'), (u, 'n')),
        mk((s, 'S'), (u, 'q'), (a, '<think>\nuse tool\n</think>\n\ncalling'), (t, '42'), (t, '43'), (a, 'done')),
        mk((u, 'q'), (a, 'call'), (t, 'x'), (u, 'again'), (a, '<think>\n\n</think>\n\nk')),
        mk((u, 'q'), (a, 'call'), (u, '<tool_response>\n7\n</tool_response>'), (a, 'x')),
        mk((u, 'one'), (s, 'late system'), (u, 'two')), mk((a, 'starts')), mk((u, "it's 12 o'clock, 1234"), (a, 'да\n'), (u, '...')),
    ]

def main():
    import jinja2
    texts = our_texts()
    vocab, merges = small_bpe(texts)
    out = {'made_by': 'tests/golden/tokenizer/make.py', 'texts': texts, 'small': {}, 'qwen3': []}
    for fam, (pre, norm, ignore) in FAMILIES.items():
        t = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore))
        t.pre_tokenizer = pre
        if norm: t.normalizer = norm
        ids = [t.encode(x).ids for x in texts]
        out['small'][fam] = {'ids': ids[:70], 'hashes': [fnv(x) for x in ids]}
    q = Tokenizer.from_str(gzip.open(SHARED + '/data/qwen3-tokenizer/tokenizer.json.gz', 'rt', encoding='utf8').read())
    out['qwen3'] = [q.encode(x).ids for x in texts]
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    tpl = env.from_string(json.load(open(SHARED + '/data/qwen3-tokenizer/tokenizer_config.json'))['chat_template'])
    out['chats'] = []
    for c in conversations():
        for reply, think in ((False, -1), (True, -1), (True, 0), (True, 1)):
            kw = {} if think < 0 else {'enable_thinking': bool(think)}
            text = tpl.render(messages=c, add_generation_prompt=reply, **kw)
            out['chats'].append({'messages': c, 'reply': reply, 'think': think, 'text': text, 'ids': q.encode(text).ids})
    with gzip.GzipFile(os.path.join(HERE, 'cases.json.gz'), 'wb', mtime=0) as z, io.TextIOWrapper(z, encoding='utf8') as o:
        json.dump(out, o, ensure_ascii=False, separators=(',', ':'))
        o.write('\n')
    with gzip.GzipFile(os.path.join(HERE, 'eval.hashes.gz'), 'wb', mtime=0) as z, io.TextIOWrapper(z) as o:
        for name in ('xquad-ru-half.json', 'locomo3.json'):
            for s in strings(json.load(open(SHARED + '/data/eval/' + name, encoding='utf8'))):
                o.write(fnv(q.encode(s).ids) + '\n')

main()
