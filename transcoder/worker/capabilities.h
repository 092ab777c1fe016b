#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace millrace::worker {

// The encoders and versions that this worker's encoder program reports of itself.
struct Capabilities {
  std::vector<std::string> encoders;  // those that it could open
  nlohmann::json versions;            // of the program and of its libraries
};

// Runs `<encoder> --capabilities`. Blocks until it has answered. Throws
// Error{kEncoderUnavailable} if it cannot be started, fails, or takes longer than `timeout`.
Capabilities AskCapabilities(const std::filesystem::path& encoder,
                             std::chrono::milliseconds timeout);

}  // namespace millrace::worker
