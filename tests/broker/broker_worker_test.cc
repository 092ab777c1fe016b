#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/broker_fixture.h"
#include "tests/broker/event_sequences.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class BrokerWorkerTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    client_.emplace(Endpoint("client"));
  }

  std::optional<ScriptedPeer> client_;
};

TEST_F(BrokerWorkerTest, TakesAJobFromSubmissionToSuccess) {
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  EXPECT_EQ(worker.Register().type, "registered");
  const std::string job = SubmitJob(*client_);
  const Message assign = worker.Expect("assign");
  EXPECT_EQ(assign.body.at("job"), job);
  worker.Send("started", worker.About(assign));
  EXPECT_EQ(worker.Beat(json::array({ScriptedWorker::Running(assign, 41)})).type, "orders");
  const json running = GetJob(*client_, job).at("job");
  EXPECT_EQ(running.at("state"), "running");
  EXPECT_EQ(running.at("progress").at("percent"), 41);
  EXPECT_EQ(running.at("worker"), "host/1");

  EXPECT_EQ(worker.Ask("finished", MakeFiles(worker, assign)).type, "ack");
  AwaitState(*client_, job, "succeeded");
  const json done = GetJob(*client_, job);
  EXPECT_EQ(done.at("job").at("progress").at("percent"), 100);
  EXPECT_EQ(done.at("job").at("attempt"), 1);
  EXPECT_EQ(done.at("published_fence"), assign.body.at("fence"));
  EXPECT_TRUE(media_->FindOutput(job, assign.body.at("fence"), "web.mp4").has_value());

  // A repeated report is acknowledged and changes nothing.
  EXPECT_EQ(worker.Ask("finished", MakeFiles(worker, assign)).type, "ack");
}

TEST_F(BrokerWorkerTest, PublishesEveryTransitionInOrder) {
  EventListener events(Endpoint("event"), "job");
  // A subscription takes effect some time after it was made: only then is an event heard.
  do {
    client_->Ask("cancel", {{"job_id", SubmitJob(*client_)}});
  } while (!events.HearsWithin(milliseconds(20)));
  const std::string job = SubmitJob(*client_);
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  worker.Register();
  const Message assign = worker.Expect("assign");
  EXPECT_EQ(worker.Ask("finished", MakeFiles(worker, assign)).type, "ack");
  const json succeeded =
      events.ExpectWhere([&](const json& event) { return event.at("state") == "succeeded"; });
  EXPECT_EQ(succeeded.at("job"), job);
  // The ledger has the same events, without a gap.
  const std::vector<int64_t> sequences = EventSequences(dir_.path() / "ledger.db");
  ASSERT_FALSE(sequences.empty());
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_EQ(sequences[i], static_cast<int64_t>(i) + 1);
  }
  EXPECT_EQ(sequences.back(), succeeded.at("seq"));
}

TEST_F(BrokerWorkerTest, StopsTheWorkerOfACancelledJob) {
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  worker.Register();
  const std::string job = SubmitJob(*client_);
  const Message assign = worker.Expect("assign");
  EXPECT_EQ(client_->Ask("cancel", {{"job_id", job}}).body.at("job").at("state"), "cancelling");
  const Message cancel = worker.Expect("cancel");
  EXPECT_EQ(cancel.body.at("fence"), assign.body.at("fence"));
  json released = worker.About(assign);
  released["reason"] = "cancelled";
  EXPECT_EQ(worker.Ask("released", released).type, "ack");
  EXPECT_EQ(StateOf(*client_, job), "cancelled");
}

TEST_F(BrokerWorkerTest, ANewProcessOfAWorkerEndsTheLeasesOfTheOldOne) {
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  worker.Register();
  SubmitJob(*client_);
  const Message first = worker.Expect("assign");
  worker.Restart();
  worker.Register();
  const Message second = worker.Expect("assign");
  EXPECT_EQ(second.body.at("task"), first.body.at("task"));
  EXPECT_GT(second.body.at("fence").get<Fence>(), first.body.at("fence").get<Fence>());
}

TEST_F(BrokerWorkerTest, FindsAWorkerAgainThatComesBackOnAnotherConnection) {
  std::optional<ScriptedWorker> worker(std::in_place, Endpoint("worker"), "host/1");
  worker->slots = 2;
  worker->Register();
  const std::string first = SubmitJob(*client_);
  const Message assign = worker->Expect("assign");

  // The same instance over a second socket, as after a lost connection.
  ScriptedPeer again(Endpoint("worker"));
  EXPECT_EQ(again
                .Ask("beat", {{"instance", worker->instance()},
                              {"draining", false},
                              {"tasks", json::array({ScriptedWorker::Running(assign, 1)})}})
                .type,
            "orders");
  const std::string second = SubmitJob(*client_);
  EXPECT_EQ(again.Expect("assign").body.at("job"), second);
}

// What happens in these tests cannot be the end of a lease.
class ConnectionTest : public BrokerWorkerTest {
 protected:
  ConnectionTest() { options_.dispatcher.lease = std::chrono::hours(1); }

  void AwaitWorkerState(const std::string& name, const std::string& state) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    json workers;
    while (std::chrono::steady_clock::now() < deadline) {
      workers = client_->Ask("workers", json::object()).body.at("workers");
      for (const json& worker : workers) {
        if (worker.at("name") == name && worker.at("state") == state) return;
      }
    }
    FAIL() << name << " is not " << state << ": " << workers.dump();
  }
};

TEST_F(ConnectionTest, GivesTheTasksOfAProcessThatIsGoneToAnotherWorker) {
  std::optional<ScriptedWorker> killed(std::in_place, Endpoint("worker"), "host/killed");
  killed->Register();
  const std::string job = SubmitJob(*client_);
  const Message first = killed->Expect("assign");
  ScriptedWorker other(Endpoint("worker"), "host/other");
  other.Register();
  killed.reset();  // the kernel closes what a killed process had open
  const Message second = other.Expect("assign");
  EXPECT_EQ(second.body.at("task"), first.body.at("task"));
  EXPECT_GT(second.body.at("fence").get<Fence>(), first.body.at("fence").get<Fence>());
  EXPECT_EQ(GetJob(*client_, job).at("job").at("attempt"), 1);
}

TEST_F(ConnectionTest, AcceptsReportsOfAProcessThatIsGone) {
  std::optional<ScriptedWorker> worker(std::in_place, Endpoint("worker"), "host/1");
  worker->slots = 2;
  worker->Register();
  const std::string done = SubmitJob(*client_);
  const Message assign = worker->Expect("assign");
  const std::string other = SubmitJob(*client_);
  worker->Expect("assign");
  const std::string third = SubmitJob(*client_);
  // The broker reads it after the connection has closed.
  disk_->Hold();
  const std::string id = client_->Send("submit", SubmitBody(samples::SmallJob()));
  disk_->AwaitHeldCommit();
  worker->Send("finished", MakeFiles(*worker, assign));
  worker->SendBeforeClosing();
  worker.reset();
  disk_->Release();
  AwaitState(*client_, done, "succeeded");
  AwaitState(*client_, other, "queued");
  EXPECT_EQ(StateOf(*client_, third), "queued");
  EXPECT_EQ(client_->Ask("attempts", {{"job_id", third}}).body.at("attempts"), json::array())
      << "given to one that is gone";
}

TEST_F(ConnectionTest, ALateRegistrationDoesNotReplaceTheWorkersNewProcess) {
  std::optional<ScriptedWorker> gone(std::in_place, Endpoint("worker"), "host/1");
  gone->Register();
  ScriptedWorker successor(Endpoint("worker"), "host/1");
  EXPECT_EQ(successor.Beat().type, "unknown_worker");
  disk_->Hold();
  client_->Send("submit", SubmitBody(samples::SmallJob()));
  disk_->AwaitHeldCommit();
  // Read in turns with what the successor says, so that some of it comes after that.
  constexpr int kTimes = 300;
  for (int i = 0; i < kTimes; ++i) gone->Send("register", gone->RegisterBody());
  gone->SendBeforeClosing();
  gone.reset();
  const std::string id = successor.Send("register", successor.RegisterBody());
  disk_->Release();
  successor.ExpectWhere([&](const Message& message) { return message.id == id; }, "registered");
  EXPECT_EQ(successor.Beat().type, "orders");
}

class PatientTest : public ConnectionTest {
 protected:
  PatientTest() { options_.dispatcher.reconnect = std::chrono::hours(1); }
};

TEST_F(PatientTest, AConnectionThatBreaksCostsALivingWorkerNothing) {
  std::optional<ScriptedWorker> worker(std::in_place, Endpoint("worker"), "host/1");
  worker->Register();
  const std::string job = SubmitJob(*client_);
  const Message assign = worker->Expect("assign");
  const json report = MakeFiles(*worker, assign);
  const std::string instance = worker->instance();
  worker.reset();
  AwaitWorkerState("host/1", "unreachable");

  ScriptedPeer again(Endpoint("worker"));
  EXPECT_EQ(again
                .Ask("beat", {{"instance", instance},
                              {"draining", false},
                              {"tasks", json::array({ScriptedWorker::Running(assign, 1)})}})
                .type,
            "orders");
  AwaitWorkerState("host/1", "busy");
  EXPECT_EQ(again.Ask("finished", report).type, "ack");
  AwaitState(*client_, job, "succeeded");
}

class ShortLeaseTest : public BrokerWorkerTest {
 protected:
  ShortLeaseTest() {
    options_.dispatcher.lease = milliseconds(400);
    options_.dispatcher.beat = milliseconds(100);
  }
};

TEST_F(ShortLeaseTest, ReturnsTheTaskToTheQueueWhenItsWorkerDisappears) {
  const std::string job = SubmitJob(*client_);
  ScriptedWorker lost(Endpoint("worker"), "host/lost");
  lost.Register();
  const Message first = lost.Expect("assign");

  ScriptedWorker other(Endpoint("worker"), "host/other");
  other.Register();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!other.HasWithin(milliseconds(0), "assign") &&
         std::chrono::steady_clock::now() < deadline) {
    // Unregistered by silence on a slow machine, it comes back.
    if (other.Beat().type == "unknown_worker") other.Register();
  }
  const Message second = other.Expect("assign");
  EXPECT_EQ(second.body.at("task"), first.body.at("task"));
  EXPECT_GT(second.body.at("fence").get<Fence>(), first.body.at("fence").get<Fence>());

  // The first one wakes up and reports, too late.
  lost.Register();
  EXPECT_EQ(lost.Ask("finished", MakeFiles(lost, first)).type, "lease_lost");
  EXPECT_NE(StateOf(*client_, job), "succeeded");
  // The client is not charged for it.
  EXPECT_EQ(GetJob(*client_, job).at("job").at("attempt"), 1);
}

TEST_F(BrokerWorkerTest, KeepsJobsAndLeasesOverARestart) {
  std::optional<ScriptedWorker> worker(std::in_place, Endpoint("worker"), "host/1");
  worker->Register();
  const std::string running = SubmitJob(*client_);
  const std::string waiting = SubmitJob(*client_);
  const Message assign = worker->Expect("assign");
  EXPECT_EQ(assign.body.at("job"), running);

  Restart();
  EXPECT_EQ(StateOf(*client_, running), "running");
  EXPECT_EQ(StateOf(*client_, waiting), "queued");
  const json lease = {{"task", assign.body.at("task")}, {"fence", assign.body.at("fence")}};
  EXPECT_EQ(worker->Beat(json::array({ScriptedWorker::Running(assign, 50)})).type,
            "unknown_worker");
  const Message registered = worker->Register(json::array({lease}));
  EXPECT_EQ(registered.type, "registered");
  EXPECT_EQ(registered.body.at("lost"), json::array());
  EXPECT_EQ(worker->Ask("finished", MakeFiles(*worker, assign)).type, "ack");
  AwaitState(*client_, running, "succeeded");
  EXPECT_EQ(worker->Expect("assign").body.at("job"), waiting);
}

TEST_F(BrokerWorkerTest, RefusesNewJobsButAnswersWhatHasArrivedWhenItStops) {
  // Both are there when the broker looks up: the commit before holds it.
  disk_->Hold();
  const std::string first = client_->Send("submit", SubmitBody(samples::SmallJob()));
  disk_->AwaitHeldCommit();
  std::thread stopper([this] { Stop(); });
  disk_->Release();
  stopper.join();
  const Message reply =
      client_->ExpectWhere([&](const Message& message) { return message.id == first; }, "a reply");
  EXPECT_EQ(reply.type, "ok");
}

}  // namespace
}  // namespace millrace::broker
