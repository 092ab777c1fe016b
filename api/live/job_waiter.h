#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/link/broker_client.h"
#include "api/live/rereading.h"

namespace millrace::api {

// Parks answers that wait for something to happen to a job (`Prefer: wait`), without a thread each.
// It reads a job when the broker announces a change of it, and when its time is over. Because
// events may be lost, 200 jobs in turn are read every two seconds besides, and all of them, in
// slices of as many, where it shows that some were. Owned by the Api; it must outlive the
// BrokerClient's thread. All methods may be called from any thread; callbacks run on the link
// thread.
class JobWaiter {
 public:
  struct Wait {
    std::string job_id;
    std::chrono::milliseconds at_most{0};
    // Only the end of the job is waited for; its progress is ignored.
    bool until_finished = false;
    // Decides whether the job, as in a reply to get_job, ends the wait.
    std::function<bool(const nlohmann::json& job)> satisfied;
    // Called once, with the last reply to get_job: satisfied, or as it is when the time is over, or
    // an error.
    std::function<void(BrokerReply reply)> done;
  };
  struct Parked;

  explicit JobWaiter(BrokerClient& broker);

  std::weak_ptr<Parked> Park(Wait wait);
  // Ends a wait without calling `done`, because its client has gone.
  void Forget(std::weak_ptr<Parked> parked);
  // Ends all waits now with what is known; later ones end at once.
  void ReleaseAll();

 private:
  // A job that somebody waits for.
  struct Watched {
    std::vector<std::shared_ptr<Parked>> waits;
    bool reading = false;
    bool changed_meanwhile = false;
  };

  void OnEvent(const BrokerEvent& event);
  void OnChange(const std::string& job_id, bool has_ended);
  void Read(const std::string& job_id);
  void OnRead(const std::string& job_id, const BrokerReply& reply);
  void PlanRound();
  void PlanNextSlice();
  void ReadSlice();

  BrokerClient& broker_;
  // Owned by the link thread.
  std::unordered_map<std::string, Watched> jobs_;
  size_t reads_ = 0;  // under way
  Rereading rereading_;
  bool round_planned_ = false;
  bool slice_planned_ = false;
  bool released_ = false;
};

}  // namespace millrace::api
