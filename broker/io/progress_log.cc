#include "broker/io/progress_log.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/id.h"
#include "core/base/log.h"

namespace millrace::broker {
namespace {

// The size beyond which lines that no longer count are dropped.
constexpr size_t kMaxBytes = 1 << 20;

std::string Line(const std::string& job_id, int generation, int percent) {
  return job_id + " " + std::to_string(generation) + " " + std::to_string(percent) + "\n";
}

std::optional<int> ParseNumber(std::string_view text, int low, int high) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number < low || number > high ? std::nullopt : std::optional(number);
}

}  // namespace

ProgressLog::ProgressLog(std::filesystem::path file) : path_(std::move(file)) { Read(); }

void ProgressLog::Read() {
  std::error_code missing;
  if (!std::filesystem::exists(path_, missing)) return;
  try {
    const std::string content = ReadWholeFile(path_);
    std::string_view rest = content;
    // The broker died while it wrote the text behind the last line break.
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      ReadLine(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
  } catch (const Error& error) {
    Warn(error.what());
  }
}

void ProgressLog::ReadLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t second = line.rfind(' ');
  if (first == std::string_view::npos || first == second) return;
  const std::string_view job_id = line.substr(0, first);
  const auto generation = ParseNumber(line.substr(first + 1, second - first - 1), 1, 1 << 30);
  const auto percent = ParseNumber(line.substr(second + 1), 0, 100);
  if (!IsId(job_id, "job_") || !generation || !percent) return;
  shown_[std::string(job_id)] = {.generation = *generation, .percent = *percent};
}

std::map<std::string, int> ProgressLog::ShownOf(const std::vector<Job>& jobs) {
  std::unordered_map<std::string, Shown> kept;
  std::map<std::string, int> percents;
  for (const Job& job : jobs) {
    const auto found = shown_.find(job.id);
    if (found == shown_.end() || found->second.generation != job.generation) continue;
    kept.insert(*found);
    percents.emplace(job.id, found->second.percent);
  }
  shown_ = std::move(kept);
  Compact();
  return percents;
}

void ProgressLog::Note(const std::string& job_id, int generation, int percent) {
  const Shown shown{.generation = generation, .percent = percent};
  Shown& last = shown_[job_id];
  if (last == shown) return;
  last = shown;
  unwritten_ += Line(job_id, generation, percent);
}

void ProgressLog::Forget(const std::string& job_id) { shown_.erase(job_id); }

void ProgressLog::Flush() {
  // Text that a full disk refused is written as soon as there is room.
  if (unwritten_.empty() && (file_ || shown_.empty())) return;
  const std::string text = std::exchange(unwritten_, {});
  // Twice the compacted size, so that a great number of jobs does not make each flush compact.
  if (bytes_ + text.size() > std::max(kMaxBytes, 2 * compacted_bytes_)) {
    Compact();
  } else {
    Append(text);
  }
}

void ProgressLog::Compact() {
  std::string content;
  for (const auto& [job_id, shown] : shown_) {
    content += Line(job_id, shown.generation, shown.percent);
  }
  try {
    std::filesystem::path partial = path_;
    partial += ".partial";
    CreateFolders(path_.parent_path());
    UniqueFd file(
        ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644));
    if (!file) ThrowStorageError(errno, "create", partial);
    WriteAll(file.get(), content, partial);
    Rename(partial, path_);
    file_ = std::move(file);
    bytes_ = compacted_bytes_ = content.size();
    warned_ = false;
  } catch (const Error& error) {
    file_.Reset();  // it lacks what was to be written
    Warn(error.what());
  }
}

void ProgressLog::Append(std::string_view text) {
  if (!file_) {
    Compact();
    return;
  }
  try {
    WriteAll(file_.get(), text, path_);
    bytes_ += text.size();
  } catch (const Error& error) {
    // A line that was cut short would spoil the next one, too: write the file anew.
    file_.Reset();
    Warn(error.what());
  }
}

void ProgressLog::Warn(const std::string& detail) {
  if (!std::exchange(warned_, true)) {
    LogWarning("progress is not remembered beyond this broker", {{"detail", detail}});
  }
}

}  // namespace millrace::broker
