#include "transcoder/worker/child/child_host.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/id.h"
#include "core/base/log.h"

namespace millrace::worker {
namespace {

Error AsWorkerError(const Error& error) {
  if (error.code() != ErrorCode::kStorageFull) return error;
  return Error(ErrorCode::kWorkerDiskFull, error.what(), error.context());
}

// Removes the outputs of a failed attempt and keeps its log, for the dead letter.
void RemoveOutputs(const std::filesystem::path& work_folder) {
  try {
    RemoveTree(work_folder / "out");
  } catch (const Error& error) {
    LogWarning("the outputs of a failed attempt cannot be removed", {{"detail", error.what()}});
  }
}

std::string TokenOf(const Lease& folder) {
  return folder.task + "." + std::to_string(folder.fence);
}

std::string TokenOf(const ZygoteEvent& event) {
  return std::visit([](const auto& told) { return told.token; }, event);
}

}  // namespace

ChildHost::ChildHost(ChildHostOptions options, MediaStore& store, const Clock& clock)
    : options_(std::move(options)),
      store_(store),
      clock_(clock),
      zygote_(std::make_unique<Zygote>(options_.encoder, clock)) {}

ChildHost::~ChildHost() {
  zygote_.reset();  // and with it every child
  for (const auto& [token, run] : runs_) {
    const auto* excerpt = std::get_if<ExcerptOf>(&run.purpose);
    const bool told = excerpt != nullptr && !untold_.contains(excerpt->lease);
    if (!told) Discard(run.folder);
  }
}

void ChildHost::Start(const Assignment& assignment) {
  TaskDocument document{.kind = TaskKind::kTranscode,
                        .task_id = assignment.lease.task,
                        .job_id = assignment.job,
                        .fence = assignment.lease.fence,
                        .attempt = assignment.attempt,
                        .input_path = {},
                        .input_name = assignment.input_name,
                        .spec = assignment.spec,
                        .excerpt = {},
                        .output_dir = {},
                        .threads = options_.threads};
  StartRun(assignment.lease, assignment.lease, assignment.input, std::move(document), {});
}

void ChildHost::StartProbe(const ProbeOrder& order) {
  const Lease folder{.task = NewId("probe-"), .fence = 0};
  TaskDocument document;
  document.kind = TaskKind::kProbe;
  document.task_id = folder.task;
  document.input_name = order.input_name;
  document.threads = options_.threads;
  StartRun(order.probe, folder, order.input, std::move(document), clock_.Now() + order.deadline);
}

void ChildHost::StartRun(const Purpose& purpose, const Lease& folder, const Input& input,
                         TaskDocument document, std::optional<MonotonicTime> deadline) {
  const std::string token = TokenOf(folder);
  try {
    document.input_path = store_.Resolve(input);
    const std::filesystem::path path = store_.CreateWork(folder.task, folder.fence);
    document.output_dir = path / "out";
    auto runner = std::make_unique<TaskRunner>(document,
                                               RunOptions{.token = token,
                                                          .folder = path,
                                                          .stall_timeout = options_.stall_timeout,
                                                          .deadline = deadline},
                                               *zygote_, clock_, memory_);
    runs_.emplace(token, Run{purpose, folder, std::move(document), std::move(runner)});
  } catch (const Error& error) {
    LogWarning("a run cannot be started", {{"run", token}, {"detail", error.what()}});
    failed_starts_.push_back({purpose, AsWorkerError(error)});
    Discard(folder);
  } catch (const std::exception& error) {
    // Errors of the standard library, e.g. of a failing file system.
    LogWarning("a run cannot be started", {{"run", token}, {"detail", error.what()}});
    failed_starts_.push_back({purpose, Error(ErrorCode::kStorageError, error.what())});
    Discard(folder);
  }
}

void ChildHost::Stop(const Lease& lease) {
  for (auto& [token, run] : runs_) {
    if (run.purpose == Purpose(lease)) run.runner->Stop();
  }
  StopExcerpt(lease);
}

void ChildHost::Discard(const Lease& lease) {
  try {
    store_.DiscardWork(lease.task, lease.fence);
  } catch (const Error& error) {
    // Leaves the folder behind, as the lease has ended.
    LogWarning("a work folder cannot be removed", {{"detail", error.what()}});
  }
}

void ChildHost::AppendTo(std::vector<pollfd>& polled) const {
  polled.push_back({.fd = zygote_->fd(), .events = POLLIN, .revents = 0});
  for (const auto& [token, run] : runs_) {
    polled.push_back({.fd = run.runner->fd(), .events = POLLIN, .revents = 0});
  }
}

MonotonicTime ChildHost::NextDeadline() const {
  if (!failed_starts_.empty()) return MonotonicTime::min();
  MonotonicTime next = zygote_->NextDeadline();
  for (const auto& [token, run] : runs_) next = std::min(next, run.runner->NextDeadline());
  for (const auto& [lease, untold] : untold_) next = std::min(next, untold.until);
  return next;
}

void ChildHost::Work(TaskEvents& events) {
  for (FailedStart& failed : std::exchange(failed_starts_, {})) {
    const Run never_ran{failed.purpose, {}, {}, nullptr};
    TellOutcome(never_ran, RunFailed{failed.error, {}}, events);
  }
  for (const ZygoteEvent& event : zygote_->Poll()) {
    const auto found = runs_.find(TokenOf(event));
    if (found != runs_.end()) found->second.runner->OnEvent(event);
  }
  for (auto next = runs_.begin(); next != runs_.end();) {
    const auto run = next++;
    run->second.runner->ReadReports();
    run->second.runner->CheckTime();
    TellNews(run->second, events);
    std::optional<Outcome> outcome = run->second.runner->TakeOutcome();
    if (!outcome) continue;
    const Run ended = std::move(runs_.extract(run).mapped());
    TellOutcome(ended, std::move(*outcome), events);
  }
  TellOverdue(events);
}

void ChildHost::TellNews(Run& run, TaskEvents& events) {
  RunNews news = run.runner->TakeNews();
  const auto* lease = std::get_if<Lease>(&run.purpose);
  if (lease == nullptr) return;
  if (news.started) events.OnStarted(*lease);
  if (news.media) events.OnMedia(*lease, std::move(*news.media));
  if (news.progress) events.OnProgress(*lease, std::move(*news.progress));
}

void ChildHost::TellOutcome(const Run& run, Outcome outcome, TaskEvents& events) {
  if (const auto* lease = std::get_if<Lease>(&run.purpose)) {
    TellLease(*lease, run, std::move(outcome), events);
  } else if (const auto* excerpt = std::get_if<ExcerptOf>(&run.purpose)) {
    OnExcerpt(excerpt->lease, run, outcome, events);
  } else {
    TellProbe(std::get<std::string>(run.purpose), run, std::move(outcome), events);
  }
}

void ChildHost::TellLease(const Lease& lease, const Run& run, Outcome outcome, TaskEvents& events) {
  if (auto* finished = std::get_if<RunFinished>(&outcome)) {
    events.OnFinished(lease, std::move(finished->manifest), finished->usage);
  } else if (auto* failed = std::get_if<RunFailed>(&outcome)) {
    AttemptFailure failure{
        .error = std::move(failed->error), .usage = failed->usage, .log_tail = {}};
    if (run.runner) {
      failure.log_tail = run.runner->LogTail();
      RemoveOutputs(run.runner->folder());
    }
    if (StartExcerpt(lease, run, failure)) {
      const MonotonicTime until = clock_.Now() + options_.excerpt_patience;
      untold_.emplace(lease, Untold{.failure = std::move(failure), .until = until});
      return;
    }
    events.OnFailed(lease, std::move(failure));
  } else {
    Discard(lease);
    events.OnStopped(lease);
  }
}

void ChildHost::TellProbe(const std::string& probe, const Run& run, Outcome outcome,
                          TaskEvents& events) {
  if (run.runner) Discard(run.folder);
  if (auto* finished = std::get_if<RunFinished>(&outcome)) {
    events.OnProbed(probe, std::move(finished->manifest.media));
  } else if (auto* failed = std::get_if<RunFailed>(&outcome)) {
    events.OnProbeFailed(probe, failed->error);
  }
}

}  // namespace millrace::worker
