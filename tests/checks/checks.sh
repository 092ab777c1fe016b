#!/usr/bin/env bash
# The checks of `./dev check`, sourced by dev: check_format, check_tidy, check_includes, check_shell,
# check_openapi and check_docs. Each prints its findings and fails if there is one.

check_format() { sources | xargs -r clang-format --dry-run -Werror; }

# check_tidy [BASE]: all files, or those that differ from the commit BASE.
check_tidy() {
  local files
  # clang-tidy reads the precompiled headers that the compile commands name.
  build clang millrace_precompiled || return
  # The programs; the tests are held to the compilers' warnings.
  files=$(sources | grep '\.cc$' | grep -v '^tests/' || true)
  if [[ -n ${1:-} ]]; then
    local changed
    changed=$(git diff --name-only "$1" && git ls-files --others --exclude-standard) || return
    files=$(grep -Fxf <(echo "$changed") <<< "$files" || true)
  fi
  if [[ -z $files ]]; then
    [[ -n ${1:-} ]] && return 0 # nothing has changed
    echo 'dev: clang-tidy has found no file to check' >&2
    return 1
  fi
  # Without a compile command clang-tidy would guess one, and judge nothing of worth.
  local file
  while read -r file; do
    grep -qF "\"file\": \"$PWD/$file\"" build/clang/compile_commands.json && continue
    echo "dev: no target compiles $file" >&2
    return 1
  done <<< "$files"
  # What nobody has asked about for a month is forgotten.
  find "${MILLRACE_TIDY_CACHE:-/nonexistent}" -type f -mtime +30 -delete 2> /dev/null || true
  # Fails when any of its calls does.
  xargs -r -P "$jobs" -n 1 tests/checks/tidy_file.sh build/clang <<< "$files"
}

# forbid WHY PATTERN FOLDER...: no source below the folders may match the pattern.
forbid() {
  local why=$1 pattern=$2
  shift 2
  if grep -rnE --include='*.h' --include='*.cc' "$pattern" "$@"; then
    printf 'dev: %s\n' "$why" >&2
    return 1
  fi
}

# The folders of each program, from the bottom up. A folder may include itself and the folders left of
# a `<`; folders with no `<` between them do not include one another. The program's own folder, and
# every folder that is not named, stands on top.
layers=(
  'core base < model < media'
  'api http_server link < reply < live < routes'
  'broker io ledger planner < ledger/sqlite dispatcher < upkeep verify'
  'transcoder/encode base < input < stages'
  'cli base < show < client < dead up')

# check_layers LAYERS: one line of the table above.
check_layers() {
  local program=${1%% *}
  grep -rn --include='*.h' --include='*.cc' "#include \"$program/" "$program" |
    awk -F '[:"]' -v program="$program" -v layers="$1" '
      function folder_of(path) {
        path = substr(path, length(program) + 2)
        while (sub(/\/?[^\/]*$/, "", path) && path != "") if (path in level) return path
        return ""
      }
      BEGIN {
        height = 0
        for (i = split(layers, word, " "); i > 1; --i) if (word[i] == "<") --height
        else level[word[i]] = height
      }
      {
        from = folder_of($1)
        to = folder_of($4)
        if (from == "" || from == to || (to != "" && level[to] < level[from])) next
        printf "dev: %s:%s: %s is not below %s/%s\n", $1, $2, $4, program, from
        wrong = 1
      }
      END { exit wrong }' >&2
}

# docs: "Dependencies point one way" in CONTRIBUTING.md.
check_includes() {
  local status=0 folder other files
  for folder in "${layers[@]}"; do
    check_layers "$folder" || status=1
  done
  for folder in core api broker transcoder cli; do
    for other in api broker transcoder cli; do
      [[ $folder == "$other" ]] && continue
      forbid "$folder/ must not include $other/" "#include \"$other/" "$folder" || status=1
    done
    [[ $folder == broker ]] ||
      forbid "only broker/ may use the database" '#include [<"](sqlite3|SQLiteCpp)' "$folder" ||
      status=1
    [[ $folder == transcoder ]] ||
      forbid "only transcoder/ may use FFmpeg" '#include [<"](libav|libsw)' "$folder" || status=1
    files=$(grep -rlE --include='*.h' --include='*.cc' \
      '#include [<"](zmq\.|core/model/zmq_frames\.h)' "$folder" || true)
    if [[ $(wc -w <<< "$files") -gt 1 ]]; then
      printf 'dev: zmq_frames.h (and so zmq.hpp) stands in one file per program, not in:\n%s\n' "$files" >&2
      status=1
    fi
  done
  files=$(grep -rlE --include='*.h' --include='*.cc' '#include [<"]pistache' \
    core api broker transcoder cli | grep -v '^api/http_server/' || true)
  if [[ -n $files ]]; then
    printf 'dev: only api/http_server/ may include Pistache, not:\n%s\n' "$files" >&2
    status=1
  fi
  return $status
}

check_shell() {
  # What a file that is sourced cannot know: who sets and who uses its variables.
  local sourced=SC1090,SC1091,SC2034,SC2154
  { echo dev; echo .ci/run; git ls-files --cached --others --exclude-standard -- '*.sh'; } |
    xargs -r shellcheck -x -s bash -S warning -e "$sourced"
}

check_openapi() {
  local files
  files=$(git ls-files --cached --others --exclude-standard -- \
    '*openapi*.json' '*openapi*.yaml' '*openapi*.yml')
  [[ -n $files ]] || return 0
  command -v npx > /dev/null || install "${node_packages[@]}"
  xargs -r npx --yes @redocly/cli@1.25.11 lint --format=stylish <<< "$files"
}

# links_of PAGE: the targets of its links, outside of code blocks.
links_of() {
  # shellcheck disable=SC2016  # the backticks are Markdown's
  sed '/^```/,/^```/d' "$1" | grep -oE '\]\([^)]+\)' | sed 's/^](//; s/)$//'
}

# paths_of PAGE: the files and folders of this repository that it names in backticks.
paths_of() {
  # shellcheck disable=SC2016  # the backticks are Markdown's
  sed '/^```/,/^```/d' "$1" |
    grep -oE '`(core|api|broker|transcoder|cli|tests|media-fixtures|docker|docs)/[A-Za-z0-9_./-]+`' |
    tr -d '`'
}

# Links lead somewhere, named files exist, and the protocol page knows every message type.
check_docs() {
  local status=0 page link type path
  while read -r page; do
    while read -r link; do
      [[ $link =~ ^(https?:|mailto:|#) ]] && continue
      if [[ ! -e $(dirname "$page")/${link%%#*} ]]; then
        printf 'dev: %s links to %s, which is not there\n' "$page" "$link" >&2
        status=1
      fi
    done < <(links_of "$page")
    while read -r path; do
      [[ -e $path ]] && continue
      printf 'dev: %s names %s, which is not there\n' "$page" "$path" >&2
      status=1
    done < <(paths_of "$page")
  done < <(git ls-files --cached --others --exclude-standard -- '*.md')
  while read -r type; do
    grep -qE "^### \`$type\`( |$)" docs/protocol.md && continue
    printf 'dev: docs/protocol.md has no paragraph on %s of core/model/message.h\n' "$type" >&2
    status=1
  done < <(sed -nE 's/^inline constexpr std::string_view k[A-Z][A-Za-z]* = "([a-z_-]+)";.*/\1/p' \
    core/model/message.h)
  return $status
}
