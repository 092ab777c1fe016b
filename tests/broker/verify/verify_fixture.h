#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/ledger/ledger.h"
#include "broker/verify/verify.h"
#include "core/base/files.h"
#include "core/media/media_store.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {

// A data folder as a broker leaves it, with one job each that succeeded, is dead, was cancelled,
// runs and waits; each has its rows, events and files. Tests damage the folder and check the
// findings.
class VerifyTest : public testing::Test {
 protected:
  VerifyTest()
      : succeeded_(AddSucceeded()),
        dead_(AddDead()),
        cancelled_(Add(JobState::kCancelled, {{JobEvent::kCancel, JobState::kCancelled}},
                       TaskState::kCancelled, "")),
        running_(Add(JobState::kRunning, {{JobEvent::kStart, JobState::kRunning}},
                     TaskState::kLeased, "running")),
        queued_(Add(JobState::kQueued, {}, TaskState::kQueued, "")) {}

  using History = std::vector<std::pair<JobEvent, JobState>>;

  // Adds a job with one task, in the state that these events lead to. It has one attempt unless
  // `outcome` is empty.
  Job Add(JobState state, const History& history, TaskState task_state, const std::string& outcome,
          std::vector<LedgerChange> more = {}) {
    Job job = NewJob();
    return Add(std::move(job), state, history, task_state, outcome, std::move(more));
  }

  Job NewJob() {
    Job job = samples::SmallJob();
    const auto upload = media_->BeginUpload("in.mov");
    upload->Write(std::string_view("some bytes"));
    job.request.input.upload = upload->Commit().id;
    return job;
  }

  Job Add(Job job, JobState state, const History& history, TaskState task_state,
          const std::string& outcome, std::vector<LedgerChange> more) {
    job.state = state;
    if (IsTerminal(state)) job.finished_at = samples::At(10);
    TaskRecord task = samples::SmallTask(job);
    task.state = task_state;
    std::vector<LedgerChange> changes;
    if (!outcome.empty()) {
      task.fence = ++fence_;
      Attempt attempt = samples::SmallAttempt(task, fence_);
      attempt.outcome = outcome;
      if (outcome != "running") attempt.finished_at = samples::At(9);
      changes.emplace_back(PutAttempt{attempt});
    }
    if (state == JobState::kSucceeded) job.published_fence = task.fence;
    changes.insert(changes.begin(), {InsertJob{job}, PutTask{task}});
    Append(changes, job, JobEvent::kSubmit, JobState::kQueued);
    for (const auto& [event, after] : history) Append(changes, job, event, after);
    changes.insert(changes.end(), more.begin(), more.end());
    ledger_->Commit(changes);
    return job;
  }

  void Append(std::vector<LedgerChange>& changes, const Job& job, JobEvent event, JobState after) {
    EventRecord record = samples::Event(job, ++sequence_);
    record.event = event;
    record.state = after;
    changes.emplace_back(AppendEvent{record});
  }

  Job AddSucceeded() {
    Job job = NewJob();
    OutputFile file = samples::File();
    file.bytes = 7;
    file.sha256 = kSha256OfEncoded;
    job.files = {file};
    const Fence fence = fence_ + 1;
    const auto folder = media_->CreateWork("tsk_x", fence);
    WriteFileDurably(folder / "out" / file.path, "encoded");
    const Manifest manifest{.files = {file}, .warnings = {}, .media = nullptr};
    EXPECT_THAT(media_->Publish(job.id, {{.task = "tsk_x", .fence = fence, .manifest = manifest}}),
                testing::IsEmpty());
    return Add(std::move(job), JobState::kSucceeded,
               {{JobEvent::kStart, JobState::kRunning},
                {JobEvent::kPublish, JobState::kPublishing},
                {JobEvent::kPublished, JobState::kSucceeded}},
               TaskState::kDone, "succeeded", {});
  }

  Job AddDead() {
    Job job = NewJob();
    job.error = {{"code", "corrupt_media"}, {"detail", "it is broken"}};
    media_->WriteDeadLetter({.job_id = job.id,
                             .report = {{"job", job.id}, {"generation", job.generation}},
                             .input = job.request.input,
                             .attempts = {}});
    return Add(job, JobState::kDead,
               {{JobEvent::kStart, JobState::kRunning}, {JobEvent::kBury, JobState::kDead}},
               TaskState::kFailed, "failed", {PutDeadLetter{samples::SmallLetter(job)}});
  }

  // Runs SQL directly on the ledger to damage it.
  void Damage(const std::string& sql) {
    ledger_.reset();
    SQLite::Database(file_, SQLite::OPEN_READWRITE).exec(sql);
  }

  // Returns the findings in the form "check: subject: detail".
  std::vector<std::string> Verify() {
    const Findings findings = VerifyDataFolder(dir_.path());
    std::vector<std::string> lines;
    for (const Finding& finding : findings.kept()) {
      lines.push_back(finding.check + ": " + finding.subject + ": " + finding.detail);
    }
    return lines;
  }

  std::filesystem::path OutputsOf(const Job& job) const {
    return dir_.path() / "outputs" / job.id / std::to_string(job.published_fence);
  }

  // `printf encoded | sha256sum`
  static constexpr const char* kSha256OfEncoded =
      "766adc67b02bf315b9b5057994bfe6cfbd9354c433f259b29ba415dbe0f7afa5";

  TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "ledger.db";
  std::unique_ptr<Ledger> ledger_ = OpenSqliteLedger(file_);
  const std::unique_ptr<MediaStore> media_ =
      OpenFolderMediaStore({.data_dir = dir_.path(), .library_dir = {}});
  Fence fence_ = 0;
  int64_t sequence_ = 0;
  const Job succeeded_;
  const Job dead_;
  const Job cancelled_;
  const Job running_;
  const Job queued_;
};

}  // namespace millrace::broker
