#include "api/http_server/pistache_worker.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "api/http_server/connection.h"

namespace millrace::http {
namespace {

using Pistache::Aio::FdSet;
using Pistache::Polling::Event;
using Pistache::Polling::NotifyOn;
using Pistache::Polling::Tag;

constexpr size_t kReadBufferBytes = 64 << 10;

// Pistache's door for new connections; hands them to its worker. Input never comes this way,
// because the worker takes readiness before Pistache would read.
class PeerHandler final : public Pistache::Tcp::Handler {
  PROTOTYPE_OF(Pistache::Tcp::Handler, PeerHandler)
 public:
  void set_worker(PistacheWorker* worker) { worker_ = worker; }

 private:
  void onConnection(const std::shared_ptr<Pistache::Tcp::Peer>& peer) override {
    worker_->Adopt(peer);
  }
  void onInput(const char*, size_t, const std::shared_ptr<Pistache::Tcp::Peer>&) override {}

  PistacheWorker* worker_ = nullptr;
};

UniqueFd CheckedFd(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return UniqueFd(fd);
}

std::string PeerName(const Pistache::Address& address) {
  return address.host() + ":" + address.port().toString();
}

void DrainCounter(int fd) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd, &count, sizeof count);
}

// Runs one event of a connection. What the connection does not handle itself (no memory left) costs
// that connection only.
template <typename Event>
void Deliver(const std::shared_ptr<Connection>& connection, Event event) {
  try {
    event(*connection);
  } catch (...) {
    connection->Kill();
  }
}

}  // namespace

void WorkerPool::Join(PistacheWorker* worker) {
  MutexLock lock(mutex_);
  workers_.push_back(worker);
}

void WorkerPool::Leave(PistacheWorker* worker) {
  MutexLock lock(mutex_);
  std::erase(workers_, worker);
}

void WorkerPool::DrainAll() {
  MutexLock lock(mutex_);
  for (PistacheWorker* worker : workers_) worker->Drain();
}

void WorkerPool::KillAll() {
  MutexLock lock(mutex_);
  for (PistacheWorker* worker : workers_) worker->Kill();
}

PistacheWorker::PistacheWorker(std::shared_ptr<ServerContext> context,
                               std::shared_ptr<WorkerPool> pool)
    : Transport(std::make_shared<PeerHandler>()),
      context_(std::move(context)),
      pool_(std::move(pool)),
      wake_fd_(CheckedFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")),
      timer_fd_(CheckedFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                          "timerfd_create")) {
  // The base class keeps its handler private; this replaces it by one that knows us.
  auto handler = std::make_shared<PeerHandler>();
  handler->set_worker(this);
  init(handler);
}

PistacheWorker::~PistacheWorker() { pool_->Leave(this); }

std::shared_ptr<Pistache::Aio::Handler> PistacheWorker::clone() const {
  return std::make_shared<PistacheWorker>(context_, pool_);
}

void PistacheWorker::registerPoller(Pistache::Polling::Epoll& poller) {
  Transport::registerPoller(poller);
  for (const int fd : {wake_fd_.get(), timer_fd_.get()}) {
    poller.addFd(fd, Pistache::Flags<NotifyOn>(NotifyOn::Read), Tag(static_cast<uint64_t>(fd)));
  }
  read_buffer_.resize(kReadBufferBytes);
  pool_->Join(this);
}

void PistacheWorker::onReady(const FdSet& fds) {
  for (const auto& entry : fds) {
    const int fd = static_cast<int>(entry.getTag().value());
    if (fd == wake_fd_.get()) {
      RunOrders();
    } else if (fd == timer_fd_.get()) {
      Tick();
    } else if (const auto client = clients_.find(fd); client != clients_.end()) {
      const auto connection = client->second.connection;
      Deliver(connection, [](Connection& c) { c.OnReady(); });
    } else if (entry.isReadable()) {
      ForwardToPistache(entry.getTag());
    }
    // All else is a late event of a client that was closed a moment ago.
  }
}

// One event at a time, looked up only now: an event of a closed client may stand behind the one
// that brings the next client with the same number, and Pistache would read from that one.
void PistacheWorker::ForwardToPistache(Tag tag) {
  std::vector<Event> one(1, Event(tag));
  one.front().flags = Pistache::Flags<NotifyOn>(NotifyOn::Read);
  try {
    Transport::onReady(FdSet(std::move(one)));
  } catch (const std::exception&) {
    // A new socket could not be registered (no memory, or out of epoll watches). It is in clients_
    // already, so its deadline closes it.
  }
}

void PistacheWorker::Adopt(const std::shared_ptr<Pistache::Tcp::Peer>& peer) {
  const int socket = peer->fd();
  auto connection = std::make_shared<Connection>(context_, this, socket, PeerName(peer->address()));
  clients_[socket] = {.peer = peer, .connection = connection};
  SetTicking(true);
  // Closing here would pull the socket from under Pistache, which registers it next: both wait for
  // the first event.
  if (context_->open_connections.Add() > context_->limits.connections) connection->Refuse();
  if (context_->draining) Post(connection);
}

void PistacheWorker::Drain() {
  MutexLock lock(mutex_);
  drain_ordered_ = true;
  Wake();
}

void PistacheWorker::Kill() {
  MutexLock lock(mutex_);
  kill_ordered_ = true;
  Wake();
}

void PistacheWorker::Post(std::shared_ptr<Connection> connection) {
  MutexLock lock(mutex_);
  posted_.push_back(std::move(connection));
  if (posted_.size() == 1) Wake();
}

void PistacheWorker::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(wake_fd_.get(), &one, sizeof one);
}

void PistacheWorker::RunOrders() {
  DrainCounter(wake_fd_.get());
  std::vector<std::shared_ptr<Connection>> posted;
  bool drain = false;
  bool kill = false;
  {
    MutexLock lock(mutex_);
    posted.swap(posted_);
    drain = std::exchange(drain_ordered_, false);
    kill = std::exchange(kill_ordered_, false);
  }
  for (const auto& connection : posted) {
    Deliver(connection, [](Connection& c) { c.OnPosted(); });
  }
  if (!drain && !kill) return;
  for (const auto& connection : AllConnections()) {
    if (drain) Deliver(connection, [](Connection& c) { c.OnDrain(); });
    if (kill) connection->Kill();
  }
}

void PistacheWorker::Tick() {
  DrainCounter(timer_fd_.get());
  const MonotonicTime now = context_->clock->Now();
  for (const auto& connection : AllConnections()) {
    Deliver(connection, [now](Connection& c) { c.OnTick(now); });
  }
  SetTicking(!clients_.empty());
}

// A server without clients sleeps.
void PistacheWorker::SetTicking(bool on) {
  if (on == ticking_) return;
  ticking_ = on;
  itimerspec spec{};
  if (on) {
    const auto tick = context_->limits.tick;
    spec.it_interval.tv_sec = tick.count() / 1000;
    spec.it_interval.tv_nsec = tick.count() % 1000 * 1'000'000;
    spec.it_value = spec.it_interval;
  }
  ::timerfd_settime(timer_fd_.get(), 0, &spec, nullptr);
}

std::vector<std::shared_ptr<Connection>> PistacheWorker::AllConnections() const {
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(clients_.size());
  for (const auto& [socket, client] : clients_) all.push_back(client.connection);
  return all;
}

void PistacheWorker::WatchWrites(int socket) {
  // Edge-triggered, so it can stay on for the connection's life.
  try {
    reactor()->modifyFd(key(), socket, NotifyOn::Read | NotifyOn::Write | NotifyOn::Shutdown,
                        Pistache::Polling::Mode::Edge);
  } catch (const std::exception&) {
    // The kernel had no memory for it; the write-stall deadline ends the connection.
  }
}

void PistacheWorker::Remove(int socket) {
  const auto client = clients_.find(socket);
  const auto peer = std::move(client->second.peer);
  clients_.erase(client);
  context_->open_connections.Remove();
  removePeer(peer);  // closes the socket
}

}  // namespace millrace::http
