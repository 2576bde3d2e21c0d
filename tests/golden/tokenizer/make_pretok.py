#!/usr/bin/env python3
"""Makes the golden of tests/unit/test_pretok.c with Hugging Face's `tokenizers` (0.23), and compares whole corpora with quorum.

  make_pretok.py                      writes pretok.json: by family, one hash for every 16 of cases.json's texts: of their ids under the
                                      small BPE (merges.txt) behind that family's published expressions
  make_pretok.py QUORUM SHARED        instead, for each family: the strings of SHARED/data/eval, our sources, emoji and random text under
                                      Qwen3's vocabulary with that family's expressions, by `QUORUM tokenize` too; ends with 1 on a difference"""
import glob, gzip, io, json, os, random, struct, subprocess, sys, tempfile
from tokenizers import Tokenizer, Regex, models, normalizers, pre_tokenizers as P

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, '..', '..', '..')
level = P.ByteLevel(add_prefix_space=False, use_regex=False)
def cut(*expressions): return P.Sequence([P.Split(Regex(x), 'isolated') for x in expressions] + [level])

LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN35 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
U, L, C = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
def o200k(contraction, digits):
    before = r"[^\r\n\p{L}\p{N}]?"
    return f"{before}{U}*{L}+{contraction}|{before}{U}+{L}*{contraction}|{digits}" + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK3 = (r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
             r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
CASED = ("\\s?["
         "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f"
         "\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd"
         "\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57"
         "\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
         "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
         "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787"
         "\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
         "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
         "]+")
SIGNS = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
digits = P.Digits(individual_digits=True)
# by family: what cuts, what normalises, whether whole words are taken as they are
FAMILIES = {
    'olmo': (P.ByteLevel(add_prefix_space=False, use_regex=True), normalizers.NFC(), False),
    'refact': (P.Sequence([digits, P.ByteLevel(add_prefix_space=False, use_regex=True)]), None, False),
    'dbrx': (cut(LLAMA), None, False),
    'glm4': (cut(LLAMA), None, True),
    'qwen35': (cut(QWEN35), normalizers.NFC(), False),
    'gpt-4o': (cut(o200k(C, r"\p{N}{1,3}")), None, False),
    'tekken': (cut(o200k('', r"\p{N}")), None, True),
    'deepseek-v3': (cut(*DEEPSEEK3), None, False),
    'deepseek-coder': (P.Sequence([P.Split(Regex(x), 'isolated') for x in (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN)] + [digits, level]), None, False),
    'deepseek-llm': (P.Sequence([P.Split(Regex(x), 'isolated') for x in (r"[\r\n]", CASED, SIGNS, r"\s+$", HAN)] + [digits, level]), None, False),
}
GROUP = 16

def tokenizer(family, vocab, merges):
    pre, norm, whole = FAMILIES[family]
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=whole))
    t.pre_tokenizer = pre
    if norm: t.normalizer = norm
    return t

def fnv(ids):
    h = 0xcbf29ce484222325
    for i in ids:
        for k in range(4): h = ((h ^ (i >> 8 * k & 255)) * 0x100000001b3) & (1 << 64) - 1
    return '%08x' % (h & 0xffffffff)

def small():
    """As make.py's small_bpe, with the ids of tests/vocab_fixture.h."""
    merges = [tuple(l.rstrip('\n').split(' ')) for l in gzip.open(os.path.join(HERE, 'merges.txt.gz'), 'rt', encoding='utf8')]
    vocab = {c: b for b, c in byte_names().items()}
    for a, b in merges: vocab.setdefault(a + b, len(vocab))
    return vocab, merges
def byte_names():
    bs = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in bs]
    return {b: c for b, c in sorted({**{b: chr(b) for b in bs}, **{b: chr(256 + i) for i, b in enumerate(rest)}}.items())}

def golden():
    texts = json.load(gzip.open(os.path.join(HERE, 'cases.json.gz'), 'rt', encoding='utf8'))['texts']
    vocab, merges = small()
    out = {}
    for family in FAMILIES:
        t = tokenizer(family, vocab, merges)
        out[family] = [fnv([i for x in texts[k:k + GROUP] for i in t.encode(x).ids]) for k in range(0, len(texts), GROUP)]
    with gzip.GzipFile(os.path.join(HERE, 'pretok.json.gz'), 'wb', mtime=0) as z, io.TextIOWrapper(z) as f:
        json.dump(out, f, separators=(',', ':'))
        f.write('\n')

# ---- whole corpora ----
def strings(o):
    if isinstance(o, str): yield o
    for v in o.values() if isinstance(o, dict) else o if isinstance(o, list) else (): yield from strings(v)
def corpora(shared):
    r = random.Random(5)
    for name in ('xquad-ru-half.json', 'locomo3.json'): yield name, '\n'.join(strings(json.load(open(f'{shared}/data/eval/{name}', encoding='utf8'))))
    yield 'code', ''.join(open(f, encoding='utf8').read() for f in sorted(glob.glob(ROOT + '/*/*.[ch]') + glob.glob(ROOT + '/build-aux/*')) if os.path.isfile(f))
    signs = ['😀', '👩‍👩‍👧', '🇷🇺', '👍🏽', '❤️', '🏳️‍🌈', '\u0301', 'é', '日本', 'カタ・カナ', '中文。', '한국어', 'עברית', 'नमस्ते', '𝒳', '\u200b', ' ', '  ', '\n', '\t', '\r\n', '\u3000', 'Ab', "DON'T", "'ſ", '12', '½', '/', '!', '\x01', 'ǅ', 'ʰ']
    yield 'emoji', ''.join(r.choice(signs) for _ in range(60000))
    yield 'random bytes', bytes(r.randrange(256) for _ in range(200000)).decode('utf8', 'replace')
    yield 'random characters', ''.join(chr(c) for c in (r.randrange(1, 0x30000) for _ in range(60000)) if not 0xD800 <= c < 0xE000)
    yield 'random words', ''.join(''.join(r.choice('aAéÉяЯ中ʰ\u0301\u0939') for _ in range(r.randrange(1, 6))) + r.choice(" \t\n'/!1_") * r.randrange(1, 3) for _ in range(60000))

def write_vocabulary(path, family, vocab, merges):
    def text(s): b = s.encode(); return struct.pack('<Q', len(b)) + b
    def array(key, kind, items, form): return text(key) + struct.pack('<IIQ', 9, kind, len(items)) + b''.join(form(x) for x in items)
    def word(key, v): return text(key) + struct.pack('<I', 8) + text(v)
    tokens = [''] * len(vocab)
    for k, v in vocab.items(): tokens[v] = k
    keys = [word('tokenizer.ggml.model', 'gpt2'), word('tokenizer.ggml.pre', family), array('tokenizer.ggml.tokens', 8, tokens, text),
            array('tokenizer.ggml.token_type', 5, [1] * len(tokens), lambda x: struct.pack('<i', x)), array('tokenizer.ggml.merges', 8, [' '.join(m) for m in merges], text)]
    with open(path, 'wb') as f: f.write(struct.pack('<4sIQQ', b'GGUF', 3, 0, len(keys)) + b''.join(keys))

def compare(quorum, shared):
    model = json.load(gzip.open(shared + '/data/qwen3-tokenizer/tokenizer.json.gz', 'rt', encoding='utf8'))['model']
    merges = [tuple(m.split(' ')) if isinstance(m, str) else tuple(m) for m in model['merges']]
    texts, bad = list(corpora(shared)), 0
    with tempfile.TemporaryDirectory() as d:
        for family in FAMILIES:
            t, path, total = tokenizer(family, model['vocab'], merges), d + '/v.gguf', 0
            write_vocabulary(path, family, model['vocab'], merges)
            for name, text in texts:
                want = t.encode(text).ids
                got = json.loads(subprocess.run([quorum, 'tokenize', '-m', path, '--json'], input=text.encode(), capture_output=True, check=True).stdout)['ids']
                total += len(got)
                if got == want: continue
                bad += 1
                at = next((i for i in range(min(len(got), len(want))) if got[i] != want[i]), min(len(got), len(want)))
                print(f'{family}: {name} differs at token {at}: {got[at - 2:at + 4]} and {want[at - 2:at + 4]}, {t.decode(want[max(0, at - 4):at + 4])!r}')
            print(f'{family}: {total} tokens')
    return bad > 0

if __name__ == '__main__':
    sys.exit(compare(*sys.argv[1:]) if len(sys.argv) == 3 else golden())
