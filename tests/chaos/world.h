#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/link_proxy.h"
#include "tests/chaos/small_disk.h"
#include "tests/chaos/storage_faults.h"
#include "tests/system/program.h"

namespace millrace::chaos {

// One program of the service.
struct ProgramId {
  ProgramKind kind = ProgramKind::kBroker;
  size_t index = 0;

  auto operator<=>(const ProgramId&) const = default;
};

std::string NameOf(const ProgramId& id);

struct WorldOptions {
  std::filesystem::path folder;  // short, because of its sockets; holds everything
  uint64_t seed = 0;
  size_t apis = 2;
  size_t workers = 3;
  int slots = 2;                          // of each worker
  int64_t disk_bytes = int64_t{1} << 30;  // of the data folder
};

// The real programs on a disk of their own, each with a LinkProxy between it and the broker and
// with StorageFaults preloaded. Restarts a program that ends, as `millrace up` does, unless it is
// held. Owned and used by one thread, which is the parent of the programs.
class World {
 public:
  static constexpr std::chrono::seconds kLease{3};
  static constexpr std::chrono::seconds kDrainLimit{2};  // of a worker

  // Returns when the service is ready. Throws std::runtime_error, with the logs, if that fails.
  explicit World(WorldOptions options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Restarts programs that have ended and records how they ended. Call it often.
  void Supervise();
  // Supervises until the service takes jobs and all workers are there.
  void WaitUntilReady(std::chrono::milliseconds limit);

  bool Running(const ProgramId& id);
  // Returns 0 if the program does not run.
  pid_t PidOf(const ProgramId& id);
  void Signal(const ProgramId& id, int signal_number);
  // Stops restarting the program until it is let go.
  void Hold(const ProgramId& id);
  void LetGo(const ProgramId& id);
  // Adds "NAME=value" to the program's environment for its next start only.
  void AddToNextStart(const ProgramId& id, const std::string& variable);
  void ClearNextStart(const ProgramId& id) { slots_.at(id).next_environment.clear(); }
  // The log of one program over all its starts: its size, and the text after a given size.
  uintmax_t LogBytes(const ProgramId& id) const;
  std::string LogAfter(const ProgramId& id, uintmax_t bytes) const;
  // While storage fails on purpose, and a little longer, programs may exit with an error.
  void SetStorageTrouble(bool trouble);
  // Starts a held broker to see whether it refuses to run. Returns its exit and log; nullopt: it
  // still runs after `limit`. REQUIRES: it does not run.
  std::optional<harness::CommandResult> TryToStartBroker(std::chrono::milliseconds limit);
  // Returns the processes in which the worker runs tasks at the moment.
  std::vector<pid_t> EncodersOf(size_t worker);

  LinkProxy& LinkOf(const ProgramId& id) { return *links_.at(id); }
  StorageFaults& storage() { return storage_; }
  SmallDisk& disk() { return disk_; }
  const std::filesystem::path& data_dir() const { return disk_.path(); }
  const WorldOptions& options() const { return options_; }
  // Returns the URL of each api, the same over all restarts.
  const std::vector<std::string>& urls() const { return urls_; }

  // Returns a line for each program that ended without a cause.
  const std::vector<std::string>& accidents() const { return accidents_; }
  size_t restarts() const { return restarts_; }
  std::string Logs(size_t lines) const;

 private:
  struct Slot {
    std::unique_ptr<harness::Program> program;
    bool held = false;
    bool told_to_end = false;  // SIGTERM was sent since its start
    std::vector<std::string> next_environment;
    std::chrono::steady_clock::time_point not_before{};
  };

  void Start(const ProgramId& id, Slot& slot);
  void NoteEnd(const ProgramId& id, const Slot& slot, const harness::ProcessEnd& end);
  std::filesystem::path LogOf(const ProgramId& id) const;
  harness::Command CommandOf(const ProgramId& id) const;
  std::vector<std::string> ArgumentsOf(const ProgramId& id) const;
  std::filesystem::path SocketPath(const std::string& name) const;
  std::filesystem::path UrlFile(size_t api) const;
  void StartApis();

  const WorldOptions options_;
  SmallDisk disk_;
  StorageFaults storage_;
  std::map<ProgramId, std::unique_ptr<LinkProxy>> links_;  // of apis and workers
  std::map<ProgramId, Slot> slots_;
  std::vector<std::string> urls_;
  std::vector<std::string> accidents_;
  size_t restarts_ = 0;
  size_t storage_troubles_ = 0;  // number in progress
  std::chrono::steady_clock::time_point storage_trouble_until_{};
};

}  // namespace millrace::chaos
