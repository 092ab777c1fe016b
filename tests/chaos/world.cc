#include "tests/chaos/world.h"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "core/base/files.h"
#include "tests/system/eventually.h"
#include "tests/system/http.h"
#include "tests/system/process_table.h"

namespace millrace::chaos {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Time = std::chrono::steady_clock;

// The least time between starts, for a program that cannot run at present.
constexpr auto kRestartPause = 150ms;
constexpr auto kStartLimit = 60s;
// Effects of a storage fault may appear this much later.
constexpr auto kStorageTroubleLasts = 5s;

const char* ProgramOf(ProgramKind kind) {
  switch (kind) {
    case ProgramKind::kBroker:
      return "millrace-broker";
    case ProgramKind::kApi:
      return "millrace-api";
    default:
      return "millrace-worker";
  }
}

}  // namespace

std::string NameOf(const ProgramId& id) {
  std::string name = ProgramOf(id.kind);
  name = name.substr(name.find('-') + 1);
  return id.kind == ProgramKind::kBroker ? name : name + "-" + std::to_string(id.index + 1);
}

World::World(WorldOptions options)
    : options_(std::move(options)),
      disk_(options_.folder / "data", options_.disk_bytes),
      storage_(options_.folder / "faults") {
  CreateFolders(options_.folder / "logs");
  slots_[{ProgramKind::kBroker, 0}];
  for (size_t i = 0; i < options_.apis; ++i) slots_[{ProgramKind::kApi, i}];
  for (size_t i = 0; i < options_.workers; ++i) slots_[{ProgramKind::kWorker, i}];
  for (auto& [id, slot] : slots_) {
    if (id.kind == ProgramKind::kBroker) continue;
    const char* socket = id.kind == ProgramKind::kApi ? "client" : "worker";
    links_[id] = std::make_unique<LinkProxy>(SocketPath(NameOf(id)), SocketPath(socket),
                                             options_.seed + links_.size());
  }
  for (auto& [id, slot] : slots_) Start(id, slot);
  StartApis();
  WaitUntilReady(kStartLimit);
}

World::~World() {
  // End everything, the broker last. Wake frozen programs, which would never end.
  for (auto& [id, slot] : slots_) {
    if (!slot.program) continue;
    slot.program->Signal(SIGCONT);
    slot.program->Signal(SIGTERM);
  }
  while (!slots_.empty()) slots_.erase(std::prev(slots_.end()));
}

void World::StartApis() {
  urls_.resize(options_.apis);
  for (size_t i = 0; i < options_.apis; ++i) {
    if (!harness::Eventually([&] { return fs::exists(UrlFile(i)); }, kStartLimit)) {
      throw std::runtime_error("an api did not start\n" + Logs(20));
    }
    urls_[i] = ReadWholeFile(UrlFile(i));
    urls_[i].erase(urls_[i].find_last_not_of('\n') + 1);
  }
}

void World::Supervise() {
  for (auto& [id, slot] : slots_) {
    if (slot.program && !slot.program->Running()) {
      NoteEnd(id, slot, *slot.program->WaitFor(0ms));
      slot.program.reset();
      slot.not_before = Time::now() + kRestartPause;
    }
    if (slot.program || slot.held || Time::now() < slot.not_before) continue;
    ++restarts_;
    Start(id, slot);
  }
}

void World::NoteEnd(const ProgramId& id, const Slot& slot, const harness::ProcessEnd& end) {
  if (end.signal == SIGKILL) return;  // only the harness does that
  // The signal itself ends a program that has not installed its handler yet.
  if (slot.told_to_end && (end.signal == SIGTERM || (end.signal == 0 && end.exit_status == 0))) {
    return;
  }
  const bool trouble = storage_troubles_ > 0 || Time::now() < storage_trouble_until_;
  if (end.signal == 0 && end.exit_status == 1 && trouble) return;
  accidents_.push_back(NameOf(id) +
                       (end.signal != 0 ? " died of signal " + std::to_string(end.signal)
                                        : " ended with " + std::to_string(end.exit_status)) +
                       "; it said last: " + harness::TailOf(LogOf(id), 1));
}

void World::SetStorageTrouble(bool trouble) {
  if (trouble) {
    ++storage_troubles_;
  } else {
    --storage_troubles_;
    storage_trouble_until_ = Time::now() + kStorageTroubleLasts;
  }
}

void World::WaitUntilReady(std::chrono::milliseconds limit) {
  harness::Http http(urls_.at(0));
  const auto ready = [&] {
    Supervise();
    for (const std::string& url : urls_) {
      harness::Http each(url);
      if (each.Send({.path = "/readyz", .timeout = 5s}).status != 200) return false;
    }
    const harness::HttpAnswer answer = http.Send({.path = "/v1/workers", .timeout = 5s});
    if (answer.status != 200) return false;
    const auto here = std::ranges::count_if(answer.Json().at("workers"), [](const auto& worker) {
      return worker.at("state") == "idle" || worker.at("state") == "busy";
    });
    return static_cast<size_t>(here) >= options_.workers;
  };
  if (!harness::Eventually(ready, limit)) {
    throw std::runtime_error("the service did not become ready\n" + Logs(20));
  }
}

bool World::Running(const ProgramId& id) {
  const Slot& slot = slots_.at(id);
  return slot.program && slot.program->Running();
}

pid_t World::PidOf(const ProgramId& id) { return Running(id) ? slots_.at(id).program->pid() : 0; }

void World::Signal(const ProgramId& id, int signal_number) {
  Slot& slot = slots_.at(id);
  if (!slot.program) return;
  if (signal_number == SIGTERM) slot.told_to_end = true;
  slot.program->Signal(signal_number);
}

void World::Hold(const ProgramId& id) { slots_.at(id).held = true; }

void World::LetGo(const ProgramId& id) { slots_.at(id).held = false; }

void World::AddToNextStart(const ProgramId& id, const std::string& variable) {
  slots_.at(id).next_environment.push_back(variable);
}

std::optional<harness::CommandResult> World::TryToStartBroker(std::chrono::milliseconds limit) {
  harness::Command command = CommandOf({ProgramKind::kBroker, 0});
  const fs::path log = options_.folder / "logs" / "refused.log";
  fs::remove(log);
  command.out = command.err = log;
  harness::Program program(command);
  const auto end = program.WaitFor(limit);
  if (!end) return std::nullopt;
  return harness::CommandResult{.end = *end, .out = {}, .err = ReadWholeFile(log)};
}

std::vector<pid_t> World::EncodersOf(size_t worker) {
  std::vector<pid_t> encoders;
  const Slot& slot = slots_.at({ProgramKind::kWorker, worker});
  if (!slot.program) return encoders;
  // The worker's own child is the zygote; tasks run as the zygote's children.
  for (const pid_t zygote : harness::ChildrenOf(slot.program->pid())) {
    for (const pid_t child : harness::ChildrenOf(zygote)) encoders.push_back(child);
  }
  return encoders;
}

fs::path World::LogOf(const ProgramId& id) const {
  return options_.folder / "logs" / (NameOf(id) + ".log");
}

uintmax_t World::LogBytes(const ProgramId& id) const {
  std::error_code none;
  const uintmax_t bytes = fs::file_size(LogOf(id), none);
  return none ? 0 : bytes;
}

std::string World::LogAfter(const ProgramId& id, uintmax_t bytes) const {
  std::ifstream log(LogOf(id));
  log.seekg(static_cast<std::streamoff>(bytes));
  return {std::istreambuf_iterator<char>(log), {}};
}

std::string World::Logs(size_t lines) const {
  std::string all;
  std::vector<fs::path> logs;
  for (const auto& entry : fs::directory_iterator(options_.folder / "logs")) {
    logs.push_back(entry.path());
  }
  std::ranges::sort(logs);
  for (const fs::path& log : logs) {
    all += "--- " + log.filename().string() + "\n" + harness::TailOf(log, lines);
  }
  return all;
}

void World::Start(const ProgramId& id, Slot& slot) {
  harness::Command command = CommandOf(id);
  command.environment.insert(command.environment.end(), slot.next_environment.begin(),
                             slot.next_environment.end());
  slot.next_environment.clear();
  slot.told_to_end = false;
  slot.program = std::make_unique<harness::Program>(command);
}

harness::Command World::CommandOf(const ProgramId& id) const {
  const fs::path log = LogOf(id);
  return {.program = harness::ProgramPath(ProgramOf(id.kind)),
          .arguments = ArgumentsOf(id),
          .environment = storage_.Environment(id.kind),
          .folder = {},
          .out = log,
          .err = log};
}

std::vector<std::string> World::ArgumentsOf(const ProgramId& id) const {
  const auto ipc = [this](const std::string& name) { return "ipc://" + SocketPath(name).string(); };
  std::vector<std::string> all = {"--data-dir", data_dir().string(), "--event-endpoint",
                                  ipc("event")};
  const auto add = [&all](std::initializer_list<std::string> more) { all.insert(all.end(), more); };
  switch (id.kind) {
    case ProgramKind::kBroker:
      add({"--client-endpoint", ipc("client"), "--worker-endpoint", ipc("worker")});
      add({"--lease", std::to_string(kLease.count()), "--beat", "0.5"});
      // Faults are far more frequent than in a real service: they must neither exhaust a job's
      // budget nor make the run wait.
      add({"--retry-base", "0.2", "--retry-cap", "2", "--max-infrastructure-failures", "10000"});
      add({"--breaker-rest", "1", "--retry-pause", "1", "--tidy-every", "1"});
      // Plan these short jobs as long ones would be.
      add({"--task-overhead", "0"});
      add({"--min-free-bytes", std::to_string(8 << 20), "--max-queued", "400"});
      break;
    case ProgramKind::kApi: {
      const std::string port = id.index < urls_.size() && !urls_[id.index].empty()
                                   ? urls_[id.index].substr(urls_[id.index].rfind(':') + 1)
                                   : "0";
      add({"--client-endpoint", links_.at(id)->endpoint(), "--listen-port", port});
      add({"--threads", "2", "--url-file", UrlFile(id.index).string()});
      break;
    }
    default:
      add({"--worker-endpoint", links_.at(id)->endpoint(), "--name", NameOf(id)});
      add({"--slots", std::to_string(options_.slots), "--threads", "1", "--stall-timeout", "20"});
      add({"--drain-timeout", std::to_string(kDrainLimit.count())});
      break;
  }
  return all;
}

fs::path World::SocketPath(const std::string& name) const {
  return options_.folder / (name + ".sock");
}

fs::path World::UrlFile(size_t api) const {
  return options_.folder / ("url-" + std::to_string(api));
}

}  // namespace millrace::chaos
