#!/bin/bash
# Makes the media fixtures with the installed ffmpeg.
#
#   generate.sh --list                print the name of every fixture
#   generate.sh OUT_DIR [NAME...]     make the named ones (default: all) in OUT_DIR
#
# MILLRACE_FIXTURE_CACHE names a folder that keeps what was made, by the recipes and the ffmpeg that
# made it, for the next clone. Unset: everything is made anew.
#
# Each file appears under its name only when it is whole, so several runs may
# share OUT_DIR. The same ffmpeg gives the same bytes each time.
set -euo pipefail
export LC_ALL=C TZ=UTC

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/patterns.sh"
for recipes in "$here"/recipes/*.sh; do source "$recipes"; done

list_fixtures() { declare -F | sed -n 's/^declare -f make://p'; }

# Identifies all that a fixture's bytes follow from. A change of any recipe changes it: a recipe may
# build on the fixture of another.
recipes_id() {
  { cat "$here/generate.sh" "$here/patterns.sh" "$here"/recipes/*.sh && ffmpeg -version; } |
    sha256sum | cut -c1-32
}

# build NAME: takes the fixture from the cache, or makes it and leaves a copy there.
build() {
  name=$1
  local cached=
  if [[ -n ${MILLRACE_FIXTURE_CACHE:-} ]]; then
    cached=$MILLRACE_FIXTURE_CACHE/$(recipes_id)/$name
    if [[ -e $cached ]]; then
      copy_whole "$cached" "$out_dir/$name"
      return
    fi
  fi
  make_fixture
  [[ -z $cached ]] || copy_whole "$out_dir/$name" "$cached"
}

# copy_whole FROM TO: TO appears when it is whole.
copy_whole() {
  mkdir -p "$(dirname "$2")"
  local part
  part=$(mktemp "$(dirname "$2")/.copying-XXXXXX")
  cp --reflink=auto "$1" "$part"
  chmod 644 "$part"
  mv "$part" "$2"
}

# make_fixture: runs the recipe of $name with $out naming the file to write and $scratch a folder
# for what it needs on the way. Any failing command ends the script.
make_fixture() {
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
  sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
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
