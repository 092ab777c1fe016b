#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

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
//   accept_p50_ms, accept_p99_ms
//                     from the moment a request is due to its answer, at 500/s over 64 connections
//   start_p50_ms      from sending POST /v1/jobs to the first progress that the broker announces:
//                     api, commit, lease, worker, zygote, encoder process, and what the encoder
//                     said on its way back; one idle worker, a tiny input, one job at a time
//   disk_limit_per_s  the same rows written by SQLite alone, FULL, 100 submissions a transaction

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
constexpr int kStarts = 40;
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

void NoteCpu(Figures& figures, const std::string& phase, CpuMark before, CpuMark after,
             size_t requests) {
  const auto each = [requests](double seconds) {
    return seconds * 1e6 / static_cast<double>(std::max<size_t>(requests, 1));
  };
  figures.Note("CPU per request, " + phase,
               fmt::format("api {:.0f} us, broker {:.0f} us", each(after.api - before.api),
                           each(after.broker - before.broker)));
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
  NoteCpu(figures, "at 500/s", before, MarkCpu(service), steady.answered);

  before = MarkCpu(service);
  const LoadResult flood = RunLoad(LoadFor(service, job));
  NoteCpu(figures, "at full rate", before, MarkCpu(service), flood.answered);

  figures.Add("durable_per_s", static_cast<double>(flood.answered) / flood.seconds, "jobs/s",
              ">= 5000");
  figures.Add("accept_p50_ms", Percentile(steady.latencies_ms, 0.50), "ms at 500/s");
  figures.Add("accept_p99_ms", Percentile(steady.latencies_ms, 0.99), "ms at 500/s", "<= 20");
  figures.Note("p50, p99 at full rate",
               fmt::format("{:.1f} ms, {:.1f} ms", Percentile(flood.latencies_ms, 0.50),
                           Percentile(flood.latencies_ms, 0.99)));
  figures.Note("answered, refused", fmt::format("{}, {}", steady.answered + flood.answered,
                                                steady.refused + flood.refused));

  service.api().Stop();
  service.broker().Stop();
  figures.Add("disk_limit_per_s",
              MeasureDiskLimit(service.data_dir() / "ledger.db", sample, 100, seconds(3)),
              "jobs/s, batches of 100");
}

// Waits for the first progress of the job; `leased` gets the time of its lease.
std::chrono::steady_clock::time_point WaitForStart(EventTap& tap, const std::string& id,
                                                   std::chrono::steady_clock::time_point& leased) {
  while (const auto event = tap.Next(seconds(20))) {
    if (event->body.value("job", "") != id) continue;
    if (event->topic == "job" && event->body.value("event", "") == "start") leased = event->at;
    if (event->topic == "progress") return event->at;
  }
  throw std::runtime_error("no progress was announced of " + id);
}

void MeasureStarts(Figures& figures) {
  Service service({.workers = 1});
  Client& client = service.client();
  // Long enough to be told of: a worker tells its news at most five times a second.
  const json job = SmallJob(client.Upload(MakeTinyClip(service.download_dir(), 30)));
  EventTap tap("ipc://" + (service.data_dir() / "run" / "event.sock").string());

  std::vector<double> starts_ms;
  std::vector<double> leases_ms;
  // The first one finds the subscription on its way and is not counted.
  for (int i = -1; i < kStarts; ++i) {
    const auto sent = std::chrono::steady_clock::now();
    const std::string id = client.Submit(job).at("id");
    if (i >= 0) {
      auto leased = sent;
      const auto started = WaitForStart(tap, id, leased);
      starts_ms.push_back(std::chrono::duration<double, std::milli>(started - sent).count());
      leases_ms.push_back(std::chrono::duration<double, std::milli>(leased - sent).count());
    }
    client.WaitForEnd(id);
    while (tap.Next(kQuiet)) {
    }
  }
  figures.Add("start_p50_ms", Median(starts_ms), "ms", "<= 5");
  figures.Note("start p90", fmt::format("{:.1f} ms", Percentile(starts_ms, 0.9)));
  figures.Note("of which until leased, p50", fmt::format("{:.1f} ms", Median(leases_ms)));
}

}  // namespace
}  // namespace millrace::bench

int main() {
  using namespace millrace::bench;
  try {
    Figures figures("submit");
    MeasureSubmissions(figures);
    MeasureStarts(figures);
    figures.Print();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_submit: {}\n", error.what());
    return 1;
  }
}
