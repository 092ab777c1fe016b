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
constexpr std::string_view kReproScript = R"SH(#!/bin/sh
# Repeats the attempt that this job died of: ./repro.sh [INPUT]
# INPUT is needed where the media is not in this folder. Exit status: 0 it failed as it did then,
# 1 it ended otherwise, 2 it could not be run. See millrace-encode --help.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 2
encode=${MILLRACE_ENCODE:-millrace-encode}
command -v "$encode" >/dev/null 2>&1 || {
  printf 'repro: there is no %s; set MILLRACE_ENCODE to where millrace-encode is\n' "$encode" >&2
  exit 2
}
exec "$encode" --repro "$here" ${1:+--input "$1"}
)SH";

// Follows no symlink: hostile media may have taken over the program that wrote an attempt's folder.
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

// Returns the task document of the last attempt that left one, which has the worker's settings,
// else the letter's own; null if there is neither.
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

// Returns the names in the folder, sorted.
std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

void KeepTask(nlohmann::json task, bool has_input, const fs::path& folder) {
  if (!task.is_object()) return;
  if (has_input) task["input_path"] = kInputName;
  task["output_dir"] = "out";
  WriteFileDurably(folder / kTaskName, Printed(task));
  const fs::path script = folder / "repro.sh";
  WriteFileDurably(script, kReproScript);
  fs::permissions(script, fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec,
                  fs::perm_options::add);
}

}  // namespace

void FillDeadLetterFolder(const DeadLetter& letter, const DeadLetterSources& sources,
                          const fs::path& folder) {
  KeepLogs(sources, folder);
  nlohmann::json report = letter.report;
  report["expected_code"] = letter.expected_code;
  report["excerpt"] = KeepExcerpt(letter, sources, folder);
  if (sources.input) LinkOrCopy(*sources.input, folder / kInputName, letter.abandon);
  report["input"]["file"] = sources.input ? nlohmann::json(kInputName) : nlohmann::json();
  KeepTask(TaskOf(letter, sources), sources.input.has_value(), folder);
  std::vector<std::string> names = NamesIn(folder);
  names.emplace_back("report.json");
  report["files"] = std::move(names);
  WriteFileDurably(folder / "report.json", Printed(report));
  SyncTree(folder);
}

}  // namespace millrace
