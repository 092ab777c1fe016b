#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/model/task.h"
#include "tests/fakes/fixtures.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::encode {

// The end of a task, and all that it reported on the way.
struct Ended {
  bool succeeded = false;
  Manifest manifest;     // if it succeeded
  nlohmann::json error;  // ToJson(Error) if it did not
  std::vector<Progress> progress;
  std::vector<std::string> types;  // of the lines, in order

  const OutputFile* Find(const std::string& output) const;
  bool Warns(const std::string& code) const;
};
Ended ParseReport(const std::string& lines);

// Runs tasks in this process, each in a folder of its own that lives as long as this object.
class TaskRunner {
 public:
  TaskRunner();
  Ended Run(const std::filesystem::path& input, std::vector<OutputSpec> outputs,
            std::optional<ClipSpec> clip = {}, int threads = 2);
  // The output folder of the last task.
  std::filesystem::path output_dir() const { return output_dir_; }
  std::filesystem::path PathOf(const OutputFile& file) const { return output_dir_ / file.path; }
  TaskDocument Document(const std::filesystem::path& input, std::vector<OutputSpec> outputs);

 private:
  TempDir folder_;
  std::filesystem::path output_dir_;
  int count_ = 0;
};

// Fast settings: the tests ask what is in a file, not how good it looks.
VideoSpec FastVideo(VideoCodec codec = VideoCodec::kH264);
OutputSpec MediaOutput(Container container, std::optional<VideoSpec> video,
                       std::optional<AudioSpec> audio);
OutputSpec Mp4();
OutputSpec Poster(int count = 1);

}  // namespace millrace::encode
