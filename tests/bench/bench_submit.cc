#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

#include "tests/bench/disk_limit.h"
#include "tests/bench/event_tap.h"
#include "tests/bench/figures.h"
#include "tests/bench/load_client.h"
#include "tests/system/eventually.h"
#include "tests/system/process_table.h"
#include "tests/system/program.h"
#include "tests/system/service.h"

// How fast jobs are taken in and begun.
//
//   durable_per_s     POST /v1/jobs answered 202, so on disk, from 64 keep-alive connections that
//                     each send again once they are answered; no worker is there
//   disk_limit_per_s  the same rows written by SQLite alone, FULL, 100 submissions a transaction
//   durable_share_of_disk_limit
//                     the first as a share of the second
//   accept_p50_ms, accept_p99_ms
//                     from the moment a request is due to its answer, at 500/s over 64 connections
//   broker_cpu_ms_at_500, broker_cpu_ms_full, api_cpu_ms_at_500, api_cpu_ms_full
//                     processor time of a submission, at 500/s and at full rate
//   start_p50_ms      from sending POST /v1/jobs to the first progress of the encoder that the
//   broker
//                     announces: api, commit, lease, worker, zygote, encoder process, and the way
//                     of its first words back; one idle worker, a small input, one job at a time
//   start_*_p50_ms    the parts of it, each from sending: `accepted`, the answer is here; `leased`,
//                     and the following, the event is here; `received` by the worker; `forked`, the
//                     encoder reads its input (this is start_p50_ms); `encoding`, all stages run

namespace millrace::bench {
namespace {

using harness::Client;
using harness::Service;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace fs = std::filesystem;

constexpr int kConnections = 64;
constexpr double kPacedPerSecond = 500;
constexpr int kStarts = 60;
// Between two starts nothing happens for that long, so that each finds the worker idle.
constexpr milliseconds kQuiet{300};

fs::path MakeTinyClip(const fs::path& folder, double seconds_of_media) {
  fs::path clip = folder / "tiny.mp4";
  const auto made = harness::RunCommand(
      {.program = "ffmpeg",
       .arguments = {"-v", "error", "-y", "-f", "lavfi", "-i",
                     fmt::format("testsrc2=s=64x64:r=30:d={}", seconds_of_media), "-pix_fmt",
                     "yuv420p", "-c:v", "libx264", clip.string()}},
      seconds(60));
  if (made.end.exit_status != 0) throw std::runtime_error("ffmpeg failed: " + made.err);
  return clip;
}

json SmallJob(const std::string& upload) {
  return {{"input", {{"upload", upload}}},
          {"outputs",
           {{{"name", "web"},
             {"container", "mp4"},
             {"video", {{"codec", "h264"}, {"height", 720}, {"speed", "ultrafast"}}}}}}};
}

LoadOptions LoadFor(const Service& service, const json& job) {
  const size_t colon = service.url().rfind(':');
  const std::string host = service.url().substr(0, colon).substr(std::string("http://").size());
  return {.host = host,
          .port = std::stoi(service.url().substr(colon + 1)),
          .path = "/v1/jobs",
          .body = job.dump(),
          .connections = kConnections};
}

struct CpuMark {
  double api = 0;
  double broker = 0;
};

CpuMark MarkCpu(Service& service) {
  return {.api = harness::CpuSeconds(service.api().pid()),
          .broker = harness::CpuSeconds(service.broker().pid())};
}

// `load` ends the names of the metrics.
void AddCpu(Figures& figures, const std::string& load, CpuMark before, CpuMark after,
            size_t requests) {
  const auto add = [&](const std::string& program, double seconds, const std::string& aim) {
    figures.Add(program + "_cpu_ms_" + load,
                seconds * 1e3 / static_cast<double>(std::max<size_t>(requests, 1)), "ms a job",
                aim);
  };
  add("broker", after.broker - before.broker, "");
  add("api", after.api - before.api, "");
}

void MeasureSubmissions(Figures& figures) {
  Service service({.workers = 0, .broker_arguments = {"--max-queued", "10000000"}});
  Client& client = service.client();
  const json job = SmallJob(client.Upload(MakeTinyClip(service.download_dir(), 0.1)));
  const std::string sample = client.Submit(job).at("id");

  CpuMark before = MarkCpu(service);
  LoadOptions paced = LoadFor(service, job);
  paced.rate = kPacedPerSecond;
  const LoadResult steady = RunLoad(paced);
  AddCpu(figures, "at_500", before, MarkCpu(service), steady.answered);

  before = MarkCpu(service);
  const LoadResult flood = RunLoad(LoadFor(service, job));
  AddCpu(figures, "full", before, MarkCpu(service), flood.answered);

  const double durable_per_s = static_cast<double>(flood.answered) / flood.seconds;
  figures.Add("durable_per_s", durable_per_s, "jobs/s", ">= 5000");
  figures.Add("accept_p50_ms", Percentile(steady.latencies_ms, 0.50), "ms at 500/s");
  figures.Add("accept_p99_ms", Percentile(steady.latencies_ms, 0.99), "ms at 500/s", "<= 20");
  figures.Note("p50, p99 at full rate",
               fmt::format("{:.1f} ms, {:.1f} ms", Percentile(flood.latencies_ms, 0.50),
                           Percentile(flood.latencies_ms, 0.99)));
  figures.Note("answered, refused", fmt::format("{}, {}", steady.answered + flood.answered,
                                                steady.refused + flood.refused));

  service.api().Stop();
  service.broker().Stop();
  const double disk_limit_per_s =
      MeasureDiskLimit(service.data_dir() / "ledger.db", sample, 100, seconds(3));
  figures.Add("disk_limit_per_s", disk_limit_per_s, "jobs/s, batches of 100");
  figures.Add("durable_share_of_disk_limit", durable_per_s / disk_limit_per_s, "", ">= 0.35");
}

// What happens to a job from its submission on, in order.
enum Step { kAccepted, kLeased, kReceived, kForked, kEncoding, kSteps };
constexpr std::array<const char*, kSteps> kStepNames = {"accepted", "leased", "received", "forked",
                                                        "encoding"};

// The step that an event tells of.
std::optional<Step> StepOf(const EventTap::Event& event) {
  if (event.topic == "job" && event.body.value("event", "") == "start") return kLeased;
  if (event.topic != "progress") return std::nullopt;
  const std::string phase = event.body.value("phase", "");
  if (phase == "starting") return kReceived;
  return phase == "probing" ? kForked : kEncoding;
}

// When each step was told of; a step that is told of together with a later one has its time.
using StepTimes = std::array<std::chrono::steady_clock::time_point, kSteps>;

// Waits until the job is being encoded. `times` has the time of kAccepted.
StepTimes WaitForStart(EventTap& tap, const std::string& id, StepTimes times) {
  while (const auto event = tap.Next(seconds(20))) {
    if (event->body.value("job", "") != id) continue;
    const std::optional<Step> step = StepOf(*event);
    if (!step) continue;
    for (size_t each = kLeased; each <= *step; ++each) {
      if (times[each] == StepTimes::value_type{}) times[each] = event->at;
    }
    if (*step == kEncoding) return times;
  }
  throw std::runtime_error("no progress was announced of " + id);
}

void AddStarts(Figures& figures, const std::array<std::vector<double>, kSteps>& ms) {
  figures.Add("start_p50_ms", Median(ms[kForked]), "ms", "<= 5");
  for (size_t step = 0; step < kSteps; ++step) {
    const std::string name = std::string("start_") + kStepNames[step];
    figures.Add(name + "_p50_ms", Median(ms[step]), "ms");
    figures.Note("  p50, p90, p99",
                 fmt::format("{:.1f}, {:.1f}, {:.1f} ms", Median(ms[step]),
                             Percentile(ms[step], 0.9), Percentile(ms[step], 0.99)));
  }
}

void MeasureStarts(Figures& figures) {
  Service service({.workers = 1});
  Client& client = service.client();
  // Long enough that its steps are not told of together with its end.
  const json job = SmallJob(client.Upload(MakeTinyClip(service.download_dir(), 30)));
  EventTap tap("ipc://" + (service.data_dir() / "run" / "event.sock").string());

  std::array<std::vector<double>, kSteps> ms;
  // The first one finds the subscription on its way and is not counted.
  for (int i = -1; i < kStarts; ++i) {
    const auto sent = std::chrono::steady_clock::now();
    const std::string id = client.Submit(job).at("id");
    if (i >= 0) {
      StepTimes times{};
      times[kAccepted] = std::chrono::steady_clock::now();
      times = WaitForStart(tap, id, times);
      for (size_t step = 0; step < kSteps; ++step) {
        ms[step].push_back(std::chrono::duration<double, std::milli>(times[step] - sent).count());
      }
    }
    client.WaitForEnd(id);
    while (tap.Next(kQuiet)) {
    }
  }
  AddStarts(figures, ms);
}

}  // namespace
}  // namespace millrace::bench

// Takes `submissions` or `starts` to measure only those.
int main(int argc, char** argv) {
  using namespace millrace::bench;
  try {
    const std::string only = argc > 1 ? argv[1] : "";
    Figures figures("submit");
    if (only != "starts") MeasureSubmissions(figures);
    if (only != "submissions") MeasureStarts(figures);
    figures.Print();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_submit: {}\n", error.what());
    return 1;
  }
}
