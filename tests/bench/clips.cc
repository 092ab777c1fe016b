#include "tests/bench/clips.h"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/system/program.h"

namespace millrace::bench {
namespace {

namespace fs = std::filesystem;

std::string Ffmpeg(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"-hide_banner", "-nostdin", "-y"});
  const harness::CommandResult result = harness::RunCommand(
      {.program = "ffmpeg", .arguments = std::move(arguments)}, std::chrono::minutes(5));
  if (result.end.exit_status != 0) throw std::runtime_error("ffmpeg failed: " + result.err);
  return result.err;
}

std::vector<std::string> Source() {
  const char* folder = std::getenv("MILLRACE_MEDIA_DIR");
  const fs::path real =
      fs::path(folder == nullptr ? "" : folder) / "bench-sintel-trailer-720p24-h264-52s.mp4";
  if (folder != nullptr && fs::exists(real)) return {"-ss", "12", "-i", real.string()};
  return {"-f", "lavfi", "-i", "testsrc2=s=1280x720:r=24,noise=alls=12:allf=t",
          "-f", "lavfi", "-i", "sine=f=440:r=48000"};
}

}  // namespace

fs::path Make1080pClip(const fs::path& folder) {
  fs::path clip = folder / "clip-1080p.mp4";
  std::vector<std::string> arguments = Source();
  for (const char* word :
       {"-t", "12", "-vf", "scale=1920:1080", "-c:v", "libx264", "-b:v", "8M", "-preset",
        "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-movflags", "+faststart"}) {
    arguments.emplace_back(word);
  }
  arguments.push_back(clip.string());
  Ffmpeg(std::move(arguments));
  return clip;
}

fs::path MakeLongClip(const fs::path& clip, uintmax_t bytes) {
  fs::path long_clip = clip.parent_path() / "clip-long.mp4";
  const uintmax_t times = bytes / fs::file_size(clip) + 1;
  Ffmpeg({"-stream_loop", std::to_string(times), "-i", clip.string(), "-c", "copy", "-movflags",
          "+faststart", long_clip.string()});
  return long_clip;
}

double MeasureSsim(const fs::path& made, const fs::path& source) {
  const std::string said =
      Ffmpeg({"-i", made.string(), "-i", source.string(), "-lavfi",
              "[1:v][0:v]scale2ref=flags=bicubic[s][m];[m]setpts=N[a];[s]setpts=N[b];[a][b]ssim",
              "-an", "-f", "null", "-"});
  const size_t at = said.rfind("All:");
  if (at == std::string::npos) throw std::runtime_error("ffmpeg measured no SSIM: " + said);
  return std::stod(said.substr(at + 4));
}

}  // namespace millrace::bench
