#include "tests/system/service.h"

#include <algorithm>
#include <csignal>
#include <stdexcept>

#include "core/base/files.h"
#include "tests/system/eventually.h"
#include "tests/system/process_table.h"

namespace millrace::harness {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kStartLimit{60};
constexpr size_t kLogLines = 40;

std::vector<std::string> Joined(std::vector<std::string> first,
                                const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

Service::Service(ServiceOptions options)
    : options_(std::move(options)), data_dir_(temp_.path() / "data") {
  fs::create_directories(data_dir_);
  fs::create_directories(download_dir());
  StartBroker();
  StartApi();
  workers_.resize(static_cast<size_t>(options_.workers));
  for (size_t index = 0; index < workers_.size(); ++index) StartWorker(index);
  WaitUntilReady(workers_.size());
}

Service::~Service() {
  for (auto& worker : workers_) {
    if (worker) worker->Signal(SIGTERM);
  }
  workers_.clear();
  api_.reset();
  broker_.reset();
}

std::unique_ptr<Program> Service::Start(const std::string& program, const std::string& log,
                                        std::vector<std::string> arguments) {
  const fs::path log_file = LogOf(log);
  arguments.insert(arguments.begin(), {"--data-dir", data_dir_.string()});
  return std::make_unique<Program>(Command{.program = ProgramPath(program),
                                           .arguments = std::move(arguments),
                                           .out = log_file,
                                           .err = log_file});
}

void Service::StartBroker() {
  broker_ = Start("millrace-broker", "broker", options_.broker_arguments);
}

void Service::StartApi() {
  const fs::path url_file = temp_.path() / "url";
  fs::remove(url_file);
  const std::string port = url_.empty() ? "0" : url_.substr(url_.rfind(':') + 1);
  api_ = Start(
      "millrace-api", "api",
      Joined({"--listen-port", port, "--url-file", url_file.string()}, options_.api_arguments));
  const bool listening =
      Eventually([&] { return fs::exists(url_file) || !api_->Running(); }, kStartLimit);
  if (!listening || !api_->Running()) throw std::runtime_error("the api did not start\n" + Logs());
  url_ = ReadWholeFile(url_file);
  url_.erase(url_.find_last_not_of('\n') + 1);
  client_ = std::make_unique<Client>(url_);
}

void Service::StartWorker(size_t index) {
  workers_.at(index) =
      Start("millrace-worker", "worker-" + std::to_string(index + 1),
            Joined({"--name", WorkerName(index), "--slots", std::to_string(options_.slots)},
                   options_.worker_arguments));
}

void Service::WaitUntilReady(size_t workers) {
  const auto ready = [&] {
    if (client_->http().Send({.path = "/readyz"}).status != 200) return false;
    const HttpAnswer answer = client_->http().Send({.path = "/v1/workers"});
    if (answer.status != 200) return false;
    return static_cast<size_t>(std::ranges::count_if(answer.Json().at("workers"), [](auto& worker) {
             return worker.at("state") != "lost";
           })) >= workers;
  };
  if (!Eventually(ready, kStartLimit)) {
    throw std::runtime_error("the service did not become ready\n" + Logs());
  }
}

std::string Service::WorkerName(size_t index) const { return "w/" + std::to_string(index + 1); }

std::vector<pid_t> Service::EncodersOf(size_t index) {
  std::vector<pid_t> encoders;
  // Tasks are children of the zygote, which is the worker's child.
  for (const pid_t zygote : ChildrenOf(worker(index).pid())) {
    for (const pid_t child : ChildrenOf(zygote)) encoders.push_back(child);
  }
  return encoders;
}

std::string Service::Logs() const {
  std::string all;
  std::vector<fs::path> logs;
  for (const auto& entry : fs::directory_iterator(temp_.path())) {
    if (entry.path().extension() == ".log") logs.push_back(entry.path());
  }
  std::ranges::sort(logs);
  for (const fs::path& log : logs) {
    all += "--- " + log.filename().string() + "\n" + TailOf(log, kLogLines);
  }
  return all;
}

std::vector<std::string> FilesBelow(const fs::path& folder) {
  std::vector<std::string> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_directory()) files.push_back(entry.path().lexically_relative(folder));
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace millrace::harness
