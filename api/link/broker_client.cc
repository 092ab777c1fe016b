#include "api/link/broker_client.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "api/link/call_table.h"
#include "api/link/guarded.h"
#include "api/link/wake_up.h"
#include "core/base/log.h"
#include "core/base/mutex.h"
#include "core/model/zmq_frames.h"

namespace millrace::api {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kMaxFrameBytes = 8 * 1024 * 1024;
constexpr int kReconnectMs = 50;
constexpr int kHeartbeatMs = 1000;
constexpr int kHeartbeatTimeoutMs = 3000;
// Work taken from one socket before the others are looked at again.
constexpr int kBatch = 256;
constexpr milliseconds kLongestWait{1000};

void ConfigureSocket(zmq::socket_t& socket) {
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::maxmsgsize, kMaxFrameBytes);
  socket.set(zmq::sockopt::reconnect_ivl, kReconnectMs);
  socket.set(zmq::sockopt::heartbeat_ivl, kHeartbeatMs);
  socket.set(zmq::sockopt::heartbeat_timeout, kHeartbeatTimeoutMs);
}

// Returns nullopt for what is no event of a job.
std::optional<BrokerEvent> EventFrom(const Frames& frames) {
  if (frames.size() != 2) return std::nullopt;
  auto body = nlohmann::json::parse(frames[1], nullptr, /*allow_exceptions=*/false);
  if (!body.is_object()) return std::nullopt;
  try {
    if (frames[0] == topic::kJob) return message::Read<message::JobEvent>(std::move(body));
    if (frames[0] == topic::kProgress) {
      return message::Read<message::ProgressEvent>(std::move(body));
    }
  } catch (const Error& error) {
    LogWarning("an event of the broker is malformed", {{"error", error.what()}});
  }
  return std::nullopt;
}

}  // namespace

// The loop over the link's sockets. It does; the table of calls decides what to send.
class BrokerClient::Link {
 public:
  Link(BrokerClientOptions options, const Clock& clock)
      : options_(std::move(options)),
        clock_(clock),
        dealer_(context_, zmq::socket_type::dealer),
        events_(context_, zmq::socket_type::sub),
        connections_(
            MonitorOf(events_, context_, "inproc://connections", ZMQ_EVENT_HANDSHAKE_SUCCEEDED)),
        calls_({.silence = options_.deadline, .repeat = options_.repeat}, clock,
               [this](const Frames& frames) { return SendFrames(dealer_, frames); }) {
    ConfigureSocket(dealer_);
    // Nothing is queued for a broker that is not there: requests wait in the table, where they have
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
    events_.close();  // before its monitor
  }

  const BrokerClientOptions& options() const { return options_; }
  const Clock& clock() const { return clock_; }

  void Post(std::function<void()> task) {
    bool ring = false;
    {
      const MutexLock lock(mutex_);
      ring = posted_.empty();
      posted_.push_back(std::move(task));
    }
    if (ring) wake_up_.Ring();
  }

  // Runs the call, which has just been made or has waited for something else.
  void Start(std::shared_ptr<PendingCall> call, milliseconds allowed) {
    call->started = clock_.Now();
    call->deadline = call->started + allowed;
    Post([this, call = std::move(call)] { calls_.Start(call); });
  }

  // REQUIRES: called on the link thread, as AddListener.
  void At(MonotonicTime time, std::function<void()> task) {
    planned_.emplace(time, std::move(task));
  }

  void AddListener(EventListener listener) { listeners_.push_back(std::move(listener)); }

 private:
  void Run() {
    while (!stopping_) {
      const auto waiting_to_send = static_cast<short>(calls_.HasUnsent() ? ZMQ_POLLOUT : 0);
      zmq::pollitem_t items[] = {
          {dealer_.handle(), 0, static_cast<short>(ZMQ_POLLIN | waiting_to_send), 0},
          {events_.handle(), 0, ZMQ_POLLIN, 0},
          {connections_.handle(), 0, ZMQ_POLLIN, 0},
          {nullptr, wake_up_.fd(), ZMQ_POLLIN, 0}};
      if (!Poll(items)) continue;
      if ((items[3].revents & ZMQ_POLLIN) != 0) RunPosted();
      if ((items[0].revents & ZMQ_POLLOUT) != 0) calls_.OnWritable();
      if ((items[0].revents & ZMQ_POLLIN) != 0) ReceiveReplies();
      if ((items[2].revents & ZMQ_POLLIN) != 0) OnConnections();
      if ((items[1].revents & ZMQ_POLLIN) != 0) ReceiveEvents();
      RunPlanned();
      calls_.Tick();
    }
    RunPosted();
    calls_.EndAll(Error(ErrorCode::kBrokerUnavailable, "this server is shutting down"));
  }

  // Returns false if a signal has ended the wait.
  bool Poll(std::span<zmq::pollitem_t> items) {
    const MonotonicTime now = clock_.Now();
    MonotonicTime until = now + kLongestWait;
    if (!planned_.empty()) until = std::min(until, planned_.begin()->first);
    if (const auto tick = calls_.NextTick()) until = std::min(until, *tick);
    // Rounded up: a wait that ends just before its time would spin.
    const auto wait =
        std::chrono::ceil<milliseconds>(std::max(until - now, MonotonicTime::duration(0)));
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
    const MonotonicTime now = clock_.Now();
    while (!planned_.empty() && planned_.begin()->first <= now) {
      const auto task = std::move(planned_.begin()->second);
      planned_.erase(planned_.begin());
      Guarded(task);
    }
  }

  void ReceiveReplies() {
    for (int i = 0; i < kBatch; ++i) {
      const Frames frames = ReceiveFrames(dealer_);
      if (frames.empty()) return;
      calls_.OnReply(frames);
    }
  }

  void ReceiveEvents() {
    for (int i = 0; i < kBatch; ++i) {
      const Frames frames = ReceiveFrames(events_);
      if (frames.empty()) return;
      if (listeners_.empty()) continue;
      const auto event = EventFrom(frames);
      if (!event) continue;
      if (const auto* job = std::get_if<message::JobEvent>(&*event)) LookForAGap(job->seq);
      Tell(*event);
    }
  }

  // Sequence numbers count the events of all jobs.
  void LookForAGap(int64_t sequence) {
    const int64_t last = std::exchange(last_sequence_, sequence);
    if (last != 0 && sequence != last && sequence != last + 1) Tell(EventsLost());
  }

  void OnConnections() {
    while (!ReceiveFrames(connections_).empty()) {
      // Nobody has relied on what was published before the first.
      if (std::exchange(was_connected_, true)) Tell(EventsLost());
    }
  }

  void Tell(const BrokerEvent& event) {
    for (const EventListener& listener : listeners_) Guarded([&] { listener(event); });
  }

  const BrokerClientOptions options_;
  const Clock& clock_;
  WakeUp wake_up_;
  Mutex mutex_;
  std::vector<std::function<void()>> posted_ GUARDED_BY(mutex_);

  // Owned by the link thread.
  zmq::context_t context_;
  zmq::socket_t dealer_;
  zmq::socket_t events_;
  zmq::socket_t connections_;
  CallTable calls_;
  std::vector<EventListener> listeners_;
  bool was_connected_ = false;
  int64_t last_sequence_ = 0;
  std::multimap<MonotonicTime, std::function<void()>> planned_;
  bool stopping_ = false;

  std::thread thread_;
};

BrokerClient::BrokerClient(BrokerClientOptions options, const Clock& clock)
    : link_(std::make_unique<Link>(std::move(options), clock)) {}

BrokerClient::~BrokerClient() = default;

const BrokerClientOptions& BrokerClient::options() const { return link_->options(); }

void BrokerClient::Call(std::string_view type, nlohmann::json body, Callback done) {
  link_->Start(
      std::make_shared<PendingCall>(type, std::move(body), Manner::kRepeated, std::move(done)),
      options().deadline);
}

void BrokerClient::CallOnce(std::string_view type, nlohmann::json body, milliseconds deadline,
                            Callback done) {
  link_->Start(std::make_shared<PendingCall>(type, std::move(body), Manner::kOnce, std::move(done)),
               deadline);
}

void BrokerClient::CallPatiently(std::string_view type, nlohmann::json body, milliseconds patience,
                                 Callback done) {
  auto call =
      std::make_shared<PendingCall>(type, std::move(body), Manner::kPatiently, std::move(done));
  Call(message::kPing, nlohmann::json::object(),
       [link = link_.get(), call = std::move(call), patience](BrokerReply reply) {
         if (std::holds_alternative<Error>(reply)) {
           call->done(std::move(reply));
         } else {
           link->Start(call, patience);
         }
       });
}

void BrokerClient::Listen(EventListener listener) {
  link_->Post([link = link_.get(), listener = std::move(listener)]() mutable {
    link->AddListener(std::move(listener));
  });
}

void BrokerClient::Post(std::function<void()> task) { link_->Post(std::move(task)); }

void BrokerClient::After(milliseconds delay, std::function<void()> task) {
  const MonotonicTime time = link_->clock().Now() + delay;
  link_->Post([link = link_.get(), time, task = std::move(task)]() mutable {
    link->At(time, std::move(task));
  });
}

}  // namespace millrace::api
