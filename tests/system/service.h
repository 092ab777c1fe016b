#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/temp_dir.h"
#include "tests/system/client.h"
#include "tests/system/program.h"

namespace millrace::harness {

struct ServiceOptions {
  int workers = 2;
  int slots = 1;  // of each worker
  std::vector<std::string> broker_arguments;
  std::vector<std::string> api_arguments;
  std::vector<std::string> worker_arguments;
};

// Runs the real programs on a free port, with a data folder of their own. A test can stop, kill and
// restart each of them. The destructor stops all. Owned and used by one thread.
class Service {
 public:
  // Returns when the service says that it is ready and all workers are registered.
  // Throws std::runtime_error, with the logs, if it does not come to that.
  explicit Service(ServiceOptions options = {});
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Start a program that has ended; the api keeps its port.
  void StartBroker();
  void StartApi();
  void StartWorker(size_t index);
  // Waits until the service is ready and `workers` are registered.
  void WaitUntilReady(size_t workers);

  Program& broker() { return *broker_; }
  Program& api() { return *api_; }
  Program& worker(size_t index) { return *workers_.at(index); }
  size_t worker_count() const { return workers_.size(); }
  std::string WorkerName(size_t index) const;
  // Returns the processes in which the worker is running tasks.
  std::vector<pid_t> EncodersOf(size_t index);

  const std::filesystem::path& data_dir() const { return data_dir_; }
  // A folder for downloads, removed with the service.
  std::filesystem::path download_dir() const { return temp_.path() / "downloads"; }
  const std::string& url() const { return url_; }
  Client& client() { return *client_; }

  // Returns the log of a program over all its starts: "broker", "api", "worker-1" for the first
  // worker.
  std::filesystem::path LogOf(const std::string& program) const {
    return temp_.path() / (program + ".log");
  }
  // Returns the end of each program's log.
  std::string Logs() const;

 private:
  std::unique_ptr<Program> Start(const std::string& program, const std::string& log,
                                 std::vector<std::string> arguments);

  const ServiceOptions options_;
  TempDir temp_;
  const std::filesystem::path data_dir_;
  std::string url_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Program> broker_;
  std::unique_ptr<Program> api_;
  std::vector<std::unique_ptr<Program>> workers_;
};

// Returns the files below a folder, relative to it, sorted; none if there is no such folder.
std::vector<std::string> FilesBelow(const std::filesystem::path& folder);

}  // namespace millrace::harness
