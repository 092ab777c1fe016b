#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/model/message.h"
#include "transcoder/worker/lease.h"
#include "transcoder/worker/task_host.h"

namespace millrace::worker {

// Sends messages to the broker; implemented by BrokerLink.
class BrokerTransport {
 public:
  virtual ~BrokerTransport() = default;
  // Sends the message, or loses it: the session repeats what matters.
  virtual void Send(const Message& message) = 0;
  // Drops the connection and makes a new one.
  virtual void Reconnect() = 0;
};

// The worker's description of itself when it registers.
struct WorkerFacts {
  std::string name;
  std::string instance;  // a fresh id of each start
  int slots = 1;
  int probe_slots = 0;
  std::vector<std::string> encoders;
  int cores = 1;
  int64_t memory_bytes = 0;
  std::map<std::string, std::string> labels;
  nlohmann::json versions;
};

// The worker's side of docs/protocol.md: decides what to tell the broker and what to order of the
// task host. Knows no socket, process or file; time comes from the clock given to it. Owned by
// the worker; used by the loop thread only.
//
//             assign              end of the run               ack, lease_lost
//   (nothing) ------> running ------------------------> reporting ------> (nothing)
//                        | cancel, drain, lost             ^  |
//                        v                   cancel, drain |  | cancel: report `released`
//                     stopping ----------------------------'--'
//                        | lost
//                        v
//                    (nothing)
class Session final : public TaskEvents {
 public:
  Session(WorkerFacts facts, std::chrono::milliseconds drain_timeout, const Clock& clock,
          BrokerTransport& transport, TaskHost& host);

  // Call it when the transport has a (new) connection.
  void OnConnected();
  // Takes a message of the broker. Logs a malformed one, which changes nothing.
  void OnMessage(const Message& message);
  // Does everything that is due. Call it after each batch of events and at NextDeadline().
  void Tick();
  MonotonicTime NextDeadline() const;

  // Takes nothing new, lets the running tasks finish within the drain timeout, then leaves. The
  // second call stops them at once; the third leaves without waiting for the broker.
  void Drain();
  // Returns true once nothing is left to do or say.
  bool left() const { return state_ == State::kLeft; }

  void OnStarted(const Lease& lease) override;
  void OnMedia(const Lease& lease, nlohmann::json media) override;
  void OnProgress(const Lease& lease, Progress progress) override;
  void OnFinished(const Lease& lease, Manifest manifest, const ResourceUsage& usage) override;
  void OnFailed(const Lease& lease, AttemptFailure failure) override;
  void OnStopped(const Lease& lease) override;
  void OnProbed(const std::string& probe, nlohmann::json media) override;
  void OnProbeFailed(const std::string& probe, const Error& error) override;

 private:
  enum class State { kRegistering, kRegistered, kLeaving, kLeft };
  enum class Stage { kRunning, kStopping, kReporting };
  enum class StopReason { kLost, kCancelled, kDraining };

  struct Held {
    Lease lease;
    Stage stage = Stage::kRunning;
    StopReason reason = StopReason::kLost;  // meaningful while stopping
    Progress progress;
    int phases_told_at_once = 0;
    nlohmann::json media;               // null until known
    std::optional<int64_t> media_told;  // the beat that first carried it
    bool media_known = false;           // the broker has answered such a beat
    Message report;                     // meaningful while reporting
    MonotonicTime resend_at{};
  };

  // A register or beat that has not been answered.
  struct Asked {
    std::string id;
    int64_t number = 0;
    MonotonicTime sent_at{};
  };

  void Dispatch(const Message& message);
  void OnRegistered(const Message& message);
  void OnOrders(const Message& message);
  void OnUnknownWorker();
  void OnAssign(const Message& message);
  void OnProbe(const Message& message);
  void OnAck(const Message& message);
  void OnLeaseLost(const Message& message);
  void OnErrorReply(const Message& message);

  void Cancel(const Lease& lease);
  void Lose(const Lease& lease);
  // A new lease of a task ends the earlier ones.
  void LoseEarlier(const Lease& lease);
  void StopRun(Held& held, StopReason reason);
  void Report(Held& held, Message report);
  void ReportReleased(Held& held);
  void SendReport(Held& held);
  Held* Find(const Lease& lease);
  Held* FindReport(const std::string& message_id);

  // Sends a message that is answered by its id, and remembers when. Returns its number.
  int64_t Ask(const Message& message);
  std::optional<Asked> TakeAnswered(const std::string& id);
  void SendRegister();
  void SendBeat();
  void SendDueReports();
  Message Released(const Lease& lease, StopReason reason) const;
  void SendReleased(const Lease& lease, StopReason reason);
  void Refuse(const ProbeOrder& order, const Error& error);
  void EndProbe(const message::Probed& answer);

  MonotonicTime BeatDue() const;
  // Call it before acting on anything from outside: a worker that was frozen for longer than its
  // lease must neither act under it nor report what it did under it.
  void CheckLease();
  void OnLeaseOver();
  void CheckDrain();
  bool AtWork() const;
  int Running() const;

  const WorkerFacts facts_;  // constant after construction
  const std::chrono::milliseconds drain_timeout_;
  const Clock& clock_;
  BrokerTransport& transport_;
  TaskHost& host_;

  State state_ = State::kRegistering;
  std::chrono::milliseconds lease_time_;
  std::chrono::milliseconds beat_time_;
  MonotonicTime register_at_;
  MonotonicTime beat_at_;      // when the last beat was sent
  MonotonicTime answered_at_;  // when the last beat that was answered had been sent
  bool changed_ = false;       // there is news for the next beat
  bool urgent_ = false;        // and it does not wait for the time between beats
  std::deque<Asked> asked_;
  int64_t asked_count_ = 0;

  std::map<Lease, Held> leases_;
  std::set<std::string> probes_;
  std::deque<Lease> acknowledged_;  // the last few, against an assign that comes late

  bool draining_ = false;
  MonotonicTime drain_at_ = MonotonicTime::max();  // running tasks are released
  MonotonicTime leave_at_ = MonotonicTime::max();  // nothing is waited for any more
};

}  // namespace millrace::worker
