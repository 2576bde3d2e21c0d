#!/usr/bin/env python3
"""Real models by us and by llama.cpp: real.py QUORUM MAINLINE FOLDER SHARED [only part of a name]

MAINLINE: the program of mainline.c; FOLDER: what fetch_real.sh made; SHARED: the folder with data/eval. Prints ok, not ok and skip lines. Needs PyPI's gguf (and numpy)."""
import glob, json, os, random, subprocess, sys, tempfile, unicodedata
import gguf, gguf.quants, numpy

QUORUM, MAINLINE, FOLDER, SHARED = sys.argv[1:5]
ONLY = sys.argv[5] if len(sys.argv) > 5 else ''
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
MODELS = {'gemma3-270m': 'The router looks at every token and picks a few experts; ', 'qwen2.5-coder-0.5b': 'def quick_sort(items: list[int]) -> list[int]:\n'}
failed = 0

def verdict(ok, name, why=''):
    global failed
    print(f'ok {name}' if ok else f'not ok {name}: {why}', flush=True)
    failed |= not ok

def strings(o):
    if isinstance(o, str): yield o
    for v in o.values() if isinstance(o, dict) else o if isinstance(o, list) else (): yield from strings(v)

def code():
    """Our sources, but for what is a token of some model's frame or of an image: there a person's words are letters with us."""
    files = sorted(glob.glob(ROOT + '/kernels/**/*.c', recursive=True) + glob.glob(ROOT + '/memory/*.c') + glob.glob(ROOT + '/build-aux/*.py'))
    return ''.join(open(f, encoding='utf8').read() for f in files)

def emoji():
    r = random.Random(3)
    signs = ['😀', '👩‍👩‍👧', '🇷🇺', '👍🏽', '❤️', '🏳️‍🌈', '🤷🏻‍♂️', 'é', '日本語', 'カタカナ', '한국어', 'עברית', 'नमस्ते', '𝒳', '\u200b', ' ', '  ', '\n', '\t', '\r\n', 'Ab', "don't", '12', '½', '!', '<b>', '</table>']
    return unicodedata.normalize('NFC', ''.join(r.choice(signs) for _ in range(40000)))     # Qwen's tokenizer composes first, llama.cpp does not

def texts():
    for name in ('xquad-ru-half.json', 'locomo3.json'):
        path = f'{SHARED}/data/eval/{name}'
        if os.path.exists(path): yield name, unicodedata.normalize('NFC', '\n'.join(strings(json.load(open(path, encoding='utf8')))))
    yield 'code', code()
    yield 'emoji', emoji()

def ids(command, text):
    return [int(x) for x in subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout.split()]

def tokenise(name, path):
    for what, text in texts():
        ours, theirs = ids([QUORUM, 'tokenize', '-m', path], text), ids([MAINLINE, path, 'tokenize'], text)
        back = subprocess.run([QUORUM, 'detokenize', '-m', path], input=' '.join(map(str, ours)).encode(), capture_output=True, check=True).stdout
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        verdict(ours == theirs, f'{name}_tokenises_{what}', f'token {at} of {len(ours)}: {ours[at - 2:at + 4]}, llama.cpp {theirs[at - 2:at + 4]}')
        same = back == text.replace('\u2581', ' ').encode() or back == text.encode()
        verdict(same, f'{name}_writes_{what}_back', f'{len(back)} bytes of {len(text.encode())}')
        print(f'# {len(ours)} tokens')

def exact_copy(path, to, packed=lambda t, x: (x, None)):
    """The same model with every number written out as F32: what both engines would compute if nothing were rounded."""
    r = gguf.GGUFReader(path)
    w = gguf.GGUFWriter(to, r.fields['general.architecture'].contents())
    for key, f in r.fields.items():
        if key.startswith('GGUF.') or key in ('general.architecture', 'general.file_type'): continue
        if f.types[0] == gguf.GGUFValueType.ARRAY:
            w.add_array(key, [bytes(f.parts[i]) if f.types[-1] == gguf.GGUFValueType.STRING else f.parts[i][0].item() for i in f.data])
        else: w.add_key_value(key, f.contents(), f.types[0])
    for t in r.tensors:
        data, kind = packed(t, gguf.quants.dequantize(t.data, t.tensor_type).astype(numpy.float32))
        w.add_tensor(t.name, data, raw_dtype=kind)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()

def mxfp4_copy(path, to):
    """The same model with every matrix but the embedding in MXFP4."""
    kind = gguf.GGMLQuantizationType.MXFP4
    def packed(t, x):
        return (gguf.quants.quantize(x, kind), kind) if x.ndim == 2 and 'token_embd' not in t.name else (x, None)
    exact_copy(path, to, packed)

def rows_of(command, out, n):
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode: raise RuntimeError(r.stderr.strip())
    x = numpy.fromfile(out, numpy.float32).reshape(n, -1).astype(numpy.float64)
    x -= x.max(1, keepdims=True)
    return x - numpy.log(numpy.exp(x).sum(1, keepdims=True))

def apart(of, p):
    """Mean Kullback-Leibler divergence of p from `of` over the rows, and in how many the likeliest token is the same."""
    return float((numpy.exp(of) * (of - p)).sum(1).mean()), int((of.argmax(1) == p.argmax(1)).sum())

def logits(name, path, n=200):
    """Over exact copies both engines must give the same. With the files as they are both round what goes into a product to 8 bits, each in
    its own way: then we may be no further from the exact model than llama.cpp is, but for a quarter."""
    lead = subprocess.run([QUORUM, 'tokenize', '-m', path], input=(MODELS[name] + code()[:4000]).encode(), capture_output=True, check=True).stdout.split()
    first = [b'2'] if name.startswith('gemma') else []          # <bos>, which that model never goes without
    tokens = ','.join(t.decode() for t in (first + lead)[:n])
    rows = {}
    with tempfile.TemporaryDirectory(dir=FOLDER) as d:
        exact_copy(path, f'{d}/exact.gguf')
        try:
            for what, file in (('quantised', path), ('exact', f'{d}/exact.gguf')):
                rows['ours', what] = rows_of([QUORUM, 'eval', 'logits', '-m', file, '--tokens', tokens, '--out', f'{d}/rows', '--set', 'kv.type=f32'], f'{d}/rows', n)
                rows['theirs', what] = rows_of([MAINLINE, file, 'logits', f'{d}/rows', tokens], f'{d}/rows', n)
        except RuntimeError as e: return verdict(False, f'{name}_logits', str(e))
    kl, same = apart(rows['theirs', 'exact'], rows['ours', 'exact'])
    print(f'# {name}, F32: mean KL {kl:.2e}, top-1 equal in {same} of {n}')
    verdict(kl < 1e-6 and same >= n - 1, f'{name}_logits_of_exact_weights', f'mean KL {kl:.2e}, top-1 equal in {same} of {n}')
    between, same = apart(rows['theirs', 'quantised'], rows['ours', 'quantised'])
    (own, own_same), (theirs, theirs_same) = (apart(rows['theirs', 'exact'], rows[who, 'quantised']) for who in ('ours', 'theirs'))
    print(f'# {name}, as it is: we from llama.cpp: mean KL {between:.6f}, top-1 equal in {same} of {n}; from the exact model: we {own:.6f} ({own_same}), llama.cpp {theirs:.6f} ({theirs_same})')
    verdict(own < 1.25 * theirs, f'{name}_logits', f'mean KL from the exact model {own:.6f}, llama.cpp {theirs:.6f}')

def mxfp4(name, path, n=400):
    """What int8 activations cost where matrices are MXFP4: the loss on a text with them, and with every product in F32."""
    text = (MODELS[name] + code()[:8000]).encode()
    tokens = ([2] if name.startswith('gemma') else []) + ids([QUORUM, 'tokenize', '-m', path], text.decode())
    tokens = tokens[:n]
    with tempfile.TemporaryDirectory(dir=FOLDER) as d:
        mxfp4_copy(path, f'{d}/mxfp4.gguf')
        exact_copy(f'{d}/mxfp4.gguf', f'{d}/exact.gguf')
        try: rows = [rows_of([QUORUM, 'eval', 'logits', '-m', f'{d}/{f}.gguf', '--tokens', ','.join(map(str, tokens)), '--out', f'{d}/rows', '--set', 'kv.type=f32'], f'{d}/rows', n)
                     for f in ('exact', 'mxfp4')]
        except RuntimeError as e: return verdict(False, f'{name}_mxfp4', str(e))
    loss = [-float(r[numpy.arange(n - 1), tokens[1:]].mean()) for r in rows]
    kl, same = apart(*rows)
    print(f'# {name} in MXFP4, {n} tokens: {loss[0]:.4f} nats a token with activations in F32, {loss[1]:.4f} in int8; mean KL {kl:.5f}, top-1 equal in {same}')
    verdict(abs(loss[1] - loss[0]) < .02 and 0 < kl < .02, f'{name}_mxfp4_loss', f'{loss[0]:.4f} and {loss[1]:.4f} nats a token, mean KL {kl:.5f}')

for name in MODELS:
    path = f'{FOLDER}/{name}.gguf'
    for part in (tokenise, logits, mxfp4):
        if ONLY and ONLY not in f'{name} {part.__name__}': continue
        if os.path.exists(path): part(name, path)
        else: print(f'skip {name}_{part.__name__}: {path} is not here (tests/models/fetch_real.sh)')
sys.exit(failed)
