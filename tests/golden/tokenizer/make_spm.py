#!/usr/bin/env python3
"""Makes the goldens of tests/unit/test_spm.c with PyPI's `sentencepiece` (0.2.x), and compares whole corpora with quorum.

  make_spm.py                     writes the two files below
  make_spm.py QUORUM SHARED       instead trains BPE and unigram vocabularies of 6000 pieces, with sentencepiece's own tables of characters
                                  and without, and compares the ids of the strings of SHARED/data/eval, our sources, emoji and random text

spm.gguf   a vocabulary of 1100 pieces (SentencePiece's BPE, as Llama 2's and Gemma's are) trained on our manuals: bytes for what no
           piece has, runs of spaces in pieces, runs of line ends and two elements of HTML as tokens of the user's
spm.json   texts, and their ids with a space put first ("first") and without ("plain"), of texts a hash where "ids" would be long.
           Between tokens of the user's each stretch is encoded by itself, as transformers and llama.cpp do.
The vocabulary is kept once it is there (delete it to train it anew); spm.json is written anew."""
import gzip, io, json, os, re, struct, subprocess, sys, tempfile, unicodedata
import sentencepiece as sp
from sentencepiece import sentencepiece_model_pb2 as pb
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_pieces import ARR, BOOL, F32, G, HERE, I32, STR, U8, U32, read, texts, value, text as packed, words, write

USER = ['\n', '\n\n', '\n\n\n', '<b>', '</b>']
SHORT = 60          # texts whose ids are written, not their hash

def train():
    b = io.BytesIO()
    code = [l for f in ('spm.c', 'sentence.c', 'vocab.c') for l in open(os.path.join(HERE, '../../../engine/text', f), encoding='utf8').read().split('\n') if l.strip()]
    sp.SentencePieceTrainer.train(sentence_iterator=iter(words() + code), model_writer=b, model_type='bpe', vocab_size=1100, byte_fallback=True,
                                  normalization_rule_name='identity', remove_extra_whitespaces=False, character_coverage=.9990, user_defined_symbols=USER,
                                  control_symbols='<turn>', allow_whitespace_only_pieces=True, num_threads=1, minloglevel=2)
    m = pb.ModelProto()
    m.ParseFromString(b.getvalue())
    write('spm.gguf', [('general.architecture', STR, 'llama'), (G + 'model', STR, 'llama'), (G + 'tokens', [STR], [p.piece for p in m.pieces]),
        (G + 'scores', [F32], [p.score for p in m.pieces]), (G + 'token_type', [I32], [p.type for p in m.pieces]),
        (G + 'add_space_prefix', BOOL, True), (G + 'bos_token_id', U32, m.trainer_spec.bos_id), (G + 'eos_token_id', U32, m.trainer_spec.eos_id),
        (G + 'unknown_token_id', U32, m.trainer_spec.unk_id), (G + 'add_bos_token', BOOL, True)])

def processor(first):
    k = read('spm.gguf')
    m = pb.ModelProto()
    for p, s, t in zip(k[G + 'tokens'], k[G + 'scores'], k[G + 'token_type']): m.pieces.add(piece=p.decode(), score=s, type=t)
    m.trainer_spec.model_type, m.trainer_spec.vocab_size, m.trainer_spec.byte_fallback = pb.TrainerSpec.BPE, len(m.pieces), True
    m.trainer_spec.unk_id, m.trainer_spec.bos_id, m.trainer_spec.eos_id = (k[G + x] for x in ('unknown_token_id', 'bos_token_id', 'eos_token_id'))
    m.normalizer_spec.add_dummy_prefix, m.normalizer_spec.remove_extra_whitespaces, m.normalizer_spec.escape_whitespaces = first, False, True
    p = sp.SentencePieceProcessor(model_proto=m.SerializeToString())
    user = re.compile('(' + '|'.join(map(re.escape, sorted(USER, key=len, reverse=True))) + ')')
    return lambda t: [i for part in user.split(t) if part for i in ([p.piece_to_id(part)] if part in USER else p.encode(part))]

def fnv(ids):
    h = 0xcbf29ce484222325
    for i in ids:
        for k in range(4): h = ((h ^ (i >> 8 * k & 255)) * 0x100000001b3) & (1 << 64) - 1
    return '%08x' % (h & 0xffffffff)

MORE = ['\n\n\n\n\n', 'a\n\nb\n c', '<b>bold</b> and <b>x', ' <b> ', '<s></s><unk><turn><0x0A>', '        if (x)\n            return;\n', 'a  b   c    d', '\t\tx',
        'Привет  мир', '\u2581\u2581x', 'ok\r\n', '日本語🙂é', 'e\u0301', 'ааааааааааааааааа', 'the the  the', '((((((((((((((((((', '________________']
def main():
    if not os.path.exists(os.path.join(HERE, 'spm.gguf.gz')): train()
    forms = {'first': processor(True), 'plain': processor(False)}
    all_texts = list(dict.fromkeys(MORE + texts()[:60] + texts()[-300:-200]))
    with gzip.GzipFile(os.path.join(HERE, 'spm.json.gz'), 'wb', mtime=0) as z, io.TextIOWrapper(z, encoding='utf8') as f:
        rows = [json.dumps({'text': t, **{k: e(t) if i < SHORT else fnv(e(t)) for k, e in forms.items()}}, ensure_ascii=False, separators=(',', ':')) for i, t in enumerate(all_texts)]
        f.write('[\n' + ',\n'.join(rows) + '\n]\n')
    print(len(all_texts), 'texts')

# ---- whole corpora ----
FORMS = {    # what is trained: kind, table of characters, whether runs of spaces become one, whether a space goes first
    'bpe_plain': ('bpe', 'identity', False, False), 'bpe_first': ('bpe', 'identity', False, True), 'bpe_nfkc': ('bpe', 'nmt_nfkc', True, True),
    'unigram_nfkc': ('unigram', 'nmt_nfkc', True, True), 'unigram_plain': ('unigram', 'identity', False, False)}

def trained(form, sentences):
    kind, table, squeeze, first = FORMS[form]
    b = io.BytesIO()
    sp.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=b, model_type=kind, vocab_size=6000, byte_fallback=kind == 'bpe', num_threads=2,
                                  normalization_rule_name=table, remove_extra_whitespaces=squeeze, add_dummy_prefix=first, character_coverage=.9995, minloglevel=2)
    m = pb.ModelProto()
    m.ParseFromString(b.getvalue())
    return m

def write_model(path, m):
    n = m.normalizer_spec
    keys = [('model', STR, 'llama' if m.trainer_spec.model_type == pb.TrainerSpec.BPE else 't5'), ('tokens', [STR], [p.piece for p in m.pieces]),
            ('scores', [F32], [p.score for p in m.pieces]), ('token_type', [I32], [p.type for p in m.pieces]), ('add_space_prefix', BOOL, n.add_dummy_prefix),
            ('remove_extra_whitespaces', BOOL, n.remove_extra_whitespaces), ('unknown_token_id', U32, m.trainer_spec.unk_id)]
    if n.precompiled_charsmap: keys.append(('precompiled_charsmap', [U8], n.precompiled_charsmap))
    with open(path, 'wb') as f:
        f.write(struct.pack('<4sIQQ', b'GGUF', 3, 0, len(keys)))
        for key, kind, v in keys:
            if isinstance(kind, list): f.write(packed(G + key) + struct.pack('<IIQ', ARR, kind[0], len(v)) + b''.join(value(kind[0], x) for x in v))
            else: f.write(packed(G + key) + struct.pack('<I', kind) + value(kind, v))

def compare(quorum, shared):
    from make_pretok import corpora
    # With a table of characters quorum composes first (engine/text/sentence.c); sentencepiece is given what is composed already.
    all_texts = [(name, unicodedata.normalize('NFC', t)[:250000]) for name, t in corpora(shared)]
    sentences = [l for name, t in all_texts[:3] for l in t.split('\n') if l.strip()]
    bad = 0
    with tempfile.TemporaryDirectory() as d:
        for form in FORMS:
            m, total = trained(form, sentences), 0
            p = sp.SentencePieceProcessor(model_proto=m.SerializeToString())
            write_model(d + '/v.gguf', m)
            for name, whole in all_texts:
                for k in range(0, len(whole), 5000):            # sentencepiece adds scores up in floats, from the start of a text
                    t = whole[k:k + 5000]
                    if FORMS[form][1] != 'identity' and (unicodedata.normalize('NFC', p.normalize(t)) != p.normalize(t) or unicodedata.normalize('NFC', t) != t): continue
                    got = json.loads(subprocess.run([quorum, 'tokenize', '-m', d + '/v.gguf', '--json'], input=t.encode(), capture_output=True, check=True).stdout)['ids']
                    want = p.encode(t)
                    total += len(got)
                    if got == want: continue
                    bad += 1
                    at = next((i for i in range(min(len(got), len(want))) if got[i] != want[i]), min(len(got), len(want)))
                    if bad < 20: print(f'{form}: {name} differs: {[p.id_to_piece(i) for i in got[max(0, at - 2):at + 4]]} and {[p.id_to_piece(i) for i in want[max(0, at - 2):at + 4]]}')
            print(f'{form}: {total} tokens')
    return bad > 0

if __name__ == '__main__':
    sys.exit(compare(*sys.argv[1:]) if len(sys.argv) == 3 else main())
