#!/usr/bin/env bash
# tidy_file.sh BUILD_DIR FILE: runs clang-tidy on one source, unless the same was found clean before.
#
# MILLRACE_TIDY_CACHE names the folder that remembers what was clean, by everything that a verdict
# follows from: the source with all that it includes, its compile command, the checks, clang-tidy
# itself and the headers of the system. Unset: every file is looked at.
set -euo pipefail
root=$PWD build=$1 file=$2
commands=$build/compile_commands.json

# entry KEY: the text under KEY in the file's entry of the compile commands, as CMake lays them out.
entry() {
  grep -B 3 -F "\"file\": \"$PWD/$file\"" "$commands" | sed -n "s/^ *\"$1\": \"\(.*\)\",$/\1/p" |
    sed 's/\\\(.\)/\1/g'
}

# The headers in the precompiled header are named by their packages; all others are in the text
# that the preprocessor makes, with comments, as NOLINT stands in one.
verdict_id() {
  local directory command
  directory=$(entry directory)
  command=$(entry command)
  [[ -n $directory && -n $command ]] || return
  command=${command#*ccache }
  {
    cat .clang-tidy core/precompiled.h
    clang-tidy --version
    dpkg-query -W -f '${Package} ${Version}\n' \
      nlohmann-json3-dev libfmt-dev 'libstdc++-*-dev' 'libgtest-dev'
    echo "${command//"$root"/}"
    # The object file's option is overridden: the text goes to standard output.
    (cd "$directory" && eval "${command% -c *} -E -C -o - '$root/$file'") | sed "s|$root||g"
  } | sha256sum | cut -c1-40
}

seen=
if [[ -n ${MILLRACE_TIDY_CACHE:-} ]]; then
  seen=$MILLRACE_TIDY_CACHE/$(verdict_id)
  if [[ -e $seen ]]; then
    touch "$seen"
    exit 0
  fi
fi
# Findings are on standard output, what clang could not read as well. Its count of what it
# overlooked in system headers is all that is left out.
clang-tidy --quiet -p "$build" "$file" \
  2> >(grep -vE '^[0-9]+ warnings?( and [0-9]+ errors?)? generated\.$' >&2)
if [[ -n $seen ]]; then
  mkdir -p "$MILLRACE_TIDY_CACHE"
  : > "$seen"
fi
