#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "transcoder/worker/child/child_host.h"
#include "transcoder/worker/child/excerpt.h"

// The part of ChildHost that has excerpts cut for attempts that failed.

namespace millrace::worker {
namespace {

namespace fs = std::filesystem;

// The folder in which an excerpt is cut, inside the work folder of the failed attempt.
constexpr const char* kCutFolder = "cut";
constexpr const char* kExcerptName = "excerpt.mkv";
// The largest excerpt that is kept. The encoder makes smaller ones, unless a hostile file has taken
// it over.
constexpr uintmax_t kMaxExcerptBytes = uintmax_t{32} << 20;

// Moves the excerpt beside the log of its attempt. Returns its name; empty if there is no valid
// one.
std::string KeepExcerpt(const fs::path& cut_folder) {
  const fs::path made = cut_folder / "out" / kExcerptName;
  std::error_code error;
  const bool is_file = fs::symlink_status(made, error).type() == fs::file_type::regular;
  if (!is_file || fs::file_size(made, error) > kMaxExcerptBytes || error) return {};
  Rename(made, cut_folder.parent_path() / kExcerptName);
  return kExcerptName;
}

}  // namespace

void ChildHost::SkipExcerpts() {
  skips_excerpts_ = true;
  for (auto& [token, run] : runs_) {
    if (std::holds_alternative<ExcerptOf>(run.purpose)) run.runner->Stop();
  }
}

bool ChildHost::StartExcerpt(const Lease& lease, const Run& failed, const AttemptFailure& failure) {
  if (skips_excerpts_ || !failed.runner) return false;
  try {
    TaskDocument document = failed.document;
    const auto input_bytes = static_cast<int64_t>(fs::file_size(document.input_path));
    const auto wanted = ExcerptFor(failure.error, document.spec, input_bytes);
    if (!wanted) return false;
    const fs::path folder = failed.runner->folder() / kCutFolder;
    document.kind = TaskKind::kExcerpt;
    document.excerpt = *wanted;
    document.output_dir = folder / "out";
    fs::create_directories(document.output_dir);
    const std::string token =
        kCutFolder + std::string("-") + lease.task + "." + std::to_string(lease.fence);
    auto runner = std::make_unique<TaskRunner>(
        document,
        RunOptions{.token = token,
                   .folder = folder,
                   .stall_timeout = options_.excerpt_patience,
                   .deadline = clock_.Now() + options_.excerpt_patience},
        *zygote_, clock_, memory_);
    runs_.emplace(token,
                  Run{ExcerptOf{lease}, failed.folder, std::move(document), std::move(runner)});
    return true;
  } catch (const std::exception& error) {
    LogWarning("no excerpt of the input can be cut",
               {{"task", lease.task}, {"fence", lease.fence}, {"detail", error.what()}});
    return false;
  }
}

void ChildHost::StopExcerpt(const Lease& lease) {
  const auto untold = untold_.find(lease);
  if (untold == untold_.end()) return;
  untold->second.stopped = true;
  for (auto& [token, run] : runs_) {
    if (run.purpose == Purpose(ExcerptOf{lease})) run.runner->Stop();
  }
}

void ChildHost::OnExcerpt(const Lease& lease, const Run& run, const Outcome& outcome,
                          TaskEvents& events) {
  std::string file;
  try {
    // An excerpt that comes too late is dropped: once the failure is reported, the folder belongs
    // to the broker.
    const bool in_time = untold_.contains(lease);
    if (in_time && std::holds_alternative<RunFinished>(outcome)) {
      file = KeepExcerpt(run.runner->folder());
    }
    RemoveTree(run.runner->folder());
  } catch (const Error& error) {
    LogWarning("an excerpt cannot be kept", {{"task", lease.task}, {"detail", error.what()}});
  }
  if (const auto* failed = std::get_if<RunFailed>(&outcome)) {
    LogWarning("no excerpt of the input could be cut", {{"task", lease.task},
                                                        {"fence", lease.fence},
                                                        {"code", failed->error.traits().name},
                                                        {"detail", failed->error.what()}});
  }
  TellUntold(lease, file, events);
}

void ChildHost::TellUntold(const Lease& lease, const std::string& excerpt, TaskEvents& events) {
  auto taken = untold_.extract(lease);
  if (taken.empty()) return;
  Untold& untold = taken.mapped();
  if (untold.stopped) {
    Discard(lease);
    return events.OnStopped(lease);
  }
  const Error& error = untold.failure.error;
  if (!excerpt.empty()) {
    nlohmann::json context = error.context();
    context["excerpt"] = excerpt;
    untold.failure.error = Error(error.code(), error.what(), std::move(context));
  }
  events.OnFailed(lease, std::move(untold.failure));
}

// Reports at once, though the killed child may take a moment to end.
void ChildHost::TellOverdue(TaskEvents& events) {
  std::vector<Lease> overdue;
  for (const auto& [lease, untold] : untold_) {
    if (clock_.Now() >= untold.until) overdue.push_back(lease);
  }
  for (const Lease& lease : overdue) TellUntold(lease, {}, events);
}

}  // namespace millrace::worker
