#include "api/live/job_waiter.h"

#include <algorithm>
#include <utility>

#include "api/reply/replies.h"
#include "core/model/job.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
namespace {

constexpr std::chrono::milliseconds kReread{2000};
constexpr std::chrono::milliseconds kCatchUp{100};
constexpr size_t kSlice = 200;

bool IsTerminalName(const std::string& name) {
  const auto state = JobStateFromName(name);
  return state && IsTerminal(*state);
}

}  // namespace

struct JobWaiter::Parked {
  Wait wait;
  bool answered_once = false;  // a first reply has been seen: the broker was there
  bool time_is_over = false;
  bool forgotten = false;

  // Returns whether `reply` ends the wait. A broker that goes away in the middle does not, until
  // the time of the wait is over: it may be back before.
  bool EndsWith(const BrokerReply& reply) {
    const bool first = !std::exchange(answered_once, true);
    if (time_is_over || forgotten) return true;
    if (const auto* error = std::get_if<Error>(&reply)) {
      return first || error->code() != ErrorCode::kBrokerUnavailable;
    }
    return wait.satisfied(ReadReply<message::JobReply>(std::get<nlohmann::json>(reply)).job);
  }
};

JobWaiter::JobWaiter(BrokerClient& broker) : broker_(broker) {
  broker_.Listen([this](const BrokerEvent& event) { OnEvent(event); });
}

std::weak_ptr<JobWaiter::Parked> JobWaiter::Park(Wait wait) {
  auto parked = std::make_shared<Parked>();
  parked->wait = std::move(wait);
  broker_.Post([this, parked] {
    const std::string& job_id = parked->wait.job_id;
    parked->time_is_over = released_;
    jobs_[job_id].waits.push_back(parked);
    // Read after it was parked, so that no change can fall in between.
    Read(job_id);
    PlanRound();
  });
  broker_.After(parked->wait.at_most, [this, waiting = std::weak_ptr(parked)] {
    const auto parked = waiting.lock();
    if (parked == nullptr) return;
    parked->time_is_over = true;
    Read(parked->wait.job_id);
  });
  return parked;
}

void JobWaiter::Forget(std::weak_ptr<Parked> parked) {
  broker_.Post([this, parked = std::move(parked)] {
    const auto waiting = parked.lock();
    if (waiting == nullptr) return;
    waiting->forgotten = true;
    const auto found = jobs_.find(waiting->wait.job_id);
    if (found == jobs_.end()) return;
    std::erase(found->second.waits, waiting);
    if (found->second.waits.empty() && !found->second.reading) jobs_.erase(found);
  });
}

void JobWaiter::ReleaseAll() {
  broker_.Post([this] {
    released_ = true;
    std::vector<std::string> ids;
    for (const auto& [id, watched] : jobs_) {
      ids.push_back(id);
      for (const auto& parked : watched.waits) parked->time_is_over = true;
    }
    for (const std::string& id : ids) Read(id);
  });
}

void JobWaiter::OnEvent(const BrokerEvent& event) {
  if (const auto* job = std::get_if<message::JobEvent>(&event)) {
    OnChange(job->job, IsTerminalName(job->state));
  } else if (const auto* progress = std::get_if<message::ProgressEvent>(&event)) {
    OnChange(progress->job, /*has_ended=*/false);
  } else {
    rereading_.Hurry();
    PlanNextSlice();
  }
}

void JobWaiter::OnChange(const std::string& job_id, bool has_ended) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  const bool matters =
      has_ended || std::ranges::any_of(found->second.waits, [](const auto& parked) {
        return !parked->wait.until_finished;
      });
  if (matters) Read(found->first);
}

void JobWaiter::Read(const std::string& job_id) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  if (found->second.reading) {
    found->second.changed_meanwhile = true;
    return;
  }
  found->second.reading = true;
  ++reads_;
  broker_.Call(message::GetJob{{.job_id = job_id}},
               [this, job_id](const BrokerReply& reply) { OnRead(job_id, reply); });
}

void JobWaiter::OnRead(const std::string& job_id, const BrokerReply& reply) {
  --reads_;
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  Watched& watched = found->second;
  watched.reading = false;
  const bool again = std::exchange(watched.changed_meanwhile, false);
  const auto ended =
      std::stable_partition(watched.waits.begin(), watched.waits.end(),
                            [&](const auto& parked) { return !parked->EndsWith(reply); });
  const std::vector<std::shared_ptr<Parked>> over(ended, watched.waits.end());
  watched.waits.erase(ended, watched.waits.end());
  if (watched.waits.empty()) {
    jobs_.erase(found);
  } else if (again) {
    Read(job_id);
  }
  for (const auto& parked : over) {
    if (!parked->forgotten) parked->wait.done(reply);
  }
}

void JobWaiter::PlanRound() {
  if (std::exchange(round_planned_, true)) return;
  broker_.After(kReread, [this] {
    round_planned_ = false;
    if (jobs_.empty()) return;
    ReadSlice();
    PlanRound();
  });
}

void JobWaiter::PlanNextSlice() {
  if (jobs_.empty() || std::exchange(slice_planned_, true)) return;
  broker_.After(kCatchUp, [this] {
    slice_planned_ = false;
    ReadSlice();
  });
}

void JobWaiter::ReadSlice() {
  for (const std::string& id : rereading_.Next(jobs_, kSlice - std::min(kSlice, reads_))) Read(id);
  if (rereading_.IsInAHurry()) PlanNextSlice();
}

}  // namespace millrace::api
