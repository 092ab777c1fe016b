#include "api/link/broker_client.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <thread>
#include <unordered_map>
#include <vector>
#include <zmq.hpp>

#include "api/link/pending_call.h"
#include "api/link/wake_up.h"
#include "core/base/log.h"
#include "core/base/mutex.h"
#include "core/model/message.h"

namespace millrace::api {
namespace {

using std::chrono::milliseconds;
using Time = std::chrono::steady_clock::time_point;

constexpr int64_t kMaxFrameBytes = 8 * 1024 * 1024;
constexpr int kReconnectMs = 50;
constexpr int kHeartbeatMs = 1000;
constexpr int kHeartbeatTimeoutMs = 3000;
// Work taken from one socket before the others are looked at again.
constexpr int kBatch = 256;
constexpr milliseconds kLongestWait{1000};

Time Now() { return std::chrono::steady_clock::now(); }

void ConfigureSocket(zmq::socket_t& socket) {
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::maxmsgsize, kMaxFrameBytes);
  socket.set(zmq::sockopt::reconnect_ivl, kReconnectMs);
  socket.set(zmq::sockopt::heartbeat_ivl, kHeartbeatMs);
  socket.set(zmq::sockopt::heartbeat_timeout, kHeartbeatTimeoutMs);
}

// The end of a pair on which ZeroMQ tells each time that `socket` has been connected.
zmq::socket_t ConnectionsOf(zmq::socket_t& socket, zmq::context_t& context) {
  constexpr const char* kPlace = "inproc://connections";
  if (zmq_socket_monitor(socket.handle(), kPlace, ZMQ_EVENT_HANDSHAKE_SUCCEEDED) != 0) {
    throw zmq::error_t();
  }
  zmq::socket_t connections(context, zmq::socket_type::pair);
  connections.set(zmq::sockopt::linger, 0);
  connections.connect(kPlace);
  return connections;
}

// Returns no frames if nothing has arrived.
Frames ReceiveFrames(zmq::socket_t& socket) {
  Frames frames;
  zmq::message_t frame;
  while (socket.recv(frame, zmq::recv_flags::dontwait)) {
    frames.push_back(frame.to_string());
    if (!frame.more()) break;
  }
  return frames;
}

}  // namespace

class BrokerClient::Link {
 public:
  explicit Link(BrokerClientOptions options)
      : options_(std::move(options)),
        dealer_(context_, zmq::socket_type::dealer),
        events_(context_, zmq::socket_type::sub),
        connections_(ConnectionsOf(events_, context_)) {
    ConfigureSocket(dealer_);
    // Nothing is queued for a broker that is not there: requests wait in pending_, where they have
    // deadlines, and a broker that comes back is not flooded with what nobody waits for any more.
    dealer_.set(zmq::sockopt::immediate, true);
    dealer_.set(zmq::sockopt::rcvhwm, 0);  // bounded by what was asked
    dealer_.connect(options_.client_endpoint);
    ConfigureSocket(events_);
    for (const std::string_view topic : {topic::kJob, topic::kProgress}) {
      events_.set(zmq::sockopt::subscribe, std::string(topic));
    }
    events_.connect(options_.event_endpoint);
    thread_ = std::thread([this] { Run(); });
  }

  ~Link() {
    Post([this] { stopping_ = true; });
    thread_.join();
  }

  const BrokerClientOptions& options() const { return options_; }

  void Post(std::function<void()> task) {
    bool ring = false;
    {
      const MutexLock lock(mutex_);
      ring = posted_.empty();
      posted_.push_back(std::move(task));
    }
    if (ring) wake_up_.Ring();
  }

  void Start(std::shared_ptr<PendingCall> call) {
    Post([this, call = std::move(call)] {
      pending_.emplace(call->id, call);
      Send(*call);
      PlanLook(*call);
    });
  }

  void At(Time time, std::function<void()> task) { planned_.emplace(time, std::move(task)); }

  void AddListener(EventListener listener) { listeners_.push_back(std::move(listener)); }

 private:
  void Run() {
    while (!stopping_) {
      const auto waiting_to_send = static_cast<short>(unsent_.empty() ? 0 : ZMQ_POLLOUT);
      zmq::pollitem_t items[] = {
          {dealer_.handle(), 0, static_cast<short>(ZMQ_POLLIN | waiting_to_send), 0},
          {events_.handle(), 0, ZMQ_POLLIN, 0},
          {connections_.handle(), 0, ZMQ_POLLIN, 0},
          {nullptr, wake_up_.fd(), ZMQ_POLLIN, 0}};
      if (!Poll(items)) continue;
      if ((items[3].revents & ZMQ_POLLIN) != 0) RunPosted();
      if ((items[0].revents & ZMQ_POLLOUT) != 0) SendWaiting();
      if ((items[0].revents & ZMQ_POLLIN) != 0) ReceiveReplies();
      if ((items[2].revents & ZMQ_POLLIN) != 0) OnConnections();
      if ((items[1].revents & ZMQ_POLLIN) != 0) ReceiveEvents();
      RunPlanned();
    }
    GiveUp();
  }

  bool Poll(std::span<zmq::pollitem_t> items) {
    Time until = Now() + kLongestWait;
    if (!planned_.empty()) until = std::min(until, planned_.begin()->first);
    // Rounded up: a wait that ends just before its time would spin.
    const auto wait = std::chrono::ceil<milliseconds>(std::max(until - Now(), Time::duration(0)));
    try {
      zmq::poll(items.data(), items.size(), wait);
      return true;
    } catch (const zmq::error_t& error) {
      if (error.num() == EINTR) return false;
      throw;
    }
  }

  void RunPosted() {
    std::vector<std::function<void()>> tasks;
    wake_up_.Clear();
    {
      const MutexLock lock(mutex_);
      tasks.swap(posted_);
    }
    for (const auto& task : tasks) Guarded(task);
  }

  void RunPlanned() {
    const Time now = Now();
    while (!planned_.empty() && planned_.begin()->first <= now) {
      const auto task = std::move(planned_.begin()->second);
      planned_.erase(planned_.begin());
      Guarded(task);
    }
  }

  // A callback that throws must not end the link for all others.
  template <typename Task>
  static void Guarded(const Task& task) {
    try {
      task();
    } catch (const std::exception& error) {
      LogError("a callback of the broker link failed", {{"error", error.what()}});
    }
  }

  bool TrySend(const Frames& frames) {
    for (size_t i = 0; i < frames.size(); ++i) {
      const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
      // Only the first frame can be refused.
      if (!dealer_.send(zmq::buffer(frames[i]), more | zmq::send_flags::dontwait)) return false;
    }
    return true;
  }

  void Send(PendingCall& call) {
    call.sent = unsent_.empty() && TrySend(call.frames);
    call.last_sent = Now();
    if (!call.sent) unsent_.push_back(call.id);
  }

  void SendWaiting() {
    while (!unsent_.empty()) {
      const auto found = pending_.find(unsent_.front());
      if (found != pending_.end()) {
        if (!TrySend(found->second->frames)) return;
        found->second->sent = true;
        found->second->last_sent = Now();
      }
      unsent_.pop_front();
    }
  }

  void PlanLook(const PendingCall& call) {
    At(std::min(call.deadline, Now() + options_.repeat), [this, id = call.id] { LookAfter(id); });
  }

  // Ends the call if its time is over, else sends it again.
  void LookAfter(const std::string& id) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    PendingCall& call = *found->second;
    const Time now = Now();
    const bool silent = now - std::max(call.started, last_heard_) >= options_.deadline;
    if ((silent && call.manner != Manner::kPatiently) ||
        (call.manner != Manner::kOnce && now >= call.deadline)) {
      Finish(id, Error(ErrorCode::kBrokerUnavailable, "the broker does not answer; try again"));
      return;
    }
    if (now >= call.deadline) {
      Finish(id, Error(ErrorCode::kDeadlineExceeded, "no answer within the time allowed"));
      return;
    }
    if (call.sent && IsToBeRepeated(call)) {
      Send(call);
    } else if (call.sent) {
      AskForASignOfLife(call);
    }
    PlanLook(call);
  }

  // What costs a busy broker much must not queue up there in copies. It answers in order: once it
  // has answered a ping that was sent later, it will never answer the call, or is about to.
  bool IsToBeRepeated(const PendingCall& call) const {
    if (call.manner == Manner::kPatiently) return last_answered_ping_ > call.last_sent;
    return call.manner == Manner::kRepeated;
  }

  // What it brings is waited for as long as the call itself.
  void AskForASignOfLife(const PendingCall& call) {
    const auto answered = [this, sent = Now()](const BrokerReply& reply) {
      if (std::holds_alternative<Error>(reply)) return;
      last_answered_ping_ = std::max(last_answered_ping_, sent);
    };
    const auto ping =
        MakeCall(message::kPing, nlohmann::json::object(),
                 std::chrono::ceil<milliseconds>(call.deadline - Now()), Manner::kOnce, answered);
    if (!TrySend(ping->frames)) return;
    pending_.emplace(ping->id, ping);
    At(ping->deadline, [this, id = ping->id] {
      Finish(id, Error(ErrorCode::kDeadlineExceeded, "the ping was not answered"));
    });
  }

  void ReceiveReplies() {
    for (int i = 0; i < kBatch; ++i) {
      const Frames frames = ReceiveFrames(dealer_);
      if (frames.empty()) return;
      last_heard_ = Now();
      try {
        TakeReply(DecodeMessage(frames));
      } catch (const std::exception& error) {
        LogWarning("a reply of the broker is malformed", {{"error", error.what()}});
      }
    }
  }

  void TakeReply(Message reply) {
    if (reply.type == message::kOk) {
      Finish(reply.id, std::move(reply.body));
    } else if (reply.type == message::kError) {
      Finish(reply.id, ErrorFromJson(reply.body));
    } else {
      LogWarning("a reply of the broker has an unknown type", {{"type", reply.type}});
    }
  }

  void ReceiveEvents() {
    for (int i = 0; i < kBatch; ++i) {
      const Frames frames = ReceiveFrames(events_);
      if (frames.empty()) return;
      if (frames.size() != 2 || listeners_.empty()) continue;
      const auto body = nlohmann::json::parse(frames[1], nullptr, /*allow_exceptions=*/false);
      if (!body.is_object()) continue;
      if (frames[0] == topic::kJob) LookForAGap(body.value("seq", int64_t{0}));
      Tell(frames[0], body);
    }
  }

  // They count the events of all jobs.
  void LookForAGap(int64_t sequence) {
    const int64_t last = std::exchange(last_sequence_, sequence);
    if (last != 0 && sequence != last && sequence != last + 1) Tell(kEventsLost, nullptr);
  }

  void OnConnections() {
    while (!ReceiveFrames(connections_).empty()) {
      // Nobody has relied on what was published before the first.
      if (std::exchange(was_connected_, true)) Tell(kEventsLost, nullptr);
    }
  }

  void Tell(std::string_view topic, const nlohmann::json& body) {
    for (const EventListener& listener : listeners_) Guarded([&] { listener(topic, body); });
  }

  // Does nothing for an id that is not waited for: the answer to a repetition, or one come too
  // late.
  void Finish(const std::string& id, BrokerReply reply) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    const std::shared_ptr<PendingCall> call = found->second;
    pending_.erase(found);
    // Ids that nobody waits for must not gather while the broker is away.
    while (!unsent_.empty() && !pending_.contains(unsent_.front())) unsent_.pop_front();
    Guarded([&] { call->done(std::move(reply)); });
  }

  void GiveUp() {
    RunPosted();
    while (!pending_.empty()) {
      Finish(pending_.begin()->first,
             Error(ErrorCode::kBrokerUnavailable, "this server is shutting down"));
    }
  }

  const BrokerClientOptions options_;
  WakeUp wake_up_;
  Mutex mutex_;
  std::vector<std::function<void()>> posted_ GUARDED_BY(mutex_);

  // Owned by the link thread.
  zmq::context_t context_;
  zmq::socket_t dealer_;
  zmq::socket_t events_;
  zmq::socket_t connections_;
  std::vector<EventListener> listeners_;
  bool was_connected_ = false;
  int64_t last_sequence_ = 0;
  std::unordered_map<std::string, std::shared_ptr<PendingCall>> pending_;
  std::deque<std::string> unsent_;  // ids that the socket has not taken yet
  std::multimap<Time, std::function<void()>> planned_;
  Time last_heard_{};
  Time last_answered_ping_{};  // when it was sent
  bool stopping_ = false;

  std::thread thread_;
};

BrokerClient::BrokerClient(BrokerClientOptions options)
    : link_(std::make_unique<Link>(std::move(options))) {}

BrokerClient::~BrokerClient() = default;

const BrokerClientOptions& BrokerClient::options() const { return link_->options(); }

void BrokerClient::Call(std::string_view type, nlohmann::json body, Callback done) {
  link_->Start(
      MakeCall(type, std::move(body), options().deadline, Manner::kRepeated, std::move(done)));
}

void BrokerClient::CallOnce(std::string_view type, nlohmann::json body, milliseconds deadline,
                            Callback done) {
  link_->Start(MakeCall(type, std::move(body), deadline, Manner::kOnce, std::move(done)));
}

void BrokerClient::CallPatiently(std::string_view type, nlohmann::json body, milliseconds patience,
                                 Callback done) {
  const auto call = MakeCall(type, std::move(body), patience, Manner::kPatiently, std::move(done));
  Call(message::kPing, nlohmann::json::object(),
       [link = link_.get(), call, patience](BrokerReply reply) {
         if (std::holds_alternative<Error>(reply)) {
           call->done(std::move(reply));
           return;
         }
         call->started = Now();
         call->deadline = call->started + patience;
         link->Start(call);
       });
}

void BrokerClient::Listen(EventListener listener) {
  link_->Post([link = link_.get(), listener = std::move(listener)]() mutable {
    link->AddListener(std::move(listener));
  });
}

void BrokerClient::Post(std::function<void()> task) { link_->Post(std::move(task)); }

void BrokerClient::After(milliseconds delay, std::function<void()> task) {
  link_->Post([link = link_.get(), time = Now() + delay, task = std::move(task)]() mutable {
    link->At(time, std::move(task));
  });
}

}  // namespace millrace::api
