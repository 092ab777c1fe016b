#include "core/media/dead_letter_folder.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/failpoint.h"
#include "core/base/files.h"
#include "core/base/json_text.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInputName = "input";
constexpr const char* kTaskName = "task.json";
constexpr std::string_view kExcerptStem = "excerpt";

// No link is followed: the folder of an attempt was written by a program that hostile media may
// have taken over.
bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::regular;
}

void KeepLogs(const DeadLetterSources& sources, const fs::path& folder) {
  for (const auto& [fence, work] : sources.attempts) {
    const fs::path log = work / "log.txt";
    if (IsFile(log)) CopyFile(log, folder / ("log-" + std::to_string(fence) + ".txt"), {});
  }
}

// Returns the name of the excerpt in the folder, or null if no attempt has cut one.
nlohmann::json KeepExcerpt(const DeadLetter& letter, const DeadLetterSources& sources,
                           const fs::path& folder) {
  for (auto attempt = sources.attempts.rbegin(); attempt != sources.attempts.rend(); ++attempt) {
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator(attempt->second, gone)) {
      const fs::path& file = entry.path();
      if (file.stem() != kExcerptStem || !IsFile(file)) continue;
      LinkOrCopy(file, folder / file.filename(), letter.abandon);
      return file.filename().string();
    }
  }
  return nullptr;
}

// The document of the last attempt that has one is what really ran, with the worker's settings in
// it. Null if there is neither that nor one in the letter.
nlohmann::json TaskOf(const DeadLetter& letter, const DeadLetterSources& sources) {
  for (auto attempt = sources.attempts.rbegin(); attempt != sources.attempts.rend(); ++attempt) {
    const fs::path file = attempt->second / kTaskName;
    if (!IsFile(file)) continue;
    nlohmann::json task = nlohmann::json::parse(ReadWholeFile(file), nullptr, false);
    if (task.is_object()) return task;
  }
  return letter.task;
}

std::string Printed(const nlohmann::json& json) { return ToIndentedText(json) + "\n"; }

// The names in the folder, sorted.
std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

void KeepTask(nlohmann::json task, bool has_input, const std::string& expected_code,
              const fs::path& folder) {
  if (!task.is_object()) return;
  if (has_input) task["input_path"] = kInputName;
  task["output_dir"] = "out";
  WriteFileDurably(folder / kTaskName, Printed(task));
  const fs::path script = folder / "repro.sh";
  WriteFileDurably(script, ReproScript(expected_code));
  fs::permissions(script, fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec,
                  fs::perm_options::add);
}

}  // namespace

void FillDeadLetterFolder(const DeadLetter& letter, const DeadLetterSources& sources,
                          const fs::path& folder) {
  KeepLogs(sources, folder);
  nlohmann::json report = letter.report;
  report["excerpt"] = KeepExcerpt(letter, sources, folder);
  if (sources.input) LinkOrCopy(*sources.input, folder / kInputName, letter.abandon);
  report["input"]["file"] = sources.input ? nlohmann::json(kInputName) : nlohmann::json();
  KeepTask(TaskOf(letter, sources), sources.input.has_value(), letter.expected_code, folder);
  std::vector<std::string> names = NamesIn(folder);
  names.emplace_back("report.json");
  report["files"] = std::move(names);
  WriteFileDurably(folder / "report.json", Printed(report));
  SyncTree(folder);
}

std::string ReproScript(const std::string& expected_code) {
  return "#!/bin/sh\nexpected='" + expected_code + "'\n" + R"SCRIPT(
# Repeats the attempt that this job died of, with millrace-encode from $MILLRACE_ENCODE or PATH:
#
#   ./repro.sh [input]
#
# `input` is needed where the media is not in this folder. Exit status: 0 the failure was
# reproduced, 1 it was not, 2 the attempt could not be made. Outputs, report and log stay in the
# folder that is named at the end. An attempt is stopped after $MILLRACE_REPRO_SECONDS (3600; 300
# where the job died of making no progress).
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 2
refuse() {
  printf 'repro: %s\n' "$1" >&2
  exit 2
}

encode=${MILLRACE_ENCODE:-millrace-encode}
command -v "$encode" >/dev/null 2>&1 ||
  refuse "there is no $encode; set MILLRACE_ENCODE to where millrace-encode is"
input=${1:-}
if [ -z "$input" ] && [ -f "$here/input" ]; then input=$here/input; fi
if [ -z "$input" ]; then
  input=$(sed -n 's/^  "input_path": "\(.*\)",\{0,1\}$/\1/p' "$here/task.json")
fi
[ -f "$input" ] || refuse "there is no input $input; name it: $0 <input>"
case $input in
/*) ;;
*) input=$(pwd)/$input ;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/millrace-repro.XXXXXX") || exit 2
mkdir "$work/out" || exit 2
# A path as JSON has it, and then as the right side of sed's s||| has that.
quoted() {
  printf '%s' "$1" | sed -e 's/[\\"]/\\&/g' -e 's/[\\&|]/\\&/g'
}
sed -e 's|^  "input_path": ".*"\(,\{0,1\}\)$|  "input_path": "'"$(quoted "$input")"'"\1|' \
  -e 's|^  "output_dir": ".*"\(,\{0,1\}\)$|  "output_dir": "'"$(quoted "$work/out")"'"\1|' \
  "$here/task.json" >"$work/task.json" || exit 2

limit=3600
[ "$expected" = stalled ] && limit=300
limit=${MILLRACE_REPRO_SECONDS:-$limit}
timeout -k 5 "$limit" "$encode" "$work/task.json" >"$work/report.jsonl" 2>"$work/log.txt"
status=$?

last=$(tail -n 1 "$work/report.jsonl")
printf '%s\n' "$last"
code=$(printf '%s\n' "$last" |
  sed -n -e 's/^{"error":{"code":"\([a-z_]*\)".*/\1/p' \
    -e 's/^{"type":"error","error":{"code":"\([a-z_]*\)".*/\1/p')
if [ -z "$code" ]; then
  case $status in
  0) code=none ;;
  124) code=stalled ;;
  137) if [ "$expected" = stalled ]; then code=stalled; else code=encoder_crashed; fi ;;
  *) code=encoder_crashed ;;
  esac
fi
printf 'repro: exit status %s; report, log and outputs are in %s\n' "$status" "$work"
# A process that ran out of memory is killed, and cannot say so itself.
if [ "$code" = "$expected" ] ||
  { [ "$expected" = out_of_memory ] && [ "$code" = encoder_crashed ] && [ "$status" = 137 ]; }; then
  printf 'repro: reproduced: %s\n' "$expected"
  exit 0
fi
printf 'repro: not reproduced: expected %s, this time %s\n' "$expected" "$code"
exit 1
)SCRIPT";
}

}  // namespace millrace
