#!/bin/sh
# make dist: quorum-VERSION-ARCH.tar.gz in BUILD: the program, the libraries that it needs beside it, themes, catalogues,
# recipes, manuals and descriptions of terminals. It runs where it is unpacked and installs nothing; only the C library is
# the machine's own. Built in a folder of its own, checked before it is packed.
#   BUILD: where to (build-dist). NEWEST: the newest GLIBC symbol allowed (2.36, Debian 12's).
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build-dist}
newest=${NEWEST:-2.36}
version=$(sed -n 's/^#define QUORUM_VERSION "\(.*\)"/\1/p' base/base.h)
name=quorum-$version-$(uname -m)
at=$build/$name
# The C library's own files, which must be the machine's.
system='linux-vdso|ld-linux[^ ]*|libc|libm|libpthread|libdl|librt|libresolv'
terms='xterm xterm-256color xterm-color xterm-direct xterm-kitty tmux tmux-256color screen screen-256color linux vt100 vt102 vt220 ansi dumb
       rxvt rxvt-256color rxvt-unicode rxvt-unicode-256color alacritty foot konsole konsole-256color gnome gnome-256color vte vte-256color st st-256color
       eterm-color putty putty-256color cygwin mintty iterm2 kitty wezterm contour'

fail() { echo "make dist: $*" >&2; exit 1; }
rm -rf "$at" "$at.stage"
mkdir -p "$build" || exit 1
unset MAKEFLAGS MFLAGS MAKELEVEL
make BUILD="$build" PREFIX=/nonexistent LDFLAGS='-Wl,--disable-new-dtags,-rpath,\$$ORIGIN/../lib -Wl,-O1' -j"$(nproc 2> /dev/null || echo 2)" all > "$build/dist.log" 2>&1 ||
    { tail -n 20 "$build/dist.log" >&2; fail "the build failed"; }
make BUILD="$build" PREFIX=/nonexistent DESTDIR="$PWD/$at.stage" install > "$build/dist.log" 2>&1 || { tail -n 5 "$build/dist.log" >&2; fail "installing failed"; }
mkdir -p "$at/licences"
mv "$at.stage/nonexistent"/* "$at" && rm -rf "$at.stage" || fail "cannot fill $at"
# beside the program here, so that one path leads both to their libraries
mv "$at/lib/quorum/quorum-readers" "$at/lib/quorum/quorum-box" "$at/bin" && rmdir "$at/lib/quorum" || fail "quorum-readers or quorum-box is not installed"
strip "$at/bin/quorum" "$at/bin/quorum-readers" "$at/bin/quorum-box"
cp LICENSE README.md "$at"

# The libraries, by what the programs are linked with now, and their licences where the distribution keeps them.
ldd "$at/bin/quorum" "$at/bin/quorum-readers" | sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\) .*/\1 \2/p' | grep -vE "^($system)\.so" | sort -u > "$build/libraries"
while read -r so path; do
    cp -L "$path" "$at/lib/$so" && chmod 644 "$at/lib/$so" && strip --strip-unneeded "$at/lib/$so" || fail "cannot copy $path"
    package=$(dpkg -S "$(readlink -f "$path")" 2> /dev/null | head -n 1 | cut -d: -f1)
    [ -n "$package" ] && [ -r "/usr/share/doc/$package/copyright" ] && cp -L "/usr/share/doc/$package/copyright" "$at/licences/${so%%.so*}.txt"
done < "$build/libraries"

# Terminals: a bare system knows a handful, a foreign one keeps them elsewhere.
for t in $terms; do
    infocmp -x "$t" > "$build/one.ti" 2> /dev/null && tic -x -o "$at/share/terminfo" "$build/one.ti" 2> /dev/null
done
[ -r "$at/share/terminfo/x/xterm" ] || fail "no descriptions of terminals (infocmp and tic of ncurses make them)"

# Closed: what is needed is beside it or the C library's; nothing newer than the oldest system it is for.
for f in "$at/bin/quorum" "$at/bin/quorum-readers" "$at/bin/quorum-box" "$at"/lib/*; do
    for need in $(objdump -p "$f" | sed -n 's/^ *NEEDED *//p'); do
        echo "$need" | grep -qE "^($system)\.so" || [ -e "$at/lib/$need" ] || fail "$f needs $need, which is not inside"
    done
    high=$(objdump -T "$f" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -n 1)
    [ "$(printf '%s\n%s\n' "$high" "$newest" | sort -V | tail -n 1)" = "$newest" ] ||
        fail "$f needs GLIBC_$high, newer than $newest: build on Debian 12 (build-aux/roots.sh has one)"
done
for f in "$at/bin/quorum" "$at/bin/quorum-readers" "$at/bin/quorum-box"; do
    objdump -p "$f" | grep -q 'RPATH.*\$ORIGIN/../lib' || fail "$f has no RPATH of \$ORIGIN/../lib"
done
tar -C "$build" --owner=0 --group=0 --sort=name -czf "$build/$name.tar.gz" "$name" || fail "packing failed"
size=$(wc -c < "$build/$name.tar.gz")
[ "$size" -lt 26214400 ] || fail "$build/$name.tar.gz has $size bytes: more than 25 MiB"
echo "$build/$name.tar.gz ($((size / 1024)) KiB, $(wc -l < "$build/libraries") libraries)"
