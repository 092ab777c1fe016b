// The chaos harness: runs the real programs under load, injects faults that follow from a seed,
// takes them back, and checks that every promise was kept. `./dev chaos --help` says how.

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/chaos/episode.h"
#include "tests/chaos/small_disk.h"

namespace millrace::chaos {
namespace {

using Time = std::chrono::steady_clock;

struct Options {
  uint64_t seed = std::random_device()();
  double minutes = 0;  // 0: one episode
  double seconds = 60;
  size_t every_ms = 700;
  std::vector<std::string> kinds;
  std::filesystem::path folder = "/tmp/mrchaos";
  bool fixed_set = false;
  bool list = false;
};

// The episodes that CI runs, the same each time. Add each seed that finds a fault in Millrace, with
// its kinds.
struct FixedEpisode {
  uint64_t seed;
  double seconds;
  std::vector<std::string> kinds;  // as in EpisodeOptions
};

const std::vector<FixedEpisode>& FixedSet() {
  static const std::vector<FixedEpisode> all = {
      {.seed = 30004, .seconds = 45, .kinds = {}},
      {.seed = 1006, .seconds = 30, .kinds = {}},
      {.seed = 2, .seconds = 20, .kinds = {"kill_", "freeze_", "drain_", "rolling_restart"}},
      {.seed = 3, .seconds = 25, .kinds = {"broker.", "api.", "worker."}},
      {.seed = 4, .seconds = 20, .kinds = {"cut_", "lose_", "duplicate_", "replay_", "break_"}},
      {.seed = 5, .seconds = 20, .kinds = {"disk_", "full_", "io_", "sync_", "step_"}},
      {.seed = 6, .seconds = 15, .kinds = {"ledger_", "one_key_while_killed"}},
  };
  return all;
}

class Chaos {
 public:
  explicit Chaos(Options options) : options_(std::move(options)) {
    options_.folder += "-" + std::to_string(getpid());
    knowledge_.kinds = AllJobKinds();
  }

  int Run() {
    if (!(has_own_disk_ = KeepMountsToOurselves())) {
      std::cout << "without the rights to mount the disk is never full" << std::endl;
    }
    std::cout << "learning what the outputs of a quiet run are" << std::endl;
    LearnReference(knowledge_, options_.folder);
    if (options_.fixed_set) {
      for (const FixedEpisode& one : FixedSet()) RunOne(one.seed, one.seconds, one.kinds);
    } else {
      RunForTheTime();
    }
    return Report();
  }

 private:
  // Alternates between episodes of all kinds of faults and episodes of a single kind, in turn.
  void RunForTheTime() {
    const auto end = Time::now() + std::chrono::duration<double, std::ratio<60>>(options_.minutes);
    const std::vector<FaultKind> all = AllFaultKinds(has_own_disk_);
    uint64_t seed = options_.seed;
    do {
      const bool alone = options_.minutes > 0 && options_.kinds.empty() && seed % 2 == 1;
      std::vector<std::string> kinds = options_.kinds;
      if (alone) kinds = {all[seed / 2 % all.size()].name};
      RunOne(seed, alone ? options_.seconds / 3 : options_.seconds, kinds);
      ++seed;
    } while (Time::now() < end);
  }

  void RunOne(uint64_t seed, double seconds, const std::vector<std::string>& kinds) {
    std::cout << "seed " << seed << ": " << seconds << " s of "
              << (kinds.empty() ? "all faults" : nlohmann::json(kinds).dump()) << std::flush;
    const EpisodeResult result =
        Survive({.folder = options_.folder.string() + "-" + std::to_string(seed),
                 .seed = seed,
                 .milliseconds = static_cast<size_t>(seconds * 1000),
                 .every_ms = options_.every_ms,
                 .kinds = kinds});
    size_t faults = 0;
    for (const auto& [kind, count] : result.faults) {
      faults += count;
      faults_[kind] += count;
    }
    for (const auto& [state, count] : result.states) states_[state] += count;
    acknowledged_ += result.acknowledged;
    violations_ += result.violations.size();
    redriven_ += result.redriven;
    reproduced_ += result.reproduced;
    outputs_ += result.outputs;
    followed_ += result.followed;
    ++episodes_;
    std::cout << ": " << faults << " faults, " << result.acknowledged << " jobs, "
              << result.violations.size() << " violations" << std::endl;
    for (const Violation& violation : result.violations) {
      std::cout << "  VIOLATED: " << violation.rule << " [" << violation.job << "] "
                << violation.detail << "\n";
    }
    if (!result.violations.empty()) std::cout << result.logs << std::endl;
  }

  // Reports an episode that cannot be run, so that the others still run.
  EpisodeResult Survive(const EpisodeOptions& options) {
    try {
      return RunEpisode(options, knowledge_);
    } catch (const std::exception& error) {
      EpisodeResult result;
      result.violations.push_back({"the service can be started", "", error.what()});
      return result;
    }
  }

  int Report() const {
    size_t faults = 0;
    std::cout << "\n";
    for (const auto& [kind, count] : faults_) {
      std::cout << "  " << count << "\t" << kind << "\n";
      faults += count;
    }
    for (const FaultKind& kind : AllFaultKinds(has_own_disk_)) {
      if (!faults_.contains(kind.name)) std::cout << "  0\t" << kind.name << "\n";
    }
    std::cout << nlohmann::json{{"chaos",
                                 {{"seed", options_.fixed_set ? 0 : options_.seed},
                                  {"episodes", episodes_},
                                  {"faults", faults},
                                  {"kinds", faults_.size()},
                                  {"acknowledged", acknowledged_},
                                  {"states", states_},
                                  {"redriven", redriven_},
                                  {"reproduced", reproduced_},
                                  {"outputs", outputs_},
                                  {"followed", followed_},
                                  {"violations", violations_}}}}
              << std::endl;
    return violations_ == 0 ? 0 : 1;
  }

  Options options_;
  Knowledge knowledge_;
  bool has_own_disk_ = false;
  std::map<std::string, size_t> faults_;
  std::map<std::string, size_t> states_;
  size_t episodes_ = 0;
  size_t acknowledged_ = 0;
  size_t redriven_ = 0;
  size_t reproduced_ = 0;
  size_t outputs_ = 0;
  size_t followed_ = 0;
  size_t violations_ = 0;
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Runs Millrace under faults and checks that it keeps its promises", "chaos");
  app.add_option("--seed", options.seed, "From which all follows; the next episode has the next");
  app.add_option("--minutes", options.minutes, "Run episodes until so much time has passed");
  app.add_option("--seconds", options.seconds, "Length of an episode's faults");
  app.add_option("--every", options.every_ms, "Milliseconds from fault to fault, on average");
  app.add_option("--only", options.kinds, "Only faults of these names, or that begin so")
      ->delimiter(',');
  app.add_option("--folder", options.folder, "Where the services live; a short path");
  app.add_flag("--fixed-set", options.fixed_set, "The set that CI runs, and nothing else");
  app.add_flag("--list", options.list, "List the kinds of faults");
  CLI11_PARSE(app, argc, argv);
  if (options.list) {
    for (const FaultKind& kind : AllFaultKinds(true)) std::cout << kind.name << "\n";
    return 0;
  }
  try {
    return Chaos(options).Run();
  } catch (const std::exception& error) {
    std::cerr << "chaos: " << error.what() << "\n";
    return 2;
  }
}

}  // namespace
}  // namespace millrace::chaos

int main(int argc, char** argv) { return millrace::chaos::Main(argc, argv); }
