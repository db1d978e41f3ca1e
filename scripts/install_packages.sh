#!/usr/bin/env bash
# Installs what building Foretrain needs and this machine lacks, with apt (Debian 12, Ubuntu 22.04 or newer).
# With all of it there, nothing is asked of apt and no rights are needed.
#
#   scripts/install_packages.sh             build and test
#   scripts/install_packages.sh --checks    also clang-format, for the format check, protoc, which reads traces back, and
#                                           Node and Chromium, for the report's tests (Chromium on Debian only: Ubuntu
#                                           has it as a snap)
#   scripts/install_packages.sh --bench     also google-benchmark, for foretrain_bench
set -euo pipefail
cd "$(dirname "$0")/.."

readonly cmake_needed=3.25

say() { echo "packages: $*"; }
has_command() { command -v "$1" >/dev/null 2>&1; }
has_package() { [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }

# Succeeds when `cmake` is there and new enough; an older one may be the newest that apt has (Ubuntu 22.04).
has_cmake() {
  has_command cmake || return 1
  local found
  found=$(cmake --version | sed -n 's/^cmake version //p')
  [[ "$(printf '%s\n' "$cmake_needed" "$found" | sort -V | head -n 1)" == "$cmake_needed" ]]
}

run_as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif has_command sudo; then
    say "asking sudo for: $*"
    sudo "$@"
  else
    say "neither root nor sudo here; as root, run: $*" >&2
    exit 3
  fi
}

apt_install() {
  run_as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

# Installs with the package lists there are; fetches new ones only when that does not work.
install_with_apt() {
  local package known=yes
  for package in "$@"; do
    apt-cache show "$package" >/dev/null 2>&1 || known=no
  done
  if [[ $known == yes ]] && apt_install "$@"; then return; fi
  say "fetching the package lists"
  run_as_root apt-get update -q -o DPkg::Lock::Timeout=300
  apt_install "$@"
}

# A tool counts as there when its command is; a library, when its package is.
missing=()
need_tool() { has_command "$1" || missing+=("$2"); }
need_library() { has_package "$1" || missing+=("$1"); }

main() {
  export PATH="$PWD/build/tools/bin:$PATH"
  if ! has_command apt-get || ! has_command dpkg-query; then
    say "no apt here; needed: a C++20 compiler, CMake >= $cmake_needed, Ninja, Boost, fmt, CLI11, nlohmann/json, pugixml, toml++, yaml-cpp, doctest, valijson"
    return
  fi
  has_command c++ && has_command make || missing+=(build-essential)
  has_command cmake || missing+=(cmake)
  need_tool ninja ninja-build
  need_library libboost-dev
  need_library libfmt-dev
  need_library libcli11-dev
  need_library nlohmann-json3-dev
  need_library libpugixml-dev  # reads NCCL topology files (XML)
  need_library doctest-dev
  need_library libvalijson-dev
  need_library libtomlplusplus-dev  # torchtitan's TOML
  need_library libyaml-cpp-dev      # nanotron's YAML
  local option wants_chromium=no
  for option in "$@"; do
    case $option in
      --checks)
        need_tool clang-format clang-format
        need_tool node nodejs
        need_tool protoc protobuf-compiler
        wants_chromium=yes
        ;;
      --bench) need_library libbenchmark-dev ;;
      *) say "unknown option $option" >&2; exit 2 ;;
    esac
  done

  if [[ ${#missing[@]} -gt 0 ]]; then
    say "installing ${missing[*]}"
    install_with_apt "${missing[@]}"
  fi
  # The report's tests skip without it.
  if [[ $wants_chromium == yes ]] && grep -qx 'ID=debian' /etc/os-release && ! has_command chromium; then
    say "installing chromium"
    install_with_apt chromium || say "no chromium: the report's tests in a browser will be skipped"
  fi
  if ! has_cmake; then
    say "CMake here is older than $cmake_needed: putting a newer one into build/tools"
    has_package python3-venv || install_with_apt python3-venv
    python3 -m venv build/tools
    build/tools/bin/pip install -q "cmake>=$cmake_needed,<4"
  fi
  say "all there"
}

main "$@"
