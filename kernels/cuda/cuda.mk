# The plugin for NVIDIA GPUs: one source, two compilers. build/libquorum-cuda.so by nvcc (make cuda), build/libquorum-emu.so
# by g++ over tests/cuda_emu (the tests). Neither is needed by, nor linked to, the program.
CUDA_SRC := $(sort $(wildcard kernels/cuda/*.cu))
CUDA_HDR := $(wildcard kernels/cuda/*.h kernels/cuda/*.cuh) kernels/kernels.h base/base.h
CUDA_C   := base/base.c base/say.c base/utf8.c base/words.c kernels/roles.c kernels/types.c kernels/unpack_few.c kernels/grids.c kernels/half.c kernels/table.c
PLUGIN_O := $(CUDA_C:%.c=$(BUILD)/plugin/%.o)
CXX      ?= g++
NVCC     := $(firstword $(if $(CUDA_HOME),$(wildcard $(CUDA_HOME)/bin/nvcc)) $(shell command -v nvcc 2>/dev/null))
CUDA_DIR  = $(if $(NVCC),$(abspath $(dir $(realpath $(NVCC)))/..))
PLUGIN_W := -Wall -Wextra -Wshadow -Wno-unused-parameter

$(BUILD)/plugin/%.o: %.c | $(BUILD)/prefix.h
	@mkdir -p $(@D)
	$(Q)echo '  cc $< (plugin)'; $(CC) -std=gnu11 -D_GNU_SOURCE $(OPT) $(WARN) -ffp-contract=off -fPIC -fvisibility=hidden -I. -I$(BUILD) $(SAN) -MMD -MP -c $< -o $@

# ---- nvcc ----
# Those of the six that this nvcc knows, and PTX of the first and the last for GPUs to come. ARCHS=90 builds for one. Asked once, when they
# are first wanted: expanded in each recipe, nvcc would be run six times a file, and make waits for it among the jobs that it runs.
CUDA_ALL  := 80 86 89 90 100 120
ARCHS     ?= $(eval ARCHS := $(CUDA_KNOWN))$(ARCHS)
CUDA_KNOWN = $(if $(NVCC),$(filter $(CUDA_ALL),$(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch 2>/dev/null))))
CUDA_PTX   = $(sort $(firstword $(ARCHS)) $(lastword $(ARCHS)))
CUDA_GEN   = $(foreach a,$(ARCHS),-gencode arch=compute_$a,code=sm_$a) $(foreach a,$(CUDA_PTX),-gencode arch=compute_$a,code=compute_$a)
# Packed as small as it goes (since CUDA 12.8; drivers of CUDA 12.4 and newer unpack it): a fifth of what is otherwise done, or six architectures
# of all kernels would be more than the kit may have.
CUDA_PACK  = $(if $(findstring --no-compress,$(NVCC_MORE)),,--compress-mode=size)
# A file's architectures at the same time: on all processors where make itself does one file after the other.
CUDA_AT_ONCE = --threads $(if $(findstring jobserver,$(MAKEFLAGS)),2,0)
# NVCC_MORE: more of its options, as --no-compress, with which the PTX can be read in the objects.
NVCCFLAGS := -std=c++17 -O3 -I. -I$(BUILD) -Werror all-warnings --expt-relaxed-constexpr -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics,-Wall,-Wextra,-Wno-unused-parameter

.PHONY: cuda emu
cuda:
	@[ -n "$(NVCC)" ] || { echo "make cuda needs nvcc of the CUDA toolkit (12.8 or newer): put it on PATH, or say where it lies: make cuda CUDA_HOME=/usr/local/cuda"; exit 1; }
	@[ -n "$(strip $(ARCHS))" ] || { echo "this nvcc knows none of the architectures $(CUDA_ALL): take a CUDA toolkit of 12.8 or newer"; exit 1; }
	@[ -z "$(filter-out $(ARCHS),$(CUDA_ALL))" ] || echo "left out, because this nvcc does not know them or ARCHS does not name them: $(filter-out $(ARCHS),$(CUDA_ALL))"
	@$(MAKE) --no-print-directory $(BUILD)/libquorum-cuda.so

$(BUILD)/cuda/%.o: kernels/cuda/%.cu $(CUDA_HDR) | $(BUILD)/prefix.h
	@mkdir -p $(@D)
	$(Q)echo '  nvcc $<'; $(NVCC) $(NVCCFLAGS) -Xptxas -v $(CUDA_PACK) $(CUDA_AT_ONCE) $(NVCC_MORE) $(CUDA_GEN) -c $< -o $@ 2> $@.ptxas || { grep -v '^ptxas info' $@.ptxas >&2; rm -f $@; exit 1; }

$(BUILD)/libquorum-cuda.so: $(CUDA_SRC:kernels/cuda/%.cu=$(BUILD)/cuda/%.o) $(PLUGIN_O)
	$(Q)echo '  ld $@'; $(CC) -shared -o $@ $^ -Wl,-z,defs,--exclude-libs,ALL -L$(CUDA_DIR)/lib64 -lcudart_static -lm -ldl -lpthread -lrt

# ---- the emulator ----
comma     := ,
EMU_SRC   := $(wildcard tests/cuda_emu/emu*.cpp)
EMU_HDR   := $(wildcard tests/cuda_emu/*.h)
EMU_O     := $(EMU_SRC:tests/cuda_emu/%.cpp=$(BUILD)/emu/%.o)
EMU_KO    := $(CUDA_SRC:kernels/cuda/%.cu=$(BUILD)/emu/k_%.o)
# Its own files are not instrumented, they announce the fibers and what is out of bounds instead; except for MSan, which must see
# all. Follows from SAN, so that no sanitizer runs over an emulator that tells it nothing.
EMU_SAN    = $(if $(findstring address,$(SAN)),-DEMU_ASAN)$(if $(findstring thread,$(SAN)),-DEMU_TSAN)$(if $(findstring =memory,$(SAN)),-DEMU_MSAN $(SAN))
EMUFLAGS   = -std=c++20 -DGPU_EMU $(OPT) $(PLUGIN_W) -Wno-unknown-pragmas -Wno-unused-function -ffp-contract=off -fPIC -fvisibility=hidden -fno-exceptions -I. -Itests/cuda_emu -I$(BUILD)

$(BUILD)/emu/k_%.o: kernels/cuda/%.cu $(CUDA_HDR) $(EMU_HDR) | $(BUILD)/prefix.h
	@mkdir -p $(@D)
	$(Q)echo '  c++ $< (emulated)'; $(CXX) $(EMUFLAGS) $(SAN) -x c++ -c $< -o $@

$(BUILD)/emu/%.o: tests/cuda_emu/%.cpp $(EMU_HDR)
	@mkdir -p $(@D)
	$(Q)echo '  c++ $<'; $(CXX) -std=c++20 $(OPT) -Wall -Wextra -fPIC -I. -Itests/cuda_emu $(EMU_SAN) -c $< -o $@

$(BUILD)/libquorum-emu.so: $(EMU_KO) $(EMU_O) $(PLUGIN_O)
	$(Q)echo '  ld $@'; $(CXX) -shared $(SAN) $(if $(findstring memory,$(SAN)),,-Wl$(comma)-z$(comma)defs) -o $@ $^ -lm -lpthread

# What stands for cuBLAS: opened by its path, linked to nothing.
$(BUILD)/libcublas-emu.so: tests/cuda_emu/blas.cpp $(EMU_HDR)
	@mkdir -p $(@D)
	$(Q)echo '  ld $@'; $(CXX) -std=c++20 $(OPT) -Wall -Wextra -fPIC -I. -Itests/cuda_emu $(filter-out -DEMU_%,$(EMU_SAN)) -shared -o $@ $< -lm

emu: $(BUILD)/libquorum-emu.so $(BUILD)/libcublas-emu.so

# Tests of single kernels, in C++, over those objects.
CUDA_TESTS := $(patsubst tests/unit/%.cpp,$(BUILD)/tests/%,$(wildcard tests/unit/test_cuda_*.cpp))

$(BUILD)/libquorum-emu.a: $(EMU_KO) $(EMU_O)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(CUDA_TESTS): $(BUILD)/tests/%: tests/unit/%.cpp $(BUILD)/libquorum-emu.a $(LIB) $(CUDA_HDR) $(EMU_HDR)
	@mkdir -p $(@D)
	$(Q)echo '  c++ $<'; $(CXX) $(EMUFLAGS) $(SAN) -o $@ $< $(BUILD)/libquorum-emu.a $(LIB) $(LIBS)

# The tests want the emulated plugin wherever there is a C++ compiler; without one they skip by name.
ifneq ($(shell command -v $(CXX) 2>/dev/null),)
programs: $(BUILD)/libquorum-emu.so $(BUILD)/libcublas-emu.so $(CUDA_TESTS) $(BUILD)/emu/wrong
endif
