#include "tests/transcoder/encode/encode_task.h"

#include <fcntl.h>

#include <fstream>
#include <sstream>

#include "core/base/unique_fd.h"
#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/run_task.h"

namespace millrace::encode {

const OutputFile* Ended::Find(const std::string& output) const {
  for (const OutputFile& file : manifest.files) {
    if (file.output == output) return &file;
  }
  return nullptr;
}

bool Ended::Warns(const std::string& code) const {
  return std::ranges::any_of(manifest.warnings,
                             [&](const Warning& warning) { return warning.code == code; });
}

Ended ParseReport(const std::string& lines) {
  Ended ended;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    const std::string type = json.at("type");
    ended.types.push_back(type);
    if (type == "progress") ended.progress.push_back(ProgressFromJson(json.at("progress")));
    if (type == "error") ended.error = json.at("error");
    if (type == "result") {
      ended.succeeded = true;
      ended.manifest = ManifestFromJson(json.at("manifest"));
    }
  }
  return ended;
}

TaskRunner::TaskRunner() { StartFfmpegLog(); }

TaskDocument TaskRunner::Document(const std::filesystem::path& input,
                                  std::vector<OutputSpec> outputs) {
  output_dir_ = folder_.path() / std::to_string(++count_);
  std::filesystem::create_directory(output_dir_);
  TaskDocument task;
  task.task_id = "tsk_1";
  task.job_id = "job_1";
  task.fence = 1;
  task.input_path = std::filesystem::absolute(input);
  task.output_dir = output_dir_;
  task.threads = 2;
  task.spec.outputs = std::move(outputs);
  return task;
}

Ended TaskRunner::Run(const std::filesystem::path& input, std::vector<OutputSpec> outputs,
                      std::optional<ClipSpec> clip, int threads) {
  TaskDocument task = Document(input, std::move(outputs));
  task.spec.clip = clip;
  task.threads = threads;
  const std::filesystem::path lines = folder_.path() / "report";
  {
    const UniqueFd fd(open(lines.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    Report report(fd.get());
    RunTask(task, report);
  }
  std::stringstream text;
  text << std::ifstream(lines).rdbuf();
  return ParseReport(text.str());
}

VideoSpec FastVideo(VideoCodec codec) {
  VideoSpec video{.codec = codec};
  if (codec == VideoCodec::kCopy) return video;
  video.crf = 30;
  video.speed = "ultrafast";
  return video;
}

OutputSpec MediaOutput(Container container, std::optional<VideoSpec> video,
                       std::optional<AudioSpec> audio) {
  OutputSpec output;
  output.name = "out";
  output.container = container;
  output.video = std::move(video);
  output.audio = audio;
  return output;
}

OutputSpec Mp4() { return MediaOutput(Container::kMp4, FastVideo(), AudioSpec{}); }

OutputSpec Poster(int count) {
  OutputSpec output;
  output.name = "poster";
  output.thumbnails = ThumbnailSpec{.count = count};
  return output;
}

}  // namespace millrace::encode
