#!/usr/bin/env bash
# Makes the Debian packages of a build and holds them to what a user expects: the right dependencies, an installation into
# an empty root, a program that plans there with nothing of this tree at hand, and a removal that leaves nothing behind.
# Usage: deb_test.sh BUILD SOURCE. Exit code 77: dpkg, or the right to change to another root, is missing.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
build=$1 source=$2

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "failed: $*" >&2; exit 1; }

for tool in dpkg dpkg-deb dpkg-shlibdeps cpack chroot; do
  command -v $tool >/dev/null || skip "$tool is not here"
done
[[ $EUID -eq 0 ]] && chroot / true 2>/dev/null || skip "no right here to change to another root"

work=$(mktemp -d "${TMPDIR:-/tmp}/foretrain_deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$work" && cpack --config "$build/CPackConfig.cmake" -B "$work/made" -D CPACK_OUTPUT_FILE_PREFIX="$work/debs" >"$work/log") ||
  { cat "$work/log"; fail "cpack"; }
program=$(echo "$work"/debs/foretrain_*.deb) library=$(echo "$work"/debs/libforetrain-dev_*.deb)

depends=$(dpkg-deb -f "$program" Depends)
for needed in libc6 libfmt libpugixml libstdc++6 libyaml-cpp; do
  [[ $depends == *$needed* ]] || fail "the program depends on: $depends"
done
for needed in libfmt-dev libpugixml-dev libyaml-cpp-dev; do
  [[ $(dpkg-deb -f "$library" Depends) == *$needed* ]] || fail "libforetrain-dev does not ask for $needed"
done
if command -v lintian >/dev/null; then
  lintian --allow-root --fail-on error --suppress-tags bogus-mail-host "$program" "$library" || fail "lintian"
fi

# A root with nothing but the program's shared libraries.
root=$work/root
mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers} "$root/tmp"
: >"$root/var/lib/dpkg/status"
dpkg-deb -x "$program" "$work/unpacked"
ldd "$work/unpacked/usr/bin/foretrain" | grep -oE '/[^ ]+' | while read -r file; do
  mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file"
done
contents() { (cd "$root" && find . -path ./var/lib/dpkg -prune -o -print | sort); }
contents >"$work/before"
in_root() { env -u FORETRAIN_DATA chroot "$root" "$@"; }
debian() { dpkg --root="$root" --force-depends --log=/dev/null "$@" 2>&1; }

debian -i "$program" "$library" >"$work/log" || { cat "$work/log"; fail "dpkg -i"; }
version=$(dpkg-deb -f "$program" Version)
[[ $(in_root /usr/bin/foretrain --version) == *"${version%-*}"* ]] || fail "--version is not ${version%-*}"
in_root /usr/bin/foretrain simulate /usr/share/doc/foretrain/examples/llama3_70b_256_h100/job.json >"$work/text"
grep -q "A step takes" "$work/text" || fail "simulate says: $(cat "$work/text")"
in_root /usr/bin/foretrain list gpus >"$work/text"
grep -q h100-sxm5-80gb "$work/text" || fail "the catalogue is not there"
in_root /usr/bin/foretrain compare \
  /usr/share/foretrain/validate/published/runs/megatron-lm-2020-scaling-tables.json >"$work/text"
grep -q step_seconds "$work/text" || fail "compare says: $(cat "$work/text")"
for file in bin/foretrain include/foretrain/foretrain.h lib/libforetrain.a share/doc/foretrain/copyright \
  share/doc/foretrain/changelog.Debian.gz share/doc/libforetrain-dev/copyright; do
  [[ -s $root/usr/$file ]] || fail "/usr/$file is missing"
done
# Where the program has a man page and completions, they are installed.
if in_root /usr/bin/foretrain man >"$work/page" 2>/dev/null; then
  gzip -dc "$root/usr/share/man/man1/foretrain.1.gz" | diff - "$work/page" || fail "the man page is another program's"
  for file in bash-completion/completions/foretrain zsh/site-functions/_foretrain fish/vendor_completions.d/foretrain.fish; do
    [[ -s $root/usr/share/$file ]] || fail "/usr/share/$file is missing"
  done
fi
# Only root owns files, and no path of the machine that built the packages is in a text.
[[ -z $(find "$root/usr" ! -user root) ]] || fail "files that are not root's"
if grep -rIl --exclude-dir=examples -e "$build" "$root/usr"; then fail "these files name the build folder"; fi

debian --purge libforetrain-dev foretrain >"$work/log" || { cat "$work/log"; fail "dpkg --purge"; }
contents | diff "$work/before" - || fail "left behind (>) or taken away (<)"
echo "installed, ran and removed $(basename "$program") and $(basename "$library")"
