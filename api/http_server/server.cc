#include "api/http_server/server.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <charconv>
#include <csignal>
#include <string_view>

#include "api/http_server/pistache.h"
#include "api/http_server/pistache_worker.h"
#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace millrace::http {
namespace {

using Pistache::Tcp::Listener;

// Endpoint::Options::backlog() of 0.0.5 is ignored; Listener::init() takes it.
constexpr int kBacklog = 4096;

// Listener wants a handler before it binds, though each worker brings its own.
class UnusedHandler final : public Pistache::Tcp::Handler {
  PROTOTYPE_OF(Pistache::Tcp::Handler, UnusedHandler)
  void onInput(const char*, size_t, const std::shared_ptr<Pistache::Tcp::Peer>&) override {}
};

void RaiseOpenFilesLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Pistache::Address ListenAddress(const ServerOptions& options) {
  const bool ipv6 = options.address.find(':') != std::string::npos;
  return {ipv6 ? "[" + options.address + "]" : options.address, Pistache::Port(options.port)};
}

uint16_t LocalPort(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  // The port is at the same place for both families.
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

bool IsListening(int socket) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

// Finds this process's socket that listens on `port`: Listener keeps its descriptor to itself.
int FindListeningSocket(uint16_t port) {
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return -1;
  int found = -1;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (fd >= 0 && IsListening(fd) && LocalPort(fd) == port) found = fd;
  }
  ::closedir(folder);
  return found;
}

// Listener can only stop as a whole, workers included. So its listening socket is replaced by one
// that listens nowhere: the kernel closes the old one, and its descriptor stays valid for the
// accept thread. It must be a socket, because Listener ends the process on ENOTSOCK.
void StopListening(uint16_t port) {
  const int listening = FindListeningSocket(port);
  const UniqueFd silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (listening >= 0 && silent) ::dup3(silent.get(), listening, O_CLOEXEC);
}

}  // namespace

class Server::Impl {
 public:
  Impl(ServerOptions options, Router router, ProblemHooks hooks)
      : options_(std::move(options)),
        context_(std::make_shared<ServerContext>()),
        pool_(std::make_shared<WorkerPool>()) {
    context_->limits = options_.limits;
    context_->clock = options_.clock;
    context_->router = std::move(router);
    context_->hooks = std::move(hooks);
  }

  void Start();
  void Stop(std::chrono::milliseconds grace);
  uint16_t port() const { return port_; }
  size_t open_connections() const { return context_->open_connections.value(); }

 private:
  const ServerOptions options_;
  const std::shared_ptr<ServerContext> context_;
  const std::shared_ptr<WorkerPool> pool_;
  std::unique_ptr<Listener> listener_;  // between Start() and Stop()
  uint16_t port_ = 0;
};

void Server::Impl::Start() {
  std::signal(SIGPIPE, SIG_IGN);
  RaiseOpenFilesLimit();
  auto listener = std::make_unique<Listener>();
  using Pistache::Tcp::Options;
  listener->init(
      static_cast<size_t>(options_.threads),
      Pistache::Flags<Options>(Options::ReuseAddr | Options::NoDelay | Options::CloseOnExec),
      "millrace-http", kBacklog);
  listener->setHandler(std::make_shared<UnusedHandler>());
  listener->setTransportFactory(
      [this] { return std::make_shared<PistacheWorker>(context_, pool_); });
  try {
    listener->bind(ListenAddress(options_));
  } catch (const std::exception& error) {
    throw Error(ErrorCode::kInternal, "cannot listen on " + options_.address + " port " +
                                          std::to_string(options_.port) + ": " + error.what());
  }
  port_ = static_cast<uint16_t>(listener->getPort());
  listener->runThreaded();
  listener_ = std::move(listener);
}

void Server::Impl::Stop(std::chrono::milliseconds grace) {
  if (!listener_) return;
  const Clock& clock = *options_.clock;
  const MonotonicTime deadline = clock.Now() + grace;
  StopListening(port_);
  context_->draining = true;
  pool_->DrainAll();
  auto& open = context_->open_connections;
  if (!open.WaitForNone(clock, deadline)) pool_->KillAll();
  // A connection that was on its way to a worker joins after the order; a handler that does not
  // return holds its worker, and nothing can end it from outside.
  while (!open.WaitForNone(clock, clock.Now() + std::chrono::seconds(1))) {
    pool_->KillAll();
  }
  listener_->shutdown();
  listener_.reset();
}

Server::Server(ServerOptions options, Router router, ProblemHooks hooks)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(router), std::move(hooks))) {}

Server::~Server() { Stop(std::chrono::milliseconds(0)); }

void Server::Start() { impl_->Start(); }

void Server::Stop(std::chrono::milliseconds grace) { impl_->Stop(grace); }

uint16_t Server::port() const { return impl_->port(); }

size_t Server::open_connections() const { return impl_->open_connections(); }

}  // namespace millrace::http
