#!/bin/bash
# Makes the media fixtures with the installed ffmpeg.
#
#   generate.sh --list                print the name of every fixture
#   generate.sh OUT_DIR [NAME...]     make the named ones (default: all) in OUT_DIR
#
# Each file appears under its name only when it is whole, so several runs may
# share OUT_DIR. The same ffmpeg gives the same bytes each time.
set -euo pipefail
export LC_ALL=C TZ=UTC

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/patterns.sh"
for recipes in "$here"/recipes/*.sh; do source "$recipes"; done

list_fixtures() { declare -F | sed -n 's/^declare -f make://p'; }

# build NAME: runs its recipe with $out naming the file to write and $scratch
# a folder for what it needs on the way. Any failing command ends the script.
build() {
  name=$1
  if ! declare -F "make:$name" > /dev/null; then
    echo "generate.sh: no recipe for '$name'" >&2
    exit 2
  fi
  scratch=$(mktemp -d "$out_dir/.making-XXXXXX")
  out=$scratch/$name
  "make:$name"
  mv "$out" "$out_dir/$name"
  rm -rf "$scratch"
}
scratch=
trap 'status=$?; rm -rf "$scratch"; [[ $status == 0 ]] || echo "generate.sh: ${name:-nothing} not made" >&2' EXIT

# fixture NAME: prints the path of another fixture, made first if it is missing.
# A process of its own, because within $(...) bash does not stop at failures.
fixture() {
  [[ -e $out_dir/$1 ]] || bash "$here/generate.sh" "$out_dir" "$1" >&2 || return
  echo "$out_dir/$1"
}

if [[ ${1:-} == --list ]]; then
  list_fixtures
  exit
fi
if [[ $# -lt 1 || $1 == -* ]]; then
  sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
out_dir=$1
shift
mkdir -p "$out_dir"
out_dir=$(cd "$out_dir" && pwd)
if [[ $# -eq 0 ]]; then
  mapfile -t names < <(list_fixtures)
  set -- "${names[@]}"
fi
for name in "$@"; do build "$name"; done
