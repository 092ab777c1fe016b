#include <gmock/gmock.h>

#include <functional>

#include "tests/broker/dispatcher/harness.h"

// Each thing that can happen, in each state that a job can be in.

namespace millrace::broker {
namespace {

using enum JobState;

// Where a job can be. Burying is under way in kBurying and kVanished; in kPurged the job is dead,
// but its letter has left the queue.
enum class Stand {
  kQueued,
  kRunning,
  kRetryWait,
  kCancelling,
  kPublishing,
  kBurying,
  kVanished,
  kDead,
  kPurged
};

struct Stimulus {
  std::string name;
  std::function<void(Harness&, const std::string& job)> act;
  // The job's state after it; a stand that is not listed stays as it is.
  std::map<Stand, JobState> leads_to;
};

class TransitionTest : public DispatcherTest {
 protected:
  // Brings a new job there; the only worker has one slot and two infrastructure failures are one
  // too many.
  static std::string Bring(Harness& harness, Stand stand) {
    harness.options.max_infrastructure_failures = 1;
    harness.Start();
    if (stand == Stand::kQueued) return harness.Submit();
    harness.Register("host/1");
    const std::string job = harness.Submit();
    switch (stand) {
      case Stand::kRetryWait:
        harness.FailJob(job, ErrorCode::kStorageError);
        break;
      case Stand::kCancelling:
        harness.Cancel(job);
        break;
      case Stand::kPublishing:
        harness.FinishJob(job);
        break;
      case Stand::kBurying:
        harness.FailJob(job, ErrorCode::kNoStreams);
        break;
      case Stand::kVanished:
        harness.FinishJob(job);
        harness.PublishFailed(job, ErrorCode::kOutputNotFound);
        harness.FinishJob(job);
        harness.PublishFailed(job, ErrorCode::kOutputNotFound);
        break;
      case Stand::kDead:
      case Stand::kPurged:
        harness.FailJob(job, ErrorCode::kNoStreams);
        harness.Buried(job);
        // What a redrive leads to is not covered by a lease that follows at once.
        harness.Beat("host/1#1", json::array(), /*draining=*/true);
        if (stand == Stand::kPurged) harness.Purge(job);
        break;
      case Stand::kQueued:
      case Stand::kRunning:
        break;
    }
    return job;
  }

  static JobState StateOf(Stand stand) {
    switch (stand) {
      case Stand::kQueued:
        return kQueued;
      case Stand::kRunning:
      case Stand::kBurying:
        return kRunning;
      case Stand::kRetryWait:
        return kRetryWait;
      case Stand::kCancelling:
        return kCancelling;
      case Stand::kPublishing:
      case Stand::kVanished:
        return kPublishing;
      case Stand::kDead:
      case Stand::kPurged:
        return kDead;
    }
    return kQueued;
  }
};

std::vector<Stimulus> Stimuli() {
  using S = Stand;
  const auto draining = [](Harness& h, const std::string& job) {
    // Not given out again at once, so that the test sees where it went.
    h.Beat("host/1#1", json::array(), /*draining=*/true);
    h.ReleaseJob(job, "draining");
  };
  return {
      {"a worker comes",
       [](Harness& h, const std::string&) { h.Register("host/9"); },
       {{S::kQueued, kRunning}}},
      {"cancel",
       [](Harness& h, const std::string& job) { h.Cancel(job); },
       {{S::kQueued, kCancelled}, {S::kRunning, kCancelling}, {S::kRetryWait, kCancelled}}},
      {"finished",
       [](Harness& h, const std::string& job) { h.FinishJob(job); },
       {{S::kRunning, kPublishing}, {S::kCancelling, kCancelled}}},
      {"failed, may be tried again",
       [](Harness& h, const std::string& job) { h.FailJob(job, ErrorCode::kInputUnreadable); },
       {{S::kRunning, kRetryWait}, {S::kCancelling, kCancelled}}},
      {"failed for good, burying follows",
       [](Harness& h, const std::string& job) { h.FailJob(job, ErrorCode::kNotMedia); },
       {{S::kCancelling, kCancelled}}},
      {"released", draining, {{S::kRunning, kQueued}, {S::kCancelling, kCancelled}}},
      {"published",
       [](Harness& h, const std::string& job) { h.Published(job); },
       {{S::kPublishing, kSucceeded}}},
      {"the files are gone",
       [](Harness& h, const std::string& job) {
         h.Beat("host/1#1", json::array(), /*draining=*/true);
         h.PublishFailed(job, ErrorCode::kOutputNotFound);
       },
       {{S::kPublishing, kQueued}}},
      {"storage fails",
       [](Harness& h, const std::string& job) { h.PublishFailed(job, ErrorCode::kStorageError); },
       {}},
      {"buried",
       [](Harness& h, const std::string& job) { h.Buried(job); },
       {{S::kBurying, kDead}, {S::kVanished, kDead}}},
      {"not buried", [](Harness& h, const std::string& job) { h.BuryFailed(job); }, {}},
      {"a minute passes and nobody beats",
       [](Harness& h, const std::string&) { h.Advance(60s); },
       {{S::kRunning, kQueued}, {S::kCancelling, kCancelled}, {S::kRetryWait, kQueued}}},
      {"redrive",
       [](Harness& h, const std::string& job) { h.Redrive(job); },
       {{S::kDead, kQueued}}},
      {"purge", [](Harness& h, const std::string& job) { h.Purge(job); }, {{S::kDead, kDead}}},
      {"expiry", [](Harness& h, const std::string& job) { h.Expire({job}); }, {{S::kDead, kDead}}},
      {"a restart", [](Harness& h, const std::string&) { h.Restart(); }, {}},
  };
}

TEST_F(TransitionTest, EverythingInEveryStateLeadsWhereTheTablesSay) {
  std::set<std::pair<JobState, JobEvent>> walked;
  for (const Stimulus& stimulus : Stimuli()) {
    for (const Stand stand :
         {Stand::kQueued, Stand::kRunning, Stand::kRetryWait, Stand::kCancelling,
          Stand::kPublishing, Stand::kBurying, Stand::kVanished, Stand::kDead, Stand::kPurged}) {
      SCOPED_TRACE(stimulus.name + " at " + std::to_string(static_cast<int>(stand)));
      Harness harness;
      const std::string job = Bring(harness, stand);
      ASSERT_EQ(harness.State(job), StateOf(stand));
      const size_t events = harness.books.events().size();
      stimulus.act(harness, job);
      const auto expected = stimulus.leads_to.find(stand);
      const bool moves = expected != stimulus.leads_to.end();
      EXPECT_EQ(harness.State(job), moves ? expected->second : StateOf(stand));
      EXPECT_EQ(harness.books.events().size(), events + (moves ? 1 : 0));
      EXPECT_EQ(harness.dispatcher->Find(job) == nullptr, IsTerminal(harness.State(job)));
      walked.insert(harness.books.transitions().begin(), harness.books.transitions().end());
    }
  }
  // Every row of the table was walked, but for the two that bury what waits, which only a planner
  // of several tasks can lead to.
  for (const JobState state :
       {kQueued, kRunning, kPublishing, kSucceeded, kRetryWait, kCancelling, kCancelled, kDead}) {
    for (const JobEvent event :
         {JobEvent::kStart, JobEvent::kRequeue, JobEvent::kRetry, JobEvent::kDue,
          JobEvent::kPublish, JobEvent::kPublished, JobEvent::kRedo, JobEvent::kCancel,
          JobEvent::kStopped, JobEvent::kBury, JobEvent::kRedrive, JobEvent::kPurge}) {
      const bool of_several_tasks =
          event == JobEvent::kBury && (state == kQueued || state == kRetryWait);
      EXPECT_EQ(walked.contains({state, event}),
                NextState(state, event).has_value() && !of_several_tasks)
          << NameOf(state) << " by " << NameOf(event);
    }
  }
}

}  // namespace
}  // namespace millrace::broker
