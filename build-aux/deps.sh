#!/bin/sh
# Finds out which packages are missing and installs them: apt as root or through sudo; where there is no apt it
# prints the names and stops. What is there is told by use (pkg-config, headers), so any distribution will do.
#   deps.sh missing [USE...]  prints the missing packages, one line; nothing is changed; USE: run, test (beside building)
#   deps.sh size PACKAGE...   prints how much apt would download ("12.3 MB"), or nothing when it cannot tell
#   deps.sh install [USE...]  installs the missing ones
here=$(dirname "$0")
list=${QUORUM_PACKAGES:-$here/packages}
cc=${CC:-gcc}

present() {
    case $1 in
        cc) command -v ${cc%% *} > /dev/null 2>&1;;
        cmd) command -v "$2" > /dev/null 2>&1;;
        pc) pkg-config --exists "$2" 2> /dev/null;;
        header) echo "#include <$2>" | $cc -E -x c - > /dev/null 2>&1;;
        python) python3 -I -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$2') is None)" 2> /dev/null;;
        *) return 1;;
    esac
}

missing() {
    out=
    while read -r name kind what use; do
        case $name in ''|\#*) continue;; esac
        case " all $* " in *" $use "*) ;; *) continue;; esac
        present "$kind" "$what" || out="$out $name"
    done < "$list"
    echo ${out# }
}

size() {
    # as a user apt cannot take its lock, and need not to answer this
    LC_ALL=C apt-get -o Debug::NoLocking=1 --assume-no --no-install-recommends install "$@" 2> /dev/null |
        sed -n 's/^Need to get \(\([0-9.,]* [kMG]B\)\/\)\{0,1\}\([0-9.,]* [kMG]*B\) of archives.*/\3/p' | head -n 1
}

install() {
    need=$(missing "$@")
    [ -z "$need" ] && return 0
    if ! command -v apt-get > /dev/null 2>&1; then
        echo "quorum needs these packages (Debian's names; yours may be called a little otherwise):" >&2
        echo "    $need" >&2
        echo "There is no apt here: install them with your package manager, then run this again." >&2
        return 1
    fi
    root=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo > /dev/null 2>&1; then
            echo "quorum needs these packages, and neither root nor sudo is at hand. As root, run" >&2
            echo "    apt-get install --no-install-recommends $need" >&2
            return 1
        fi
        root=sudo
    fi
    # A fresh image has no package lists; old lists name files that are gone.
    $root apt-get update -qq || echo "apt-get update failed; trying with the lists that are here" >&2
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $need || {
        echo "installing failed: see apt's words above; run this again when they are dealt with" >&2
        return 1
    }
    need=$(missing "$@")
    [ -z "$need" ] && return 0
    echo "still missing after installing: $need" >&2
    return 1
}

verb=$1
[ $# -gt 0 ] && shift
case $verb in
    missing) missing "$@";;
    size) size "$@";;
    install) install "$@";;
    *) echo "usage: deps.sh missing [run] [test] | size PACKAGE... | install [run] [test]" >&2; exit 2;;
esac
