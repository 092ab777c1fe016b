#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "broker/ledger/ledger.h"

namespace millrace::broker {

// Controls the disk below a ledger. Thread-safe.
class FakeDisk {
 public:
  void SetFull(bool full) { FillUpAfter(full ? 0 : kNever); }
  // Fills up after this many more commits.
  void FillUpAfter(int commits) { room_ = commits; }
  int commits() const { return commits_; }
  int refused() const { return refused_; }

  // Makes commits wait until Release().
  void Hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  // Returns when a commit waits.
  void AwaitHeldCommit() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_; });
  }

  void OnWrite() {
    {
      std::unique_lock lock(mutex_);
      waiting_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
      waiting_ = false;
    }
    if (room_ == 0) {
      ++refused_;
      throw Error(ErrorCode::kStorageFull, "the disk is full, says the test");
    }
    ++commits_;
    if (room_ != kNever) --room_;
  }

 private:
  static constexpr int kNever = -1;

  std::atomic<int> room_ = kNever;  // commits until it is full
  std::atomic<int> commits_ = 0;
  std::atomic<int> refused_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  bool waiting_ = false;
};

// A real ledger on a disk that can fill up and stall.
class FakeDiskLedger final : public Ledger {
 public:
  FakeDiskLedger(std::unique_ptr<Ledger> ledger, std::shared_ptr<FakeDisk> disk)
      : ledger_(std::move(ledger)), disk_(std::move(disk)) {}

  Snapshot Load() override { return ledger_->Load(); }
  void Commit(const std::vector<LedgerChange>& changes) override {
    if (changes.empty()) return;
    disk_->OnWrite();
    ledger_->Commit(changes);
  }
  void CheckWritable() override {
    disk_->OnWrite();
    ledger_->CheckWritable();
  }
  std::optional<Job> FindJob(const std::string& id) override { return ledger_->FindJob(id); }
  std::optional<Job> FindJobByKey(const std::string& key) override {
    return ledger_->FindJobByKey(key);
  }
  std::vector<TaskRecord> TasksOf(const std::string& job_id) override {
    return ledger_->TasksOf(job_id);
  }
  std::vector<Attempt> AttemptsOf(const std::string& job_id) override {
    return ledger_->AttemptsOf(job_id);
  }
  int LastAttemptNumber(const std::string& job_id, int generation) override {
    return ledger_->LastAttemptNumber(job_id, generation);
  }
  JobPage ListJobs(const JobFilter& filter) override { return ledger_->ListJobs(filter); }
  std::vector<EventRecord> EventsOf(const std::string& job_id, int64_t after,
                                    size_t limit) override {
    return ledger_->EventsOf(job_id, after, limit);
  }
  std::optional<DeadLetterRecord> FindDeadLetter(const std::string& job_id) override {
    return ledger_->FindDeadLetter(job_id);
  }
  DeadLetterPage ListDeadLetters(const DeadLetterFilter& filter) override {
    return ledger_->ListDeadLetters(filter);
  }
  int64_t CountDeadLetters(const DeadLetterFilter& filter) override {
    return ledger_->CountDeadLetters(filter);
  }
  std::vector<DeadLetterGroup> DeadLetterGroups(const DeadLetterFilter& filter,
                                                size_t limit) override {
    return ledger_->DeadLetterGroups(filter, limit);
  }
  std::vector<DeadLetterRecord> OpenLettersOldestFirst(const DeadLetterFilter& filter,
                                                       size_t limit) override {
    return ledger_->OpenLettersOldestFirst(filter, limit);
  }
  std::optional<RedriveRecord> FindRedrive(const std::string& id) override {
    return ledger_->FindRedrive(id);
  }
  std::optional<PurgeRecord> FindPurge(const std::string& id) override {
    return ledger_->FindPurge(id);
  }
  std::vector<std::string> EndedBefore(const std::vector<JobState>& states, WallTime time,
                                       size_t limit) override {
    return ledger_->EndedBefore(states, time, limit);
  }
  std::vector<DeadLetterRecord> LettersDiedBefore(WallTime time, size_t limit) override {
    return ledger_->LettersDiedBefore(time, limit);
  }
  bool IsUploadNamed(const std::string& upload_id) override {
    return ledger_->IsUploadNamed(upload_id);
  }
  std::optional<JobStanding> FindStanding(const std::string& job_id) override {
    return ledger_->FindStanding(job_id);
  }
  size_t PruneEvents(WallTime time, size_t max_jobs) override {
    disk_->OnWrite();
    return ledger_->PruneEvents(time, max_jobs);
  }
  size_t PruneRequests(WallTime time, size_t limit) override {
    disk_->OnWrite();
    return ledger_->PruneRequests(time, limit);
  }

 private:
  const std::unique_ptr<Ledger> ledger_;
  const std::shared_ptr<FakeDisk> disk_;
};

}  // namespace millrace::broker
