#!/usr/bin/env python3
"""How close to the machine: what was asked, what is measured here, and what stands beside it, as one table.

    bench/goal.py QUORUM MODEL [--csv FOLDER] [-p 512] [-n 32] [-r 3] [-t THREADS]

`make bench` calls it behind its sweeps, whose CSV files (k.csv, context.csv, type.csv) lie in FOLDER; what has no file there is said to be
not measured. Plain runs are made here, in rounds, with a peer (PEER=path/to/llama-bench) and AVX2 (QUORUM_CPU=avx2; PEER_AVX2=path/to/a
llama-bench built for it) in turn, so that a machine's moods hit all alike. Shares are of bounds measured in the same run. Medians, (least to
most). Standard library only.
"""
import argparse, csv, json, os, re, statistics, subprocess, sys, time

BEYOND_CACHES = 32 << 20                         # bytes of cells: fewer are not read from memory


def spread(v, form):
    v = [x for x in v if x is not None]
    if not v:
        return None
    return form(statistics.median(v)) + (' (%s to %s)' % (form(min(v)), form(max(v))) if len(v) > 1 else '')


def share(x): return '.%02d' % round(100 * x) if x < .995 else '%.2f' % x
def rate(x): return '%.1f' % x if x < 100 else '%.0f' % x
def times(x): return '%.2f times' % x


def told(words, **more):
    r = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, env=dict(os.environ, **more))
    if r.returncode:
        sys.exit('bench/goal.py: %s: %s' % (' '.join(words), r.stderr.strip()[-400:] or 'status %d' % r.returncode))
    return r.stdout


def ours(a, model, **more):
    j = json.loads(told([a.quorum, 'bench', '-m', model, '-p', str(a.p), '-n', str(a.n), '-r', '1', '--json'] + (['-t', str(a.t)] if a.t else []), **more))
    d, roof = j['decode']['tokens_per_s'], j.get('roofline_tokens_per_s')
    return {'prefill': j['prefill']['tokens_per_s'], 'decode': d, 'all': d / roof if roof else None,
            'layers': j['layers_tokens_per_s'] * (j['layers_bytes_per_token'] + j['cell_bytes_per_token']) / j['read_bandwidth'] if roof else None,
            'peak': j['prefill_madds_per_s'] / j['integer_peak_madds_per_s'] if 'integer_peak_madds_per_s' in j else None}


def theirs(a, peer, model, depth=0):
    """A peer's speeds, attention its faster way."""
    if not peer:
        return None
    words = [peer, '-m', model, '-p', str(a.p), '-n', str(a.n), '-r', '1', '-o', 'json', '-fa', '1', '-t', str(a.t or os.cpu_count())] + (['-d', str(depth)] if depth else [])
    return {'prefill' if r['n_prompt'] else 'decode': r['avg_ts'] for r in json.loads(told(words))}


def first_token(a, model):
    """Seconds of a process that loads, reads four tokens and has the logits of the next one."""
    start = time.monotonic()
    told([a.quorum, 'eval', 'logits', '-m', model, '--tokens', '1,2,3,4', '--out', os.devnull] + (['--set', 'threads=%d' % a.t] if a.t else []))
    return time.monotonic() - start


def rows_of(a, name):
    path = a.csv and os.path.join(a.csv, name + '.csv')
    if not path or not os.path.exists(path):
        return []
    with open(path, newline='') as f:
        return [r for r in csv.DictReader(f) if not r['refused']]


def number(r, name): return float(r[name]) if r.get(name) else None


def shares(r):
    """Of the roofline, median, least and most, from a row of a sweep."""
    v = [number(r, 'roofline_share' + x) for x in ('', '_low', '_high')]
    return None if None in v else v


def of_row(r, v, form): return v and ('%s (%s to %s)' if int(r['rounds']) > 1 else '%s%.0s%.0s') % tuple(form(x) for x in v)


def over_k(a):
    return ', '.join('k=%s %s' % (r['k'], of_row(r, shares(r), share) or 'no bound found') for r in rows_of(a, 'k'))


def over_types(a):
    rows = rows_of(a, 'type')
    base = next((shares(r) for r in rows if r['type'] == 'Q4_K_M'), None)
    return base and ', '.join('%s %s' % (r['type'], share(shares(r)[0] / base[0])) for r in rows if r['type'] != 'Q4_K_M' and shares(r))


def attention(rows, r):
    """Bytes of cells a second, of what the time of a token grew by, as a share of the bandwidth."""
    near = next((x for x in rows if x['context_tokens'] == '0' and x.get('kv.type') == r.get('kv.type')), None)
    grown = near and 1 / number(r, 'decode') - 1 / number(near, 'decode')
    b, more = number(r, 'read_bandwidth'), near and number(r, 'cell_bytes') - number(near, 'cell_bytes')
    return more / grown / b if b and more >= BEYOND_CACHES and grown > 0 else None


def over_contexts(a, part, peers):
    rows, out, beside = rows_of(a, 'context'), [], []
    for r in rows:
        depth = int(r['context_tokens'])
        if not depth or (part == 'prefill' and depth != 8192 and any(int(x['context_tokens']) == 8192 for x in rows)):
            continue
        name, reached = '%s %s' % (r['context'], r.get('kv.type', '')), of_row(r, [number(r, part + x) for x in ('', '_low', '_high')], rate)
        near = attention(rows, r) if part == 'decode' else None
        out.append('%s: %s' % (name, reached) + (', attention %s of bandwidth' % share(near) if near else ''))
        if peers.get(depth):
            beside.append('%s: %s' % (name, times(number(r, part) / peers[depth][part])))
    return '; '.join(out), '; '.join(beside)


def panels(a):
    path = os.path.join(os.path.dirname(a.quorum), 'bench', 'panel_bench')
    if not os.access(path, os.X_OK):
        return None
    found = re.search(r'^decode is slower by +(.*)$', told([path, a.model, str(max(a.n, 8)), '5']), re.M)
    return found and found.group(1)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('quorum'), p.add_argument('model'), p.add_argument('--csv')
    for flag, usual in (('-p', 512), ('-n', 32), ('-r', 3), ('-t', 0)):
        p.add_argument(flag, type=int, default=usual)
    a = p.parse_args()
    peer, peer_avx2 = os.environ.get('PEER'), os.environ.get('PEER_AVX2')
    carved = os.path.join(os.environ.get('XDG_DATA_HOME') or os.path.join(os.path.expanduser('~'), '.local/share'), 'quorum/models/smollm2-135m-instruct-carved.gguf')
    carved = carved if os.path.exists(carved) else None
    avx2 = 'avx2' in open('/proc/cpuinfo').read().split()
    mine, other, mine2, other2, small, small_other, first = [], [], [], [], [], [], []
    for _ in range(a.r):                         # in turn
        mine.append(ours(a, a.model)), other.append(theirs(a, peer, a.model))
        if avx2:
            mine2.append(ours(a, a.model, QUORUM_CPU='avx2')), other2.append(theirs(a, peer_avx2, a.model))
        if carved:
            small.append(ours(a, carved)), small_other.append(theirs(a, peer, carved))
        first.append(first_token(a, a.model))
    depths = {int(r['context_tokens']) for r in rows_of(a, 'context')} - {0} if peer else set()
    deep = {d: theirs(a, peer, a.model, d) for d in sorted(depths)}

    def ratios(x, y):
        return '; '.join('%s %s' % (part, spread([m[part] / o[part] for m, o in zip(x, y)], times)) for part in ('prefill', 'decode')) if y and y[0] else None

    def both(x):
        return 'prefill %s, decode %s tokens/s' % tuple(spread([r[part] for r in x], rate) for part in ('prefill', 'decode')) if x else None

    def get(x, name): return spread([r[name] for r in x], share)
    here, by = rows_of(a, 'k') + rows_of(a, 'context'), 'PEER=path/to/llama-bench'
    decode, decode_beside = over_contexts(a, 'decode', deep)
    prefill, prefill_beside = over_contexts(a, 'prefill', deep)
    table = [
        ('decode at the model\'s k, share of the read roofline', '.85, aim .93', 'all %s, layers %s' % (get(mine, 'all') or 'no bound found', get(mine, 'layers') or 'no bound found'), ratios(mine, other) or by),
        ('decode over k', 'the same share', over_k(a), ''),
        ('decode behind contexts, tokens/s', '1.5 times mainline; attention at .80 of bandwidth', decode, decode_beside or by),
        ('prefill, share of the integer peak', '.60, aim .75', get(mine, 'peak'), ''),
        ('prefill behind a context, tokens/s', '2.5 times mainline at 8k', prefill, prefill_beside or by),
        ('every type, decode\'s share of bandwidth of Q4_K_M\'s', '.85 or more', over_types(a), ''),
        ('AVX2 without AVX-512', 'ahead of mainline built for AVX2', both(mine2), ratios(mine2, other2) or 'PEER_AVX2=path/to/llama-bench'),
        ('load to first token, cached file', '< .2 s at 17 GiB', (spread(first, lambda x: '%.2f' % x) or '') + ' s at %.1f GiB' % (os.path.getsize(a.model) / 2 ** 30), ''),
        ('screen with panels on against off', '< 1%', panels(a), ''),
        ('carved default', 'prefill 6 times mainline, decode 1.4', both(small), ratios(small, small_other) or (by if carved else 'quorum model fetch')),
        ('aarch64', 'same bytes as scalar', 'make test-arm, emulated: no speed', ''),
    ]
    cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith(('model name', 'Model'))), 'an unnamed processor')
    print('%s, %s threads%s, %s, %d tokens read, %d made, medians of %d (least to most)\n' % (cpu, a.t or os.cpu_count(), ', ' + here[0]['machine'].rsplit(', ', 1)[-1] if here else '',
                                                                                         os.path.basename(a.model), a.p, a.n, a.r))
    print('| what | asked | quorum | beside it |\n|---|---|---|---|')
    for what, asked, got, beside in table:
        print('| %s | %s | %s | %s |' % (what, asked, got or 'not measured', beside))


if __name__ == '__main__':
    main()
