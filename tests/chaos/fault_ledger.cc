#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/base/files.h"
#include "tests/chaos/fault_kinds.h"

namespace millrace::chaos {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPageBytes = 4096;
constexpr const char* kParts[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"};
constexpr std::chrono::seconds kRefusalLimit{10};

// Damages the file at a place chosen by `random`. Returns false if there is nothing to damage.
using Damage = bool (*)(const fs::path& ledger, uint64_t random);

// Returns true if the whole ledger is in its file, as after an orderly exit of the broker.
bool IsClosed(const fs::path& ledger) {
  const fs::path log = ledger.string() + "-wal";
  return !fs::exists(log) || fs::file_size(log) == 0;
}

bool Truncate(const fs::path& ledger, uint64_t random) {
  const size_t pages = fs::file_size(ledger) / kPageBytes;
  if (pages < 2 || !IsClosed(ledger)) return false;
  fs::resize_file(ledger, (1 + random % (pages - 1)) * kPageBytes);
  return true;
}

// Overwrites a page that belongs to a table or an index; a free page may hold anything.
bool GarbleAPage(const fs::path& ledger, uint64_t random) {
  std::fstream file(ledger, std::ios::in | std::ios::out | std::ios::binary);
  const size_t pages = fs::file_size(ledger) / kPageBytes;
  for (size_t tried = 0; tried + 1 < pages && IsClosed(ledger); ++tried) {
    const size_t page = 1 + (random + tried) % (pages - 1);
    file.seekg(static_cast<std::streamoff>(page * kPageBytes));
    const int type = file.get();
    if (type != 2 && type != 5 && type != 10 && type != 13) continue;
    const std::string garbage(kPageBytes, '\xa5');
    file.seekp(static_cast<std::streamoff>(page * kPageBytes));
    file.write(garbage.data(), kPageBytes);
    return true;
  }
  return false;
}

bool LoseTheLog(const fs::path& ledger, uint64_t) {
  const fs::path log = ledger.string() + "-wal";
  return fs::exists(log) && fs::file_size(log) > 0 && fs::remove(log);
}

// Stops the broker, damages its ledger, and starts a broker that must refuse it with a message that
// names the file. Then restores the ledger.
class DamagedLedger final : public ActiveFault {
 public:
  DamagedLedger(FaultScene& scene, int signal_number, Damage damage, uint64_t random)
      : damage_(damage), random_(random) {
    scene.world.Hold(kBroker);
    scene.world.Signal(kBroker, signal_number);
  }

  bool Step(FaultScene& scene) override {
    if (scene.world.Running(kBroker)) return false;
    const fs::path ledger = scene.world.data_dir() / "ledger.db";
    const fs::path kept = scene.world.options().folder / "kept";
    Copy(ledger.parent_path(), kept);
    damaged_ = damage_(ledger, random_);
    if (damaged_) {
      Expect(scene, ledger);
      Copy(kept, ledger.parent_path());
    }
    return true;
  }

  bool End(FaultScene& scene) override {
    scene.world.LetGo(kBroker);
    return damaged_;
  }

 private:
  static constexpr ProgramId kBroker{ProgramKind::kBroker, 0};

  // Overwrites existing files in place: a ledger knows whether it is a copy.
  static void Copy(const fs::path& from, const fs::path& to) {
    CreateFolders(to);
    for (const char* part : kParts) {
      if (fs::exists(from / part)) {
        fs::copy_file(from / part, to / part, fs::copy_options::overwrite_existing);
      } else {
        fs::remove(to / part);
      }
    }
  }

  static void Expect(FaultScene& scene, const fs::path& ledger) {
    const auto refused = scene.world.TryToStartBroker(kRefusalLimit);
    if (!refused || refused->end.exit_status != 1 ||
        refused->err.find(ledger.string()) == std::string::npos) {
      scene.record.Violated({"a damaged ledger is refused by name", "",
                             refused ? "exit status " + std::to_string(refused->end.exit_status) +
                                           ", said " + refused->err
                                     : "the broker runs"});
    }
  }

  const Damage damage_;
  const uint64_t random_;
  bool damaged_ = false;
};

FaultKind Damaging(const std::string& name, int signal_number, Damage damage) {
  return {.name = name,
          .target = Target::kBroker,
          .besides = {Target::kDisk},
          .least_ms = 10'000,
          .most_ms = 10'000,
          .needs_it_running = true,
          .begin = [signal_number, damage](FaultScene& scene, size_t, const Fault& fault) {
            return std::make_unique<DamagedLedger>(scene, signal_number, damage, fault.random);
          }};
}

}  // namespace

void AddLedgerDamage(std::vector<FaultKind>& kinds) {
  // After SIGTERM the log's content is in the file.
  kinds.push_back(Damaging("ledger_truncated", SIGTERM, Truncate));
  kinds.push_back(Damaging("ledger_page_garbled", SIGTERM, GarbleAPage));
  kinds.push_back(Damaging("ledger_log_lost", SIGKILL, LoseTheLog));
}

}  // namespace millrace::chaos
