#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "api/link/pending_call.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/model/message.h"

namespace millrace::api {

struct CallTimes {
  // A broker that says nothing for this long is unavailable.
  std::chrono::milliseconds silence{1500};
  // A request without an answer is sent again this often.
  std::chrono::milliseconds repeat{400};
};

// The calls that are under way: decides when each is sent, sent again and given up, and hands each
// its reply. Knows no socket and no thread. Owned by the link; used by the link thread alone.
class CallTable {
 public:
  // Hands a message to the broker's connection; returns false if it takes nothing now.
  using Sender = std::function<bool(const Frames&)>;

  // `clock` outlives the table.
  CallTable(CallTimes times, const Clock& clock, Sender send)
      : times_(times), clock_(clock), send_(std::move(send)) {}

  // Sends the call, or keeps it until OnWritable(). Its `done` is called exactly once, out of one
  // of the methods below; an exception out of it is logged.
  void Start(std::shared_ptr<PendingCall> call);

  // Some calls wait for the connection to take them.
  bool HasUnsent() const { return !unsent_.empty(); }
  void OnWritable();
  // Takes a message of the broker, any of which proves that it is alive. Ignores a malformed one,
  // and a reply that nobody waits for: to a repetition, or one that came too late.
  void OnReply(const Frames& frames);

  // When Tick() is due; nullopt: never.
  std::optional<MonotonicTime> NextTick() const;
  // Ends the calls whose time is over and sends others again.
  void Tick();
  // Ends all calls with `error`.
  void EndAll(const Error& error);

 private:
  void Send(PendingCall& call);
  void PlanLook(const PendingCall& call);
  void LookAfter(const std::string& id);
  // Returns why the call ends now; nullopt if it goes on.
  std::optional<Error> Verdict(const PendingCall& call) const;
  bool IsToBeRepeated(const PendingCall& call) const;
  void AskForASignOfLife(const PendingCall& call);
  void Finish(const std::string& id, BrokerReply reply);

  const CallTimes times_;
  const Clock& clock_;
  const Sender send_;
  std::unordered_map<std::string, std::shared_ptr<PendingCall>> pending_;
  std::deque<std::string> unsent_;                   // ids, in the order of their calls
  std::multimap<MonotonicTime, std::string> looks_;  // ids; some have ended
  MonotonicTime last_heard_{};
  MonotonicTime last_answered_ping_{};  // when the last ping that was answered had been sent
};

}  // namespace millrace::api
