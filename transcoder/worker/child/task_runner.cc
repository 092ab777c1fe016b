#include "transcoder/worker/child/task_runner.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "transcoder/worker/child/log_tail.h"

namespace millrace::worker {
namespace {

using namespace std::chrono_literals;

constexpr size_t kReadBytes = size_t{64} << 10;
constexpr size_t kLogTailLines = 50;
// How many bad lines of one run are logged; more are only counted.
constexpr int kLoggedBadLines = 5;
// How long a kill may take before the zygote is given up.
constexpr auto kKillPatience = 10s;
// How long the children of a dead zygote may take to be gone.
constexpr auto kOrphanPatience = 2s;
// The share of the memory limit above which the SIGKILL of a child is blamed on memory.
constexpr double kNearTheLimit = 0.9;

// Writes without fsync: no attempt continues after a crash of the machine.
void WriteTaskFile(const std::filesystem::path& path, const TaskDocument& document) {
  const UniqueFd file = CreateFile(path);
  WriteAll(file.get(),
           ToJson(document).dump(2, ' ', false, nlohmann::json::error_handler_t::replace), path);
}

UniqueFd OpenLog(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) ThrowStorageError(errno, "create", path);
  return UniqueFd(fd);
}

// Makes our end alone non-blocking: the child waits while we are busy.
std::pair<UniqueFd, UniqueFd> MakeReportPipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
    throw Error(ErrorCode::kInternal, std::string("make a report pipe: ") + std::strerror(errno));
  }
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

TaskRunner::TaskRunner(const TaskDocument& document, RunOptions options, Zygote& zygote,
                       const Clock& clock, const MemoryWatch& memory)
    : options_(std::move(options)),
      zygote_(zygote),
      clock_(clock),
      memory_(memory),
      oom_kills_before_(memory.OomKills()),
      advanced_at_(clock.Now()) {
  end_.stall_timeout = options_.stall_timeout;
  const std::filesystem::path task = options_.folder / "task.json";
  WriteTaskFile(task, document);
  UniqueFd log = OpenLog(options_.folder / "log.txt");
  auto [ours, theirs] = MakeReportPipe();
  report_ = std::move(ours);
  zygote_.Run({.task_path = task.string(),
               .token = options_.token,
               .report = std::move(theirs),
               .log = std::move(log)});
}

void TaskRunner::ReadReports() {
  if (report_) ReadSome();
}

TaskRunner::Reading TaskRunner::ReadSome() {
  std::array<char, kReadBytes> buffer;
  const ssize_t size = read(report_.get(), buffer.data(), buffer.size());
  if (size < 0) return errno == EINTR ? Reading::kMore : Reading::kNothingNow;
  if (size == 0) {
    report_.Reset();
    return Reading::kEnd;
  }
  for (const std::string& line : lines_.Feed({buffer.data(), static_cast<size_t>(size)})) {
    OnLine(line);
  }
  return Reading::kMore;
}

void TaskRunner::OnLine(const std::string& line) {
  try {
    Report report = ParseReport(line);
    if (std::holds_alternative<ReportStarted>(report)) {
      news_.started = true;
      advanced_at_ = clock_.Now();
    } else if (auto* media = std::get_if<ReportMedia>(&report)) {
      if (!media_.is_null()) return;  // an input stays what it is
      advanced_at_ = clock_.Now();
      media_ = std::move(media->media);
      news_.media = media_;
    } else if (auto* progress = std::get_if<Progress>(&report)) {
      OnProgress(std::move(*progress));
    } else if (auto* result = std::get_if<ReportResult>(&report)) {
      end_.manifest = std::move(result->manifest);
    } else if (auto* error = std::get_if<Error>(&report)) {
      end_.error = std::move(*error);
    }
  } catch (const Error& error) {
    if (++unintelligible_ > kLoggedBadLines) return;
    LogWarning("the encoder reported something unintelligible",
               {{"run", options_.token}, {"detail", error.what()}});
  }
}

void TaskRunner::OnProgress(Progress progress) {
  // Ignores frames: a decoder that yields the same instants for ever makes no progress. Nor does
  // going back and forth; only media time beyond the furthest counts.
  if (progress.media_seconds > furthest_seconds_ || progress.phase != end_.progress.phase ||
      progress.percent > furthest_percent_) {
    advanced_at_ = clock_.Now();
  }
  furthest_seconds_ = std::max(furthest_seconds_, progress.media_seconds);
  furthest_percent_ = std::max(furthest_percent_, progress.percent);
  end_.progress = progress;
  news_.progress = std::move(progress);
}

void TaskRunner::OnEvent(const ZygoteEvent& event) {
  if (const auto* exited = std::get_if<ZygoteExited>(&event)) {
    OnExit(*exited);
  } else if (const auto* refused = std::get_if<ZygoteRefused>(&event)) {
    end_.refusal = refused->detail;
    exited_ = true;
  } else if (std::holds_alternative<ZygoteLost>(event)) {
    lost_ = true;
    lost_at_ = clock_.Now();
  }
}

void TaskRunner::OnExit(const ZygoteExited& exited) {
  exited_ = true;
  end_.wait_status = exited.wait_status;
  end_.usage.peak_rss_bytes = exited.peak_rss_bytes;
  end_.usage.cpu_seconds = exited.cpu_seconds;
  end_.memory_pressure = MemoryPressure(exited);
  // Reads what the child wrote before its end; the pipe's size bounds it.
  while (report_ && ReadSome() == Reading::kMore) {
  }
  report_.Reset();
}

bool TaskRunner::MemoryPressure(const ZygoteExited& exited) const {
  const auto near = static_cast<double>(memory_.limit_bytes()) * kNearTheLimit;
  return memory_.OomKills() > oom_kills_before_ ||
         (memory_.limit_bytes() > 0 && static_cast<double>(exited.peak_rss_bytes) >= near);
}

void TaskRunner::CheckTime() {
  if (exited_ || lost_ || clock_.Now() < NextDeadline()) return;
  if (end_.cause != KillCause::kNone) {
    zygote_.Abandon();
    killed_at_ = clock_.Now();
  } else if (options_.deadline && clock_.Now() >= *options_.deadline) {
    Kill(KillCause::kDeadline);
  } else {
    Kill(KillCause::kStalled);
  }
}

MonotonicTime TaskRunner::NextDeadline() const {
  if (exited_) return MonotonicTime::min();
  if (lost_) return report_ ? lost_at_ + kOrphanPatience : MonotonicTime::min();
  if (end_.cause != KillCause::kNone) return killed_at_ + kKillPatience;
  const MonotonicTime stall = advanced_at_ + options_.stall_timeout;
  return options_.deadline ? std::min(stall, *options_.deadline) : stall;
}

void TaskRunner::Kill(KillCause cause) {
  const bool first = end_.cause == KillCause::kNone;
  if (first || cause == KillCause::kOrdered) end_.cause = cause;
  if (!first || exited_ || lost_) return;
  killed_at_ = clock_.Now();
  zygote_.Kill(options_.token);
}

RunNews TaskRunner::TakeNews() { return std::exchange(news_, {}); }

std::optional<Outcome> TaskRunner::TakeOutcome() {
  // Only the child writes to the pipe, so the end of the pipe proves the end of the child.
  const bool orphan_gone = lost_ && (!report_ || clock_.Now() >= lost_at_ + kOrphanPatience);
  if (judged_ || (!exited_ && !orphan_gone)) return std::nullopt;
  judged_ = true;
  if (end_.manifest && end_.manifest->media.is_null()) end_.manifest->media = media_;
  return Judge(std::move(end_));
}

std::vector<std::string> TaskRunner::LogTail() const {
  return ReadLogTail(options_.folder / "log.txt", kLogTailLines);
}

}  // namespace millrace::worker
