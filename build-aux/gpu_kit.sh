#!/bin/sh
# make gpu-kit: BUILD/gpu-kit, one folder for a machine that has a GPU and its driver and nothing else: the program and the
# measurements with their libraries, goldens (all of these in inside.tar.gz), the plugin, run.sh. Checked before it is called done.
#   BUILD: where what it takes was built.
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
kit=$build/gpu-kit
most=50331648           # 48 MiB
# What the machine must have itself: the C library. Its driver's libcuda is opened at run time.
system='linux-vdso|ld-linux[^ ]*|libc|libm|libpthread|libdl|librt'
fail() { echo "make gpu-kit: $*" >&2; exit 1; }
rm -rf "$kit"
mkdir -p "$kit/golden" || exit 1

for f in kit/quorum kit/gpu_bench libquorum-cuda.so; do
    [ -r "$build/$f" ] || { [ "$f" = libquorum-cuda.so ] && [ -n "$WITHOUT_PLUGIN" ] && continue; fail "$build/$f is not built"; }
    cp "$build/$f" "$kit/" && strip --strip-unneeded "$kit/${f##*/}" || fail "cannot copy $build/$f"
done
for f in "$kit/quorum" "$kit/gpu_bench"; do
    ldd "$f" | sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\) .*/\1 \2/p' | grep -vE "^($system)\.so"
done | sort -u > "$build/kit/libraries"
while read -r so path; do
    cp -L "$path" "$kit/$so" && chmod 644 "$kit/$so" && strip --strip-unneeded "$kit/$so" || fail "cannot copy $path"
done < "$build/kit/libraries"

# Goldens: the checked-in ones, and the larger ones beside the project where they are.
for dir in tests/golden/engine/*/ ../shared/data/golden/*/; do
    [ -r "$dir/cases.json" ] || continue
    case $dir in tests/*) [ -r "../shared/data/golden/$(basename "$dir")/cases.json" ] && continue ;; esac      # its larger twin comes
    case $dir in tests/*) to=$kit/golden/$(basename "$dir")-small ;; *) to=$kit/golden/$(basename "$dir") ;; esac
    mkdir -p "$to" && cp "$dir"/*.json "$dir"/*.f32 "$to/" || fail "cannot copy $dir"
    if [ -r "$dir/model.gguf" ]; then cp "$dir/model.gguf" "$to/"; else gzip -dc "$dir/model.gguf.gz" > "$to/model.gguf"; fi || fail "no model in $dir"
done
# Adapters' cases, whose models are those of the larger goldens.
for dir in ../shared/data/lora/*/; do
    [ -r "$dir/cases.json" ] && [ -r "$kit/golden/$(basename "$dir")/model.gguf" ] || continue
    to=$kit/lora/$(basename "$dir")
    mkdir -p "$to/adapters" && cp "$dir"/cases.json "$dir"/*.routing.json "$dir"/*.f32 "$to/" 2> /dev/null
    cp "$dir"/adapters/*.gguf "$to/adapters/" && [ -r "$to/cases.json" ] || fail "cannot copy $dir"
done
cp build-aux/gpu_run.sh "$kit/run.sh" && chmod 755 "$kit/run.sh"
{ sed -n 's/^#define QUORUM_VERSION "\(.*\)"/\1/p' base/base.h; git rev-parse --short HEAD 2> /dev/null; } | paste -sd- - > "$kit/VERSION"

# Closed: what is needed lies beside it or is the C library's.
for f in "$kit/quorum" "$kit/gpu_bench" "$kit"/*.so*; do
    [ -e "$f" ] || continue
    for need in $(objdump -p "$f" | sed -n 's/^ *NEEDED *//p'); do
        echo "$need" | grep -qE "^($system)\.so" || [ -e "$kit/$need" ] || fail "$f needs $need, which is not inside"
    done
done
"$kit/quorum" --version > /dev/null || fail "the program does not run from $kit"
versions=$(for f in "$kit/quorum" "$kit/gpu_bench" "$kit"/*.so*; do objdump -T "$f" 2> /dev/null; done | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -n 1)

# The plugin is packed as it is; the rest is half as large in one file, which run.sh unpacks.
(cd "$kit" && set -- golden lora/ lib*.so* quorum gpu_bench && for f; do [ -e "$f" ] && [ "$f" != libquorum-cuda.so ] && echo "$f"; done > inside.list &&
    tar -c --owner=0 --group=0 -T inside.list -f - | gzip -9n > inside.tar.gz && xargs rm -rf < inside.list && rm inside.list) || fail "cannot pack $kit"
size=$(du -sb "$kit" | cut -f1)
[ "$size" -le $most ] || fail "$kit has $size bytes: more than 48 MiB"
echo "$kit ($((size / 1024)) KiB, glibc $versions or newer): copy the folder to the machine with the GPU and start ./run.sh in it"
