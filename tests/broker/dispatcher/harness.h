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

#include "broker/dispatcher/dispatcher.h"
#include "core/base/id.h"
#include "tests/broker/dispatcher/books.h"
#include "tests/fakes/fake_clock.h"

namespace millrace::broker {

using namespace std::chrono_literals;
using nlohmann::json;

struct Submission {
  std::string id = {};  // empty: a new one
  int priority = kDefaultPriority;
  int max_attempts = kDefaultMaxAttempts;
  VideoCodec codec = VideoCodec::kH264;
  bool force = false;
  std::string key = {};  // idempotency key; empty: none
  std::string fingerprint = "f1";
  std::string sha256 = "00";
  int64_t bytes = 12;
  bool in_parts = false;  // outputs that are planned as three tasks: "web", "sound", "copy"
};

// A dispatcher between fake clients and fake workers, whose effects a test looks at. Publishing and
// burying wait until the test reports on them.
class Harness {
 public:
  Harness() {
    options.random = [this] { return random; };
    Start();
  }

  void Start() {
    Snapshot snapshot = books.Load();
    for (const Job& job : snapshot.jobs) {
      if (const auto seen = shown.find({job.id, job.generation}); seen != shown.end()) {
        snapshot.shown_percents[job.id] = seen->second;
      }
    }
    dispatcher = std::make_unique<Dispatcher>(options, std::move(snapshot), now());
  }
  // As if the broker had been killed: memory is lost, what was committed is not.
  void Restart() {
    Start();
    Do(dispatcher->Resume(now()));
  }

  Now now() const { return {.monotonic = clock.Now(), .wall = clock.WallNow()}; }

  void Do(Outcome outcome) {
    books.Commit(outcome.changes);
    effects = std::move(outcome.effects);
    // What the loop keeps for the next broker.
    for (const json& body : Announced("progress")) {
      shown[{body.at("job"), body.at("generation")}] = body.at("percent");
    }
  }

  void Advance(std::chrono::microseconds by) {
    clock.Advance(by);
    Do(dispatcher->OnTick(now()));
  }

  // --- clients
  void Client(const std::string& type, json body) {
    if (type == message::kSubmit) {
      Do(dispatcher->OnSubmit(to, message::Read<message::Submit>(std::move(body)), std::nullopt,
                              now()));
    } else if (type == message::kCancel) {
      Do(dispatcher->OnCancel(to, message::Read<message::Cancel>(std::move(body)), now()));
    } else if (type == message::kProbe) {
      Do(dispatcher->OnProbe(to, message::Read<message::Probe>(std::move(body)), now()));
    } else {
      ADD_FAILURE() << "not a request about a job in memory: " << type;
    }
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
    request.force = submission.force;
    OutputSpec output;
    output.name = "web";
    output.container = Container::kMkv;
    output.video.emplace();
    output.video->codec = submission.codec;
    if (submission.codec != VideoCodec::kCopy) output.video->crf = 23;
    request.spec.outputs.push_back(std::move(output));
    if (submission.in_parts) {
      request.spec.outputs.push_back(SoundOutput());
      request.spec.outputs.push_back(CopyOutput());
    }
    return request;
  }
  static OutputSpec SoundOutput() {
    OutputSpec sound;
    sound.name = "sound";
    sound.container = Container::kM4a;
    sound.audio.emplace();
    return sound;
  }
  static OutputSpec CopyOutput() {
    OutputSpec copy;
    copy.name = "copy";
    copy.container = Container::kMkv;
    copy.video.emplace();
    copy.video->codec = VideoCodec::kCopy;
    return copy;
  }

  json SubmitBody(const Submission& submission) const {
    json body = {{"job_id", submission.id},
                 {"request", ToJson(RequestOf(submission))},
                 {"input_facts",
                  {{"name", "in.mov"}, {"bytes", submission.bytes}, {"sha256", submission.sha256}}},
                 {"deadline_unix_ms", UnixMillis() + 10'000}};
    if (!submission.key.empty()) {
      body["idempotency_key"] = submission.key;
      body["fingerprint"] = submission.fingerprint;
    }
    return body;
  }

  std::string Submit(Submission submission = {}) {
    if (submission.id.empty()) submission.id = NewJobId();
    Client("submit", SubmitBody(submission));
    return submission.id;
  }

  void Cancel(const std::string& job_id) { Client("cancel", {{"job_id", job_id}}); }

  // The jobs are handed over as the loop would: from the ledger.
  std::vector<DeadJob> DeadJobs(const std::vector<std::string>& ids) const {
    std::vector<DeadJob> jobs;
    for (const std::string& id : ids) {
      if (books.jobs().contains(id)) jobs.push_back(books.Dead(id));
    }
    return jobs;
  }
  void Redrive(const std::string& job_id, int generation = 1, json patch = nullptr) {
    json body = {{"job_id", job_id}, {"generation", generation}};
    if (!patch.is_null()) body["patch"] = std::move(patch);
    Do(dispatcher->OnDead(to, message::Read<message::Redrive>(std::move(body)), DeadJobs({job_id}),
                          now()));
  }
  void RedriveMany(const std::string& redrive_id, const std::vector<std::string>& ids,
                   json more = json::object()) {
    json body = {{"redrive_id", redrive_id},
                 {"filter", json::object()},
                 {"canary", false},
                 {"dry_run", false}};
    body.update(more);
    Do(dispatcher->OnDead(to, message::Read<message::RedriveMany>(std::move(body)), DeadJobs(ids),
                          now()));
  }
  void Purge(const std::string& job_id) {
    Do(dispatcher->OnDead(to, message::Purge{{.job_id = job_id}}, DeadJobs({job_id}), now()));
  }
  void PurgeMany(const std::string& purge_id, const std::vector<std::string>& ids,
                 json more = json::object()) {
    json body = {{"purge_id", purge_id}, {"filter", json::object()}, {"dry_run", false}};
    body.update(more);
    Do(dispatcher->OnDead(to, message::Read<message::PurgeMany>(std::move(body)), DeadJobs(ids),
                          now()));
  }
  void Expire(const std::vector<std::string>& ids) {
    Do(dispatcher->OnExpired(DeadJobs(ids), now()));
  }
  void Load(const LoadDead& load) {
    Do(dispatcher->OnDeadLoaded(load, DeadJobs(load.job_ids), now()));
  }

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
  Fence PublishedFenceOf(const std::string& job_id) const {
    Fence fence = 0;
    for (const TaskRecord& task : books.tasks_of(job_id)) fence = std::max(fence, task.fence);
    return fence;
  }
  void FinishJob(const std::string& job_id) {
    Finish(Holder(job_id), TaskOf(job_id).id, TaskOf(job_id).fence);
  }
  void FailJob(const std::string& job_id, ErrorCode code) {
    Fail(Holder(job_id), TaskOf(job_id).id, TaskOf(job_id).fence, code);
  }
  void ReleaseJob(const std::string& job_id, const std::string& reason) {
    Release(Holder(job_id), TaskOf(job_id).id, TaskOf(job_id).fence, reason);
  }

  // --- results of effects
  void Published(const std::string& job_id) {
    Do(dispatcher->OnResult(broker::Published{.job_id = job_id, .fence = PublishedFenceOf(job_id)},
                            now()));
  }
  void PublishFailed(const std::string& job_id, ErrorCode code) {
    std::vector<std::string> lost;
    for (const TaskRecord& task : books.tasks_of(job_id)) lost.push_back(task.id);
    PublishFailed(job_id, code, std::move(lost));
  }
  void PublishFailed(const std::string& job_id, ErrorCode code, std::vector<std::string> lost) {
    Do(dispatcher->OnResult(broker::PublishFailed{.job_id = job_id,
                                                  .fence = PublishedFenceOf(job_id),
                                                  .error = Error(code, "no"),
                                                  .lost = std::move(lost)},
                            now()));
  }
  void Buried(const std::string& job_id) {
    Do(dispatcher->OnResult(broker::Buried{.job_id = job_id}, now()));
  }
  void BuryFailed(const std::string& job_id) {
    Do(dispatcher->OnResult(broker::BuryFailed{.job_id = job_id}, now()));
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
      std::visit(
          [&](const auto& event) {
            if (event.kType == topic) found.push_back(message::ToJson(event));
          },
          announce.event);
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

  const ReplyTo to{.route = "client", .request_id = "m1"};
  FakeClock clock;
  Books books;
  double random = 0.5;
  DispatcherOptions options;
  std::unique_ptr<Dispatcher> dispatcher;
  std::vector<Effect> effects;                       // of the last call
  std::map<std::pair<std::string, int>, int> shown;  // percents that clients have seen
};

class DispatcherTest : public testing::Test, protected Harness {};

}  // namespace millrace::broker

namespace millrace::broker {
inline void PrintTo(JobState state, std::ostream* out) { *out << NameOf(state); }
inline void PrintTo(JobEvent event, std::ostream* out) { *out << NameOf(event); }
inline void PrintTo(TaskState state, std::ostream* out) { *out << NameOf(state); }
}  // namespace millrace::broker
