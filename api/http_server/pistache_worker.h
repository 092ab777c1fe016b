#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "api/http_server/pistache.h"
#include "api/http_server/worker.h"
#include "core/base/mutex.h"
#include "core/base/unique_fd.h"

namespace millrace::http {

class PistacheWorker;

// Gives orders to all workers of a server. May be called from any thread.
class WorkerPool {
 public:
  void Join(PistacheWorker* worker);
  void Leave(PistacheWorker* worker);
  void DrainAll();
  void KillAll();

 private:
  Mutex mutex_;
  std::vector<PistacheWorker*> workers_ GUARDED_BY(mutex_);
};

// One of Pistache's epoll threads. Pistache accepts connections, spreads them over its workers,
// waits for their readiness and calls onReady(). What it would do then (read 4 KiB at a time,
// parse, queue writes by descriptor number) is where the measured defects of 0.0.5 are: answers to
// the wrong client, a parser that loops for ever on a cut chunk, a busy loop on EAGAIN, bodies held
// whole and copied three times, 415 and 500 for ordinary headers. Transport is made to be derived
// from (Listener::setTransportFactory), so readiness of client sockets goes to our own Connection,
// and only Pistache's internal queues go to the base class.
//
// Owned by Pistache's reactor. Drain() and Kill(), and the methods that Worker says so of, may be
// called from any thread; all else happens on the worker's thread.
class PistacheWorker final : public Pistache::Tcp::Transport, public Worker {
 public:
  PistacheWorker(std::shared_ptr<ServerContext> context, std::shared_ptr<WorkerPool> pool);
  ~PistacheWorker() override;

  // A client was accepted; called before its socket is registered for readiness.
  void Adopt(const std::shared_ptr<Pistache::Tcp::Peer>& peer);
  void Drain();
  void Kill();

  // Pistache::Tcp::Transport.
  void registerPoller(Pistache::Polling::Epoll& poller) override;
  void onReady(const Pistache::Aio::FdSet& fds) override;
  std::shared_ptr<Pistache::Aio::Handler> clone() const override;

  // Worker.
  void Post(std::shared_ptr<Connection> connection) override;
  void WatchWrites(int socket) override;
  void Remove(int socket) override;
  std::span<char> ReadBuffer() override { return read_buffer_; }

 private:
  struct Client {
    std::shared_ptr<Pistache::Tcp::Peer> peer;
    std::shared_ptr<Connection> connection;
  };

  void ForwardToPistache(Pistache::Polling::Tag tag);
  void Wake();
  void RunOrders();
  void Tick();
  void SetTicking(bool on);
  std::vector<std::shared_ptr<Connection>> AllConnections() const;

  const std::shared_ptr<ServerContext> context_;
  const std::shared_ptr<WorkerPool> pool_;
  const UniqueFd wake_fd_;
  const UniqueFd timer_fd_;

  // Worker thread only.
  std::unordered_map<int, Client> clients_;  // by socket
  std::vector<char> read_buffer_;
  bool ticking_ = false;

  Mutex mutex_;
  std::vector<std::shared_ptr<Connection>> posted_ GUARDED_BY(mutex_);
  bool drain_ordered_ GUARDED_BY(mutex_) = false;
  bool kill_ordered_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace::http
