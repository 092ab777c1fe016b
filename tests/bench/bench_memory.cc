#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "tests/bench/clips.h"
#include "tests/bench/figures.h"
#include "tests/system/process_table.h"
#include "tests/system/service.h"

// Measures memory and idle processor time of the programs.
//
//   *_peak_mb                 peak resident memory (VmHWM) of each program during the work of the
//                             demo: upload, probe, 720p and poster, download
//   api_upload_growth_mb      how much the api's peak grows while 1 GiB is uploaded
//   broker_idle_cpu_percent   of one core, with 10 idle workers, over 20 s

namespace millrace::bench {
namespace {

using harness::Client;
using harness::Service;
using nlohmann::json;

constexpr double kMegabyte = 1e6;
constexpr int64_t kUploadBytes = int64_t{1} << 30;
constexpr std::chrono::seconds kIdle{20};

// Polls the memory of encoder processes, which end too soon to be asked afterwards.
class EncoderWatch {
 public:
  explicit EncoderWatch(Service& service) {
    for (size_t i = 0; i < service.worker_count(); ++i) workers_.push_back(service.worker(i).pid());
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        Look();
        poll(nullptr, 0, 5);
      }
    });
  }

  int64_t PeakBytes() const { return peak_bytes_; }

 private:
  void Look() {
    for (const pid_t worker : workers_) {
      for (const pid_t process : harness::DescendantsOf(worker)) {
        peak_bytes_ = std::max(peak_bytes_.load(), harness::PeakResidentBytes(process));
      }
    }
  }

  std::vector<pid_t> workers_;
  std::atomic<int64_t> peak_bytes_{0};
  std::jthread thread_;  // last: it uses the others
};

double PeakMegabytes(harness::Program& program) {
  return static_cast<double>(harness::PeakResidentBytes(program.pid())) / kMegabyte;
}

void EncodeLikeTheDemo(Service& service, const std::filesystem::path& clip) {
  Client& client = service.client();
  const std::string upload = client.Upload(clip);
  client.http().Send({.method = "POST",
                      .path = "/v1/probe",
                      .headers = {"Content-Type: application/json"},
                      .body = json{{"input", {{"upload", upload}}}}.dump()});
  const json job = client.Submit({{"input", {{"upload", upload}}},
                                  {"outputs",
                                   {{{"name", "web"}, {"preset", "mp4-h264-720p"}},
                                    {{"name", "poster"}, {"preset", "poster"}}}}});
  const json done = client.WaitForEnd(job.at("id"), std::chrono::minutes(5));
  if (done.at("state") != "succeeded") throw std::runtime_error("it failed: " + done.dump());
  for (const char* output : {"web", "poster"}) {
    for (const json& file : harness::FilesOf(done, output)) {
      client.Fetch(file, service.download_dir());
    }
  }
}

void UploadZeros(Service& service) {
  int64_t left = kUploadBytes;
  const harness::HttpAnswer answer = service.client().http().Put(
      "/v1/uploads/zeros.bin", kUploadBytes,
      [&left](std::span<char> block) {
        const auto count = std::min<int64_t>(left, static_cast<int64_t>(block.size()));
        std::fill_n(block.data(), count, '\0');
        left -= count;
        return static_cast<size_t>(count);
      },
      std::chrono::minutes(10));
  if (answer.status != 201) throw std::runtime_error("the upload failed: " + answer.body);
}

void MeasureDemo(Figures& figures) {
  Service service({.workers = 2});
  double encode_peak = 0;
  {
    const EncoderWatch watch(service);
    EncodeLikeTheDemo(service, Make1080pClip(service.download_dir()));
    encode_peak = static_cast<double>(watch.PeakBytes()) / kMegabyte;
  }
  figures.Add("api_peak_mb", PeakMegabytes(service.api()), "MB", "<= 50");
  figures.Add("broker_peak_mb", PeakMegabytes(service.broker()), "MB", "<= 50");
  figures.Add("worker_peak_mb",
              std::max(PeakMegabytes(service.worker(0)), PeakMegabytes(service.worker(1))), "MB",
              "<= 30");
  figures.Add("encode_peak_mb", encode_peak, "MB");

  const double before = PeakMegabytes(service.api());
  const double broker_before = PeakMegabytes(service.broker());
  UploadZeros(service);
  figures.Add("api_upload_growth_mb", PeakMegabytes(service.api()) - before, "MB over 1 GiB",
              "flat");
  figures.Note("broker growth meanwhile",
               fmt::format("{:.1f} MB", PeakMegabytes(service.broker()) - broker_before));
}

void MeasureIdle(Figures& figures) {
  Service service({.workers = 10});
  const pid_t broker = service.broker().pid();
  const double before = harness::CpuSeconds(broker);
  poll(nullptr, 0, static_cast<int>(std::chrono::milliseconds(kIdle).count()));
  const double used = harness::CpuSeconds(broker) - before;
  figures.Add("broker_idle_cpu_percent", 100 * used / static_cast<double>(kIdle.count()),
              "% of a core, 10 workers", "< 1");
}

}  // namespace
}  // namespace millrace::bench

int main() {
  using namespace millrace::bench;
  try {
    Figures figures("memory");
    MeasureDemo(figures);
    MeasureIdle(figures);
    figures.Print();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_memory: {}\n", error.what());
    return 1;
  }
}
