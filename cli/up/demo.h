#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/client/download.h"

namespace millrace::cli {

struct DemoOptions {
  std::vector<std::string> files;
  std::filesystem::path data_dir;
  int workers = 2;
};

// Starts a temporary service on a free port, encodes each file to H.264/AAC MP4 of at most 720p and
// a poster, or to AAC if it has no picture, downloads, checks and shows the outputs, and stops the
// service. Returns kExitOk, or kExitFailed after printing what went wrong. Called by the main
// thread.
int RunDemo(const DemoOptions& options);

// Returns the outputs that suit the probed media; null stands for media that could not be probed.
nlohmann::json DemoOutputs(const nlohmann::json& media);

// Checks the downloads of a job that succeeded. Returns a sentence for each problem: a missing
// stream, a picture that is too large, a duration that differs from the input's.
std::vector<std::string> CheckDownloads(const nlohmann::json& job,
                                        const std::vector<DownloadedFile>& files);

}  // namespace millrace::cli
