#include "tests/chaos/episode.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "core/base/files.h"
#include "tests/chaos/collector.h"
#include "tests/system/eventually.h"
#include "tests/system/service.h"

namespace millrace::chaos {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace std::chrono_literals;
using Time = std::chrono::steady_clock;

constexpr auto kStepPause = 10ms;
// Limits the wait for one more job to end once nothing fails any more. A slow machine may need long
// for all of them.
constexpr auto kQuietLimit = 180s;
constexpr auto kTidyLimit = 30s;
constexpr auto kVerifyLimit = 60s;
constexpr size_t kLogLines = 30;

std::vector<FaultKind> ChosenKinds(const std::vector<std::string>& names, bool has_own_disk) {
  std::vector<FaultKind> all = AllFaultKinds(has_own_disk);
  if (names.empty()) return all;
  std::erase_if(all, [&](const FaultKind& kind) {
    return std::ranges::none_of(
        names, [&](const std::string& name) { return kind.name.starts_with(name); });
  });
  if (all.empty()) throw std::runtime_error("this machine can make none of the faults asked for");
  return all;
}

class Episode {
 public:
  Episode(const EpisodeOptions& options, Knowledge& knowledge)
      : options_(options),
        knowledge_(knowledge),
        world_({.folder = options.folder, .seed = options.seed}),
        kinds_(ChosenKinds(options.kinds, world_.disk().is_mounted())) {}

  EpisodeResult Run() {
    try {
      Live();
      Judge();
    } catch (const std::exception& error) {
      record_.Violated({"the service can be asked once nothing fails", "", error.what()});
    }
    std::ranges::move(record_.Violations(), std::back_inserter(result_.violations));
    if (!result_.violations.empty()) KeepTraces();
    return std::move(result_);
  }

 private:
  void Live() {
    Load load({.urls = world_.urls(),
               .prefix = "s" + std::to_string(options_.seed),
               .seed = options_.seed,
               .most_jobs = options_.most_jobs},
              knowledge_.kinds, record_);
    MakeFaults(load);
    load.StopSubmitting();
    WaitForQuiet(load);
    RedriveGood();
    SubmitOneOfEach();
    WaitForQuiet(load);
  }

  void WaitForQuiet(const Load& load) {
    const auto quiet = [&] { return load.is_settled() && record_.open_count() == 0; };
    while (!quiet()) {
      const size_t open = record_.open_count();
      const auto nearer = [&] { return quiet() || record_.open_count() < open; };
      if (WaitFor(nearer, kQuietLimit)) continue;
      record_.Violated({"everything ends once nothing fails", "",
                        std::to_string(record_.open_count()) + " jobs have not ended" +
                            (load.is_settled() ? "" : ", and not all submissions were taken")});
      return;
    }
  }

  // Submits one job of each good kind: the service must accept jobs again.
  void SubmitOneOfEach() {
    harness::Client client(world_.urls().at(0));
    for (const JobKind& kind : knowledge_.kinds) {
      if (!kind.is_good()) continue;
      JobRecord job;
      job.key = "s" + std::to_string(options_.seed) + "-afterwards-" + kind.name;
      job.kind = &kind;
      const json shown = client.Submit({{"input", {{"upload", client.Upload(kind.media)}}},
                                        {"outputs", kind.outputs},
                                        {"external_id", job.key}});
      job.id = shown.at("id");
      record_.Acknowledged(job, shown);
    }
  }

  // Saves the logs and the ledger: the files on the small disk vanish with it.
  void KeepTraces() {
    result_.logs = world_.Logs(kLogLines);
    for (const char* part : {"ledger.db", "ledger.db-wal"}) {
      std::error_code gone;
      fs::copy_file(world_.data_dir() / part, options_.folder / part,
                    fs::copy_options::overwrite_existing, gone);
    }
  }

  // Waits while supervising the programs. Returns false if time ran out.
  bool WaitFor(const std::function<bool()>& done, std::chrono::milliseconds limit) {
    return harness::Eventually(
        [&] {
          world_.Supervise();
          return done();
        },
        limit);
  }

  void MakeFaults(Load& load) {
    FaultScene scene{.world = world_, .load = load, .record = record_};
    FaultRunner runner(scene, kinds_,
                       PlanFaults(kinds_, options_.seed, options_.milliseconds, options_.every_ms));
    const auto begin = Time::now();
    for (;;) {
      const auto now =
          std::chrono::duration_cast<std::chrono::milliseconds>(Time::now() - begin).count();
      if (static_cast<size_t>(now) >= options_.milliseconds) break;
      runner.Step(static_cast<size_t>(now));
      world_.Supervise();
      poll(nullptr, 0, static_cast<int>(kStepPause.count()));
    }
    runner.EndAll();
    result_.faults = runner.counts();
    if (result_.faults.empty()) {
      record_.Violated({"an episode has faults that take effect", "", "none did"});
    }
    encoders_killed_ = scene.encoders_killed;
    world_.WaitUntilReady(kQuietLimit);
  }

  // Redrives good media that died of faults; it must succeed now. Bad media stays dead.
  void RedriveGood() {
    harness::Http http(world_.urls().at(0));
    for (const JobRecord& job : record_.Jobs()) {
      if (!job.kind->is_good() || job.ended.is_null() || job.ended.at("state") != "dead") continue;
      const json attempts = http.Send({.path = "/v1/jobs/" + job.id + "/attempts"}).Json();
      if (!ExcuseFor(job.ended, attempts.at("attempts"))) {
        record_.Violated({"good media does not die for nothing", job.id,
                          job.ended.at("error").dump() + attempts.dump()});
      }
      const harness::HttpAnswer answer =
          http.Send({.method = "POST", .path = "/v1/dead-letters/" + job.id + "/redrive"});
      if (answer.status != 202) {
        record_.Violated({"a dead job can be redriven", job.id, answer.body});
        continue;
      }
      record_.Redriven(job.id);
      ++result_.redriven;
    }
  }

  void Judge() {
    result_.restarts = world_.restarts();
    const std::vector<JobRecord> jobs = record_.Jobs();
    result_.acknowledged = jobs.size();
    Collector collector(world_.urls().at(0), options_.folder / "fetched", knowledge_.decoded);
    Evidence evidence{.listed = collector.List(),
                      .other_events = json::array(),
                      .encoders_killed = encoders_killed_,
                      .leftovers = Leftovers(),
                      .accidents = world_.accidents(),
                      .verify = Verify()};
    std::set<std::string> reproduced;
    std::set<std::string> acknowledged;
    for (const JobRecord& job : jobs) {
      acknowledged.insert(job.id);
      evidence.jobs.push_back(collector.Ask(job));
      const JobEvidence& one = evidence.jobs.back();
      result_.outputs += one.files.size();
      if (!job.followed.empty()) ++result_.followed;
      if (one.job.is_object()) ++result_.states[one.job.at("state").get<std::string>()];
      if (one.dead_letter.is_object() && DiedOfItsMedia(one) &&
          reproduced.insert(job.kind->name).second) {
        Reproduce(collector, one);
      }
    }
    for (const json& job : evidence.listed) {
      if (acknowledged.contains(job.at("id"))) continue;
      std::ranges::copy(collector.Events(job.at("id")), std::back_inserter(evidence.other_events));
    }
    result_.violations = Check(evidence, knowledge_.reference);
  }

  static bool DiedOfItsMedia(const JobEvidence& one) {
    return std::ranges::count(one.record.kind->codes,
                              one.job.at("error").at("code").get<std::string>()) > 0;
  }

  void Reproduce(Collector& collector, const JobEvidence& one) {
    const std::string said = collector.Reproduce(one.dead_letter);
    if (said.empty()) {
      ++result_.reproduced;
    } else {
      record_.Violated({"repro.sh repeats the failure", one.record.id, said});
    }
  }

  // Returns what is left over; empty once the janitor has cleaned up.
  std::vector<std::string> Leftovers() {
    const fs::path work = world_.data_dir() / "work";
    WaitFor([&] { return fs::is_empty(work); }, kTidyLimit);
    std::vector<std::string> left;
    for (const auto& entry : fs::directory_iterator(work)) left.push_back(entry.path());
    for (const std::string& file : harness::FilesBelow(world_.data_dir() / "outputs")) {
      if (file.find(".partial") != std::string::npos) left.push_back(file);
    }
    return left;
  }

  std::string Verify() {
    const harness::CommandResult result =
        harness::RunCommand({.program = harness::ProgramPath("millrace-broker"),
                             .arguments = {"--verify", "--data-dir", world_.data_dir().string()}},
                            kVerifyLimit);
    return result.end.exit_status == 0 ? "" : result.out + result.err;
  }

  const EpisodeOptions& options_;
  Knowledge& knowledge_;
  Record record_;
  World world_;
  const std::vector<FaultKind> kinds_;
  size_t encoders_killed_ = 0;
  EpisodeResult result_;
};

}  // namespace

EpisodeResult RunEpisode(const EpisodeOptions& options, Knowledge& knowledge) {
  fs::remove_all(options.folder);
  fs::create_directories(options.folder);
  EpisodeResult result = Episode(options, knowledge).Run();
  if (result.violations.empty()) fs::remove_all(options.folder);
  return result;
}

void LearnReference(Knowledge& knowledge, const fs::path& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  {
    World world({.folder = folder});
    harness::Client client(world.urls().at(0));
    Collector collector(world.urls().at(0), folder / "fetched", knowledge.decoded);
    for (const JobKind& kind : knowledge.kinds) {
      if (!kind.is_good()) continue;
      auto& outputs = knowledge.reference.outputs[kind.name];
      for (const char* token : {"first", "second time"}) {
        const fs::path media = folder / kind.media.filename();
        WriteFileDurably(media, UniqueMedia(kind, token));
        const std::string id = client.Start(media, kind.outputs);
        const json job = client.WaitForEnd(id);
        JobRecord record;
        record.id = id;
        for (const FetchedFile& file : collector.Ask(record).files) {
          if (!file.decodes) throw std::runtime_error(kind.name + " does not decode");
          const auto [known, is_new] = outputs.emplace(file.path, file.sha256);
          if (known->second != file.sha256) {
            throw std::runtime_error(kind.name + " comes out different each time");
          }
        }
        if (job.at("state") != "succeeded" || outputs.empty()) {
          throw std::runtime_error(kind.name + " comes to nothing: " + job.dump());
        }
      }
    }
  }
  fs::remove_all(folder);
}

}  // namespace millrace::chaos
