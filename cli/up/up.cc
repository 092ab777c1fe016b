#include "cli/up/up.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "cli/base/exit_status.h"
#include "cli/client/http_client.h"
#include "cli/up/child_process.h"
#include "cli/up/supervisor.h"
#include "core/base/data_lock.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kProbeTimeout{500};
constexpr milliseconds kStopSlack{3'000};  // for a worker to hand back unfinished tasks

// The folder of the programs' sockets: <data_dir>/run, or, if that path is too long for a socket's
// name, a temporary folder that the destructor removes.
class Meeting {
 public:
  explicit Meeting(const std::filesystem::path& data_dir) : folder_(data_dir / "run") {
    if ((folder_ / "client.sock").string().size() < sizeof(sockaddr_un::sun_path)) return;
    std::string name = (std::filesystem::temp_directory_path() / "millrace-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) ThrowStorageError(errno, "create", name);
    folder_ = name;
    temporary_ = true;
  }
  ~Meeting() {
    std::error_code ignored;
    if (temporary_) std::filesystem::remove_all(folder_, ignored);
  }
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  std::string Endpoint(const std::string& name) const {
    return "ipc://" + (folder_ / (name + ".sock")).string();
  }

 private:
  std::filesystem::path folder_;
  bool temporary_ = false;
};

double Seconds(milliseconds time) { return static_cast<double>(time.count()) / 1000; }

std::string HostName() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

// Returns the programs in their starting order. They are stopped in reverse, the api after the
// workers, so that clients can watch the end.
std::vector<SupervisedProgram> Programs(const UpOptions& options, const Meeting& meeting,
                                        uint16_t port) {
  const std::filesystem::path folder =
      options.programs_dir.empty() ? OwnFolder() : options.programs_dir;
  const std::vector<std::string> common = {"--data-dir",        options.data_dir.string(),
                                           "--log-level",       options.log_level,
                                           "--client-endpoint", meeting.Endpoint("client"),
                                           "--worker-endpoint", meeting.Endpoint("worker"),
                                           "--event-endpoint",  meeting.Endpoint("event")};
  const auto with = [&common](std::vector<std::string> more) {
    more.insert(more.begin(), common.begin(), common.end());
    return more;
  };
  std::vector<SupervisedProgram> programs = {
      {.name = "broker",
       .program = folder / "millrace-broker",
       .arguments = common,
       .stop_stage = 2},
      {.name = "api",
       .program = folder / "millrace-api",
       .arguments = with({"--listen-address", options.host, "--listen-port", std::to_string(port)}),
       .stop_stage = 1}};
  for (int number = 1; number <= options.workers; ++number) {
    std::vector<std::string> arguments =
        with({"--name", HostName() + "/" + std::to_string(number), "--drain-timeout",
              std::to_string(Seconds(options.drain_timeout))});
    if (options.slots > 0) {
      arguments.insert(arguments.end(), {"--slots", std::to_string(options.slots)});
    }
    programs.push_back({.name = "worker-" + std::to_string(number),
                        .program = folder / "millrace-worker",
                        .arguments = std::move(arguments),
                        .stop_stage = 0,
                        .stop_timeout = options.drain_timeout + kStopSlack});
  }
  return programs;
}

void CheckPrograms(const std::vector<SupervisedProgram>& programs) {
  for (const SupervisedProgram& program : programs) {
    if (access(program.program.c_str(), X_OK) == 0) continue;
    throw Error(ErrorCode::kInternal, "cannot run " + program.program.string() + ": " +
                                          std::strerror(errno) +
                                          "; --programs-dir names the folder of the programs");
  }
}

// Returns the URL to connect to, which for a wildcard address is that of loopback.
std::string UrlOf(const std::string& host, uint16_t port) {
  return "http://" + (host == "0.0.0.0" ? "127.0.0.1" : host) + ":" + std::to_string(port);
}

// Returns whether the broker accepts jobs and all workers have registered with it.
bool IsServing(HttpClient& http, int workers) {
  try {
    if (http.Send({.path = "/readyz", .timeout = kProbeTimeout}).status != 200) return false;
    const HttpResponse reply = http.Send({.path = "/v1/workers", .timeout = kProbeTimeout});
    const auto body = nlohmann::json::parse(reply.body, nullptr, false);
    return body.is_object() && body.contains("workers") &&
           body["workers"].size() >= static_cast<size_t>(workers);
  } catch (const Error&) {
    return false;  // not listening yet
  }
}

void Announce(const UpOptions& options, const std::string& url) {
  std::printf("Millrace is ready at %s\n", url.c_str());
  std::printf("  data: %s, %d worker%s; Ctrl-C stops it\n", options.data_dir.c_str(),
              options.workers, options.workers == 1 ? "" : "s");
  std::fflush(stdout);
}

}  // namespace

uint16_t ChoosePort(const std::string& host, int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    throw Error(ErrorCode::kInvalidRequest, "--host has to be an IPv4 address, not '" + host + "'");
  }
  const UniqueFd socket_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(socket_fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof(address);
  if (bind(socket_fd.get(), generic, length) != 0 || listen(socket_fd.get(), 1) != 0) {
    const std::string where = host + ":" + std::to_string(port);
    throw Error(ErrorCode::kInternal,
                errno == EADDRINUSE
                    ? where + " is already in use; choose another port with --port (0: a free one)"
                    : "cannot listen on " + where + ": " + std::strerror(errno));
  }
  getsockname(socket_fd.get(), generic, &length);
  return ntohs(address.sin_port);
}

int RunUp(const UpOptions& given) {
  UpOptions options = given;
  options.data_dir = std::filesystem::absolute(options.data_dir).lexically_normal();
  const DataLock lock({.data_dir = options.data_dir, .file = "up.lock", .holder = "millrace up"});
  const Meeting meeting(options.data_dir);
  const std::filesystem::path log_dir = options.data_dir / "logs";
  CreateFolders(log_dir);
  const uint16_t port = ChoosePort(options.host, options.port);
  const std::string url = UrlOf(options.host, port);
  HttpClient http(url);
  std::vector<SupervisedProgram> programs = Programs(options, meeting, port);
  CheckPrograms(programs);
  Supervisor supervisor({.programs = std::move(programs),
                         .log_dir = log_dir,
                         .is_ready = [&http, &options] { return IsServing(http, options.workers); },
                         .on_ready = [&options, &url] { Announce(options, url); },
                         .verbose = options.verbose});
  return supervisor.Run() ? kExitOk : kExitFailed;
}

}  // namespace millrace::cli
