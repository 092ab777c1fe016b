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

// Starts a service of its own on a free port, encodes each file to H.264/AAC MP4 of at most 720p
// and a poster (to AAC what has no picture), downloads, checks and shows what came out, and stops
// the service. Returns the status to exit with: kExitFailed if anything went wrong, which has been
// told. Called by the main thread.
int RunDemo(const DemoOptions& options);

// The outputs that suit what probing found; null: nothing could be found out.
nlohmann::json DemoOutputs(const nlohmann::json& media);

// What is wrong with the downloads of a job that succeeded, one sentence each: a stream that is
// missing, a picture that is too large, a duration that is not the input's.
std::vector<std::string> CheckDownloads(const nlohmann::json& job,
                                        const std::vector<DownloadedFile>& files);

}  // namespace millrace::cli
