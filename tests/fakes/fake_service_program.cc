// Replaces millrace-api, millrace-broker and millrace-worker: a test links to it under their names.
// As the api it answers every request with 200 and a list of 64 workers. It exits at once with
// status 7 if <data-dir>/broken exists. On SIGTERM it adds its name to <data-dir>/stopped and
// exits, unless <data-dir>/stubborn exists.

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/fakes/fake_http_server.h"

namespace {

std::string OptionOf(const std::vector<std::string>& arguments, const std::string& name) {
  for (size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (arguments[i] == name) return arguments[i + 1];
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  const std::string name = std::filesystem::path(arguments[0]).filename().string();
  const std::filesystem::path data_dir = OptionOf(arguments, "--data-dir");
  if (std::filesystem::exists(data_dir / "broken")) {
    std::fprintf(stderr, "%s is broken\n", name.c_str());
    return 7;
  }
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, nullptr);
  std::unique_ptr<millrace::FakeHttpServer> server;
  if (name == "millrace-api") {
    const auto port = static_cast<uint16_t>(std::stoi(OptionOf(arguments, "--listen-port")));
    const nlohmann::json workers = {{"workers", std::vector<int>(64)}};
    server = std::make_unique<millrace::FakeHttpServer>(
        [workers](const millrace::FakeHttpRequest&) {
          return millrace::FakeHttpReply{200, workers.dump(), {}};
        },
        port);
  }
  int signal_number = 0;
  do {
    sigwait(&terminate, &signal_number);
  } while (std::filesystem::exists(data_dir / "stubborn"));
  std::FILE* stopped = std::fopen((data_dir / "stopped").c_str(), "ae");
  std::fprintf(stopped, "%s\n", name.c_str());
  std::fclose(stopped);
  return 0;
}
