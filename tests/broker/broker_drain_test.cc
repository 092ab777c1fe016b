#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "tests/broker/broker_process.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

// How often the files of each job were made, over all workers. Thread-safe.
class Runs {
 public:
  void Count(const std::string& job) {
    const std::lock_guard lock(mutex_);
    ++runs_[job];
  }
  std::map<std::string, int> all() const {
    const std::lock_guard lock(mutex_);
    return runs_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int> runs_;
};

// A worker that does what the real one does with the messages of its leases: begins what it is
// assigned, reports until that is acknowledged, and registers again with what it holds when the
// broker does not know it.
class PatientWorker {
 public:
  using Make = std::function<json(const ScriptedWorker&, const Message&)>;

  PatientWorker(const std::string& endpoint, const std::string& name, Make make)
      : peer_(endpoint, name), make_(std::move(make)) {
    peer_.slots = 2;
  }

  void Run(const std::atomic<bool>& stop) {
    peer_.Send("register", peer_.RegisterBody());
    while (!stop) {
      // The wait is for whatever comes.
      while (peer_.HasWithin(milliseconds(5), "assign")) Begin(peer_.Expect("assign"));
      while (peer_.HasWithin(milliseconds(0), "ack")) Settle(peer_.Expect("ack").id);
      while (peer_.HasWithin(milliseconds(0), "lease_lost")) {
        Settle(peer_.Expect("lease_lost").id);
      }
      bool unknown = false;
      while (peer_.HasWithin(milliseconds(0), "unknown_worker")) {
        peer_.Expect("unknown_worker");
        unknown = true;
      }
      if (unknown) peer_.Send("register", peer_.RegisterBody(Leases()));
      if (const auto now = std::chrono::steady_clock::now(); now >= next_beat_) {
        next_beat_ = now + milliseconds(50);
        Beat();
      }
    }
  }

 private:
  struct Report {
    Message assign;
    json body;
    std::vector<std::string> ids;  // of the messages that carried it
  };

  void Begin(const Message& assign) {
    const Fence fence = assign.body.at("fence");
    if (!reports_.contains(fence) && done_.insert(fence).second) {
      reports_[fence] = {.assign = assign, .body = make_(peer_, assign), .ids = {}};
    }
  }

  void Settle(const std::string& id) {
    std::erase_if(reports_, [&](const auto& entry) {
      return std::ranges::find(entry.second.ids, id) != entry.second.ids.end();
    });
  }

  json Leases() const {
    json leases = json::array();
    for (const auto& [fence, report] : reports_) {
      leases.push_back({{"task", report.assign.body.at("task")}, {"fence", fence}});
    }
    return leases;
  }

  void Beat() {
    json tasks = json::array();
    for (auto& [fence, report] : reports_) {
      tasks.push_back(ScriptedWorker::Running(report.assign, 99));
      report.ids.push_back(peer_.Send("finished", report.body));
    }
    peer_.Send("beat", {{"instance", peer_.instance()}, {"draining", false}, {"tasks", tasks}});
  }

  ScriptedWorker peer_;
  const Make make_;
  std::map<Fence, Report> reports_;  // that nobody has acknowledged yet
  std::set<Fence> done_;
  std::chrono::steady_clock::time_point next_beat_{};
};

class BrokerDrainTest : public BrokerProcessTest {
 protected:
  // Repeats a new submission until it is taken, as an api does; returns the id of its job.
  std::string SubmitPatiently(ScriptedPeer& client) {
    const json submission = NewSubmission();
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      const std::string id = client.Send("submit", submission);
      const auto repeat = std::chrono::steady_clock::now() + milliseconds(200);
      bool refused = false;
      while (!refused && std::chrono::steady_clock::now() < repeat) {
        while (client.HasWithin(milliseconds(2), "ok")) {
          if (client.Expect("ok").id == id) return submission["job_id"];
        }
        while (client.HasWithin(milliseconds(0), "error")) {
          const Message error = client.Expect("error");
          EXPECT_EQ(error.body.at("code"), "draining");
          refused = refused || error.id == id;
        }
      }
    }
    throw std::runtime_error("a submission was not taken");
  }
};

TEST_F(BrokerDrainTest, ARollingRestartUnderLoadLosesNothingAndRunsNothingTwice) {
  constexpr int kJobs = 60;
  constexpr int kJobsPerRestart = 12;
  Start();
  Runs runs;
  std::atomic<bool> stop = false;
  std::vector<std::jthread> workers;
  for (int i = 1; i <= 3; ++i) {
    workers.emplace_back([&, i] {
      PatientWorker worker(Endpoint("worker"), "host/" + std::to_string(i),
                           [&](const ScriptedWorker& peer, const Message& assign) {
                             runs.Count(assign.body.at("job"));
                             return MakeFiles(peer, assign);
                           });
      worker.Run(stop);
    });
  }
  ScriptedPeer client(Endpoint("client"));
  std::vector<std::string> jobs;
  for (int i = 0; i < kJobs; ++i) {
    if (i > 0 && i % kJobsPerRestart == 0) Restart();
    jobs.push_back(SubmitPatiently(client));
  }
  for (const std::string& job : jobs) AwaitState(client, job, "succeeded");
  stop = true;
  workers.clear();
  const auto all = runs.all();
  EXPECT_EQ(all.size(), jobs.size());
  for (const auto& [job, count] : all) EXPECT_EQ(count, 1) << job;
}

}  // namespace
}  // namespace millrace::broker
