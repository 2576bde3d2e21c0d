# The kernels for aarch64, built by a cross compiler (ARM_CC) and run under qemu-user: base and kernels alone, which need no
# library but libc, linked so that no root of that architecture is needed. tests/arm/kernels.test runs what is built here.
ARM_CC    ?= aarch64-linux-gnu-gcc
ARM_BUILD := $(BUILD)/arm
ARM_FLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -g1 $(WARN) -Wno-missing-field-initializers -ffp-contract=off -fno-math-errno -I. -I$(BUILD)
ARM_SRC   := $(filter-out base/sha256.c $(ONLY_X86),$(wildcard base/*.c kernels/*.c kernels/cpu/*.c))
ARM_OBJ   := $(ARM_SRC:%.c=$(ARM_BUILD)/%.o)
# Tests of base and kernels alone that take seconds when emulated; test-arm draws more shapes, on more processors.
ARM_TESTS := $(addprefix $(ARM_BUILD)/tests/test_,mat paths glu q8 delta_step kernels_pool edges)
.PRECIOUS: $(ARM_BUILD)/%.o

$(ARM_BUILD)/%.o: %.c | $(BUILD)/prefix.h
	@mkdir -p $(@D)
	$(Q)echo '  arm $<'; $(ARM_CC) $(ARM_FLAGS) $(call isa,$<) -MMD -MP -c $< -o $@

# gcc 12 for aarch64 dies in its vectoriser over a test's loops.
$(ARM_BUILD)/tests/unit/%.o: ARM_FLAGS += -fno-tree-vectorize

$(ARM_BUILD)/libkernels.a: $(ARM_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $(ARM_OBJ)

$(ARM_BUILD)/tests/%: $(ARM_BUILD)/tests/unit/%.o $(ARM_BUILD)/libkernels.a
	@mkdir -p $(@D)
	$(Q)echo '  ld $@'; $(ARM_CC) -static -o $@ $< $(ARM_BUILD)/libkernels.a -lm -lpthread

.PHONY: arm-programs test-arm arm-loops
arm-programs: $(ARM_TESTS)

# Every kernel test under processors without dotprod, with it, and with i8mm.
test-arm:
	@QUORUM_LONG=1 BUILD='$(BUILD)' sh tests/arm/kernels.test

# How many instructions a block takes, beside AVX2's.
arm-loops: $(ARM_BUILD)/libkernels.a $(LIB)
	@python3 build-aux/arm_loops.py '$(BUILD)'
