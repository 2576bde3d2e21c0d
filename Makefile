# The only entry: make help. V=1 shows the commands.
MAKEFLAGS += --no-builtin-rules
BUILD   ?= build
CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
PREFIX  ?= /usr/local
M       ?=

ROOMS   := base net mcp kernels engine memory rag lab train advice teach exam provider serve tools agent tui cli
LIBSRC  := $(sort $(foreach r,$(ROOMS),$(wildcard $(r)/*.c $(r)/*/*.c)))
LIBSRC  := $(filter-out cli/main.c rag/import/readers.c tools/box.c tools/box_rules.c,$(LIBSRC))
PKGS    := ncursesw libedit sqlite3 libcjson libutf8proc md4c inih libmd zlib
OPT     ?= -O2 -g
# ASAN=1: a build with AddressSanitizer and UBSan, in a BUILD of its own. Of long functions (the kernels', unrolled) accesses are checked by
# calls: a sixth of the time to compile.
ifdef ASAN
OPT     := -O1 -g
SAN     := -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined --param asan-instrumentation-with-call-threshold=200
endif
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter -Wno-format-zero-length
CFLAGS_ := -std=gnu11 -D_GNU_SOURCE $(OPT) $(WARN) -ffp-contract=off -fno-math-errno -I. -I$(BUILD) \
           $(filter-out -D_XOPEN_SOURCE=600 -D_DEFAULT_SOURCE,$(shell pkg-config --cflags $(PKGS) libxml-2.0 libarchive libcurl 2>/dev/null)) $(SAN)
LIBS    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lstemmer -lm -lpthread -ldl
# What reads files that may be hostile: of the program quorum-readers alone, so that the shell does not load them.
READERS := libxml-2.0 libarchive
LIBS_READERS := $(shell pkg-config --libs $(READERS) 2>/dev/null)

# Vector sources carry their instruction set in the name and are compiled for it; dispatch is at run time.
# -g1: tracking the variables of unrolled vector code takes longer than compiling it.
ARCH    := $(shell uname -m)
ONLY_X86 := %_avx2.c %_avx512.c %_vnni.c %_vbmi.c
ifeq ($(ARCH),x86_64)
ISA_avx2   := -g1 -mavx2 -mfma -mf16c -mbmi2
ISA_avx512 := -g1 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2
ISA_vnni   := $(ISA_avx512) -mavx512vnni
ISA_vbmi   := $(ISA_vnni) -mavx512vbmi
else
LIBSRC  := $(filter-out $(ONLY_X86),$(LIBSRC))
endif
# Compilers know the intrinsics of dotprod and i8mm from ARMv8.2 on.
ISA_neon    := -g1
ISA_dotprod := -g1 -march=armv8.2-a+dotprod
ISA_i8mm    := -g1 -march=armv8.2-a+dotprod+i8mm
ifneq ($(ARCH),aarch64)
LIBSRC  := $(filter-out %_neon.c %_dotprod.c %_i8mm.c,$(LIBSRC))
endif
isa      = $(foreach i,avx2 avx512 vnni vbmi neon dotprod i8mm,$(if $(findstring _$i.c,$1),$(ISA_$i)))

LIBOBJ  := $(LIBSRC:%.c=$(BUILD)/%.o)
TESTSRC := $(wildcard tests/unit/test_*.c)
TESTBIN := $(TESTSRC:tests/unit/%.c=$(BUILD)/tests/%) $(BUILD)/tests/fuzzer
BENCHBIN := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
FUZZOBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fuzz/*.c))
LIB     := $(BUILD)/libquorum.a
Q       := $(if $(V),,@)
.PRECIOUS: $(BUILD)/%.o

# Translations: po/LANG.po -> build/locale/LANG/LC_MESSAGES/quorum.mo
LANGS   := $(patsubst po/%.po,%,$(wildcard po/*.po))
MO      := $(LANGS:%=$(BUILD)/locale/%/LC_MESSAGES/quorum.mo)

.PHONY: all pot run deps deps-test test test-long fuzz-session tsan bench peers install uninstall asan clean help
all: $(BUILD)/quorum $(BUILD)/quorum-readers $(BUILD)/quorum-box $(MO)

# A machine without the packages is told their names, not a compiler's errors.
$(BUILD)/deps.found: build-aux/packages
	@mkdir -p $(@D)
	@need=$$(CC='$(CC)' sh build-aux/deps.sh missing); [ -z "$$need" ] || { \
	    echo "quorum cannot be built here yet: these packages are missing (Debian's names): $$need"; \
	    echo "make deps installs them where there is apt; elsewhere take your package manager."; exit 1; }
	@touch $@

$(BUILD)/%.o: %.c | $(BUILD)/prefix.h $(BUILD)/deps.found
	@mkdir -p $(@D)
	$(Q)echo '  cc $<'; $(CC) $(CFLAGS_) $(CFLAGS) $(call isa,$<) -MMD -MP -c $< -o $@

# The places that PREFIX means. Whoever includes it is compiled again for another PREFIX: the compiler's own list of
# dependencies knows who.
$(BUILD)/prefix.h: FORCE
	@mkdir -p $(@D)
	@printf '#define QUORUM_DATADIR "%s"\n#define QUORUM_LOCALEDIR "%s"\n' '$(PREFIX)/share/quorum' '$(PREFIX)/share/locale' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(LIB): $(LIBOBJ)
	@rm -f $@
	$(Q)ar rcs $@ $(LIBOBJ)

$(BUILD)/quorum: $(BUILD)/cli/main.o $(LIB)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS)

$(BUILD)/quorum-readers: $(BUILD)/rag/import/readers.o $(LIB)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $< $(LIB) -Wl,--as-needed $(LIBS_READERS) $(LIBS)

# What holds a command of the model in: small, and of our library the filter of system calls alone.
$(BUILD)/quorum-box: $(BUILD)/tools/box.o $(BUILD)/tools/box_rules.o $(BUILD)/tools/box_modes.o $(BUILD)/base/seccomp.o
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $^

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(LIB) | $(BUILD)/quorum-readers $(BUILD)/quorum-box
	@mkdir -p $(@D)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS)

$(BUILD)/tests/fuzzer: $(FUZZOBJ) $(LIB)
	@mkdir -p $(@D)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $(FUZZOBJ) $(LIB) $(LIBS_READERS) $(LIBS)

$(BUILD)/locale/%/LC_MESSAGES/quorum.mo: po/%.po
	@mkdir -p $(@D)
	$(Q)echo '  mo $<'; msgfmt -o $@ $<

# The texts of all rooms, and the translations brought up to them (new ones stay empty).
pot:
	xgettext -L C --from-code=UTF-8 -k_ -kN_ -kngettext:1,2 --no-location -s --package-name=quorum -o po/quorum.pot \
	    $(LIBSRC) cli/main.c $(wildcard kernels/cuda/*.cu $(foreach r,$(ROOMS),$(r)/*.h $(r)/*/*.h $(r)/*.def))
	sed -i '/^"POT-Creation-Date:/d; s/charset=CHARSET/charset=UTF-8/' po/quorum.pot
	for f in po/*.po; do msgmerge -q -U --backup=none --no-fuzzy-matching $$f po/quorum.pot; done

run:
	@BUILD='$(BUILD)' M='$(M)' ARGS='$(ARGS)' EMBEDDER='$(EMBEDDER)' sh build-aux/run.sh

deps:
	@sh build-aux/deps.sh install run

deps-test:
	@sh build-aux/deps.sh install run test

# All that can be compiled here, so that nothing rots unseen.
.PHONY: programs
programs: all $(TESTBIN) $(BENCHBIN)

test: programs
	@BUILD=$(BUILD) sh tests/run.sh

# The long forms: more crashes, more mutated files, systems made anew. Minutes, not seconds.
test-long:
	@QUORUM_LONG=1 $(MAKE) test
	@$(MAKE) dist-test
	@$(MAKE) test-roots

# What of a planted difference bench reasoning finds on the default model, over 20 seeds: a quarter of an hour. test-long has it too.
.PHONY: test-reason
test-reason: all
	@QUORUM_LONG=1 BUILD=$(BUILD) sh tests/cli/planted.test

# A made-up style taught to the default model: what is learnt, what is forgotten, what the choice of experts is worth. Half an hour.
.PHONY: test-style
test-style: all
	@BUILD=$(BUILD) sh tests/teach/style.sh

# Chat templates of all families by us and by Python's jinja2: needs python3-venv and the network.
.PHONY: test-templates
test-templates: programs
	@QUORUM_LONG=1 BUILD=$(BUILD) sh tests/templates/public.test

# What reads the sources without running them: format, clang-tidy's bugprone set, cppcheck, shellcheck, msgfmt, the docs.
.PHONY: check
check: all
	@BUILD=$(BUILD) ONLY='$(ONLY)' sh build-aux/check.sh

# A tarball that runs without installing; the same tried in bare systems of Debian 12 and 13.
.PHONY: dist dist-test test-roots
dist:
	@sh build-aux/dist.sh
dist-test: dist
	@sh build-aux/dist_test.sh

# JSON schemas of the public suite and 10,000 random ones by us and by Python's jsonschema: needs python3-venv and the network.
.PHONY: test-grammar
test-grammar: programs
	@QUORUM_LONG=1 BUILD=$(BUILD) sh tests/grammar/schemas.test

# MCP against the official Python SDK (both generations) and its reference servers, also through a proxy with faults: needs python3-venv
# and the network.
.PHONY: test-mcp
test-mcp: $(BUILD)/tests/test_mcp_real
	@BUILD='$(BUILD)' sh tests/mcp/real.sh

# The suite in fresh systems of Debian 12 and 13, with gcc and clang of each, warnings being errors.
SUITES  ?= bookworm trixie
CCS     ?= gcc clang
test-roots:
	@SUITES='$(SUITES)' CCS='$(CCS)' ONLY='$(ONLY)' sh build-aux/test_roots.sh

# The mutation fuzzer alone, long form, under ASan and UBSan.
.PHONY: fuzz
fuzz:
	@QUORUM_LONG=1 MAKE='$(MAKE)' sh tests/fuzz/run.test

# Sessions against fresh ones, step by step: STEPS of each model (minutes), SEED= repeats a run.
STEPS   ?= 3000
fuzz-session: $(BUILD)/tests/test_engine_session
	@BUILD=$(BUILD) QUORUM_FUZZ_STEPS=$(STEPS) $(if $(SEED),QUORUM_FUZZ_SEED=$(SEED)) $(BUILD)/tests/test_engine_session

# An import killed at KILLS of its writes, or its disk full from there on (minutes).
KILLS   ?= 1000
.PHONY: import-kills
import-kills: $(BUILD)/tests/test_import_kills
	@BUILD=$(BUILD) QUORUM_KILLS=$(KILLS) $(BUILD)/tests/test_import_kills

# Against llama-server with a small GGUF (LLAMA_SERVER=, GGUF=; make peers builds one): chat, tools, probabilities, cancelling, a kill.
.PHONY: test-servers
test-servers: all $(BUILD)/tests/test_remote_live
	@BUILD='$(BUILD)' LLAMA_SERVER='$(LLAMA_SERVER)' GGUF='$(GGUF)' sh tests/servers/llama.sh

# quorum serve driven by the openai package, by lm-eval and by llm (GGUF= a chat model): needs python3-venv and the network.
.PHONY: test-serve
test-serve: all
	@BUILD='$(BUILD)' GGUF='$(GGUF)' sh tests/serve/peers.sh

# Data races: the tests that have threads: the session with its cancelling threads, the worker pool, who answers, the store,
# the agent.
TSAN     = kernels_pool embedder engine_session provider pool memory memory_work agent_script agent_parts agent_quit agent_faults agent_turn tooling compact net remote oauth fetch_url mcp mcp_shell mcp_sign session called lent held injection serve pull ondisk
# Training folders by their trainers' own parsers, and three steps that train experts: needs python3-venv, the network, 12 GB (VENVS=DIR keeps them).
.PHONY: test-trainers
test-trainers: all
	@BUILD='$(BUILD)' VENVS='$(VENVS)' sh tests/course/trainers.sh

tsan:
	$(MAKE) BUILD=build-tsan OPT="-O1 -g" SAN="-fsanitize=thread" $(TSAN:%=build-tsan/tests/test_%)
	@for t in $(TSAN); do BUILD=build-tsan build-tsan/tests/test_$$t || exit 1; done

bench: all $(BUILD)/bench/panel_bench $(BUILD)/bench/mat_bench
	@BUILD='$(BUILD)' sh bench/bench.sh

peers: all
	@BUILD='$(BUILD)' sh bench/peers.sh

asan:
	$(MAKE) BUILD=build-asan ASAN=1 test

SHARE    = $(DESTDIR)$(PREFIX)/share/quorum
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/engine/recipes $(SHARE)/engine/make $(SHARE)/advice $(SHARE)/themes $(SHARE)/docs $(SHARE)/agent/modules/en $(SHARE)/agent/modules/ru
	install -m 755 $(BUILD)/quorum $(DESTDIR)$(PREFIX)/bin/quorum
	install -D -m 755 $(BUILD)/quorum-readers $(DESTDIR)$(PREFIX)/lib/quorum/quorum-readers
	install -D -m 755 $(BUILD)/quorum-box $(DESTDIR)$(PREFIX)/lib/quorum/quorum-box
	$(Q)[ ! -e $(BUILD)/libquorum-cuda.so ] || { echo install libquorum-cuda.so; install -m 755 $(BUILD)/libquorum-cuda.so $(DESTDIR)$(PREFIX)/lib/quorum/libquorum-cuda.so; }
	install -m 644 engine/recipes/*.gguf $(SHARE)/engine/recipes
	install -m 644 engine/make/catalog.ini $(SHARE)/engine/make
	install -m 644 advice/machines.ini $(SHARE)/advice
	$(Q)for f in $(wildcard themes/*.ini); do echo install $$f; install -m 644 $$f $(SHARE)/themes || exit 1; done
	$(Q)for f in $(wildcard agent/modules/*/*.md); do echo install $$f; install -m 644 $$f $(SHARE)/$$f || exit 1; done
	$(Q)for f in $(wildcard docs/*.md); do echo install $$f; install -m 644 $$f $(SHARE)/docs || exit 1; done
	install -d $(SHARE)/advice/desk
	install -m 644 $(wildcard advice/desk/*.py) $(SHARE)/advice/desk
	$(Q)for f in $(wildcard docs/*.1); do echo install $$f; install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/man/man1/$${f##*/} || exit 1; done
	$(Q)for l in $(LANGS); do echo install $$l.po; install -D -m 644 $(BUILD)/locale/$$l/LC_MESSAGES/quorum.mo \
	    $(DESTDIR)$(PREFIX)/share/locale/$$l/LC_MESSAGES/quorum.mo || exit 1; done

uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/bin/quorum $(DESTDIR)$(PREFIX)/lib/quorum/quorum-readers $(DESTDIR)$(PREFIX)/lib/quorum/quorum-box $(DESTDIR)$(PREFIX)/lib/quorum/libquorum-cuda.so $(SHARE)
	rm -f $(wildcard $(DESTDIR)$(PREFIX)/share/locale/*/LC_MESSAGES/quorum.mo) $(DESTDIR)$(PREFIX)/share/man/man1/quorum.1

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS)

# A folder for a machine with a GPU that has nothing else, and its two programs, which find their libraries beside them.
.PHONY: gpu-kit
KITBIN   = $(BUILD)/kit/quorum $(BUILD)/kit/gpu_bench
gpu-kit: $(KITBIN)
	@[ -n "$(WITHOUT_PLUGIN)" ] || $(MAKE) --no-print-directory cuda
	@BUILD='$(BUILD)' WITHOUT_PLUGIN='$(WITHOUT_PLUGIN)' sh build-aux/gpu_kit.sh
$(BUILD)/kit/quorum: $(BUILD)/cli/main.o $(LIB)
$(BUILD)/kit/gpu_bench: $(BUILD)/bench/gpu_bench.o $(LIB)
$(KITBIN):
	@mkdir -p $(@D)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -Wl,--disable-new-dtags,-rpath,'$$ORIGIN' -o $@ $^ $(LIBS)

# docs/screen.svg, from a real session in tmux on the default model.
.PHONY: picture
picture: all
	@BUILD='$(BUILD)' sh docs/picture.sh

# How often memory finds what answers a question, on the data sets of ../shared/data/eval, by words and by meaning too (with the
# embedding model M=F or the fetched one; without one that half says so): make bench-memory [ACROSS='QUESTIONS PASSAGES']
.PHONY: bench-memory
EVAL = ../shared/data/eval
EVALS = --xquad $(EVAL)/xquad-ru-half.json --locomo $(EVAL)/locomo3.json --hotpot $(EVAL)/hotpotqa_train.json $(EVAL)/hotpotqa_train_corpus.json
bench-memory: all
	$(BUILD)/quorum bench memory $(EVALS) $(A)
	-$(BUILD)/quorum bench memory $(EVALS) $(if $(ACROSS),--across $(ACROSS)) --mode hybrid $(M:%=-m %) $(A)

# What quorum advise foretells of decoding beside what is measured, on synthetic files (20 GB in FOLDER): make bench-advise FOLDER=DIR
.PHONY: bench-advise
bench-advise: all
	@python3 bench/advise.py $(BUILD)/quorum '$(if $(FOLDER),$(FOLDER),$(BUILD)/advise)' $(A)

# What each type of cell costs and changes, on the default model and docs/thinking.txt: make bench-kv A="-m MODEL.gguf -f TEXT --context 8k"
.PHONY: bench-kv
bench-kv: all
	@python3 bench/kv.py $(BUILD)/quorum $(A)

# What a context takes beside what is announced, and decode behind it, for each type of cell: make bench-context A="MODEL.gguf 32768"
.PHONY: bench-context
bench-context: $(BUILD)/bench/context_bench
	$(BUILD)/bench/context_bench $(A)

.PHONY: bench-mat
bench-mat: $(BUILD)/bench/mat_bench
	$(BUILD)/bench/mat_bench $(A)

# Experts read from the disk under a real router's choices: make bench-disk A="MODEL.gguf --ram 7 --trace FILE.csv"
.PHONY: bench-disk
bench-disk: $(BUILD)/bench/disk_bench
	$(BUILD)/bench/disk_bench $(A)

# How fast attention reads the cells of long contexts, by their type: make bench-attn A="q8_0 f16 THREADS ROWS CONTEXT..."
.PHONY: bench-attn
bench-attn: $(BUILD)/bench/attn_bench
	$(BUILD)/bench/attn_bench $(A)

# How fast an adapter is taught: make bench-train A="MODEL.gguf experts rank tokens texts threads steps"
.PHONY: bench-train
bench-train: $(BUILD)/bench/train_bench
	$(BUILD)/bench/train_bench $(A)

# What an answer costs beside the engine's work: make bench-agent A=MODEL.gguf
bench-agent: $(BUILD)/bench/agent_bench
	$(BUILD)/bench/agent_bench $(A)

# What the screen with its panels costs an answer: make bench-panels A=MODEL.gguf
bench-panels: $(BUILD)/bench/panel_bench
	$(BUILD)/bench/panel_bench $(A)

.PHONY: bench-pool
# What several answers at once cost beside the engine's own batch: make bench-pool A="MODEL.gguf 8"
bench-pool: $(BUILD)/bench/pool_bench
	$(BUILD)/bench/pool_bench $(A)

clean:
	rm -rf build build-asan build-tsan build-cuda-msan build-dist build-roots

help:
	@echo 'make run              all the way to the open shell: packages, build, model; says first what it will do'
	@echo 'make run M=FILE       the same with your own model (a path, or part of a name); ARGS="--repl" passes arguments on'
	@echo 'make run EMBEDDER=no  without the model for search by meaning, which else comes while the shell is open already'
	@echo 'make                  build build/quorum; make programs: the tests and benches too'
	@echo 'make deps             install the packages that building needs (apt; elsewhere it prints their names)'
	@echo 'make install          into PREFIX=/usr/local (PREFIX=$$HOME/.local needs no root); make uninstall'
	@echo 'make test             the whole test suite; last line: N passed, N failed, N skipped; ONLY=part of a name'
	@echo 'make test-grammar     JSON schemas, by us and by jsonschema (needs the network)'
	@echo 'make test-mcp         the MCP client against the official SDK and reference servers (needs the network)'
	@echo 'make test-reason      bench reasoning finds a random tenth and a fifth of the experts banned, over 20 seeds (minutes; the default model)'
	@echo 'make test-templates   chat templates of all families, by us and by jinja2 (needs the network)'
	@echo 'make test-long        its long form: more crashes, more mutated files, dist-test and test-roots'
	@echo 'make dist             a tarball that runs without installing anything; make dist-test tries it in bare systems'
	@echo 'make test-roots       the suite in fresh systems of Debian 12 and 13 (root, debootstrap), with gcc and clang'
	@echo 'make check            read the sources with clang-format, clang-tidy, cppcheck, shellcheck, msgfmt; ONLY=part'
	@echo 'make fuzz             the mutation fuzzer: tens of thousands of damaged files and texts under ASan and UBSan'
	@echo 'make asan             the tests under AddressSanitizer and UBSan'
	@echo 'make fuzz-session     sessions against fresh ones, at length (STEPS=3000 SEED=)'
	@echo 'make import-kills     an import killed at 1000 of its writes, or its disk full from there on (KILLS=)'
	@echo 'make test-servers     servers against llama.cpp with a small model (LLAMA_SERVER=FILE GGUF=FILE)'
	@echo 'make test-serve       quorum serve by the openai package, lm-eval and llm (needs the network; GGUF=FILE)'
	@echo 'make test-trainers    training folders by TRL, axolotl, LLaMA-Factory, accelerate and DeepSpeed (needs the network)'
	@echo 'make tsan             the tests that have threads under ThreadSanitizer'
	@echo 'make test-cuda        what runs over the emulated GPU, under five orders of its threads (SEEDS="0 1 7" repeats them)'
	@echo 'make test-cuda-asan   the same under ASan and UBSan; test-cuda-tsan: data races; test-cuda-msan: what nobody wrote (clang++)'
	@echo 'make test-arm         the kernels for aarch64 under qemu, on processors of five kinds (qemu-user, gcc-aarch64-linux-gnu)'
	@echo 'make bench            speed on random weights in the shapes of Qwen3-30B-A3B'
	@echo 'make bench-memory     how often a search of memory finds what answers a question (A=--json, M=EMBEDDER.gguf)'
	@echo 'make bench-advise     tokens a second as quorum advise foretells them beside measured ones (FOLDER= for 20 GB of files)'
	@echo 'make bench-mat        speed of the matrix products alone (A="type path n_in n" narrows; A=rows: 1 to 12 rows)'
	@echo 'make bench-kv         the types of cells: KL from f32, bytes a token, speed behind a context (A="-m MODEL.gguf -f TEXT --context 8k")'
	@echo 'make bench-context    memory of a context beside what is announced, and decode behind it (A="MODEL.gguf cells threads steps")'
	@echo 'make bench-train      tokens a second that an adapter is taught with (A="MODEL.gguf experts rank tokens texts threads steps")'
	@echo 'make peers            the same beside llama.cpp, built from source into a virtual environment (7 minutes the first time)'
	@echo 'make cuda             what computes on NVIDIA GPUs, with nvcc (ARCHS=89: for one kind alone, in a tenth of the time; docs/CUDA.md)'
	@echo 'make gpu-kit          a folder that measures and checks the CUDA plugin on a machine with a GPU (docs/CUDA.md)'
	@echo 'make picture          draw docs/screen.svg from a real session (tmux and the default model)'
	@echo 'make clean            remove what was built'
	@echo 'V=1 shows the commands, CC=clang takes another compiler, BUILD=DIR another directory.'

include kernels/cuda/cuda.mk
include tests/cuda_emu/emu.mk
include tests/arm/arm.mk

# Builds of their own below this one (a test's) may be under way: half a list of theirs is none.
-include $(shell find $(BUILD) -name 'gates*' -prune -o -name '*.d' -print 2>/dev/null)
