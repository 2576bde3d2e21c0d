# The only entry: make help. V=1 shows the commands.
MAKEFLAGS += --no-builtin-rules
BUILD   ?= build
CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
PREFIX  ?= /usr/local
M       ?=

ROOMS   := base kernels engine memory rag agent tui cli
LIBSRC  := $(sort $(foreach r,$(ROOMS),$(wildcard $(r)/*.c $(r)/*/*.c)))
LIBSRC  := $(filter-out cli/main.c,$(LIBSRC))
PKGS    := ncursesw libedit sqlite3 libcjson libutf8proc md4c inih libmd zlib
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter -Wno-format-zero-length
CFLAGS_ := -std=gnu11 -D_GNU_SOURCE $(OPT) $(WARN) -ffp-contract=off -fno-math-errno -I. \
           -DQUORUM_DATADIR='"$(PREFIX)/share/quorum"' -DQUORUM_LOCALEDIR='"$(PREFIX)/share/locale"' \
           $(filter-out -D_XOPEN_SOURCE=600 -D_DEFAULT_SOURCE,$(shell pkg-config --cflags $(PKGS) 2>/dev/null)) $(SAN)
LIBS    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lstemmer -lm -lpthread

# Vector sources carry their instruction set in the name and are compiled for it; dispatch is at run time.
ARCH    := $(shell uname -m)
ifeq ($(ARCH),x86_64)
ISA_avx2   := -mavx2 -mfma -mf16c -mbmi2
ISA_avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2
ISA_vnni   := $(ISA_avx512) -mavx512vnni -mavx512vbmi
else
LIBSRC  := $(filter-out %_avx2.c %_avx512.c %_vnni.c,$(LIBSRC))
endif
ifneq ($(ARCH),aarch64)
LIBSRC  := $(filter-out %_neon.c,$(LIBSRC))
endif
isa      = $(if $(findstring _avx2.c,$1),$(ISA_avx2),$(if $(findstring _avx512.c,$1),$(ISA_avx512),$(if $(findstring _vnni.c,$1),$(ISA_vnni))))

LIBOBJ  := $(LIBSRC:%.c=$(BUILD)/%.o)
TESTSRC := $(wildcard tests/unit/test_*.c)
TESTBIN := $(TESTSRC:tests/unit/%.c=$(BUILD)/tests/%)
LIB     := $(BUILD)/libquorum.a
Q       := $(if $(V),,@)
.SECONDARY:

.PHONY: all run deps test test-long bench install asan clean help
all: $(BUILD)/quorum

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)echo '  cc $<'; $(CC) $(CFLAGS_) $(CFLAGS) $(call isa,$<) -MMD -MP -c $< -o $@

$(LIB): $(LIBOBJ)
	@rm -f $@
	$(Q)ar rcs $@ $(LIBOBJ)

$(BUILD)/quorum: $(BUILD)/cli/main.o $(LIB)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS)

test: all $(TESTBIN)
	@BUILD=$(BUILD) sh tests/run.sh

asan:
	$(MAKE) BUILD=build-asan OPT="-O1 -g" SAN="-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined" test

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(LIB)
	$(Q)echo '  ld $@'; $(CC) $(CFLAGS_) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS)

.PHONY: bench-mat
bench-mat: $(BUILD)/bench/mat_bench
	$(BUILD)/bench/mat_bench $(A)

clean:
	rm -rf build build-asan

help:
	@echo 'make            build build/quorum'
	@echo 'make test       the whole test suite; last line: N passed, N failed, N skipped'
	@echo 'make asan       the same under AddressSanitizer and UBSan'
	@echo 'make bench-mat  speed of the matrix products alone (A="type path n_in n" narrows)'
	@echo 'make clean      remove what was built'

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
