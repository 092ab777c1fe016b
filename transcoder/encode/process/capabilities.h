#pragma once

#include <nlohmann/json.hpp>

namespace millrace::encode {

// Returns {"encoders": […], "versions": {…}, "build": …}. `encoders` names the codecs (h264, aac, …
// as in specs) whose encoder has just encoded a tiny picture or a moment of silence: FFmpeg also
// lists encoders that do not work on this machine.
nlohmann::json Capabilities();

}  // namespace millrace::encode
