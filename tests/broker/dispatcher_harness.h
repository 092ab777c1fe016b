#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "broker/dispatcher.h"
#include "core/id.h"
#include "tests/fakes/fake_clock.h"

namespace millrace::dispatching {

using namespace std::chrono_literals;
using nlohmann::json;

// A ledger of maps: what a restarted dispatcher starts from. Checks what must be true of every
// commit, whatever the test is about.
class Books {
 public:
  void Commit(const std::vector<LedgerChange>& changes) {
    for (const LedgerChange& change : changes) {
      std::visit([this](const auto& one) { Apply(one); }, change);
    }
    for (const LedgerChange& change : changes) {
      if (const auto* put = std::get_if<PutJob>(&change)) CheckEvents(put->job);
      if (const auto* insert = std::get_if<InsertJob>(&change)) CheckEvents(insert->job);
    }
  }

  Snapshot Load() const {
    Snapshot snapshot;
    for (const std::string& id : order_) {
      if (!IsTerminal(jobs_.at(id).state)) snapshot.jobs.push_back(jobs_.at(id));
    }
    for (const auto& [id, task] : tasks_) {
      if (!IsTerminal(jobs_.at(task.job_id).state)) snapshot.tasks.push_back(task);
    }
    for (const auto& [fence, attempt] : attempts_) {
      const Job& job = jobs_.at(tasks_.at(attempt.task_id).job_id);
      if (!IsTerminal(job.state)) snapshot.attempts.push_back(attempt);
      snapshot.last_fence = fence;
    }
    snapshot.last_sequence = static_cast<int64_t>(events_.size());
    return snapshot;
  }

  const Job& job(const std::string& id) const { return jobs_.at(id); }
  const std::map<std::string, Job>& jobs() const { return jobs_; }
  const TaskRecord& task_of(const std::string& job_id) const {
    for (const auto& [id, task] : tasks_) {
      if (task.job_id == job_id) return task;
    }
    throw std::out_of_range("no task of " + job_id);
  }
  const Attempt& attempt(Fence fence) const { return attempts_.at(fence); }
  const std::map<Fence, Attempt>& attempts() const { return attempts_; }
  const std::vector<EventRecord>& events() const { return events_; }
  std::vector<JobEvent> EventsOf(const std::string& job_id) const {
    std::vector<JobEvent> events;
    for (const EventRecord& event : events_) {
      if (event.job_id == job_id) events.push_back(event.event);
    }
    return events;
  }

 private:
  void Apply(const InsertJob& insert) {
    EXPECT_FALSE(jobs_.contains(insert.job.id)) << "inserted twice";
    order_.push_back(insert.job.id);
    jobs_[insert.job.id] = insert.job;
  }

  void Apply(const PutJob& put) {
    Job& job = jobs_.at(put.job.id);
    EXPECT_FALSE(IsTerminal(job.state)) << "an ended job was changed";
    Job next = put.job;
    next.request = job.request;
    next.input_facts = job.input_facts;
    job = std::move(next);
  }

  void Apply(const PutTask& put) {
    EXPECT_TRUE(jobs_.contains(put.task.job_id));
    const auto known = tasks_.find(put.task.id);
    if (known != tasks_.end()) {
      EXPECT_GE(put.task.fence, known->second.fence);
    }
    tasks_[put.task.id] = put.task;
  }

  void Apply(const PutAttempt& put) {
    const Attempt& attempt = put.attempt;
    EXPECT_TRUE(tasks_.contains(attempt.task_id));
    if (!attempts_.contains(attempt.fence)) {
      EXPECT_TRUE(attempts_.empty() || attempt.fence > attempts_.rbegin()->first);
    } else {
      EXPECT_EQ(attempts_.at(attempt.fence).task_id, attempt.task_id);
    }
    attempts_[attempt.fence] = attempt;
    int running = 0;
    for (const auto& [fence, other] : attempts_) {
      if (other.task_id == attempt.task_id && other.outcome == "running") ++running;
    }
    EXPECT_LE(running, 1) << "two current leases of one task";
  }

  void Apply(const AppendEvent& append) {
    const EventRecord& event = append.event;
    EXPECT_EQ(event.sequence, static_cast<int64_t>(events_.size()) + 1);
    const auto before = states_.find(event.job_id);
    if (before == states_.end()) {
      EXPECT_EQ(event.event, JobEvent::kSubmit);
      EXPECT_EQ(event.state, JobState::kQueued);
    } else {
      EXPECT_EQ(NextState(before->second, event.event), event.state)
          << NameOf(before->second) << " by " << NameOf(event.event);
      transitions_.emplace(before->second, event.event);
    }
    states_[event.job_id] = event.state;
    events_.push_back(event);
  }

  // The row and the event log say the same.
  void CheckEvents(const Job& job) const {
    EXPECT_EQ(states_.at(job.id), job.state) << NameOf(job.state);
  }

  std::vector<std::string> order_;
  std::map<std::string, Job> jobs_;
  std::map<std::string, TaskRecord> tasks_;
  std::map<Fence, Attempt> attempts_;
  std::vector<EventRecord> events_;
  std::map<std::string, JobState> states_;
  std::set<std::pair<JobState, JobEvent>> transitions_;

 public:
  const std::set<std::pair<JobState, JobEvent>>& transitions() const { return transitions_; }
};

struct Submission {
  std::string id = {};  // empty: a new one
  int priority = kDefaultPriority;
  int max_attempts = kDefaultMaxAttempts;
  VideoCodec codec = VideoCodec::kH264;
};

// A dispatcher between fake clients and fake workers, whose effects a test looks at. Publishing and
// burying wait until the test reports on them.
class Harness {
 public:
  Harness() {
    options.random = [this] { return random; };
    Start();
  }

  void Start() { dispatcher = std::make_unique<Dispatcher>(options, books.Load(), now()); }
  // As if the broker had been killed: memory is lost, what was committed is not.
  void Restart() {
    Start();
    Do(dispatcher->Resume(now()));
  }

  Now now() const { return {.monotonic = clock.Now(), .wall = clock.WallNow()}; }

  void Do(Outcome outcome) {
    books.Commit(outcome.changes);
    effects = std::move(outcome.effects);
  }

  void Advance(std::chrono::microseconds by) {
    clock.Advance(by);
    Do(dispatcher->OnTick(now()));
  }

  // --- clients
  void Client(const std::string& type, json body) {
    Do(dispatcher->OnClient("client", {.type = type, .id = "m1", .body = std::move(body)}, now()));
  }

  int64_t UnixMillis() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock.WallNow().time_since_epoch())
        .count();
  }

  static JobRequest RequestOf(const Submission& submission) {
    JobRequest request;
    request.input.upload = "upl_00000000000000000000000000000001";
    request.priority = submission.priority;
    request.max_attempts = submission.max_attempts;
    OutputSpec output;
    output.name = "web";
    output.container = Container::kMkv;
    output.video.emplace();
    output.video->codec = submission.codec;
    if (submission.codec != VideoCodec::kCopy) output.video->crf = 23;
    request.spec.outputs.push_back(std::move(output));
    return request;
  }

  json SubmitBody(const Submission& submission) const {
    return {{"job_id", submission.id},
            {"request", ToJson(RequestOf(submission))},
            {"input_facts", {{"name", "in.mov"}, {"bytes", 12}, {"sha256", "00"}}},
            {"deadline_unix_ms", UnixMillis() + 10'000}};
  }

  std::string Submit(Submission submission = {}) {
    if (submission.id.empty()) submission.id = NewJobId();
    Client("submit", SubmitBody(submission));
    return submission.id;
  }

  void Cancel(const std::string& job_id) { Client("cancel", {{"job_id", job_id}}); }

  // --- workers; the instance of worker "host/1" is "host/1#1" unless a test says otherwise
  void Worker(const std::string& instance, const std::string& type, json body) {
    body["instance"] = instance;
    Do(dispatcher->OnWorker(instance, {.type = type, .id = "w1", .body = std::move(body)}, now()));
  }

  static json Names(const std::vector<std::pair<std::string, Fence>>& leases) {
    json names = json::array();
    for (const auto& [task, fence] : leases) names.push_back({{"task", task}, {"fence", fence}});
    return names;
  }

  json RegisterBody(const std::string& name, int slots, json running = json::array()) const {
    return {{"name", name},
            {"slots", slots},
            {"probe_slots", 1},
            {"encoders", {"h264", "vp9", "aac", "opus"}},
            {"cores", 4},
            {"memory_bytes", 1 << 30},
            {"labels", {{"zone", "a"}}},
            {"versions", {{"millrace", "0.1"}}},
            {"running", std::move(running)}};
  }

  void Register(const std::string& name, int slots = 1) {
    Worker(name + "#1", "register", RegisterBody(name, slots));
  }

  static json ProgressJson(int percent, const std::string& phase) {
    return ToJson(Progress{
        .percent = percent, .phase = phase, .eta_seconds = {}, .outputs = {{"web", percent}}});
  }

  static json BeatTask(const std::string& task, Fence fence, int percent = 0,
                       const std::string& phase = "transcoding") {
    return {{"task", task}, {"fence", fence}, {"progress", ProgressJson(percent, phase)}};
  }

  void Beat(const std::string& instance, json tasks = json::array(), bool draining = false) {
    Worker(instance, "beat", {{"draining", draining}, {"tasks", std::move(tasks)}});
  }

  // A beat about everything that the ledger says this worker runs.
  void BeatAll(const std::string& name, int percent = 0) {
    json tasks = json::array();
    for (const auto& [fence, attempt] : books.attempts()) {
      if (attempt.worker == name && attempt.outcome == "running") {
        tasks.push_back(BeatTask(attempt.task_id, fence, percent));
      }
    }
    Beat(name + "#1", std::move(tasks));
  }

  static json ManifestJson() {
    return {{"files",
             {{{"output", "web"},
               {"path", "web.mkv"},
               {"bytes", 5},
               {"sha256", "ab"},
               {"media_type", "video/x-matroska"},
               {"duration_seconds", 1.0},
               {"video", nullptr},
               {"audio", nullptr}}}},
            {"warnings", {{{"code", "frames_missing"}, {"detail", "1 of 2"}}}},
            {"media", {{"streams", 1}}}};
  }

  void Finish(const std::string& instance, const std::string& task, Fence fence) {
    Worker(instance, "finished",
           {{"task", task},
            {"fence", fence},
            {"manifest", ManifestJson()},
            {"usage", json::object()}});
  }
  void Fail(const std::string& instance, const std::string& task, Fence fence, ErrorCode code) {
    const AttemptFailure failure{.error = Error(code, "it broke", {{"pts", 42}}),
                                 .usage = {.peak_rss_bytes = 7, .exit_status = {}, .signal = 11},
                                 .log_tail = {"last words"}};
    Worker(instance, "failed", {{"task", task}, {"fence", fence}, {"failure", ToJson(failure)}});
  }
  void Release(const std::string& instance, const std::string& task, Fence fence,
               const std::string& reason) {
    Worker(instance, "released", {{"task", task}, {"fence", fence}, {"reason", reason}});
  }

  // The same, of the current attempt of a job and by the worker that has it.
  const TaskRecord& TaskOf(const std::string& job_id) const { return books.task_of(job_id); }
  std::string Holder(const std::string& job_id) const { return TaskOf(job_id).last_worker + "#1"; }
  void FinishJob(const std::string& job_id) {
    Finish(Holder(job_id), TaskOf(job_id).id, TaskOf(job_id).fence);
  }
  void FailJob(const std::string& job_id, ErrorCode code) {
    Fail(Holder(job_id), TaskOf(job_id).id, TaskOf(job_id).fence, code);
  }
  void ReleaseJob(const std::string& job_id, const std::string& reason) {
    Release(Holder(job_id), TaskOf(job_id).id, TaskOf(job_id).fence, reason);
  }

  // --- the loop's reports
  void Published(const std::string& job_id) {
    Do(dispatcher->OnPublished(TaskOf(job_id).id, TaskOf(job_id).fence, now()));
  }
  void PublishFailed(const std::string& job_id, ErrorCode code) {
    Do(dispatcher->OnPublishFailed(TaskOf(job_id).id, TaskOf(job_id).fence, Error(code, "no"),
                                   now()));
  }
  void Buried(const std::string& job_id) { Do(dispatcher->OnBuried(job_id, now())); }
  void BuryFailed(const std::string& job_id) {
    Do(dispatcher->OnBuryFailed(job_id, Error(ErrorCode::kStorageFull, "no"), now()));
  }

  // --- what came of the last call
  template <typename E>
  std::vector<E> All() const {
    std::vector<E> found;
    for (const Effect& effect : effects) {
      if (const auto* one = std::get_if<E>(&effect)) found.push_back(*one);
    }
    return found;
  }
  std::vector<Message> Sent(const std::string& instance, const std::string& type) const {
    std::vector<Message> found;
    for (const SendToWorker& send : All<SendToWorker>()) {
      if (send.instance == instance && send.message.type == type) found.push_back(send.message);
    }
    return found;
  }
  // The one reply to a client.
  Message Reply() const {
    const auto replies = All<ReplyToClient>();
    EXPECT_EQ(replies.size(), 1u);
    return replies.empty() ? Message() : replies[0].message;
  }
  std::string ReplyCode() const { return Reply().body.value("code", "ok"); }
  std::vector<json> Announced(const std::string& topic) const {
    std::vector<json> found;
    for (const Announce& announce : All<Announce>()) {
      if (announce.topic == topic) found.push_back(announce.body);
    }
    return found;
  }
  // Work folders discarded, by fence.
  std::vector<Fence> Discarded() const {
    std::vector<Fence> fences;
    for (const DiscardWork& discard : All<DiscardWork>()) fences.push_back(discard.fence);
    return fences;
  }

  JobState State(const std::string& job_id) const { return books.job(job_id).state; }
  Fence FenceOf(const std::string& job_id) const { return TaskOf(job_id).fence; }

  FakeClock clock;
  Books books;
  double random = 0.5;
  DispatcherOptions options;
  std::unique_ptr<Dispatcher> dispatcher;
  std::vector<Effect> effects;  // of the last call
};

class DispatcherTest : public testing::Test, protected Harness {};

}  // namespace millrace::dispatching

namespace millrace {
inline void PrintTo(JobState state, std::ostream* out) { *out << NameOf(state); }
inline void PrintTo(JobEvent event, std::ostream* out) { *out << NameOf(event); }
inline void PrintTo(TaskState state, std::ostream* out) { *out << NameOf(state); }
}  // namespace millrace
