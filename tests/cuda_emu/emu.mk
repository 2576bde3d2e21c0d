# Tests of the emulator itself, and everything that runs over it under the sanitizers and under five orders of threads.
$(BUILD)/emu/wrong: tests/cuda_emu/wrong.cu $(EMU_O) $(EMU_HDR) kernels/cuda/gpu.h
	$(Q)echo '  c++ $<'; $(CXX) $(EMUFLAGS) $(SAN) -o $@ -x c++ $< -x none $(EMU_O) -lm -lpthread

# What runs over the emulator: tests of kernels (C++, linked) and of the backend (C, through the plugin).
EMU_TESTS := $(CUDA_TESTS) $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_cuda_*.c))
.PHONY: emu-programs test-cuda test-cuda-asan test-cuda-tsan test-cuda-msan
emu-programs: $(BUILD)/emu/wrong $(BUILD)/libquorum-emu.so $(BUILD)/libcublas-emu.so $(EMU_TESTS)

# SEEDS="0 1 5" repeats a run; drawn ones are printed. ONLY=part of a name.
test-cuda: emu-programs
	@BUILD='$(BUILD)' QUORUM_BRIEF='$(QUORUM_BRIEF)' SEEDS='$(SEEDS)' ONLY='$(ONLY)' sh tests/cuda_emu/orders.sh $(EMU_TESTS)

# In the trees of `make asan` and `make tsan`, whose flags they share. Where a sanitizer takes twenty times as long each way goes once
# (QUORUM_BRIEF, tests/test.h): WHOLE=1 leaves nothing out. TSan takes fifty times as long where blocks meet at many barriers: of the goldens
# one architecture at a time is a minute or two (ONLY=golden QUORUM_ARCH=deepseek2), of the others one part (ONLY=latent QUORUM_TEST=cells_are).
test-cuda-asan:
	@$(MAKE) --no-print-directory BUILD=build-asan ASAN=1 SEEDS='$(or $(SEEDS),0 1 7)' test-cuda
test-cuda-tsan:
	@$(MAKE) --no-print-directory BUILD=build-tsan OPT='-O1 -g' SAN=-fsanitize=thread SEEDS='$(or $(SEEDS),0 7)' QUORUM_BRIEF='$(if $(WHOLE),,1)' test-cuda
EMU_MS = -fsanitize=memory -fsanitize-memory-track-origins=1 -fno-omit-frame-pointer
test-cuda-msan:
	@command -v clang++ > /dev/null || { echo 'make test-cuda-msan needs clang++'; exit 1; }
	@$(MAKE) --no-print-directory BUILD=build-cuda-msan CC=clang CXX=clang++ OPT='-O1 -g' SAN='$(EMU_MS)' SEEDS='$(or $(SEEDS),0 7)' QUORUM_BRIEF='$(if $(WHOLE),,1)' test-cuda
