#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

namespace millrace::cli {

// The options of `millrace up`.
struct UpOptions {
  std::filesystem::path data_dir = "millrace-data";
  std::string host = "127.0.0.1";
  int port = 8080;  // 0: any free one
  int workers = 2;
  int slots = 0;  // tasks that each worker runs at once; 0: the worker's own choice
  std::chrono::milliseconds drain_timeout{10'000};
  std::filesystem::path programs_dir;  // empty: beside this program
  std::string log_level = "info";
  bool verbose = false;
};

// Runs broker, api and workers in the foreground until a signal ends them; prints the URL on
// standard output once the service is ready. Returns the exit status. Throws Error{kStorageError}
// if the data folder is in use, and Error{kInternal} if the port is. Takes over SIGINT, SIGTERM and
// SIGCHLD. Called by the main thread.
int RunUp(const UpOptions& options);

// Returns `port`, or a free port for 0. Throws Error{kInternal} if it cannot listen there.
uint16_t ChoosePort(const std::string& host, int port);

}  // namespace millrace::cli
