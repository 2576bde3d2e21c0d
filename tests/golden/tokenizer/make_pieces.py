#!/usr/bin/env python3
"""Makes the goldens of tests/unit/test_pieces.c with PyPI's `sentencepiece` (0.2.3) and `tokenizers` (0.23).

  make_pieces.py

unigram.gguf           a vocabulary of 900 pieces trained by sentencepiece on our manuals, with a table of characters of its own
wordpiece.gguf         1000 pieces in small letters, trained by tokenizers, spelt as llama.cpp does ("▁" begins a word)
wordpiece-cased.gguf   600 pieces with capitals, spelt as BERT's own file does ("##" goes on)
pieces.json            texts, and their ids by those libraries; sentencepiece is given NFC, as quorum has it before the table and after
The vocabularies are kept once they are there (delete one to train it anew); pieces.json is written anew.
What is large is kept packed (tests/packed.h)."""
import gzip, io, json, os, random, struct, sys, tempfile, unicodedata
import sentencepiece as sp
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, '..', '..', '..')
U8, U32, I32, F32, BOOL, STR, ARR = 0, 4, 5, 6, 7, 8, 9
NORMAL, UNKNOWN, CONTROL = 1, 2, 3

def words():
    return [l for f in ('manual.md', 'manual.ru.md') for l in open(os.path.join(ROOT, 'docs', f), encoding='utf8').read().split('\n') if l.strip()]

# ---- GGUF without tensors ----
def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack('<Q', len(s)) + s
def value(kind, v):
    return text(v) if kind == STR else struct.pack('<' + {U8: 'B', U32: 'I', I32: 'i', F32: 'f', BOOL: '?'}[kind], v)
def write(name, keys):
    with gzip.GzipFile(os.path.join(HERE, name + '.gz'), 'wb', mtime=0) as f:
        f.write(struct.pack('<4sIQQ', b'GGUF', 3, 0, len(keys)))
        for key, kind, v in keys:
            if isinstance(kind, list):
                f.write(text(key) + struct.pack('<IIQ', ARR, kind[0], len(v)) + b''.join(value(kind[0], x) for x in v))
            else: f.write(text(key) + struct.pack('<I', kind) + value(kind, v))
def read(name):
    """The keys of a file that write made."""
    data = gzip.open(os.path.join(HERE, name + '.gz'), 'rb').read()
    at, out = 24, {}
    def get(kind):
        nonlocal at
        if kind == STR:
            n, = struct.unpack_from('<Q', data, at); at += 8 + n
            return data[at - n:at]
        form = '<' + {U8: 'B', U32: 'I', I32: 'i', F32: 'f', BOOL: '?'}[kind]
        at += struct.calcsize(form)
        return struct.unpack_from(form, data, at - struct.calcsize(form))[0]
    for _ in range(struct.unpack_from('<Q', data, 16)[0]):
        key, kind = get(STR).decode(), get(U32)
        if kind == ARR:
            item, n = get(U32), struct.unpack_from('<Q', data, at)[0]
            at += 8
            out[key] = [get(item) for _ in range(n)]
        else: out[key] = get(kind)
    return out
G = 'tokenizer.ggml.'

# ---- unigram ----
def rules():
    """NFKC of the alphabets of our texts, each letter also from its base and marks; controls and spaces; a few deletions."""
    out = {'\t': ' ', '\n': ' ', '\r': ' ', '\u200b': '', '\u00ad': '', '\ufeff': ''}
    for a, b in ((0xA0, 0x180), (0x386, 0x460), (0x1E00, 0x1F00), (0x2000, 0x2070), (0x2100, 0x2190), (0x2460, 0x2474), (0x3000, 0x3001),
                 (0xAC00, 0xAC20), (0xFB00, 0xFB07), (0xFF01, 0xFF5F)):
        for code in range(a, b):
            c = chr(code)
            split, k = unicodedata.normalize('NFD', c), unicodedata.normalize('NFKC', c)
            if k != c: out[c] = k
            if len(split) > 1 and unicodedata.normalize('NFC', split) == c: out[split] = k
    return out
def train_unigram():
    b = io.BytesIO()
    with tempfile.NamedTemporaryFile('w', suffix='.tsv', encoding='utf8') as tsv:
        for src, to in rules().items():
            tsv.write(' '.join('%X' % ord(c) for c in src) + '\t' + ' '.join('%X' % ord(c) for c in to) + '\n')
        tsv.flush()
        sp.SentencePieceTrainer.train(sentence_iterator=iter(words()), model_writer=b, vocab_size=900, normalization_rule_tsv=tsv.name,
                                      character_coverage=.9995, pad_id=3, control_symbols='<mask>', num_threads=1, minloglevel=2)
    m = pb.ModelProto()
    m.ParseFromString(b.getvalue())
    write('unigram.gguf', [('general.architecture', STR, 'bert'), (G + 'model', STR, 't5'), (G + 'tokens', [STR], [p.piece for p in m.pieces]),
        (G + 'scores', [F32], [p.score for p in m.pieces]), (G + 'token_type', [I32], [p.type for p in m.pieces]),
        (G + 'add_space_prefix', BOOL, True), (G + 'remove_extra_whitespaces', BOOL, True),
        (G + 'precompiled_charsmap', [U8], m.normalizer_spec.precompiled_charsmap),
        (G + 'bos_token_id', U32, m.trainer_spec.bos_id), (G + 'eos_token_id', U32, m.trainer_spec.eos_id),
        (G + 'unknown_token_id', U32, m.trainer_spec.unk_id), (G + 'add_bos_token', BOOL, True), (G + 'add_eos_token', BOOL, True)])
def unigram():
    if not os.path.exists(os.path.join(HERE, 'unigram.gguf.gz')): train_unigram()
    k = read('unigram.gguf')
    m = pb.ModelProto()
    for p, s, t in zip(k[G + 'tokens'], k[G + 'scores'], k[G + 'token_type']):
        m.pieces.add(piece=p.decode(), score=s, type=t)
    m.trainer_spec.model_type, m.trainer_spec.vocab_size = pb.TrainerSpec.UNIGRAM, len(m.pieces)
    m.trainer_spec.unk_id, m.trainer_spec.bos_id, m.trainer_spec.eos_id = (k[G + x] for x in ('unknown_token_id', 'bos_token_id', 'eos_token_id'))
    m.normalizer_spec.precompiled_charsmap = bytes(k[G + 'precompiled_charsmap'])
    p = sp.SentencePieceProcessor(model_proto=m.SerializeToString())
    def encode(t):
        """As quorum reads it: NFC before the table and after it (a ligature and a mark, half-width letters)."""
        t = unicodedata.normalize('NFC', t)
        first = p.normalize(t)
        second = unicodedata.normalize('NFC', first)
        return p.encode(t if first == second else second.replace('\u2581', ' '))
    return encode

# ---- WordPiece ----
SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
def wordpiece(name, size, small, spaced):
    norm, pre = normalizers.BertNormalizer(lowercase=small), pre_tokenizers.BertPreTokenizer()
    if not os.path.exists(os.path.join(HERE, name + '.gz')):
        t = Tokenizer(models.WordPiece(unk_token='[UNK]'))
        t.normalizer, t.pre_tokenizer = norm, pre
        t.train_from_iterator(words(), trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, limit_alphabet=230, show_progress=False))
        tokens = [x for x, _ in sorted(t.get_vocab().items(), key=lambda x: x[1])]
        spelt = [x if x in SPECIAL or not spaced else x[2:] if x.startswith('##') else '\u2581' + x for x in tokens]
        write(name, [('general.architecture', STR, 'bert'), (G + 'model', STR, 'bert'), (G + 'tokens', [STR], spelt),
                     (G + 'token_type', [I32], [CONTROL if x in SPECIAL else NORMAL for x in tokens]), (G + 'unknown_token_id', U32, 1),
                     (G + 'cls_token_id', U32, 2), (G + 'seperator_token_id', U32, 3)])
    names = [x.decode() for x in read(name)[G + 'tokens']]
    plain = [x if x in SPECIAL or not spaced else x[1:] if x.startswith('\u2581') else '##' + x for x in names]
    t = Tokenizer(models.WordPiece({x: i for i, x in enumerate(plain)}, unk_token='[UNK]', max_input_chars_per_word=100))
    t.normalizer, t.pre_tokenizer = norm, pre
    return lambda s: t.encode(s).ids

# ---- texts ----
PROSE = ['', ' ', '   \t\n ', 'Привет, мир!', 'Hello,  World! ', '\u3000a\u00a0b\u2009c ', 'Ёжик и йод: съёмка, объём.', 'ёжик ЁЖИК Ёж',
    'й в разложенном виде: и\u0306, е\u0308, É E\u0301, \uac00 \u1100\u1161 \u1100\u1161\u11a8', 'ﬁne ﬂow ① ② ½ №5 ＡＢＣ１２３！ … ‥ ™ Å',
    'abc 𓀀𓀁𓀂 def', '𓀀𓀁', '𓀀 𓀁', 'a𓀀b𓀁c', '<s>hello</s> <pad> <mask> <unk> [CLS] [SEP] [MASK] [UNK]', '▁a ▁▁ b▁c', 'a ▁', '▁', 'zero\u200bwidth soft\u00adhyphen',
    'İstanbul ıI ΣΊΣΥΦΟΣ ẞ ß ǅ Straße', 'naïve café Ångström Zażółć gęślą jaźń', '你好，世界。东京 カタカナ ひらがな 한국어', 'שָׁלוֹם مَرْحَبًا नमस्ते สวัสดี',
    "don't we'll they've I'm C++ C# .NET v3.45.1 x=0x1F; a_b-c/d\\e|f~g`h^i$j+k<l>m", '👍🏽 👨\u200d👩\u200d👧 ☃️ 🇷🇺', 'x' * 99, 'x' * 100, 'x' * 101, 'quorum' * 17, 'я' * 150,
    'expert experts expertise unexpertly роутер роутера', 'a\x01b\x7fc\u0085d\ufffde', 'one\rtwo\r\nthree\x0bfour\x0cfive', '§1 «кавычки» “quotes” ‘x’ – — ‒', '١٢٣ १२३ Ⅻ ² x²']

def texts():
    r = random.Random(11)
    t = PROSE + words()[::9]
    alphabet = " \t\nabeABEéЁёйЙиж1²½,.-_'!()#[]你가ﬁ\u0301\u0306\u0308\u200b\u00a0\u3000👍İßΣ"
    for _ in range(250): t.append(''.join(r.choice(alphabet) for _ in range(r.randrange(1, 25))))
    pool = ''.join(words())
    for _ in range(80):
        at = r.randrange(len(pool) - 60)
        t.append(unicodedata.normalize('NFD' if r.randrange(2) else 'NFC', pool[at:at + r.randrange(60)]).swapcase())
    return [x for x in dict.fromkeys(t)]

def main():
    kinds = {'unigram.gguf': unigram(), 'wordpiece.gguf': wordpiece('wordpiece.gguf', 1000, True, True),
             'wordpiece-cased.gguf': wordpiece('wordpiece-cased.gguf', 600, False, False)}
    all_texts = texts()
    with gzip.GzipFile(os.path.join(HERE, 'pieces.json.gz'), 'wb', mtime=0) as z, io.TextIOWrapper(z, encoding='utf8') as f:
        f.write('[\n' + ',\n'.join(json.dumps({'text': t, **{k.split('.')[0]: e(t) for k, e in kinds.items()}}, ensure_ascii=False, separators=(',', ':'))
                                   for t in all_texts) + '\n]\n')
    print(len(all_texts), 'texts')

if __name__ == '__main__':
    main()
