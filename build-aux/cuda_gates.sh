#!/bin/sh
# What can be known of the CUDA plugin without a GPU (make cuda comes first and leaves ptxas' words beside each object):
#   1. no kernel spills, has a stack in local memory, or computes in double precision, on any architecture;
#   2. registers and shared memory of each kernel stay within build-aux/cuda_budget.txt (registers as the hardware hands
#      them out, in eights; the most of all architectures), and so many blocks as it says find room in an SM's registers;
#   3. the plugin needs the C library alone, and the program needs nothing of CUDA.
# Prints one line a gate, "ok NAME" or "not ok NAME: why". --table prints the kernels, --update writes the budget anew (after
# a build of all six, for its registers are the most of all).
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build} exec python3 - "$@" <<'PY'
import collections, glob, os, re, subprocess, sys
build, mode = os.environ['BUILD'], (sys.argv[1:] or [''])[0]
budget_file = 'build-aux/cuda_budget.txt'
bad = 0

def say(name, problems):
    global bad
    bad += bool(problems)
    for p in problems[:20]: print('# ' + p)
    print(f'not ok {name}: {len(problems)} problems' if problems else f'ok {name}')

def plain(names):
    """att_simple of _Z10att_simpleILi2EEv7att_job: all instances of a template count as one kernel."""
    text = subprocess.run(['c++filt'], input='\n'.join(names), capture_output=True, text=True).stdout.split('\n')
    return {n: re.sub(r'^(void )?([\w:]+).*', r'\2', t) for n, t in zip(names, text)}

rows, archs = [], set()                      # (mangled, arch, registers, shared, stack, spill)
for log in sorted(glob.glob(build + '/cuda/*.o.ptxas')):
    if not os.path.exists(log[:-len('.ptxas')]): continue
    name = arch = None
    stack = spill = 0
    for line in open(log):
        if m := re.search(r"Compiling entry function '(\w+)' for 'sm_(\w+)'", line): name, arch, stack, spill = m[1], m[2], 0, 0
        elif m := re.search(r'(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads', line): stack, spill = int(m[1]), int(m[2]) + int(m[3])
        elif (m := re.search(r'Used (\d+) registers', line)) and name:
            shared = re.search(r'(\d+) bytes smem', line)
            rows.append((name, arch, int(m[1]), int(shared[1]) if shared else 0, stack, spill))
            archs.add(arch)
            name = None
names = plain(sorted({r[0] for r in rows})) if rows else {}
most = collections.defaultdict(lambda: [0, 0])
for n, _, regs, shared, *_ in rows:
    m = most[names[n]]
    m[0], m[1] = max(m[0], (regs + 7) // 8 * 8), max(m[1], shared)

# The PTX that lies in an object where it was built with NVCC_MORE=--no-compress, of each architecture that has one; else it is made once more.
nvcc = os.environ.get('NVCC', 'nvcc')
def ptx_of(src):
    obj = f'{build}/cuda/{os.path.basename(src)[:-3]}.o'
    data = open(obj, 'rb').read() if os.path.exists(obj) and os.path.getmtime(obj) >= os.path.getmtime(src) else b''
    found = [t.decode('ascii', 'replace') for t in re.findall(rb'\.version \d+\.\d+\s+\.target sm_[^\0]*', data)]
    if found: return found, None
    r = subprocess.run([nvcc, '-std=c++17', '-O3', '-I.', '-I' + build, '--expt-relaxed-constexpr', '-arch=compute_80', '--ptx', '-o', '-', src], capture_output=True, text=True)
    return [r.stdout], f'{src} does not compile: {r.stderr.strip().splitlines()[-1:]}' if r.returncode else None
ptx = {src: ptx_of(src) for src in sorted(glob.glob('kernels/cuda/*.cu'))}

# Threads of a block at most, of the mangled name; a kernel that does not say may be launched with 1,024.
threads = {}
for texts, _ in ptx.values():
    for text in texts:
        for n, head in re.findall(r'\.entry (\w+)\(([^{]*)\{', text):
            m = re.search(r'\.maxntid\s+(\d+)(?:,\s*(\d+),\s*(\d+))?', head)
            threads[n] = int(m[1]) * int(m[2] or 1) * int(m[3] or 1) if m else 1024

# Blocks that an SM's 65,536 registers hold: a quarter each to four schedulers, handed out by warps in units of 256; and no
# more warps than an SM takes. Both are facts of the compute capability: CUDA C++ Programming Guide, table "Technical
# Specifications per Compute Capability"; the units are those of CUDA's occupancy calculator.
SM_WARPS = {'80': 64, '86': 48, '89': 48, '90': 64, '100': 64, '120': 48}
def resident(arch, regs, block):
    warps = 4 * (65536 // 4 // ((regs + 7) // 8 * 8 * 32))
    return min(warps, SM_WARPS.get(arch, 48)) // ((block + 31) // 32)
fewest = {}                                  # kernel: (blocks, threads) of the instance and architecture that has the fewest
for n, arch, regs, *_ in rows:
    block = threads.get(n, 1024)
    fewest[names[n]] = min(fewest.get(names[n], (1 << 30, 0)), (resident(arch, regs, block), block))
if mode == '--update':
    with open(budget_file, 'w') as f:
        f.write('# build-aux/cuda_gates.sh --update: most registers (in eights) and bytes of static shared memory a kernel may take; how many\n'
                '# of its blocks an SM must hold by their registers, of so many threads.\n')
        for k in sorted(most): f.write(f'{k} {most[k][0]} {most[k][1]} {fewest[k][0]} {fewest[k][1]}\n')
    sys.exit()
if mode == '--table':
    print(f'{"kernel":28} {"arch":>5} {"registers":>9} {"threads":>7} {"blocks":>6} {"shared":>7} {"stack":>6} {"spills":>6}')
    for n, a, regs, shared, stack, spill in sorted(rows, key=lambda r: (names[r[0]], int(re.sub(r"\D", "", r[1])))):
        block = threads.get(n, 1024)
        print(f'{names[n]:28} {a:>5} {regs:9} {block:7} {resident(a, regs, block):6} {shared:7} {stack:6} {spill:6}')

wanted = os.environ.get('ARCHS', '80 86 89 90 100 120').split()
say('cuda_compiled', [f'no kernel was compiled for sm_{a}' for a in wanted if a not in archs])
say('cuda_no_spills', [f'{names[n]} for sm_{a}: {spill} bytes spilled' for n, a, _, _, _, spill in rows if spill])
say('cuda_no_local_memory', [f'{names[n]} for sm_{a}: {stack} bytes of local memory' for n, a, _, _, stack, _ in rows if stack])

def ptxas_names(src):
    log = f'{build}/cuda/{os.path.basename(src)[:-3]}.o.ptxas'
    return sorted(set(re.findall(r"Compiling entry function '(\w+)'", open(log).read()))) if os.path.exists(log) else []

doubles = []
for src, (texts, wrong) in ptx.items():
    if wrong: doubles.append(wrong)
    for n in ptxas_names(src):
        if not all(f' {n}(' in text for text in texts): doubles.append(f'{src}: {plain([n])[n]} is not in the PTX that was looked through')
    for text in texts:
        entry = '?'
        for line in text.split('\n'):
            if m := re.search(r'\.(?:entry|func)\b.*?(\w+)\(', line): entry = m[1]
            if re.match(r'\s*(@!?%\w+\s+)?(?!\.reg)\S*\.f64', line):
                doubles.append(f'{src}: {plain([entry])[entry]} computes in double precision: {line.strip()}')
                break
say('cuda_no_doubles', doubles)

allowed = {}
if os.path.exists(budget_file):
    for line in open(budget_file):
        if line.strip() and line[0] != '#':
            k, *numbers = line.split()
            allowed[k] = tuple(map(int, numbers))
over = [f'{k} has no line in {budget_file}: {most[k][0]} registers, {most[k][1]} bytes (--update writes it)' for k in sorted(most) if k not in allowed]
over += [f'{k} of {budget_file} is no kernel any more' for k in sorted(allowed) if k not in most]
for k in sorted(most):
    if k not in allowed: continue
    regs, shared, blocks, _ = allowed[k]
    if most[k][0] > regs or most[k][1] > shared:
        over.append(f'{k}: {most[k][0]} registers, {most[k][1]} bytes of shared memory; allowed are {regs} and {shared}')
    if fewest[k][0] < blocks:
        over.append(f'{k}: an SM holds {fewest[k][0]} blocks of {fewest[k][1]} threads by their registers; {blocks} are expected')
say('cuda_budget', over)

def needed(path):
    text = subprocess.run(['objdump', '-p', path], capture_output=True, text=True).stdout
    return re.findall(r'NEEDED\s+(\S+)', text)
system = re.compile(r'(libc|libm|ld-linux[^.]*)\.so\.\d+$')
plugin = build + '/libquorum-cuda.so'
say('cuda_plugin_needs_libc_alone', [f'{plugin} needs {n}' for n in needed(plugin) if not system.match(n)] if os.path.exists(plugin) else [plugin + ' is not built'])
program = build + '/quorum'
say('program_needs_no_cuda', [f'{program} needs {n}' for n in needed(program) if 'cuda' in n.lower() or 'nv' in n.lower() or 'quorum' in n] if needed(program) else [program + ' is not built'])
print(f'# {len(most)} kernels, {len(archs)} architectures, at most {max([m[0] for m in most.values()] or [0])} registers and {max([m[1] for m in most.values()] or [0])} bytes of static shared memory')
sys.exit(1 if bad else 0)
PY
