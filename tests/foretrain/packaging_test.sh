#!/usr/bin/env bash
# Holds the files around the sources to each other: one version everywhere, and a Dockerfile that builds in stages, copies what
# is there, and does not run as root. Where Docker answers, its own check reads the Dockerfile too. Usage: packaging_test.sh SOURCE
set -euo pipefail
cd "$1"
fail() { echo "failed: $*" >&2; exit 1; }

version=$(sed -nE 's/^project\(foretrain VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
[[ -n $version ]] || fail "CMakeLists.txt has no version"
grep -qx "version: $version" CITATION.cff || fail "CITATION.cff is not of version $version"
grep -q "^## $version" CHANGELOG.md || fail "CHANGELOG.md says nothing of version $version"
[[ $(head -n 1 packaging/changelog) == "foretrain ($version-1) "* ]] || fail "packaging/changelog does not begin with $version-1"
for key in cff-version message title authors; do
  grep -q "^$key:" CITATION.cff || fail "CITATION.cff lacks $key, which its format asks for"
done

# Instructions, with continued lines joined and remarks left out.
instructions=$(sed -e '/^#/d' -e '/^$/d' Dockerfile | sed -e ':a' -e '/\\$/{N;s/\\\n */ /;ba}')
stages=$(grep -c '^FROM ' <<<"$instructions")
[[ $stages -ge 2 ]] || fail "the Dockerfile has $stages stage: what runs should not hold what builds"
while read -r word rest; do
  case $word in
    FROM | RUN | COPY | USER | WORKDIR | ENTRYPOINT | CMD | ENV | LABEL) ;;
    *) fail "Dockerfile: unknown instruction $word" ;;
  esac
  case $word in
    COPY) [[ $rest == --from=* || -e ${rest%% *} ]] || fail "Dockerfile copies ${rest%% *}, which is not there" ;;
    RUN) bash -n <<<"$rest" || fail "Dockerfile: this is no shell command: $rest" ;;
    FROM) [[ $rest == *:* && $rest != *:latest* ]] || fail "Dockerfile: $rest names no release" ;;
  esac
done <<<"$instructions"
user=$(sed -n 's/^USER //p' <<<"$instructions" | tail -n 1)
[[ -n $user && $user != root && $user != 0 ]] || fail "the container runs as root"
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  docker build --check . || fail "docker build --check"
  echo "docker build --check agrees"
fi
echo "version $version everywhere; Dockerfile of $stages stages, run by $user"
