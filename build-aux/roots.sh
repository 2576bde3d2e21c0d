#!/bin/sh
# Fresh Debian systems to build and try quorum in (make test-roots, make dist-test). Needs root, debootstrap and overlayfs;
# nothing outside ROOTS is touched, and every mount ends with the command.
#   roots.sh can                      says why it cannot be done here, or nothing
#   roots.sh make SUITE build|bare    a system once, in ROOTS: bare is minbase alone, build has all that building needs
#   roots.sh in SUITE KIND DIR CMD..  runs CMD in a throw-away copy of it, DIR of this machine standing at /mnt
# ROOTS=folder of the systems (build-roots); MIRROR=where from (apt's own first mirror).
cd "$(dirname "$0")/.." || exit 1
ROOTS=${ROOTS:-build-roots}

mirror() {
    [ -n "$MIRROR" ] && { echo "$MIRROR"; return; }
    cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2> /dev/null |
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' | grep '/debian/*$' | head -n 1
}

can() {
    [ "$(id -u)" = 0 ] || { echo "only root can make a system of its own"; return 1; }
    command -v debootstrap > /dev/null || { echo "debootstrap is not installed"; return 1; }
    command -v unshare > /dev/null || { echo "unshare (util-linux) is not installed"; return 1; }
}

make_root() {
    suite=$1 kind=$2 to=$ROOTS/$1-$2
    [ -e "$to.whole" ] && return 0
    rm -rf "$to"
    mkdir -p "$to"
    more=
    if [ "$kind" = build ]; then
        more=$(sed -n 's/^\([a-z0-9.+-]*\) .* \(all\|test\)$/\1/p' build-aux/packages | paste -sd,),python3,clang,libclang-rt-dev,ca-certificates,git
        [ "$suite" = bookworm ] && more=$(echo "$more" | sed 's/,libclang-rt-dev/,libclang-rt-14-dev/')
    fi
    debootstrap --variant=minbase ${more:+--include="$more"} "$suite" "$to" "$(mirror)" > "$to.log" 2>&1 || {
        tail -n 5 "$to.log"; return 1
    }
    rm -rf "$to"/var/cache/apt/archives/*.deb
    : > "$to.whole"
}

run_in() {
    suite=$1 kind=$2 dir=$3
    shift 3
    root=$(cd "$ROOTS/$suite-$kind" && pwd) dir=$(cd "$dir" && pwd) || return 1
    export root dir
    # Everything is written into memory and gone afterwards; the folder at /mnt alone is this machine's.
    exec unshare --mount --propagation private sh -c '
        over=$(mktemp -d) && mount -t tmpfs none "$over" && mkdir "$over/up" "$over/do" "$over/at" || exit 1
        mount -t overlay -o "lowerdir=$root,upperdir=$over/up,workdir=$over/do" none "$over/at" || exit 1
        cd "$over/at" && mkdir -p mnt proc dev
        mount --bind "$dir" mnt && mount -t proc none proc && mount --rbind /dev dev || exit 1
        exec chroot . env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=xterm USER=root sh -c "cd /mnt && exec \"\$@\"" - "$@"' - "$@"
}

verb=$1
[ $# -gt 0 ] && shift
case $verb in
    can) can;;
    make) can && make_root "$@";;
    in) can && run_in "$@";;
    *) echo "usage: roots.sh can | make SUITE build|bare | in SUITE build|bare DIR COMMAND..." >&2; exit 2;;
esac
