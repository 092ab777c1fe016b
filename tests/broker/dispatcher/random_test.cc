#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/broker/dispatcher/harness.h"

// A long random walk: clients, workers, storage and time do whatever they may, and much that they
// may not; now and then the broker is killed. The harness' ledger checks each commit.

namespace millrace::broker {
namespace {

constexpr int kSteps = 6'000;
constexpr int kMostJobs = 400;

class Walk : public Harness {
 public:
  explicit Walk(unsigned seed) : engine_(seed) {
    options.max_infrastructure_failures = 200;
    options.retry_cap = 60s;
    options.planner.task_overhead = 0s;
    Start();
  }

  void Step() {
    random = std::uniform_real_distribution<double>(0, 1)(engine_);
    Choose();
    Follow();
    CheckPercents();
  }

  // Faults stop: workers are there and do what they are told, storage works.
  void Settle() {
    healthy_ = true;
    for (int round = 0; round < 2'000 && Open() > 0; ++round) {
      for (int i = 1; i <= 3; ++i) {
        const std::string name = "host/" + std::to_string(i);
        Worker(name + "#9", "register", RegisterBody(name, 2, RunningOf(name)));
        Follow();
      }
      for (const auto& [fence, attempt] : Running()) {
        Finish(attempt.worker + "#9", attempt.task_id, fence);
        Follow();
      }
      Advance(1s);
      Follow();
    }
  }

  size_t Open() const {
    return static_cast<size_t>(std::ranges::count_if(
        books.jobs(), [](const auto& row) { return !IsTerminal(row.second.state); }));
  }

  void CheckEnd() const {
    EXPECT_EQ(Open(), 0u);
    for (const auto& [id, job] : books.jobs()) {
      EXPECT_EQ(dispatcher->Find(id), nullptr);
      // Published once, and exactly if it succeeded.
      int published = 0;
      for (const auto& event : books.EventsOf(id)) published += event == JobEvent::kPublished;
      EXPECT_EQ(published, job.state == JobState::kSucceeded ? 1 : 0);
      // A folder in the dead-letter queue for each open letter, and no other.
      const bool open = job.state == JobState::kDead &&
                        books.Dead(id).letter.state == DeadLetterRecord::State::kOpen;
      EXPECT_EQ(folders_.contains(id), open) << id;
      EXPECT_EQ(job.published_fence != 0, job.state == JobState::kSucceeded);
    }
    for (const auto& [fence, attempt] : books.attempts()) {
      EXPECT_NE(attempt.outcome, "running") << fence;
      EXPECT_TRUE(attempt.finished_at.has_value()) << fence;
    }
    for (const auto& [id, redrive] : books.redrives()) {
      EXPECT_NE(redrive.state, RedriveRecord::State::kWaiting);
    }
    const json view = dispatcher->QueueView(now());
    EXPECT_EQ(view["reserved_bytes"], 0);
    for (const char* key : {"queued", "retry_wait", "running", "publishing", "busy_slots"}) {
      EXPECT_EQ(view[key], 0) << key;
    }
  }

 private:
  int Dice(int sides) { return std::uniform_int_distribution<int>(0, sides - 1)(engine_); }
  template <typename Map>
  const typename Map::value_type& Any(const Map& map) {
    return *std::next(map.begin(), Dice(static_cast<int>(map.size())));
  }

  std::map<Fence, Attempt> Running() const {
    std::map<Fence, Attempt> running;
    for (const auto& [fence, attempt] : books.attempts()) {
      if (attempt.outcome == "running") running.emplace(fence, attempt);
    }
    return running;
  }

  json RunningOf(const std::string& name) const {
    std::vector<std::pair<std::string, Fence>> leases;
    for (const auto& [fence, attempt] : Running()) {
      if (attempt.worker == name) leases.emplace_back(attempt.task_id, fence);
    }
    return Names(leases);
  }

  std::string AnyName() { return "host/" + std::to_string(1 + Dice(3)); }
  std::string InstanceOf(const std::string& name) {
    return name + "#" + std::to_string(1 + Dice(2));
  }

  // A lease to talk about: nearly always a current one, sometimes any that ever was.
  std::pair<Fence, Attempt> AnyLease() {
    const auto running = Running();
    if (!running.empty() && Dice(5) > 0) return Any(running);
    if (!books.attempts().empty()) return Any(books.attempts());
    return {77, {.task_id = "tsk_unknown"}};
  }

  void Choose() {
    switch (Dice(18)) {
      case 0:
      case 1:
        if (books.jobs().size() < kMostJobs) {
          Submit({.priority = Dice(3) * 50,
                  .max_attempts = 1 + Dice(5),
                  .codec = Dice(8) == 0 ? VideoCodec::kVp9 : VideoCodec::kH264,
                  .force = Dice(4) == 0,
                  .key = Dice(2) == 0 ? AnyKey() : "",
                  .sha256 = "sha" + std::to_string(Dice(40)),
                  .bytes = 1'000'000,
                  .in_parts = Dice(2) == 0});
        } else {
          Submit({.id = Reopen()});
        }
        break;
      case 2:
        // The loop asks the dispatcher only about jobs that it has.
        if (!books.jobs().empty() && Dice(3) == 0) Cancel(Reopen());
        break;
      case 3: {
        const std::string name = AnyName();
        const bool honest = Dice(3) > 0;
        Worker(InstanceOf(name), "register",
               RegisterBody(name, 1 + Dice(3), honest ? RunningOf(name) : json::array()));
        break;
      }
      case 4:
      case 5:
      case 6:
        BeatOf(AnyName());
        break;
      case 7:
      case 8:
      case 9: {
        const auto [fence, attempt] = AnyLease();
        Finish(InstanceOf(attempt.worker), attempt.task_id, fence);
        if (Dice(4) == 0) {
          Follow();
          Finish(InstanceOf(attempt.worker), attempt.task_id, fence);
        }
        break;
      }
      case 10:
      case 11: {
        static constexpr ErrorCode kCodes[] = {
            ErrorCode::kNoStreams,       ErrorCode::kEncoderCrashed, ErrorCode::kStalled,
            ErrorCode::kInputUnreadable, ErrorCode::kEncodeFailed,   ErrorCode::kWorkerDiskFull};
        const auto [fence, attempt] = AnyLease();
        Fail(InstanceOf(attempt.worker), attempt.task_id, fence, kCodes[Dice(6)]);
        break;
      }
      case 12: {
        const auto [fence, attempt] = AnyLease();
        Release(InstanceOf(attempt.worker), attempt.task_id, fence,
                Dice(2) == 0 ? "draining" : "cancelled");
        break;
      }
      case 13:
        clock.Advance(std::chrono::milliseconds(Dice(4'000)));
        Do(dispatcher->OnTick(now()));
        break;
      case 14:
        if (Dice(4) == 0) {
          Worker(InstanceOf(AnyName()), "goodbye", json::object());
        } else {
          Do(dispatcher->OnWorkerGone(InstanceOf(AnyName()), now()));
        }
        break;
      case 15:
        if (Dice(10) == 0) {
          pending_.clear();
          Restart();
        }
        break;
      case 16:
        ChooseForTheDead();
        break;
      case 17:
        dispatcher->SetDisk(Dice(5) > 0 ? std::nullopt : std::optional<int64_t>(Dice(3) << 30));
        break;
    }
  }

  // A key of a job that is in memory, or a new one: the loop answers the others.
  std::string AnyKey() {
    const std::string key = "key" + std::to_string(Dice(kMostJobs));
    for (const auto& [id, job] : books.jobs()) {
      if (job.idempotency_key == key && IsTerminal(job.state)) return "";
    }
    return key;
  }

  // What ops do; mostly about jobs that are dead.
  void ChooseForTheDead() {
    std::vector<std::string> ids;
    for (const auto& [id, job] : books.jobs()) {
      if (job.state == JobState::kDead ? Dice(2) == 0 : Dice(20) == 0) ids.push_back(id);
    }
    if (ids.empty()) return;
    const std::string& one = ids[static_cast<size_t>(Dice(static_cast<int>(ids.size())))];
    switch (Dice(8)) {
      case 0:
        Purge(one);
        break;
      case 1:
        PurgeMany(NewId("pur_"), ids, {{"dry_run", Dice(2) == 0}, {"expected", 2}});
        break;
      case 2:
        Expire({one});
        break;
      case 3:
      case 4:
        RedriveMany(NewId("rdr_"), ids, {{"canary", Dice(3) > 0}, {"dry_run", Dice(4) == 0}});
        break;
      default:
        Redrive(one, books.job(one).generation - (Dice(5) == 0 ? 1 : 0),
                Dice(3) == 0 ? AnyPatch() : nullptr);
        break;
    }
  }

  // Another spec, and perhaps another plan.
  json AnyPatch() {
    const Submission one{.in_parts = Dice(2) == 0};
    return {{"outputs", ToJson(RequestOf(one).spec).at("outputs")}};
  }

  // The id of a job that is still in memory, or a new one if there is none.
  std::string Reopen() {
    std::vector<std::string> open;
    for (const auto& [id, job] : books.jobs()) {
      if (!IsTerminal(job.state)) open.push_back(id);
    }
    return open.empty() ? NewJobId()
                        : open[static_cast<size_t>(Dice(static_cast<int>(open.size())))];
  }

  void BeatOf(const std::string& name) {
    json tasks = json::array();
    for (const auto& [fence, attempt] : Running()) {
      if (attempt.worker == name && Dice(4) > 0) {
        tasks.push_back(BeatTask(attempt.task_id, fence, Dice(101)));
      }
    }
    Beat(InstanceOf(name), std::move(tasks), Dice(20) == 0);
  }

  // Storage does what was asked, sooner or later, and not always well.
  void Follow() {
    Collect();
    while (!pending_.empty() && (healthy_ || Dice(2) == 0)) {
      const Effect effect = std::move(pending_.back());
      pending_.pop_back();
      if (const auto* publish = std::get_if<PublishOutputs>(&effect)) {
        Report(*publish);
      } else if (const auto* load = std::get_if<LoadDead>(&effect)) {
        Load(*load);
      } else {
        Report(std::get<Bury>(effect));
      }
      Collect();
    }
  }

  void Collect() {
    for (Effect& effect : effects) {
      if (const auto* remove = std::get_if<RemoveDeadLetter>(&effect)) {
        folders_.erase(remove->job_id);
      } else if (std::holds_alternative<PublishOutputs>(effect) ||
                 std::holds_alternative<LoadDead>(effect) || std::holds_alternative<Bury>(effect)) {
        pending_.push_back(std::move(effect));
      }
    }
    effects.clear();
  }

  void Report(const PublishOutputs& publish) {
    const int luck = healthy_ ? 9 : Dice(10);
    if (luck < 2) {
      const ErrorCode code = luck == 0 ? ErrorCode::kStorageError : ErrorCode::kOutputNotFound;
      std::vector<std::string> lost;
      if (luck == 1) {
        lost.push_back(publish.made.front().task);
        if (publish.made.size() > 1 && Dice(2) == 0) lost.push_back(publish.made.back().task);
      }
      Do(dispatcher->OnResult(broker::PublishFailed{.job_id = publish.job_id,
                                                    .fence = PublishedFence(publish.made),
                                                    .error = Error(code, "no"),
                                                    .lost = std::move(lost)},
                              now()));
    } else {
      Do(dispatcher->OnResult(
          broker::Published{.job_id = publish.job_id, .fence = PublishedFence(publish.made)},
          now()));
    }
  }

  void Report(const Bury& bury) {
    if (!healthy_ && Dice(4) == 0) {
      BuryFailed(bury.letter.job_id);
    } else {
      folders_.insert(bury.letter.job_id);
      Buried(bury.letter.job_id);
    }
  }

  void CheckPercents() {
    for (const auto& [id, job] : books.jobs()) {
      if (job.state == JobState::kSucceeded) continue;
      const int percent =
          IsTerminal(job.state) ? job.last_progress.percent : dispatcher->Live(id).progress.percent;
      int& before = percents_[{id, job.generation}];
      EXPECT_GE(percent, before);
      EXPECT_LE(percent, 99);
      before = percent;
    }
  }

  std::mt19937 engine_;
  bool healthy_ = false;
  std::vector<Effect> pending_;
  std::map<std::pair<std::string, int>, int> percents_;  // by job and generation
  std::set<std::string> folders_;                        // of dead letters
};

class RandomWalkTest : public testing::TestWithParam<unsigned> {};

TEST_P(RandomWalkTest, KeepsEveryPromiseAndEndsEveryJobWhenFaultsStop) {
  Walk walk(GetParam());
  for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    walk.Step();
  }
  if (testing::Test::HasFailure()) return;
  walk.Settle();
  walk.CheckEnd();
  std::set<JobState> ends;
  for (const auto& [id, job] : walk.books.jobs()) ends.insert(job.state);
  // The walk went nearly everywhere: 15 transitions can be walked, some of them are rare.
  EXPECT_EQ(ends.size(), 3u);
  EXPECT_GE(walk.books.transitions().size(), 11u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomWalkTest, testing::Range(1u, 9u));

}  // namespace
}  // namespace millrace::broker
