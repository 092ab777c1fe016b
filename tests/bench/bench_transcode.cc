#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>

#include "core/base/clock.h"
#include "core/base/files.h"
#include "core/base/id.h"
#include "core/base/unique_fd.h"
#include "core/model/task.h"
#include "tests/bench/clips.h"
#include "tests/bench/figures.h"
#include "tests/fakes/temp_dir.h"
#include "tests/system/program.h"
#include "transcoder/worker/child/zygote.h"

// Compares encodes with the installed ffmpeg command line, and stream copies with cp. Ours are
// tasks as a worker runs them: forked from a zygote, in its sandbox.
//
//   single_vs_cli  wall time of a task over that of `ffmpeg`, 1080p to 720p, x264 medium crf 23,
//                  a keyframe every 2 s, AAC at 128 kb/s, MP4 faststart; median of 5 pairs, run in
//                  turns. Ours also hashes, syncs and checks its output.
//   remux_vs_cp    rate of copying the streams of a file of 200 MB or more into a new faststart MP4
//                  (read, parse, write, hash, sync, check) over that of `cp` and sync of the same
//                  file; median of 9 pairs, run in turns
//   remux_vs_cp_sha256
//                  the same, with the SHA-256 of the copy (OpenSSL's, as ours) on the side of `cp`

namespace millrace::bench {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
using worker::Zygote;
using worker::ZygoteEvent;

constexpr int kPairs = 5;
constexpr int kRemuxPairs = 9;
constexpr uintmax_t kRemuxBytes = 220'000'000;
constexpr double kGopSeconds = 2;

double SecondsOf(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void RunOrThrow(harness::Command command) {
  const std::string program = command.program;
  const harness::CommandResult result =
      harness::RunCommand(std::move(command), std::chrono::minutes(10));
  if (result.end.exit_status != 0) {
    throw std::runtime_error(program + " failed: " + result.out + result.err);
  }
}

void RunFfmpeg(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"-v", "error", "-nostdin", "-y"});
  RunOrThrow({.program = "ffmpeg", .arguments = std::move(arguments)});
}

void SyncPath(const fs::path& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  SyncFile(file.get(), path);
}

// Runs tasks as a worker would have them run; returns the file that was made.
class Encoder {
 public:
  explicit Encoder(fs::path folder)
      : folder_(std::move(folder)), zygote_(harness::ProgramPath("millrace-encode"), clock_) {}

  fs::path Run(const fs::path& input, OutputSpec output) {
    const fs::path out = folder_ / "out";
    fs::remove_all(out);
    fs::create_directories(out);
    TaskDocument task = {.task_id = NewTaskId(), .job_id = NewJobId(), .fence = 1};
    task.input_path = input;
    task.input_name = input.filename();
    task.output_dir = out;
    task.spec.outputs = {std::move(output)};
    const fs::path document = folder_ / "task.json";
    std::ofstream(document) << ToJson(task).dump();
    const fs::path report = folder_ / "report.jsonl";
    zygote_.Run({.task_path = document,
                 .token = task.task_id,
                 .report = OpenForOutput(report),
                 .log = OpenForOutput(folder_ / "log")});
    if (!EndsWell()) throw std::runtime_error("a task failed: " + harness::TailOf(report, 1));
    return fs::directory_iterator(out)->path();
  }

 private:
  static UniqueFd OpenForOutput(const fs::path& path) {
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) throw std::runtime_error("cannot write " + path.string());
    return fd;
  }

  // Waits for the end of the task.
  bool EndsWell() {
    while (true) {
      pollfd polled{.fd = zygote_.fd(), .events = POLLIN, .revents = 0};
      poll(&polled, 1, kLongestTask_ms);
      if (polled.revents == 0) return false;
      for (const ZygoteEvent& event : zygote_.Poll()) {
        if (std::holds_alternative<ZygoteStarted>(event)) continue;
        const auto* exited = std::get_if<ZygoteExited>(&event);
        return exited != nullptr && exited->wait_status == 0;
      }
    }
  }

  static constexpr int kLongestTask_ms = 600'000;

  const fs::path folder_;
  const SystemClock clock_;
  Zygote zygote_;
};

struct Pair {
  double ours = 0;
  double theirs = 0;
};

// Runs both in turns, the first of each pair changing, after one round that is not counted.
std::vector<Pair> RunPairs(int count, const std::function<void()>& ours,
                           const std::function<void()>& theirs) {
  ours();
  theirs();
  std::vector<Pair> pairs;
  for (int i = 0; i < count; ++i) {
    Pair pair;
    if (i % 2 == 1) pair.theirs = SecondsOf(theirs);
    pair.ours = SecondsOf(ours);
    if (i % 2 == 0) pair.theirs = SecondsOf(theirs);
    fmt::print("pair {}: ours {:.3f} s, theirs {:.3f} s\n", i + 1, pair.ours, pair.theirs);
    std::fflush(stdout);
    pairs.push_back(pair);
  }
  return pairs;
}

double MedianOf(const std::vector<Pair>& pairs, const std::function<double(const Pair&)>& value) {
  std::vector<double> values;
  for (const Pair& pair : pairs) values.push_back(value(pair));
  return Median(std::move(values));
}

void MeasureTranscode(Figures& figures, Encoder& encoder, const fs::path& clip) {
  const fs::path by_ffmpeg = clip.parent_path() / "by-ffmpeg.mp4";
  fs::path by_us;
  const auto pairs = RunPairs(
      kPairs,
      [&] {
        by_us = encoder.Run(clip, {.name = "web",
                                   .container = Container::kMp4,
                                   .video = VideoSpec{.codec = VideoCodec::kH264,
                                                      .height_px = 720,
                                                      .crf = 23,
                                                      .speed = "medium",
                                                      .gop_seconds = kGopSeconds},
                                   .audio = AudioSpec{.bitrate_bps = 128'000}});
      },
      [&] {
        RunFfmpeg({"-i", clip.string(), "-vf", "scale=-2:720", "-c:v", "libx264", "-preset",
                   "medium", "-crf", "23", "-g", "48", "-c:a", "aac", "-b:a", "128k", "-movflags",
                   "+faststart", by_ffmpeg.string()});
      });
  figures.Add("single_vs_cli", MedianOf(pairs, [](const Pair& p) { return p.ours / p.theirs; }),
              "of ffmpeg's wall time", "<= 1.00");
  figures.Note("1080p to 720p, median",
               fmt::format("ours {:.2f} s, ffmpeg {:.2f} s",
                           MedianOf(pairs, [](const Pair& p) { return p.ours; }),
                           MedianOf(pairs, [](const Pair& p) { return p.theirs; })));
  figures.Note("output size", fmt::format("ours {} B, ffmpeg {} B", fs::file_size(by_us),
                                          fs::file_size(by_ffmpeg)));
  figures.Note("SSIM", fmt::format("ours {:.5f}, ffmpeg {:.5f}", MeasureSsim(by_us, clip),
                                   MeasureSsim(by_ffmpeg, clip)));
}

// Reads and hashes a file, for a fair comparison with a task.
void HashFile(const fs::path& path) {
  constexpr size_t kBufferBytes = 256 << 10;
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
  std::vector<unsigned char> buffer(kBufferBytes);
  ssize_t got = 0;
  while ((got = read(file.get(), buffer.data(), buffer.size())) > 0) {
    EVP_DigestUpdate(hash.get(), buffer.data(), static_cast<size_t>(got));
  }
  EVP_DigestFinal_ex(hash.get(), buffer.data(), nullptr);
  if (got < 0) throw std::runtime_error("cannot read " + path.string());
}

void MeasureRemux(Figures& figures, Encoder& encoder, const fs::path& clip) {
  const fs::path source = MakeLongClip(clip, kRemuxBytes);
  const fs::path copy = source.parent_path() / "copy.mp4";
  SyncPath(source);
  const auto pairs = RunPairs(
      kRemuxPairs,
      [&] {
        encoder.Run(source, {.name = "same",
                             .container = Container::kMp4,
                             .video = VideoSpec{.codec = VideoCodec::kCopy},
                             .audio = AudioSpec{.codec = AudioCodec::kCopy}});
      },
      [&] {
        fs::remove(copy);
        RunOrThrow({.program = "cp", .arguments = {source.string(), copy.string()}});
        SyncPath(copy);
      });
  std::vector<double> hashing;
  for (int i = 0; i < kPairs; ++i) hashing.push_back(SecondsOf([&] { HashFile(copy); }));
  const double hash = Median(std::move(hashing));
  const double megabytes = static_cast<double>(fs::file_size(source)) / 1e6;
  figures.Add("remux_vs_cp", MedianOf(pairs, [](const Pair& p) { return p.theirs / p.ours; }),
              "of the rate of cp + sync", ">= 0.8");
  figures.Add("remux_vs_cp_sha256",
              MedianOf(pairs, [&](const Pair& p) { return (p.theirs + hash) / p.ours; }),
              "of the rate of cp + sync + SHA-256");
  figures.Note(fmt::format("remux of {:.0f} MB, median", megabytes),
               fmt::format("ours {:.0f} MB/s, cp {:.0f} MB/s",
                           MedianOf(pairs, [&](const Pair& p) { return megabytes / p.ours; }),
                           MedianOf(pairs, [&](const Pair& p) { return megabytes / p.theirs; })));
}

}  // namespace
}  // namespace millrace::bench

int main() {
  using namespace millrace::bench;
  try {
    const millrace::TempDir folder;
    Encoder encoder(folder.path());
    const std::filesystem::path clip = Make1080pClip(folder.path());
    Figures figures("transcode");
    MeasureTranscode(figures, encoder, clip);
    MeasureRemux(figures, encoder, clip);
    figures.Print();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_transcode: {}\n", error.what());
    return 1;
  }
}
