#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "api/api.h"
#include "api/http_server/server.h"
#include "api/reply/replies.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/scheduling.h"
#include "core/base/settings.h"

namespace millrace::api {
namespace {

constexpr std::chrono::seconds kShutdownGrace{30};

struct ApiSettings {
  CommonSettings common;
  std::string listen_address = "127.0.0.1";
  int listen_port = 8080;
  int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
  std::filesystem::path presets_dir;
  std::filesystem::path library_dir;
  std::filesystem::path url_file;
  int64_t max_upload_bytes = int64_t{1} << 40;
  std::chrono::milliseconds broker_deadline{1500};
};

void Declare(SettingsParser& parser, ApiSettings& settings) {
  AddCommonSettings(parser, settings.common);
  parser.Add("listen-address", settings.listen_address, "Address to listen on");
  parser.Add("listen-port", settings.listen_port, "Port to listen on; 0: any free one");
  parser.Add("threads", settings.threads, "Threads that serve connections");
  parser.Add("presets-dir", settings.presets_dir,
             "Folder of presets that extend or replace the built-in ones");
  parser.Add("library-dir", settings.library_dir,
             "Folder of inputs that are named by path (default: such inputs are refused)");
  parser.Add("url-file", settings.url_file,
             "File to write the server's URL to (default: run/api.url in the data folder)");
  parser.Add("max-upload-bytes", settings.max_upload_bytes, "Largest accepted upload");
  parser.Add("broker-deadline", settings.broker_deadline,
             "How long to wait for the broker before answering 503");
}

void Check(const ApiSettings& settings) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorCode::kInvalidRequest, what);
  };
  if (settings.listen_port < 0 || settings.listen_port > 65535) {
    refuse("--listen-port takes 0 to 65535");
  }
  if (settings.threads < 1 || settings.threads > 256) refuse("--threads takes 1 to 256");
  if (settings.max_upload_bytes < 1) refuse("--max-upload-bytes takes at least 1");
}

std::string UrlOf(const std::string& address, uint16_t port) {
  const bool is_ipv6 = address.find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("http://[{}]:{}", address, port)
                 : fmt::format("http://{}:{}", address, port);
}

// Threads inherit the mask: block before any is started, so that WaitForEnd gets the signals.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void Serve(ApiSettings settings) {
  AskForShortTurns();  // before threads start
  const sigset_t end_signals = BlockEndSignals();
  FinishCommonSettings(settings.common, "millrace-api");
  Check(settings);
  if (settings.url_file.empty()) settings.url_file = settings.common.data_dir / "run" / "api.url";

  Api api({.broker = {.client_endpoint = settings.common.client_endpoint,
                      .event_endpoint = settings.common.event_endpoint,
                      .deadline = settings.broker_deadline},
           .media = {.data_dir = settings.common.data_dir, .library_dir = settings.library_dir},
           .presets_dir = settings.presets_dir,
           .events = {}});
  http::ServerOptions options = {.address = settings.listen_address,
                                 .port = static_cast<uint16_t>(settings.listen_port),
                                 .threads = settings.threads,
                                 .limits = {}};
  options.limits.upload_bytes = static_cast<uint64_t>(settings.max_upload_bytes);
  http::Server server(options, api.MakeRouter(), ServiceProblemHooks());
  server.Start();

  const std::string url = UrlOf(settings.listen_address, server.port());
  WriteFileDurably(settings.url_file, url + "\n");
  LogInfo("ready", {{"url", url}, {"version", kVersion}});
  int signal = 0;
  sigwait(&end_signals, &signal);
  LogInfo("stopping", {{"signal", signal}});
  api.Drain();
  server.Stop(kShutdownGrace);
}

int Main(int argc, char** argv) {
  ApiSettings settings;
  SettingsParser parser("millrace-api", "Millrace's HTTP API: takes uploads and encode jobs");
  Declare(parser, settings);
  if (const auto status = parser.Parse(argc, argv)) return *status;
  try {
    Serve(std::move(settings));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "millrace-api: {}\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace millrace::api

int main(int argc, char** argv) { return millrace::api::Main(argc, argv); }
